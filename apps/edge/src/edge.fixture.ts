/**
 * Room: edge (tests). A network around an edge, of real parts: a coordinator with its own PostgreSQL, and
 * an origin made of the core's parts (image store, disk routes, signed descriptions), without the
 * origin app's inspection.
 */

import { spawn } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Description } from '@vmdn/core/domain/description.ts';
import { type Id, parseName } from '@vmdn/core/domain/names.ts';
import type { VmHardware } from '@vmdn/core/domain/vm-specification.ts';
import { signDescription } from '@vmdn/core/http/auth/signed-description.ts';
import { createCoordinatorClient } from '@vmdn/core/http/clients/coordinator-client.ts';
import { enrol, loadOrCreateNodeKey } from '@vmdn/core/http/clients/node-agent.ts';
import {
  cancelTeleport,
  createEnrolmentToken,
  getTeleport,
  requestTeleport,
  type Teleport,
} from '@vmdn/core/http/contracts/coordinator-clients.ts';
import { announceVersion, heartbeat } from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import { PROTOCOL_VERSION } from '@vmdn/core/http/contracts/schemas.ts';
import { mountDiskRoutes } from '@vmdn/core/http/disk-routes.ts';
import { type App, createApp } from '@vmdn/core/http/mount.ts';
import { serve } from '@vmdn/core/http/serve.ts';
import { createCommandRunner } from '@vmdn/core/io/command/command-runner.ts';
import { openNodeIdentityStore } from '@vmdn/core/io/files/node-identity.ts';
import { createRecipeFiles } from '@vmdn/core/io/files/recipe-files.ts';
import { createHashPool } from '@vmdn/core/io/hashing/hash-pool.ts';
import type { UplinkLimiter } from '@vmdn/core/io/ports/uplink-limiter.ts';
import { openImageStore } from '@vmdn/core/io/store/image-store.ts';
import { createImportImage } from '@vmdn/core/io/store/import-image.ts';
import { createUplinkLimiter } from '@vmdn/core/io/uplink/uplink-limiter.ts';
import { createLogger } from '@vmdn/core/process/logger.ts';
import { expect, vi } from 'vitest';
import { readSettings as readCoordinatorSettings } from '../../coordinator/src/config.ts';
import { type CoordinatorPace, createCoordinator } from '../../coordinator/src/coordinator.ts';
import { createEdge } from './edge.ts';
import { type EdgeSettings, readSettings } from './settings.ts';

/** `info` shows what the parts say, when a test fails. */
const LOG_LEVEL = 'silent';
const logger = createLogger('test', { level: LOG_LEVEL });
const SECTOR_BYTES = 512;
/** Bounds a hang, on a slow machine that has much else to do. */
export const HANG_MS = 300_000;
/**
 * A node counts as away after three beats and a second: a machine that stands still for a few seconds loses
 * none. What no call changes is looked at once a second all the same.
 */
const HEARTBEAT_SECONDS = '5';
const COORDINATOR_PACE: CoordinatorPace = { reconcileMs: 1000 };
/** A piece in 0.8 s: hardly anything moves, and nobody takes the link for dead. */
const TRICKLE_BYTES_PER_SECOND = 20_000;
/** Short and passable for guests' users, whoever runs the tests. */
export const RUNTIME_DIR = join(tmpdir(), `vmdn-edge-run-${process.getuid?.()}`);

export const HARDWARE: VmHardware = {
  vcpus: 1,
  memoryMiB: 64,
  firmware: 'bios',
  ports: [{ name: parseName('web', 'port'), guest: 80 }],
  ready: null,
};

export async function sha256OfFile(path: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
}

/** Seeded bytes that do not compress, behind a given first sector, then a hole. */
export async function writeDisk(
  path: string,
  options: { firstSector: Buffer; seed: string; dataBytes: number; sizeBytes: number },
): Promise<void> {
  await using file = await open(path, 'w');
  await file.write(options.firstSector, 0, SECTOR_BYTES, 0);
  const piece = 64 * 1024;
  for (let at = 0; at < options.dataBytes; at += piece) {
    const seed = createHash('sha256').update(`${options.seed} ${at}`).digest();
    const blocks = Array.from({ length: piece / 32 }, (_, index) =>
      createHash('sha256').update(seed).update(String(index)).digest(),
    );
    await file.write(Buffer.concat(blocks), 0, piece, 1024 * 1024 + at);
  }
  await file.truncate(options.sizeBytes);
}

/** A coordinator on a free port with a database of its own, and a client that may do all. */
export async function startNetwork(more: Readonly<Record<string, string>> = {}) {
  const dir = await mkdtemp(join(tmpdir(), 'vmdn-edge-'));
  // The embedded PostgreSQL runs as another user when this process is root.
  await chmod(dir, 0o711);
  const stack = new AsyncDisposableStack();
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const env = { VMDN_STATE_DIR: join(dir, 'coordinator'), VMDN_LISTEN: '127.0.0.1:0' };
  const settings = readCoordinatorSettings({
    ...env,
    VMDN_HEARTBEAT_SECONDS: HEARTBEAT_SECONDS,
    ...more,
  });
  const coordinator = stack.use(await createCoordinator(settings, logger, COORDINATOR_PACE));
  const url = coordinator.url;
  const credentials = { kind: 'bearer', token: coordinator.clientToken } as const;
  const client = createCoordinatorClient({ url, credentials });
  stack.use(client);
  const token = async (kind: 'origin' | 'edge'): Promise<string> =>
    (await client.call(createEnrolmentToken, { body: { kind } })).enrolmentToken;
  return {
    dir,
    url,
    client,
    stack,
    token,
    /** Asks for a VM as soon as some edge can take it. */
    async teleport(vm: string, region = 'eu-west'): Promise<Id> {
      const near = { region: parseName(region, 'region') };
      const requestId = randomUUID() as Id;
      const body = { vm: parseName(vm, 'VM'), near, requestId, lazy: false };
      const asked = await vi.waitFor(() => client.call(requestTeleport, { body }), {
        timeout: HANG_MS,
        interval: 100,
      });
      return asked.teleport;
    },
    /** Cancels a teleport and waits until its edge said that nothing is left of it. */
    async remove(teleport: Id, runtimeDir = RUNTIME_DIR): Promise<void> {
      await client.call(cancelTeleport, { params: { teleport } });
      // The last of a VM's files to go (io/hypervisor/vm-files.ts).
      const socketDir = join(runtimeDir, 'vms', teleport);
      await vi.waitFor(() => expect(existsSync(socketDir)).toBe(false), { timeout: HANG_MS });
    },
    async waitFor(
      teleport: Id,
      isDone: (teleport: Teleport) => boolean,
      timeout = HANG_MS,
    ): Promise<Teleport> {
      return await vi.waitFor(
        async () => {
          const now = await client.call(getTeleport, { params: { teleport } });
          if (!isDone(now)) throw new Error(`still ${now.state}: ${now.message}`);
          return now;
        },
        { timeout, interval: 100 },
      );
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
export type TestNetwork = Awaited<ReturnType<typeof startNetwork>>;

/** A node of kind origin, enrolled and beating, with a server that is asked to serve later. */
async function enrolOrigin(network: TestNetwork, dir: string) {
  const { stack } = network;
  const identityStore = await openNodeIdentityStore(join(dir, 'identity'));
  const key = await loadOrCreateNodeKey(identityStore);
  const front: { app: App | undefined } = { app: undefined };
  const server = await serve({
    fetch: (request, env) => front.app?.fetch(request, env) ?? new Response(null, { status: 503 }),
    listen: { host: '127.0.0.1', port: 0 },
  });
  const { url } = server;
  stack.defer(() => server.close());
  const anonymous = createCoordinatorClient({ url: network.url, credentials: { kind: 'none' } });
  stack.use(anonymous);
  const identity = await enrol({
    ...{ client: anonymous, store: identityStore, key, kind: 'origin', url, logger },
    name: parseName('home', 'name'),
    enrolmentToken: await network.token('origin'),
    signal: AbortSignal.timeout(HANG_MS),
  });
  const { node } = identity;
  const credentials = { kind: 'node', node, key } as const;
  const client = createCoordinatorClient({ url: network.url, credentials });
  stack.use(client);
  const beat = () =>
    client.call(heartbeat, { body: { protocol: PROTOCOL_VERSION, url } }).catch(() => {});
  await beat();
  const timer = setInterval(beat, 500);
  stack.defer(() => clearInterval(timer));
  return { front, identity, key, client, url };
}

/** An uplink that can be made to trickle in the middle of a transfer, for whoever acts in that middle. */
function openLink(bytesPerSecond: number | null) {
  const uplink = createUplinkLimiter({ bytesPerSecond });
  const trickle = createUplinkLimiter({ bytesPerSecond: TRICKLE_BYTES_PER_SECOND });
  let fastUntil = Number.POSITIVE_INFINITY;
  const link: UplinkLimiter = {
    ...uplink,
    openStream() {
      const [stream, slow] = [uplink.openStream(), trickle.openStream()];
      return {
        async take(bytes, signal) {
          if (uplink.passedBytes >= fastUntil) await slow.take(bytes, signal);
          await stream.take(bytes, signal);
        },
      };
    },
    get passedBytes() {
      return uplink.passedBytes;
    },
  };
  return Object.assign(link, {
    /** After so many more bytes hardly anything passes, until `letGo`. */
    trickleAfter(bytes: number) {
      fastUntil = uplink.passedBytes + bytes;
    },
    letGo() {
      fastUntil = Number.POSITIVE_INFINITY;
    },
  });
}

/** An enrolled origin that serves what it imported. */
export async function startOrigin(network: TestNetwork, options: { bytesPerSecond?: number } = {}) {
  const dir = join(network.dir, 'origin');
  await mkdir(dir);
  const store = network.stack.use(
    await openImageStore({ root: join(dir, 'store'), quotaBytes: null }),
  );
  const importImage = createImportImage({
    store,
    runner: createCommandRunner(),
    importDirs: [network.dir],
    socketDir: join(dir, 'run'),
    pool: network.stack.use(createHashPool()),
  });
  const { front, identity, key, client, url } = await enrolOrigin(network, dir);
  const uplink = openLink(options.bytesPerSecond ?? null);
  front.app = createApp({ logger });
  mountDiskRoutes(front.app, {
    ...{ library: store, recipeFiles: createRecipeFiles(), uplink, logger },
    nodeId: identity.node,
    coordinatorKey: () => identity.coordinatorKey,
  });
  return {
    url,
    store,
    uplink,
    /** Describes a raw disk as the next version of a VM and announces it. */
    async announce(
      vm: string,
      version: number,
      file: string,
      hardware: VmHardware = HARDWARE,
      guest: Pick<Description, 'os' | 'packages'> = { os: null, packages: [] },
    ) {
      const name = parseName(vm, 'VM');
      const order = { id: randomUUID() as Id, name, file, format: 'raw' } as const;
      const { digest } = await importImage({ ...order, signal: AbortSignal.timeout(HANG_MS) });
      const { keysRoot, nonZeroBytes, virtualSizeBytes, recipePath } = store.find(digest)!;
      const recipeBytes = (await readFile(recipePath)).length;
      const description: Description = {
        schema: 'vmdn-description/1',
        ...{ vm: name, version, hardware, ...guest, services: [] },
        describedAt: new Date().toISOString(),
        disks: [{ digest, virtualSizeBytes, nonZeroBytes, keysRoot, recipeBytes }],
      };
      const signed = await signDescription(key, identity.node, description);
      const body = { description: signed, state: 'live' } as const;
      await client.call(announceVersion, { params: { vm: name, version }, body });
      return { digest, description };
    },
  };
}
export type TestOrigin = Awaited<ReturnType<typeof startOrigin>>;

/** The environment of an edge in the network; the same name again is the same edge. */
export async function edgeEnvironment(
  network: TestNetwork,
  name: string,
  more: Readonly<Record<string, string>> = {},
): Promise<Readonly<Record<string, string>>> {
  return {
    VMDN_COORDINATOR_URL: network.url,
    VMDN_NAME: name,
    VMDN_STATE_DIR: join(network.dir, name),
    VMDN_REGION: 'eu-west',
    VMDN_RUNTIME_DIR: RUNTIME_DIR,
    VMDN_ACCELERATOR: 'tcg',
    VMDN_ENROLMENT_TOKEN: await network.token('edge'),
    VMDN_IMPORT_DIRS: network.dir,
    VMDN_MIRRORS: 'none',
    VMDN_MEMORY_MIB: '1024',
    ...more,
  };
}

export async function edgeSettings(
  ...edge: Parameters<typeof edgeEnvironment>
): Promise<EdgeSettings> {
  return readSettings(await edgeEnvironment(...edge));
}

export function startEdge(settings: EdgeSettings) {
  return createEdge(settings, logger, AbortSignal.timeout(HANG_MS));
}

/**
 * An edge as a process of its own, for tests that kill it; `wrapper` is a command that becomes it. Resolves
 * when it listens.
 */
export async function spawnEdge(
  environment: Readonly<Record<string, string>>,
  wrapper: readonly string[] = [],
) {
  const main = fileURLToPath(new URL('./main.ts', import.meta.url));
  const [command, ...args] = [...wrapper, process.execPath, main];
  const edge = spawn(command!, args, {
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', VMDN_LOG_LEVEL: LOG_LEVEL, ...environment },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(edge, 'exit');
  const listening = once(edge.stdout, 'data');
  await Promise.race([listening, exited.then(() => Promise.reject(new Error('the edge ended')))]);
  return {
    pid: edge.pid!,
    async kill(signal: 'SIGKILL' | 'SIGTERM') {
      edge.kill(signal);
      await exited;
    },
    /** Holds it as it is, or lets it go on. */
    signal: (signal: 'SIGSTOP' | 'SIGCONT') => edge.kill(signal),
  };
}
