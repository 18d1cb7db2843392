import { readFile, stat, writeFile } from 'node:fs/promises';
import { totalTierBytes } from '@vmdn/core/domain/tiers.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createSyncEngine, type SyncEngine } from './create-sync-engine.ts';
import { DiskRoom, diskOf, imageOf, planOf, range, sourceOf, tiersOf } from './sync.fixture.ts';

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

describe('a sync', () => {
  it('takes local blocks from images, the rest once from the origin, and adds up', async () => {
    const base = await room.store(diskOf([...range(1, 100), ...range(500, 50)]));
    const contents = [
      ...range(1, 40),
      ...Array<number>(64).fill(0),
      ...range(2000, 30),
      ...range(500, 50),
      ...range(2000, 10),
      7,
    ];
    const wanted = await room.store(diskOf(contents, 512));
    const plan = await planOf(engine, wanted, [imageOf(base)]);
    const origin = sourceOf(wanted.bytes);
    const progress: number[] = [];
    const result = await engine.sync({
      plan,
      stagingDir: room.path('staging'),
      sources: [origin],
      signal: never,
      onProgress: ({ delivery }) => progress.push(delivery.verifiedBytes),
    });
    expect(Buffer.compare(await readFile(result.path), wanted.bytes)).toBe(0);
    expect(origin.sentBlocks).toEqual([...range(104, 30), 194]);
    expect(origin.requests).toHaveLength(1);
    expect(result.delivery.diskBytes).toEqual(tiersOf(plan));
    expect(result.delivery.diskBytes.origin).toBe(40 * 4096 + 512);
    expect(result.delivery.diskBytes.local).toBe(90 * 4096);
    expect(totalTierBytes(result.delivery.diskBytes)).toBe(wanted.bytes.length);
    expect(result.delivery.wireBytes.origin).toBeGreaterThan(30 * 4096);
    expect(progress.at(-1)).toBe(wanted.bytes.length);
    expect(result.mismatches).toEqual([]);
  });

  it('writes nothing for zero segments', async () => {
    const contents = [...range(1, 16), ...Array<number>(16 * 64).fill(0), 5];
    const wanted = await room.store(diskOf(contents));
    const plan = await planOf(engine, wanted, []);
    const sync = { plan, stagingDir: room.path('staging'), signal: never };
    const result = await engine.sync({ ...sync, sources: [sourceOf(wanted.bytes)] });
    expect(Buffer.compare(await readFile(result.path), wanted.bytes)).toBe(0);
    expect((await stat(result.path)).blocks * 512).toBeLessThan(4 * 65_536);
  });

  it('takes an image that changed after its recipe for what it is', async () => {
    const base = await room.store(diskOf(range(1, 64)));
    const other = await room.store(diskOf(range(17, 16)));
    const wanted = await room.store(diskOf(range(1, 64)));
    const plan = await planOf(engine, wanted, [imageOf(base), imageOf(other)]);
    const changed = base.bytes.slice();
    changed.fill(9, 0, 40 * 4096);
    await writeFile(base.path, changed);
    const origin = sourceOf(wanted.bytes);
    const sync = { plan, stagingDir: room.path('staging'), signal: never };
    const result = await engine.sync({ ...sync, sources: [origin] });
    expect(Buffer.compare(await readFile(result.path), wanted.bytes)).toBe(0);
    expect([...origin.sentBlocks].sort((a, b) => a - b)).toEqual([
      ...range(0, 16),
      ...range(32, 8),
    ]);
    const bad = result.mismatches.find(({ source }) => source === base.digest);
    expect(bad).toMatchObject({ reason: 'wrong_block', count: 40, firstBlock: 0 });
  });
});
