/**
 * Room: origin (tests only). An origin beside a coordinator that believes nothing, small real disks, and an
 * edge that reads by grants.
 */

import { createHash } from 'node:crypto';
import { closeSync, constants, openSync, writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Description } from '@vmdn/core/domain/description.ts';
import type { Digest } from '@vmdn/core/domain/digest.ts';
import { type Id, parseName } from '@vmdn/core/domain/names.ts';
import { type GrantClaims, signGrant } from '@vmdn/core/http/auth/grant.ts';
import { generateNodeKey, type NodeKey } from '@vmdn/core/http/auth/keys.ts';
import { createDiskClient, type DiskClient } from '@vmdn/core/http/clients/disk-client.ts';
import { createCommandRunner } from '@vmdn/core/io/command/command-runner.ts';
import { startDiskOwner } from '@vmdn/core/io/disk-export/disk-owner.fixture.ts';
import { createLogger } from '@vmdn/core/process/logger.ts';
import type { RunningService } from '@vmdn/core/process/run-service.ts';
import { expect, vi } from 'vitest';
import { PROJECT, startCoordinator, type TestCoordinator, TOKEN } from './coordinator.fixture.ts';
import { createOrigin, type OriginPace } from './origin.ts';
import type { OriginSettings } from './settings.ts';

export const runner = createCommandRunner();
export const EDGE = '00000000-0000-4000-8000-0000000000ed' as Id;
const MIB = 2 ** 20;
const logger = createLogger('origin-test', { level: 'silent' });

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

/**
 * Writes a disk in place, in one turn of the event loop that an origin of this process has as well: it can't
 * take half of it for what the disk holds.
 */
export function writeDisk(path: string, content: Uint8Array): void {
  const file = openSync(path, constants.O_WRONLY | constants.O_CREAT);
  writeFileSync(file, content);
  closeSync(file);
}

/** Puts a VM with one raw disk into the folder. Returns the disk's path. */
export async function putVm(
  origin: TestOrigin,
  vm: string,
  content: Uint8Array,
  changes: object = {},
): Promise<string> {
  const path = join(origin.vmsDir, `${vm}.raw`);
  writeDisk(path, content);
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

/** Resolves when no copies are there but of this many disks: one goes after its version was withdrawn. */
export async function copiesLeft(origin: TestOrigin, count: number): Promise<void> {
  const there = () => readdir(join(origin.settings.stateDir, 'pins'));
  const left = async (): Promise<void> => expect(await there()).toHaveLength(count);
  await vi.waitFor(left, { timeout: 180_000, interval: 50 });
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
