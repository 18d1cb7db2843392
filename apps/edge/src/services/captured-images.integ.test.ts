import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { DiskLayer } from '@vmdn/core/domain/disk-format.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import { createCommandRunner } from '@vmdn/core/io/command/command-runner.ts';
import { createQemuImg } from '@vmdn/core/io/command/qemu-img.ts';
import { createHashPool } from '@vmdn/core/io/hashing/hash-pool.ts';
import { createDiskInspector } from '@vmdn/core/io/inspect/inspect-guest.ts';
import { createCaptureVm } from '@vmdn/core/io/store/capture-vm.ts';
import { stageDisk, testDisk } from '@vmdn/core/io/store/image-store.fixture.ts';
import { openImageStore } from '@vmdn/core/io/store/image-store.ts';
import { openRecords } from '@vmdn/core/io/store/records.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { captureRecord, createCapturedImages } from './captured-images.ts';

const CAPTURE = '22222222-2222-4222-8222-222222222222' as Id;
const timeoutMs = 300_000;
const runner = createCommandRunner();
const qemuImg = createQemuImg(runner);
const pool = createHashPool({ workerCount: 1 });
let dir: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmdn-captured-'));
});
afterAll(async () => {
  await pool.close();
  await rm(dir, { recursive: true });
});

/** An edge's store and records as a process that has just begun finds them. */
async function beginProcess(said: { readonly captures: readonly { readonly capture: Id }[] }) {
  const store = await openImageStore({ root: join(dir, 'store'), quotaBytes: 2 ** 30 });
  const latest = () => ({ ...said, dropSnapshots: [], versions: [], teleports: [] });
  const images = createCapturedImages({
    ...{ store, captures: await openRecords(join(dir, 'captures'), captureRecord) },
    ...{ desired: { latest }, sources: { self: CAPTURE } },
    records: { keys: async () => [], read: async () => null },
    versions: { verify: () => Promise.reject(new Error('There is none.')) },
    events: { snapshotDropped: () => undefined, snapshotKept: () => undefined },
  } as unknown as Parameters<typeof createCapturedImages>[0]);
  const inspect = createDiskInspector({ runner, workDir: join(dir, 'work') });
  const captureVm = createCaptureVm({
    ...{ store, runner, socketDir: join(dir, 'run'), pool, inspect },
  });
  return { store, images, captureVm };
}

describe('a capture of two disks', { timeout: 600_000 }, () => {
  it('I1: that failed at the second leaves nothing of the first, although the edge was killed', async () => {
    const first = await beginProcess({ captures: [{ capture: CAPTURE }] });
    const base = await first.store.adopt(await stageDisk(first.store, testDisk('delivered')));
    const disks: DiskLayer[][] = [];
    for (const byte of ['0x11', '0x22']) {
      const path = join(dir, `${byte}.qcow2`);
      const { virtualSizeBytes } = base;
      const backing: DiskLayer = { path: base.path, format: 'raw' };
      await qemuImg.createOverlay({ path, backing, virtualSizeBytes });
      const write = `write -P ${byte} 0 4096`;
      await runner.run('qemu-io', ['-f', 'qcow2', '-c', write, '--', path], { timeoutMs });
      disks.push([{ path, format: 'qcow2' }, backing]);
    }
    const stop = new AbortController();
    const captured = first.captureVm({
      ...{ id: CAPTURE, disks, signal: stop.signal },
      willMake: (digest) => first.images.willMake(CAPTURE, digest),
      onProgress: (words) => {
        if (words === 'disk 2 of 2: copying what is new') stop.abort();
      },
    });
    await expect(captured).rejects.toMatchObject({ code: 'cancelled' });
    const held = (store: typeof first.store): Digest[] => store.list().map(({ digest }) => digest);
    expect(held(first.store)).toHaveLength(2);
    await first.store[Symbol.asyncDispose]();
    const next = await beginProcess({ captures: [] });
    await next.images.settle();
    expect(held(next.store)).toEqual([base.digest]);
    await next.store[Symbol.asyncDispose]();
    expect(await readdir(join(dir, 'store', 'images'))).toEqual([base.digest]);
    expect(await readdir(join(dir, 'store', 'staging'))).toEqual([]);
    expect(await readdir(join(dir, 'captures'))).toEqual([]);
  });
});
