import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cancelTeleport } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import { bootSector } from '@vmdn/core/io/hypervisor/boot-sector.fixture.ts';
import { inspectProcess } from '@vmdn/core/io/hypervisor/qemu-process.ts';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  edgeEnvironment,
  HANG_MS,
  RUNTIME_DIR,
  sha256OfFile,
  spawnEdge,
  startNetwork,
  startOrigin,
  type TestNetwork,
  type TestOrigin,
  writeDisk,
} from './edge.fixture.ts';

const MEBIBYTE = 1024 * 1024;
const DATA_BYTES = 20 * MEBIBYTE;
const BYTES_PER_SECOND = 4_000_000;

describe('an edge that meets faults', { timeout: 600_000 }, () => {
  let network: TestNetwork;
  let origin: TestOrigin;
  let environment: Readonly<Record<string, string>>;
  let edge: Awaited<ReturnType<typeof spawnEdge>>;
  let vmCount = 0;

  beforeAll(async () => {
    network = await startNetwork();
    origin = await startOrigin(network, { bytesPerSecond: BYTES_PER_SECOND });
    environment = await edgeEnvironment(network, 'edge-one');
    edge = await spawnEdge(environment);
    network.stack.defer(() => edge.kill('SIGKILL'));
  }, 600_000);
  afterAll(() => network?.[Symbol.asyncDispose](), 600_000);

  /** A new VM that nothing on the edge resembles. */
  const newVm = async () => {
    vmCount += 1;
    const vm = `vm-${vmCount}`;
    const file = join(network.dir, `${vm}.raw`);
    const sizes = { dataBytes: DATA_BYTES, sizeBytes: 32 * MEBIBYTE };
    await writeDisk(file, { firstSector: bootSector(), seed: vm, ...sizes });
    const { digest, description } = await origin.announce(vm, 1, file);
    const state = environment.VMDN_STATE_DIR!;
    const image = join(state, 'store', 'images', digest, 'disk.raw');
    return { vm, file, digest, image, disk: description.disks[0]! };
  };
  const verifiedOf = (teleport: { disks: { verifiedBytes: number; virtualSizeBytes: number }[] }) =>
    teleport.disks[0]!.verifiedBytes;
  const isHalfway = (disk: { virtualSizeBytes: number; nonZeroBytes: number }) => {
    const zero = disk.virtualSizeBytes - disk.nonZeroBytes;
    return (now: Parameters<typeof verifiedOf>[0] & { state: string }) =>
      now.state === 'syncing' && verifiedOf(now) > zero + disk.nonZeroBytes / 4;
  };
  it('leaves its VM running through a kill -9, finds it again, starts it again when it died', async () => {
    const { vm } = await newVm();
    const teleport = await network.teleport(vm);
    const before = await network.waitFor(teleport, ({ state }) => state === 'running');
    const pidOf = async (): Promise<number> => {
      const file = join(RUNTIME_DIR, 'vms', teleport, 'pid');
      const pid = Number(await readFile(file, 'utf8'));
      expect(await inspectProcess(teleport, pid)).not.toBeNull();
      return pid;
    };
    const pid = await pidOf();
    await edge.kill('SIGKILL');
    expect(await pidOf()).toBe(pid);
    edge = await spawnEdge(environment);
    expect(await pidOf()).toBe(pid);
    process.kill(pid, 'SIGKILL');
    await vi.waitFor(async () => expect(await pidOf()).not.toBe(pid), {
      timeout: HANG_MS,
      interval: 200,
    });
    const after = await network.waitFor(teleport, ({ state }) => state === 'running');
    expect(after.endpoints).toEqual(before.endpoints);
    await network.remove(teleport);
  });

  it('uses a disk that it holds without asking anybody for a byte', async () => {
    const { vm, disk } = await newVm();
    const first = await network.teleport(vm);
    await network.waitFor(first, ({ state }) => state === 'running');
    await network.remove(first);
    const before = origin.uplink.passedBytes;
    const second = await network.teleport(vm);
    const hit = await network.waitFor(second, ({ state }) => state === 'running');
    expect(hit.disks[0]).toMatchObject({
      diskBytes: { local: disk.nonZeroBytes, origin: 0, peer: 0 },
      wireBytes: { local: 0, origin: 0, peer: 0 },
    });
    expect(origin.uplink.passedBytes).toBe(before);
    await network.remove(second);
  });

  it('never boots from an image that was changed in the store: it is made again', async () => {
    const { vm, image, file } = await newVm();
    const first = await network.teleport(vm);
    await network.waitFor(first, ({ state }) => state === 'running');
    await network.remove(first);
    const bytes = await readFile(image);
    bytes[2 * MEBIBYTE] = bytes[2 * MEBIBYTE]! ^ 1;
    await writeFile(image, bytes);
    const second = await network.teleport(vm);
    await network.waitFor(second, ({ state }) => state === 'running');
    expect(await sha256OfFile(image)).toBe(await sha256OfFile(file));
    const quarantine = await readdir(join(environment.VMDN_STATE_DIR!, 'store', 'quarantine'));
    expect(quarantine).toHaveLength(1);
    await network.remove(second);
  });

  it('stops what it does and removes what it did when the teleport is cancelled in the middle', async () => {
    const { vm, disk } = await newVm();
    origin.uplink.trickleAfter(disk.nonZeroBytes / 2);
    const teleport = await network.teleport(vm);
    await network.waitFor(teleport, isHalfway(disk));
    await network.client.call(cancelTeleport, { params: { teleport } });
    await network.waitFor(teleport, ({ released }) => released);
    origin.uplink.letGo();
    const quiet = async (): Promise<void> => {
      const before = origin.uplink.passedBytes;
      await new Promise((resolve) => setImmediate(resolve));
      expect(origin.uplink.passedBytes).toBe(before);
      const staging = await readdir(join(environment.VMDN_STATE_DIR!, 'store', 'staging'));
      expect(staging).toEqual([disk.digest]);
    };
    await vi.waitFor(quiet, { timeout: HANG_MS, interval: 200 });
    await network.waitFor(teleport, ({ state }) => state === 'cancelled');
  });
});
