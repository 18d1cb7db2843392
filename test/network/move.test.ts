/**
 * Whole networks in which VMs leave their origin: at no moment may a VM start at both places, whoever dies,
 * and the source is what it was when the move comes to nothing.
 */

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Id } from '@vmdn/core/domain/names.ts';
import {
  cancelTeleport,
  getTeleport,
  listVms,
  type Teleport,
} from '@vmdn/core/http/contracts/coordinator-clients.ts';
import type { DiskFile } from '@vmdn/infra/lab/disk-proof.ts';
import { findGuest, type Guest, placeVm } from '@vmdn/infra/lab/guests.ts';
import { proveSite } from '@vmdn/infra/lab/site-proof.ts';
import { waitFor } from '@vmdn/infra/lab/wait-for.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { digestsOf, type Gate, startGate } from '../harness/gate.ts';
import {
  beginTeleport,
  compareDelivered,
  removeVm,
  sentBytes,
  teleportEnd,
  teleportUntil,
  vmDescribed,
  vmPlanned,
} from '../harness/requests.ts';
import { ORIGIN, startTestNetwork, type TestNetwork } from '../harness/test-network.ts';
import { MIB, makeDisk, placeSeededVm, specification, writeSpecification } from '../harness/vms.ts';

const EDGE = 'edge-1';
const [GUEST, AWAY, LOST, SILENT, LAZY] = ['tiny', 'away', 'lost', 'silent', 'lazy'] as const;
const LAUNCHER = new URL('../../bin/vmdn.mjs', import.meta.url).pathname;
const UPLINK_BYTES_PER_SECOND = 8_000_000;
const LAZY_MIB = 64;
/** What comes of the lazy one's disk before its origin dies: it runs, and does not have all it reads. */
const LAZY_FIRST_MIB = 8;
const PORT = { name: 'web', guest: 80 };
const NEVER_READY = { kind: 'tcp', port: 'web', timeoutSeconds: 5 };

let gate: Gate;
let network: TestNetwork;
let guest: Guest;
const sources = new Map<string, DiskFile>();
const hashes = new Map<string, string>();

const run = promisify(execFile);
const sourceOf = (vm: string): DiskFile => sources.get(vm)!;
const fencedPath = (vm: string, teleport: Id): string => `${sourceOf(vm).path}.moved-${teleport}`;

async function hashOf(path: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
}

/** What QEMU says when a VM is to be started on the source's file; null: it starts. */
async function startSource(vm: string): Promise<string | null> {
  const { path, format } = sourceOf(vm);
  const machine = ['-S', '-display', 'none', '-nodefaults', '-no-user-config', '-machine', 'q35'];
  const drive = ['-drive', `file=${path},format=${format},if=virtio`];
  // It obeys its monitor as soon as it has its disk, and not before: no moment has to be chosen.
  const started = run('qemu-system-x86_64', [...machine, '-qmp', 'stdio', ...drive]);
  started.child.stdin!.on('error', () => undefined); // one that has ended reads no more
  started.child.stdin!.write('{"execute":"qmp_capabilities"}\n{"execute":"quit"}\n');
  return await started.then(
    () => null,
    (error: { readonly stderr: string }) => error.stderr,
  );
}

/** The source lies where it lay, has not changed by a bit, and starts. */
async function expectSourceBack(vm: string): Promise<void> {
  const { path } = sourceOf(vm);
  expect(await hashOf(path)).toBe(hashes.get(vm));
  expect(await startSource(vm)).toBeNull();
}

/** Waits until a move's fence is so, whatever becomes of the teleport. */
async function fenceUntil(teleport: Id, fence: string): Promise<Teleport> {
  const probe = async (): Promise<Teleport | undefined> => {
    const now = await network.client.call(getTeleport, { params: { teleport } });
    return now.move?.fence === fence ? now : undefined;
  };
  return waitFor(`the fence is ${fence}`, probe, { timeoutMs: 60_000, intervalMs: 50 });
}

interface Line {
  readonly event?: string;
  readonly time: number;
  readonly teleport?: Id;
  readonly vm?: string;
}

async function linesOf(name: string): Promise<Line[]> {
  const log = await network.logOf(name);
  // What follows the last newline is still being written.
  const whole = log.slice(0, log.lastIndexOf('\n') + 1);
  const lines = whole.split('\n').filter((line) => line.startsWith('{'));
  return lines.map((line) => JSON.parse(line) as Line);
}

async function timeOf(name: string, event: string, teleport: Id): Promise<number | undefined> {
  const found = (await linesOf(name)).find(
    (line) => line.event === event && line.teleport === teleport,
  );
  return found?.time;
}

async function discard(teleport: Id): Promise<Teleport> {
  const query = { writes: 'discard' } as const;
  return await network.client.call(cancelTeleport, { params: { teleport }, query });
}

beforeAll(async () => {
  guest = await findGuest(GUEST);
  gate = await startGate([ORIGIN]);
  network = await startTestNetwork({
    edges: [{ name: EDGE, region: 'eu-west' }],
    origin: { uplinkBytesPerSecond: UPLINK_BYTES_PER_SECOND, settings: gate.settings(ORIGIN) },
    vms: async (vmsDir) => {
      sources.set(GUEST, await placeVm(guest, vmsDir));
      sources.set(AWAY, await placeSeededVm(vmsDir, AWAY, { dataMiB: 8 }));
      sources.set(LOST, await placeSeededVm(vmsDir, LOST, { dataMiB: 8 }));
      sources.set(LAZY, await placeSeededVm(vmsDir, LAZY, { dataMiB: LAZY_MIB }));
      const path = join(vmsDir, `${SILENT}.raw`);
      sources.set(SILENT, await makeDisk(path, { seed: SILENT, dataMiB: 8 }));
      const disks = [{ file: `${SILENT}.raw`, format: 'raw' }];
      const silent = { ...specification(SILENT, disks), ports: [PORT], ready: NEVER_READY };
      await writeSpecification(vmsDir, SILENT, silent);
    },
  });
  gate.leadTo(network);
  for (const [vm, { path }] of sources) {
    hashes.set(vm, await hashOf(path));
    await vmDescribed(network, vm);
    await vmPlanned(network, vm, EDGE);
  }
});
afterAll(async () => {
  await network?.[Symbol.asyncDispose]();
  await gate?.[Symbol.asyncDispose]();
});

describe('a VM that is moved', () => {
  it('runs at the edge after its source could not start any more, and serves what it served', async () => {
    const { teleport, move } = await beginTeleport(network, GUEST, 'london', { move: true });
    expect(move).toMatchObject({ fence: 'idle' });
    expect(existsSync(sourceOf(GUEST).path)).toBe(true);
    const isBooting = ({ state }: Teleport): boolean => state === 'booting' || state === 'running';
    await teleportUntil(network, teleport, 'it boots', isBooting);
    expect(existsSync(sourceOf(GUEST).path)).toBe(false);
    expect(existsSync(fencedPath(GUEST, teleport))).toBe(true);
    expect(await startSource(GUEST)).toContain('No such file');
    const moved = await teleportEnd(network, teleport);
    expect(moved).toMatchObject({ state: 'running', message: null, move: { fence: 'held' } });
    const fencedMs = await timeOf(ORIGIN, 'fenced', teleport);
    const startedMs = await timeOf(EDGE, 'vm_started', teleport);
    expect(fencedMs).toBeLessThan(startedMs!);
    const [endpoint] = moved.endpoints;
    const url = `http://${endpoint!.host}:${endpoint!.hostPort}/`;
    const proof = await proveSite(url, guest.siteManifestPath!);
    expect(proof.differences).toEqual([]);
    const disk = { path: fencedPath(GUEST, teleport), format: sourceOf(GUEST).format };
    expect(await compareDelivered(network, moved, disk)).toMatchObject({ isEqual: true });
  });

  it('is given up only with its writes; its source comes back when its edge has none of it', async () => {
    const { vms } = await network.client.call(listVms, {});
    const { movedBy: teleport, version } = vms.find(({ vm }) => vm === GUEST)!;
    const params = { teleport: teleport! };
    const plain = network.client.call(cancelTeleport, { params });
    await expect(plain).rejects.toMatchObject({ code: 'conflict' });
    const again = beginTeleport(network, GUEST, 'london', { move: true });
    await expect(again).rejects.toMatchObject({ code: 'conflict', data: { teleport } });
    await network.node(EDGE).service.kill();
    expect(await discard(teleport!)).toMatchObject({ state: 'cancelled', move: { fence: 'held' } });
    await network.node(ORIGIN).service.kill();
    await network.node(ORIGIN).restart();
    // A beat of the restarted one: it has read what it remembers of its fences.
    await sentBytes(network, ORIGIN);
    expect(existsSync(sourceOf(GUEST).path)).toBe(false);
    await network.node(EDGE).restart();
    await fenceUntil(teleport!, 'over');
    await expectSourceBack(GUEST);
    expect(await vmDescribed(network, GUEST)).toBe(version);
  });

  it('waits for its origin with all its bytes there, and boots when that is back', async () => {
    await removeVm(network, await teleportEnd(network, (await copy(AWAY)).teleport));
    await network.node(ORIGIN).service.kill();
    const { teleport } = await beginTeleport(network, AWAY, 'london', { move: true });
    const waits = ({ state, move, message }: Teleport): boolean =>
      state === 'verified' && move?.fence === 'wanted' && message?.includes(ORIGIN) === true;
    await teleportUntil(network, teleport, 'it waits, and says for whom', waits);
    expect(await timeOf(EDGE, 'vm_started', teleport)).toBeUndefined();
    await network.node(ORIGIN).restart();
    expect(await teleportEnd(network, teleport)).toMatchObject({ state: 'running', message: null });
    expect(await startSource(AWAY)).toContain('No such file');
    await discard(teleport);
    await fenceUntil(teleport, 'over');
    await expectSourceBack(AWAY);
  });

  it('is its operator’s to take back when its edge never answers again', async () => {
    const { teleport } = await beginTeleport(network, LOST, 'london', { move: true });
    const moved = await teleportEnd(network, teleport);
    await network.node(EDGE).service.kill();
    const unfence = (...force: string[]): Promise<unknown> => {
      const env = { ...process.env, VMDN_STATE_DIR: network.node(ORIGIN).stateDir };
      return run(process.execPath, [LAUNCHER, 'origin', 'unfence', LOST, ...force], { env });
    };
    await expect(unfence()).rejects.toThrow('two VMs write to two disks');
    expect(existsSync(sourceOf(LOST).path)).toBe(false);
    await unfence('--force');
    await expectSourceBack(LOST);
    await fenceUntil(teleport, 'forced');
    await network.node(EDGE).restart();
    await network.healthy();
    await removeVm(network, moved, 'discard');
  });

  it('leaves its source as it was when the guest is not ready', async () => {
    const { teleport } = await beginTeleport(network, SILENT, 'london', { move: true });
    const failed = await teleportEnd(network, teleport);
    expect(failed).toMatchObject({ state: 'failed', errorCode: 'guest_not_ready' });
    await fenceUntil(teleport, 'over');
    const [fencedMs, startedMs] = [
      await timeOf(ORIGIN, 'fenced', teleport),
      await timeOf(EDGE, 'vm_started', teleport),
    ];
    expect(fencedMs).toBeLessThan(startedMs!);
    await expectSourceBack(SILENT);
  });

  it('lazily, reads on from its source that can’t start, over a restart of the origin too', async () => {
    const [digest] = await digestsOf(network, LAZY);
    gate.allow(digest!, LAZY_FIRST_MIB * MIB);
    const { teleport } = await beginTeleport(network, LAZY, 'london', { move: true, lazy: true });
    const isUp = ({ state }: Teleport): boolean => state === 'running';
    const up = await teleportUntil(network, teleport, 'it runs', isUp);
    expect(up.independentAt).toBeNull();
    expect(await startSource(LAZY)).toContain('No such file');
    await network.node(ORIGIN).service.kill();
    expect(gate.passedBytes(digest!)).toBeLessThan(LAZY_MIB * MIB);
    gate.open(digest!);
    await network.node(ORIGIN).restart();
    const isDone = ({ independentAt }: Teleport): boolean => independentAt !== null;
    const done = await teleportUntil(network, teleport, 'it needs nobody', isDone);
    const disk = { path: fencedPath(LAZY, teleport), format: 'raw' };
    expect(await compareDelivered(network, done, disk)).toMatchObject({ isEqual: true });
    await discard(teleport);
    await fenceUntil(teleport, 'over');
    await expectSourceBack(LAZY);
  });
});

function copy(vm: string): Promise<Teleport> {
  return beginTeleport(network, vm, 'london');
}
