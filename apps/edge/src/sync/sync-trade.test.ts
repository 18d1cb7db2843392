import { readFile } from 'node:fs/promises';
import { hasBit } from '@vmdn/core/domain/bitmap.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { RemoteSource } from '@vmdn/core/io/ports/remote-source.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createSyncEngine, type SyncEngine } from './create-sync-engine.ts';
import { DiskRoom, diskOf, planOf, range, type StoredDisk, sourceOf } from './sync.fixture.ts';

const SEGMENTS = 96;
const never = new AbortController().signal;
let room: DiskRoom;
let engine: SyncEngine;
let wanted: StoredDisk;

beforeAll(async () => {
  room = await DiskRoom.open();
  engine = createSyncEngine({ assembleWorkers: 2 });
  // The last segment is zero.
  const zeros = Array<number>(16).fill(0);
  wanted = await room.store(diskOf([...range(1, 16 * (SEGMENTS - 1)), ...zeros]));
});
afterAll(async () => {
  await engine?.[Symbol.asyncDispose]();
  await room?.close();
});

/** A partial holder that has more each time that it is asked: its n-th answer has the first `n * step`. */
function growing(step: number, served = sourceOf(wanted.bytes, { name: 'edge', tier: 'peer' })) {
  const present = new Uint8Array(SEGMENTS / 8);
  let has = 0;
  const source: RemoteSource = {
    ...served,
    place: 0.5,
    presentSegments: present,
    async refresh() {
      const before = has;
      has = Math.min(SEGMENTS, has + step);
      for (let segment = before; segment < has; segment += 1)
        present[segment >> 3]! |= 1 << (segment & 7);
      return has > before;
    },
  };
  return { source, served };
}

describe('a disk in the making', () => {
  it('I1: can be read where it is verified, and nowhere else', async () => {
    const plan = await planOf(engine, wanted, []);
    let checked = 0;
    const origin = sourceOf(wanted.bytes, {
      async onChunk() {
        const disk = await engine.making()[0]!.open();
        const bytes = new Uint8Array(65_536);
        for (let segment = 0; segment < SEGMENTS; segment += 1) {
          if (!hasBit(disk.presentSegments!, segment)) continue;
          expect(segment).toBeLessThan(SEGMENTS - 1);
          await disk.readInto(bytes, segment * 65_536);
          const right = wanted.bytes.subarray(segment * 65_536, (segment + 1) * 65_536);
          expect(Buffer.compare(bytes, right)).toBe(0);
          checked += 1;
        }
        await disk.release();
      },
    });
    const sync = { plan, stagingDir: room.path('staging'), signal: never, sources: [origin] };
    await engine.sync(sync);
    expect(checked).toBeGreaterThan(SEGMENTS);
    expect(engine.making()).toEqual([]);
  });

  it('I2: that is completed meanwhile is read on by who has opened it', async () => {
    const plan = await planOf(engine, wanted, []);
    const opened: Awaited<ReturnType<ReturnType<SyncEngine['making']>[number]['open']>>[] = [];
    const origin = sourceOf(wanted.bytes, {
      async onChunk() {
        if (opened.length > 0) return;
        const disk = await engine.making()[0]!.open();
        if (disk.presentSegments!.some((byte) => byte !== 0)) opened.push(disk);
        else await disk.release();
      },
    });
    const sync = { plan, stagingDir: room.path('staging'), signal: never, sources: [origin] };
    await engine.sync(sync);
    const present = opened[0]!.presentSegments!;
    const bytes = new Uint8Array(65_536);
    for (let segment = 0; segment < SEGMENTS; segment += 1) {
      if (!hasBit(present, segment)) continue;
      await opened[0]!.readInto(bytes, segment * 65_536);
      expect(bytes[0]).toBe(wanted.bytes[segment * 65_536]);
    }
    await opened[0]!.release();
  });
});

describe('a partial holder', () => {
  it('is asked for what it has by now, and the origin for the rest', async () => {
    const plan = await planOf(engine, wanted, []);
    const { source, served } = growing(SEGMENTS / 4);
    // Each answer of the origin takes as long as the next look at the partial holder.
    const looks = Array.from({ length: 4 }, () => Promise.withResolvers<void>());
    let lookCount = 0;
    const watched: RemoteSource = {
      ...source,
      refresh: async (request) => {
        looks[lookCount]?.resolve();
        lookCount += 1;
        return source.refresh!(request);
      },
    };
    const origin = sourceOf(wanted.bytes, {
      onRequest: (number) => looks[Math.min(3, number)]!.promise,
    });
    const sync = { plan, stagingDir: room.path('staging'), signal: never, place: 0 };
    const result = await engine.sync({ ...sync, sources: [watched, origin] });
    expect(Buffer.compare(await readFile(result.path), wanted.bytes)).toBe(0);
    expect(served.sentBlocks.length).toBeGreaterThan(0);
    const sent = [...served.sentBlocks, ...origin.sentBlocks];
    expect(new Set(sent).size).toBe(sent.length);
  });

  it('that comes after the beginning is found', async () => {
    const plan = await planOf(engine, wanted, []);
    const sent = Promise.withResolvers<void>();
    const onChunk = () => sent.resolve();
    const peer = sourceOf(wanted.bytes, { name: 'edge', tier: 'peer', onChunk });
    const { source, served } = growing(SEGMENTS, peer);
    let isThere = false;
    const origin = sourceOf(wanted.bytes, {
      onRequest: async () => {
        isThere = true;
        await sent.promise;
      },
    });
    const result = await engine.sync({
      ...{ plan, stagingDir: room.path('staging'), signal: never, place: 0.25 },
      sources: [origin],
      latestSources: () => (isThere ? [origin, source] : [origin]),
    });
    expect(Buffer.compare(await readFile(result.path), wanted.bytes)).toBe(0);
    expect(result.delivery.diskBytes.peer).toBe(4096 * served.sentBlocks.length);
  });

  it('that will not say what it has is done without, and missed when it was the only one', async () => {
    const plan = await planOf(engine, wanted, []);
    const { source } = growing(0);
    const silent: RemoteSource = {
      ...source,
      refresh: () => Promise.reject(new VmdnError('forbidden', 'for the test')),
    };
    const sync = { plan, stagingDir: room.path('staging'), signal: never };
    const alone = engine.sync({ ...sync, sources: [silent] });
    await expect(alone).rejects.toMatchObject({ code: 'forbidden' });
    const origin = sourceOf(wanted.bytes);
    const result = await engine.sync({ ...sync, sources: [silent, origin] });
    expect(Buffer.compare(await readFile(result.path), wanted.bytes)).toBe(0);
  });
});
