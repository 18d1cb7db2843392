import { execFile } from 'node:child_process';
import { open, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { bootSector } from '@vmdn/core/io/hypervisor/boot-sector.fixture.ts';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  edgeEnvironment,
  HANG_MS,
  sha256OfFile,
  spawnEdge,
  startNetwork,
  startOrigin,
  type TestNetwork,
  type TestOrigin,
  writeDisk,
} from './edge.fixture.ts';

const MEBIBYTE = 1024 * 1024;
const DATA_BYTES = 40 * MEBIBYTE;
const BYTES_PER_SECOND = 4_000_000;
/** A store leaves 256 MiB to the rest of the machine, and keeps as much for what a VM writes. */
const STATE_SIZE = '680m';

/** What the edge may write meanwhile: the rest of the disk, and some words about it. */
const MEANWHILE_BYTES = 64 * MEBIBYTE;

/** Makes a file that takes all the room that there is: most of it at once, the rest piece by piece. */
async function fill(path: string): Promise<void> {
  await using file = await open(path, 'a');
  const { bavail, bsize } = await statfs(path);
  const most = bavail * bsize - MEANWHILE_BYTES;
  await promisify(execFile)('fallocate', ['-l', String(most), path]);
  const piece = Buffer.alloc(MEBIBYTE);
  const isFull = (error: NodeJS.ErrnoException): true => {
    if (error.code === 'ENOSPC') return true;
    throw error;
  };
  while ((await file.write(piece).catch(isFull)) !== true);
}

describe('an edge whose disk fills up', { timeout: 600_000 }, () => {
  let network: TestNetwork;
  let origin: TestOrigin;
  /** The edge's state, as this process can see it. */
  let state: string;

  beforeAll(async () => {
    network = await startNetwork();
    origin = await startOrigin(network, { bytesPerSecond: BYTES_PER_SECOND });
    const environment = await edgeEnvironment(network, 'edge-one');
    // A small file system in a mount namespace that only the edge has; not root needs a user namespace too.
    const mount = `mount -t tmpfs -o size=${STATE_SIZE},mode=711 none "$0"`;
    const script = `mkdir -p -m 711 "$0" && ${mount} && exec "$@"`;
    const namespaces = process.getuid?.() === 0 ? '-m' : '-rm';
    const wrapper = ['unshare', namespaces, 'sh', '-c', script, environment.VMDN_STATE_DIR!];
    const edge = await spawnEdge(environment, wrapper);
    network.stack.defer(() => edge.kill('SIGKILL'));
    state = join('/proc', String(edge.pid), 'root', environment.VMDN_STATE_DIR!);
  }, 600_000);
  afterAll(() => network?.[Symbol.asyncDispose](), 600_000);

  it('says so, keeps what it has, and goes on by itself when there is room again', async () => {
    const file = join(network.dir, 'filling.raw');
    const sizes = { dataBytes: DATA_BYTES, sizeBytes: 48 * MEBIBYTE };
    await writeDisk(file, { firstSector: bootSector(), seed: 'filling', ...sizes });
    const { digest, description } = await origin.announce('filling', 1, file);
    const { nonZeroBytes, virtualSizeBytes } = description.disks[0]!;
    const begun = virtualSizeBytes - nonZeroBytes + nonZeroBytes / 4;
    origin.uplink.trickleAfter(nonZeroBytes / 2);
    const teleport = await network.teleport('filling');
    const before = await network.waitFor(
      teleport,
      (now) => now.state === 'syncing' && now.disks[0]!.verifiedBytes > begun,
    );
    expect(before.disks[0]!.verifiedBytes).toBeLessThan(virtualSizeBytes);

    const ballast = join(state, 'ballast');
    await fill(ballast);
    origin.uplink.letGo();
    const waiting = await network.waitFor(teleport, (now) => now.state === 'waiting');
    expect(waiting).toMatchObject({ errorCode: 'disk_full' });
    expect(waiting.message).toMatch(/full/);
    // It tries again, also when room is asked for first, and keeps saying the same.
    await network.waitFor(teleport, ({ message }) => /goes on by itself/.test(message ?? ''));

    await rm(ballast);
    await network.waitFor(teleport, (now) => now.disks[0]!.verifiedBytes === virtualSizeBytes);
    const image = join(state, 'store', 'images', digest, 'disk.raw');
    await vi.waitFor(async () => expect(await sha256OfFile(image)).toBe(await sha256OfFile(file)), {
      timeout: HANG_MS,
      interval: 200,
    });
    await network.waitFor(teleport, (now) => now.state === 'running');
    await network.remove(teleport);
  });
});
