/**
 * Room: http (tests only). A real server on a free port that serves disks from memory by the real routes,
 * a coordinator's key to sign grants with, and clients with keys of their own.
 */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Digest } from '../domain/digest.ts';
import { VmdnError } from '../domain/errors.ts';
import type { Id } from '../domain/names.ts';
import type { Recipe } from '../domain/recipe.ts';
import { digestOfRecipe } from '../formats/disk-digest.ts';
import { keysRootOfRecipe } from '../formats/key-pages.ts';
import { referenceRecipe } from '../formats/recipe.fixture.ts';
import { encodeRecipe } from '../formats/recipe.ts';
import { createRecipeFiles } from '../io/files/recipe-files.ts';
import type { ServedDisk } from '../io/ports/disk-library.ts';
import type { UplinkLimiter } from '../io/ports/uplink-limiter.ts';
import { createUplinkLimiter } from '../io/uplink/uplink-limiter.ts';
import { createLogger } from '../process/logger.ts';
import { type GrantClaims, signGrant } from './auth/grant.ts';
import { generateNodeKey, type NodeKey } from './auth/keys.ts';
import { createDiskClient, type DiskClient } from './clients/disk-client.ts';
import { type DiskRoutesOptions, mountDiskRoutes } from './disk-routes.ts';
import type { DiskRouteLimits } from './disk-routes-limits.ts';
import { createApp } from './mount.ts';
import { serve } from './serve.ts';

export const HOLDER = '00000000-0000-4000-8000-000000000001' as Id;
export const EDGE = '00000000-0000-4000-8000-000000000002' as Id;

/** Bytes that look like a disk: incompressible stretches, compressible ones and zeros, from a seed. */
export function diskBytes(sizeBytes: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(sizeBytes);
  let state = seed * 2654435761;
  for (let i = 0; i < sizeBytes; i += 1) {
    const kind = (i >>> 14) % 4;
    if (kind === 0) continue;
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = kind === 1 ? (i >>> 6) & 0xff : state >>> 24;
  }
  return bytes;
}

export interface MemoryDisk {
  readonly bytes: Uint8Array;
  readonly recipe: Recipe;
  readonly digest: Digest;
  readonly keysRoot: string;
  readonly recipeFile: Uint8Array;
  /** What the server has read of it so far. */
  readBytes: number;
  /** Opens minus releases. */
  held: number;
  /** Replaced by tests: called before each read. */
  beforeRead: (offsetBytes: number, lengthBytes: number) => Promise<void> | void;
  presentSegments: Uint8Array | undefined;
}

export function memoryDisk(bytes: Uint8Array): MemoryDisk {
  const recipe = referenceRecipe(bytes);
  return {
    bytes,
    recipe,
    digest: digestOfRecipe(recipe),
    keysRoot: keysRootOfRecipe(recipe),
    recipeFile: encodeRecipe(recipe),
    readBytes: 0,
    held: 0,
    beforeRead: () => undefined,
    presentSegments: undefined,
  };
}

export interface TestNode extends AsyncDisposable {
  readonly url: string;
  readonly coordinatorKey: NodeKey;
  readonly edgeKey: NodeKey;
  readonly uplink: UplinkLimiter;
  readonly client: DiskClient;
  grant(claims?: Partial<GrantClaims>): Promise<string>;
}

/** Starts a node that serves `disks`. */
export async function startTestNode(
  disks: readonly MemoryDisk[],
  options: {
    readonly limits?: Partial<DiskRouteLimits>;
    readonly bytesPerSecond?: number | null;
    readonly onAdmitted?: DiskRoutesOptions['onAdmitted'];
  } = {},
): Promise<TestNode> {
  const dir = await mkdtemp(join(tmpdir(), 'vmdn-disk-routes-'));
  const coordinatorKey = await generateNodeKey();
  const edgeKey = await generateNodeKey();
  const uplink = createUplinkLimiter({ bytesPerSecond: options.bytesPerSecond ?? null });
  const logger = createLogger('test', { level: 'silent' });
  for (const disk of disks) await writeFile(join(dir, disk.digest), disk.recipeFile);
  const app = createApp({ logger });
  const client = createDiskClient({ key: edgeKey, nodeId: EDGE });
  mountDiskRoutes(app, {
    library: { open: async (digest) => open(disks, digest, dir) },
    recipeFiles: createRecipeFiles(),
    nodeId: HOLDER,
    coordinatorKey: () => coordinatorKey.publicKey,
    uplink,
    logger,
    ...(options.limits === undefined ? {} : { limits: options.limits }),
    ...(options.onAdmitted === undefined ? {} : { onAdmitted: options.onAdmitted }),
  });
  const server = await serve({ fetch: app.fetch as never, listen: { host: '127.0.0.1', port: 0 } });
  return {
    url: server.url,
    coordinatorKey,
    edgeKey,
    uplink,
    client,
    grant: (claims: Partial<GrantClaims> = {}) =>
      signGrant(coordinatorKey, {
        grant: crypto.randomUUID() as Id,
        project: '00000000-0000-4000-8000-000000000003' as Id,
        edge: EDGE,
        edgeKey: edgeKey.publicKey,
        purpose: 'teleport',
        disks: disks.map((disk) => disk.digest),
        scopes: ['recipe', 'blocks'],
        bytesMax: 2 ** 40,
        expiresAt: Math.floor(Date.now() / 1000) + 600,
        ...claims,
      }),
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]();
      await server.close(0);
      await rm(dir, { recursive: true, force: true });
    },
  };
}

function open(disks: readonly MemoryDisk[], digest: Digest, dir: string): ServedDisk {
  const disk = disks.find((candidate) => candidate.digest === digest);
  if (disk === undefined) throw new VmdnError('not_found', 'This node does not hold that disk.');
  disk.held += 1;
  return {
    digest,
    virtualSizeBytes: disk.bytes.length,
    recipe: disk.recipe,
    recipePath: join(dir, digest),
    ...(disk.presentSegments === undefined ? {} : { presentSegments: disk.presentSegments }),
    async readInto(target, offsetBytes) {
      await disk.beforeRead(offsetBytes, target.length);
      disk.readBytes += target.length;
      target.set(disk.bytes.subarray(offsetBytes, offsetBytes + target.length));
    },
    async release() {
      disk.held -= 1;
    },
  };
}
