import { join } from 'node:path';
import { BLOCKS_PER_SEGMENT, SEGMENT_BYTES } from '@vmdn/core/domain/units.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createSyncEngine, type SyncEngine } from './create-sync-engine.ts';
import { LazyDisk } from './lazy-disk.ts';
import {
  DiskRoom,
  diskOf,
  imageOf,
  planOf,
  range,
  type StoredDisk,
  sourceOf,
} from './sync.fixture.ts';

const SEGMENTS = 120;
const never = new AbortController().signal;
let room: DiskRoom;
let engine: SyncEngine;
let wanted: StoredDisk;

beforeAll(async () => {
  room = await DiskRoom.open();
  engine = createSyncEngine({ assembleWorkers: 2 });
  wanted = await room.store(diskOf(range(1, BLOCKS_PER_SEGMENT * SEGMENTS)));
});
afterAll(async () => {
  await engine?.[Symbol.asyncDispose]();
  await room?.close();
});

async function read(disk: LazyDisk, segment: number, signal = never): Promise<boolean> {
  const target = Buffer.alloc(4096);
  await disk.read(target, 0, target.length, segment * SEGMENT_BYTES, signal);
  const from = segment * SEGMENT_BYTES;
  return target.equals(wanted.bytes.subarray(from, from + target.length));
}

describe('a sync on demand', () => {
  it('I4: brings what is read and nothing else, and ends well when it is called off', async () => {
    const image = await room.store(diskOf(range(1, BLOCKS_PER_SEGMENT * 20)));
    const plan = await planOf(engine, wanted, [imageOf(image)]);
    const source = sourceOf(wanted.bytes);
    const enough = new AbortController();
    const disk = new LazyDisk(wanted.recipe);
    const stagingDir = room.path('staging');
    const request = { plan, stagingDir, sources: [source], signal: never };
    const synced = engine.sync({ ...request, reading: { disk }, onDemandUntil: enough.signal });
    // One that the local image has, and two far apart that it has not.
    for (const segment of [3, 100, 50]) expect(await read(disk, segment)).toBe(true);
    // A reader that comes later is served too: the run does not take idleness for the end.
    expect(await read(disk, 70)).toBe(true);
    enough.abort();
    const { delivery } = await synced;
    await disk.close();
    const asked = new Set(source.sentBlocks.map((block) => Math.floor(block / BLOCKS_PER_SEGMENT)));
    expect([...asked].sort((a, b) => a - b)).toEqual([50, 70, 100]);
    expect(delivery.verifiedBytes).toBe(4 * SEGMENT_BYTES);
    expect(delivery.diskBytes).toMatchObject({ local: SEGMENT_BYTES, origin: 3 * SEGMENT_BYTES });
    // What it brought is there for whoever wants the whole disk.
    const whole = sourceOf(wanted.bytes);
    const again = await planOf(engine, wanted, [imageOf(image)]);
    const rest = await engine.sync({ ...request, plan: again, sources: [whole] });
    expect(rest.delivery.verifiedBytes).toBe(wanted.virtualSizeBytes);
    expect(rest.path).toBe(join(stagingDir, 'disk.raw'));
    expect(whole.sentBlocks.length).toBe((SEGMENTS - 20 - 3) * BLOCKS_PER_SEGMENT);
  });

  it('I2: fails when somebody reads what no source has', async () => {
    const plan = await planOf(engine, wanted, []);
    const disk = new LazyDisk(wanted.recipe);
    const stop = new AbortController();
    const request = { plan, stagingDir: room.path('staging'), sources: [], signal: stop.signal };
    const enough = new AbortController();
    const synced = engine.sync({ ...request, reading: { disk }, onDemandUntil: enough.signal });
    synced.catch(() => undefined);
    const given = new AbortController();
    const waiting = read(disk, 5, given.signal);
    waiting.catch(() => undefined);
    await expect(synced).rejects.toMatchObject({ code: 'unavailable' });
    given.abort(new Error('nobody waits any more'));
    await expect(waiting).rejects.toThrow(/nobody waits/);
    await disk.close();
  });
});
