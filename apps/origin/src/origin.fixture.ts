/**
 * Room: origin (tests only). A coordinator that speaks the real contracts and believes nothing, an origin
 * beside it, small real disks, and an edge that reads by grants.
 */

import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Description, VersionState } from '@vmdn/core/domain/description.ts';
import type { Digest } from '@vmdn/core/domain/digest.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { type Id, parseName } from '@vmdn/core/domain/names.ts';
import { type GrantClaims, signGrant } from '@vmdn/core/http/auth/grant.ts';
import { generateNodeKey, type NodeKey } from '@vmdn/core/http/auth/keys.ts';
import { createProofVerifier } from '@vmdn/core/http/auth/proof.ts';
import { verifyDescription } from '@vmdn/core/http/auth/signed-description.ts';
import { createDiskClient, type DiskClient } from '@vmdn/core/http/clients/disk-client.ts';
import {
  desiredFences,
  type FenceWishValue,
  reportFence,
} from '@vmdn/core/http/contracts/coordinator-moves.ts';
import * as contracts from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import { PROOF_HEADER } from '@vmdn/core/http/contracts/disks.ts';
import type { PublicKey } from '@vmdn/core/http/contracts/schemas.ts';
import { PROTOCOL_VERSION } from '@vmdn/core/http/contracts/schemas.ts';
import { type App, type AppContext, createApp, mountOperation } from '@vmdn/core/http/mount.ts';
import { type RunningServer, serve } from '@vmdn/core/http/serve.ts';
import { createCommandRunner } from '@vmdn/core/io/command/command-runner.ts';
import { startDiskOwner } from '@vmdn/core/io/disk-export/disk-owner.fixture.ts';
import { createLogger } from '@vmdn/core/process/logger.ts';
import type { RunningService } from '@vmdn/core/process/run-service.ts';
import { expect, vi } from 'vitest';
import { createOrigin, type OriginPace } from './origin.ts';
import type { OriginSettings } from './settings.ts';

export const runner = createCommandRunner();
export const EDGE = '00000000-0000-4000-8000-0000000000ed' as Id;
const PROJECT = '00000000-0000-4000-8000-0000000000aa' as Id;
const TOKEN = 'a-good-enrolment-token';
const MIB = 2 ** 20;
const logger = createLogger('origin-test', { level: 'silent' });

export interface Told {
  readonly vm: string;
  readonly version: number;
  state: VersionState;
  readonly description: Description;
}

export interface TestCoordinator {
  readonly key: NodeKey;
  /** What it was told of each version, under `VM/VERSION`. */
  readonly told: Map<string, Told>;
  /** Every state that it was told, in order. */
  readonly history: string[];
  readonly enrolments: number;
  /** What it wants of the sources, and what it was told of that: `STATE EPOCH`. */
  wishes: FenceWishValue[];
  readonly words: string[];
  /** Why it was refused. */
  readonly problems: string[];
  readonly url: string;
  readonly originId: Id;
  stop(): Promise<void>;
  start(): Promise<void>;
}

/** Starts a coordinator on a free port. */
async function startCoordinator(): Promise<TestCoordinator> {
  const key = await generateNodeKey();
  const proofs = createProofVerifier({ audience: 'coordinator' });
  const told = new Map<string, Told>();
  const history: string[] = [];
  const state = {
    ...{ enrolments: 0, url: '', originId: crypto.randomUUID() as Id },
    wishes: [] as FenceWishValue[],
    words: [] as string[],
    problems: [] as string[],
  };
  let originKey: PublicKey | undefined;
  const app = createApp({ logger });
  const guard = async (context: AppContext, body: Uint8Array): Promise<void> => {
    const { pathname, search } = new URL(context.req.url);
    const request = { method: context.req.method, path: `${pathname}${search}`, body };
    await proofs.verify(context.req.header(PROOF_HEADER), request, async (keyId) =>
      keyId === state.originId ? originKey : undefined,
    );
  };
  mountOperation(
    app,
    contracts.enrolNode,
    async () => null,
    async ({ body }) => {
      if (body.enrolmentToken !== TOKEN) throw new VmdnError('forbidden', 'wrong token');
      state.enrolments += 1;
      originKey = body.publicKey;
      const node = state.originId;
      return { node, project: PROJECT, coordinatorKey: key.publicKey, protocol: PROTOCOL_VERSION };
    },
  );
  mountOperation(app, contracts.heartbeat, guard, async () => ({
    protocol: PROTOCOL_VERSION,
    heartbeatSeconds: 1,
  }));
  mountOperation(
    app,
    contracts.announceVersion,
    guard,
    async ({ params, body }) => {
      const description = await verifyDescription(body.description, originKey!);
      if (description.vm !== params.vm || description.version !== params.version) {
        throw new VmdnError('invalid_input', 'The description speaks of something else.');
      }
      requireNewest(told, description);
      told.set(`${params.vm}/${params.version}`, { ...params, state: body.state, description });
      history.push(`${params.vm}/${params.version} ${body.state}`);
      return { accepted: true as const };
    },
    { bodyBytesMax: 16 * MIB },
  );
  mountOperation(app, contracts.setVersionState, guard, async ({ params, body }) => {
    const known = told.get(`${params.vm}/${params.version}`);
    if (known === undefined) throw new VmdnError('not_found', 'No such version.');
    known.state = body.state;
    history.push(`${params.vm}/${params.version} ${body.state}`);
    return { accepted: true as const };
  });
  mountFences(app, guard, state);
  let server: RunningServer | undefined;
  const start = async (): Promise<void> => {
    const port = state.url === '' ? 0 : Number(new URL(state.url).port);
    server = await serve({ fetch: app.fetch as never, listen: { host: '127.0.0.1', port } });
    state.url = server.url;
  };
  await start();
  return Object.assign(state, {
    key,
    told,
    history,
    start,
    stop: async () => await server?.close(0),
  });
}

/** Answers at once when the wishes are others than those known, else when the time is up. */
function mountFences(
  app: App,
  guard: (context: AppContext, body: Uint8Array) => Promise<void>,
  state: Pick<TestCoordinator, 'wishes' | 'words' | 'problems'>,
): void {
  mountOperation(app, desiredFences, guard, async ({ query }) => {
    const revision = (): string =>
      createHash('sha256').update(JSON.stringify(state.wishes)).digest('hex');
    const timeout = (query.waitSeconds ?? 0) * 1000;
    const isOther = () => expect(revision()).not.toBe(query.revision);
    await vi.waitFor(isOther, { timeout, interval: 20 }).catch(() => undefined);
    return { revision: revision(), fences: state.wishes };
  });
  mountOperation(app, reportFence, guard, async ({ body }) => {
    state.words.push(`${body.state} ${body.epoch}`);
    if (body.message !== undefined) state.problems.push(body.message);
    return { accepted: true as const };
  });
}

/** An older version, or a known one with other content, is refused as by the real coordinator. */
function requireNewest(told: ReadonlyMap<string, Told>, description: Description): void {
  const mine = [...told.values()].filter((each) => each.vm === description.vm);
  const known = Math.max(0, ...mine.map((each) => each.version));
  const { vm, version } = description;
  const present = told.get(`${vm}/${version}`)?.description;
  const content = (of: Description): string => JSON.stringify({ ...of, describedAt: '' });
  if (present !== undefined ? content(present) === content(description) : version > known) return;
  throw new VmdnError('conflict', 'This version is known otherwise.', {
    data: { vm, version, known },
  });
}

export interface TestOrigin extends AsyncDisposable {
  readonly dir: string;
  readonly vmsDir: string;
  readonly coordinator: TestCoordinator;
  readonly settings: OriginSettings;
  readonly client: DiskClient;
  readonly url: string;
  start(settings?: Partial<OriginSettings>): Promise<void>;
  stop(): Promise<void>;
  grant(digest: Digest, claims?: Partial<GrantClaims>): Promise<string>;
  readDisk(description: Description, claims?: Partial<GrantClaims>): Promise<Uint8Array>;
  readBlock(digest: Digest, sizeBytes: number, claims?: Partial<GrantClaims>): Promise<void>;
}

/** Makes an origin with an empty folder of VMs; `start` starts it. */
export async function makeOrigin(pace: OriginPace = {}): Promise<TestOrigin> {
  const dir = await mkdtemp(join(tmpdir(), 'vmdn-origin-'));
  const vmsDir = join(dir, 'vms');
  await mkdir(vmsDir);
  const coordinator = await startCoordinator();
  const edgeKey = await generateNodeKey();
  const client = createDiskClient({ key: edgeKey, nodeId: EDGE });
  const settings: OriginSettings = {
    coordinatorUrl: coordinator.url,
    listen: { host: '127.0.0.1', port: 0 },
    advertiseUrl: undefined,
    stateDir: join(dir, 'state'),
    runtimeDir: join(dir, 'run'),
    name: parseName('origin-1', 'name'),
    region: undefined,
    location: { latitude: 47, longitude: 8 },
    vmsDir,
    libvirt: undefined,
    running: null,
    applianceDir: join(dir, 'appliance'),
    uplinkBytesPerSecond: null,
    pin: 'never',
    enrolmentToken: TOKEN,
    tlsFiles: undefined,
    plaintextAllowed: false,
  };
  let running: RunningService | undefined;
  const stop = async (): Promise<void> => {
    await running?.[Symbol.asyncDispose]();
    running = undefined;
  };
  const origin: TestOrigin = {
    dir,
    vmsDir,
    coordinator,
    settings,
    client,
    get url() {
      return running!.url;
    },
    async start(changes = {}) {
      const signal = new AbortController().signal;
      running = await createOrigin({ ...settings, ...changes }, logger, signal, pace);
    },
    stop,
    grant: (digest, claims = {}) => signGrantFor(coordinator.key, edgeKey, digest, claims),
    readDisk: (description, claims) => readWhole(origin, description, claims),
    readBlock: (digest, sizeBytes, claims) => readSecondBlock(origin, digest, sizeBytes, claims),
    async [Symbol.asyncDispose]() {
      await stop();
      await client[Symbol.asyncDispose]();
      await coordinator.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
  return origin;
}

async function signGrantFor(
  coordinatorKey: NodeKey,
  edgeKey: NodeKey,
  digest: Digest,
  claims: Partial<GrantClaims>,
): Promise<string> {
  return await signGrant(coordinatorKey, {
    grant: crypto.randomUUID() as Id,
    project: PROJECT,
    edge: EDGE,
    edgeKey: edgeKey.publicKey,
    purpose: 'background',
    disks: [digest],
    scopes: ['recipe', 'blocks'],
    bytesMax: 2 ** 40,
    expiresAt: Math.floor(Date.now() / 1000) + 600,
    ...claims,
  });
}

/** The verified recipe's disk, every block of it. */
async function readWhole(
  origin: TestOrigin,
  description: Description,
  claims?: Partial<GrantClaims>,
): Promise<Uint8Array> {
  const { digest, virtualSizeBytes, keysRoot, recipeBytes } = description.disks[0]!;
  const grant = await origin.grant(digest, claims);
  const from = { url: origin.url, holder: origin.coordinator.originId, digest, grant };
  await origin.client.readRecipe({ ...from, keysRoot, recipeBytes });
  const bytes = new Uint8Array(virtualSizeBytes);
  await origin.client.readBlocks({
    ...from,
    virtualSizeBytes,
    runs: Uint32Array.of(0, Math.ceil(virtualSizeBytes / 4096)),
    onBlocks: (start, _count, data) => bytes.set(data, start * 4096),
  });
  return bytes;
}

async function readSecondBlock(
  origin: TestOrigin,
  digest: Digest,
  virtualSizeBytes: number,
  claims?: Partial<GrantClaims>,
): Promise<void> {
  await origin.client.readBlocks({
    url: origin.url,
    holder: origin.coordinator.originId,
    digest,
    grant: await origin.grant(digest, claims),
    virtualSizeBytes,
    runs: Uint32Array.of(1, 1),
    onBlocks: () => undefined,
  });
}

/** 8 MiB with data and zeros, different for each seed. */
export function diskContent(seed: number, sizeBytes = 8 * MIB): Uint8Array {
  const bytes = new Uint8Array(sizeBytes);
  let state = seed;
  for (let i = 0; i < sizeBytes; i += 1) {
    if ((i >>> 17) % 2 === 0) continue;
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

/** Puts a VM with one raw disk into the folder. Returns the disk's path. */
export async function putVm(
  origin: TestOrigin,
  vm: string,
  content: Uint8Array,
  changes: object = {},
): Promise<string> {
  const path = join(origin.vmsDir, `${vm}.raw`);
  await writeFile(path, content);
  await putSpecification(origin, vm, { disks: [{ file: `${vm}.raw`, format: 'raw' }], ...changes });
  return path;
}

export async function putSpecification(
  origin: TestOrigin,
  vm: string,
  changes: object,
): Promise<void> {
  const specification = { name: vm, vcpus: 1, memoryMiB: 256, firmware: 'bios', ...changes };
  await writeFile(join(origin.vmsDir, `${vm}.vm.json`), JSON.stringify(specification));
}

/** Holds a raw disk for writing, as a running VM does, until it is stopped. */
export function holdDisk(origin: TestOrigin, path: string) {
  return startDiskOwner(runner, { path, format: 'raw' }, join(origin.dir, 'owner.sock'));
}

/** Hash, times and inode of a file: equal before and after means that nobody wrote to it. */
export async function traceOf(path: string): Promise<string> {
  const { mtimeNs, ctimeNs, ino, size } = await stat(path, { bigint: true });
  const hash = createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
  return [hash, mtimeNs, ctimeNs, ino, size].join(' ');
}
