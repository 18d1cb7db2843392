import { open, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { totalTierBytes } from '@vmdn/core/domain/tiers.ts';
import { readStagingState } from '@vmdn/core/io/sync/staging.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createSyncEngine, type SyncEngine } from './create-sync-engine.ts';
import { DiskRoom, diskOf, planOf, range, type StoredDisk, sourceOf } from './sync.fixture.ts';

const never = new AbortController().signal;
let room: DiskRoom;
let engine: SyncEngine;

beforeAll(async () => {
  room = await DiskRoom.open();
  engine = createSyncEngine({ assembleWorkers: 2 });
});

afterAll(async () => {
  await engine?.[Symbol.asyncDispose]();
  await room?.close();
});

/** Cancels the first sync after `blocks` blocks; returns how many had been sent. */
async function interrupted(wanted: StoredDisk, stagingDir: string, blocks: number) {
  const plan = await planOf(engine, wanted, []);
  const stop = new AbortController();
  const origin = sourceOf(wanted.bytes, {
    chunkBytes: 16 * 4096,
    onChunk: () => {
      if (origin.sentBlocks.length >= blocks) stop.abort();
    },
  });
  const failed = engine.sync({ plan, stagingDir, sources: [origin], signal: stop.signal });
  await expect(failed).rejects.toMatchObject({ code: 'cancelled' });
  return { plan, sent: origin.sentBlocks.length };
}

/** Overwrites these blocks of a finished disk: the file says so by its time, however coarse the clock is. */
async function touch(stagingDir: string, ...blocks: readonly number[]): Promise<void> {
  const path = join(stagingDir, 'disk.raw');
  const file = await open(path, 'r+');
  for (const block of blocks) await file.write(Buffer.alloc(4096, 1), 0, 4096, block * 4096);
  await file.close();
  await utimes(path, new Date(), new Date(Date.now() + 10_000));
}

async function resumed(wanted: StoredDisk, stagingDir: string) {
  const plan = await planOf(engine, wanted, []);
  const origin = sourceOf(wanted.bytes);
  const result = await engine.sync({ plan, stagingDir, sources: [origin], signal: never });
  expect(Buffer.compare(await readFile(result.path), wanted.bytes)).toBe(0);
  expect(totalTierBytes(result.delivery.diskBytes)).toBe(wanted.bytes.length);
  return { result, sent: origin.sentBlocks };
}

describe('a sync that was interrupted', () => {
  it('goes on where it was, and counts on from what was counted', async () => {
    const wanted = await room.store(diskOf(range(1, 640)));
    const stagingDir = room.path('staging');
    const before = await interrupted(wanted, stagingDir, 320);
    const after = await resumed(wanted, stagingDir);
    expect(before.sent + after.sent.length).toBeLessThanOrEqual(640 * 1.05);
    expect(after.result.delivery.diskBytes.origin).toBe(640 * 4096);
    expect(after.result.delivery.wireBytes.origin).toBeGreaterThanOrEqual(640 * 4096);
    expect(after.result.delivery.wireBytes.origin).toBeLessThan(640 * 4096 * 1.06);
  });

  it('counts what crossed before its first block, once, also when it was interrupted', async () => {
    const wanted = await room.store(diskOf(range(1, 64)));
    const stagingDir = room.path('staging');
    const stop = new AbortController();
    const sources = [sourceOf(wanted.bytes, { onRequest: () => stop.abort() })];
    const plan = await planOf(engine, wanted, []);
    const crossedBefore = [{ tier: 'peer', wireBytes: 77 }] as const;
    const failed = engine.sync({ plan, stagingDir, sources, signal: stop.signal, crossedBefore });
    await expect(failed).rejects.toMatchObject({ code: 'cancelled' });
    const { result } = await resumed(wanted, stagingDir);
    expect(result.delivery.wireBytes).toMatchObject({ peer: 77, package: 0 });
    expect(result.delivery.diskBytes).toMatchObject({ peer: 0, origin: 64 * 4096 });
  });

  it('a finished one is recognised: nothing is sent, the counters stay', async () => {
    const wanted = await room.store(diskOf(range(1, 100)));
    const stagingDir = room.path('staging');
    const first = await resumed(wanted, stagingDir);
    const second = await resumed(wanted, stagingDir);
    expect(second.sent).toEqual([]);
    expect(second.result.delivery).toEqual(first.result.delivery);
  });

  it('believes no claim about a file that was touched since', async () => {
    const wanted = await room.store(diskOf([...range(1, 64), ...Array<number>(64).fill(0), 5]));
    const stagingDir = room.path('staging');
    await resumed(wanted, stagingDir);
    await touch(stagingDir, 20, 100);
    const { sent } = await resumed(wanted, stagingDir);
    expect(sent).toEqual(range(16, 16));
  });

  it('believes no claim that an earlier sync found wrong and had no time to mend', async () => {
    const wanted = await room.store(diskOf(range(1, 64)));
    const stagingDir = room.path('staging');
    await resumed(wanted, stagingDir);
    await touch(stagingDir, 20);
    const stop = new AbortController();
    const sources = [sourceOf(wanted.bytes, { onRequest: () => stop.abort() })];
    const plan = await planOf(engine, wanted, []);
    const cancelled = engine.sync({ plan, stagingDir, sources, signal: stop.signal });
    await expect(cancelled).rejects.toMatchObject({ code: 'cancelled' });
    const { sent } = await resumed(wanted, stagingDir);
    expect(sent).toEqual(range(16, 16));
  });

  it.each(['bitmap', 'state'])(
    'with a damaged %s verifies everything and keeps what is right',
    async (name) => {
      const wanted = await room.store(diskOf([...range(1, 64), ...Array<number>(64).fill(0), 5]));
      const stagingDir = room.path('staging');
      await resumed(wanted, stagingDir);
      await writeFile(join(stagingDir, name), 'torn');
      const file = await open(join(stagingDir, 'disk.raw'), 'r+');
      await file.write(Buffer.alloc(4096, 1), 0, 4096, 40 * 4096);
      await file.write(Buffer.alloc(100, 1), 0, 100, 90 * 4096);
      await file.close();
      const { sent, result } = await resumed(wanted, stagingDir);
      expect(sent).toEqual(range(32, 16));
      expect(result.delivery.diskBytes.origin).toBe(65 * 4096);
    },
  );

  it('without a bitmap verifies everything too', async () => {
    const wanted = await room.store(diskOf(range(1, 64)));
    const stagingDir = room.path('staging');
    await resumed(wanted, stagingDir);
    await rm(join(stagingDir, 'bitmap'));
    expect((await resumed(wanted, stagingDir)).sent).toEqual([]);
  });

  it('over another disk’s data keeps equal segments and makes zero segments read as zero', async () => {
    const old = await room.store(diskOf(range(1, 640)));
    const contents = [...range(1, 64), ...Array<number>(200).fill(0), ...range(900, 20)];
    const wanted = await room.store(diskOf(contents));
    const stagingDir = room.path('staging');
    await resumed(old, stagingDir);
    const { sent } = await resumed(wanted, stagingDir);
    expect(sent).toEqual(range(264, 20));
    expect((await readStagingState(stagingDir))?.digest).toBe(wanted.digest);
  });

  it('refuses a second sync into the same directory', async () => {
    const wanted = await room.store(diskOf(range(1, 64)));
    const plan = await planOf(engine, wanted, []);
    const stagingDir = room.path('staging');
    const sync = { plan, stagingDir, sources: [sourceOf(wanted.bytes)], signal: never };
    const first = engine.sync(sync);
    await expect(engine.sync(sync)).rejects.toMatchObject({ code: 'conflict' });
    await first;
  });
});
