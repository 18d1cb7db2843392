import { join } from 'node:path';
import { traceDisk } from '@vmdn/core/domain/boot-trace.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { buildRecipeIndex } from '@vmdn/core/domain/recipe-index.ts';
import { BLOCKS_PER_SEGMENT, SEGMENT_BYTES } from '@vmdn/core/domain/units.ts';
import { connectNbd, type NbdClient } from '@vmdn/core/io/nbd/nbd-client.ts';
import { type NbdServer, serveNbd } from '@vmdn/core/io/nbd/nbd-server.ts';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createSyncEngine, type SyncEngine } from './create-sync-engine.ts';
import { GuestReads } from './guest-reads.ts';
import { LazyDisk } from './lazy-disk.ts';
import { DiskRoom, diskOf, planOf, range, type StoredDisk, sourceOf } from './sync.fixture.ts';
import type { LazyReading } from './sync-disk.ts';

const SEGMENTS = 200;
/** Of zeros. */
const ZERO_SEGMENT = 77;
let room: DiskRoom;
let engine: SyncEngine;
let wanted: StoredDisk;
let stop: AbortController;
let disk: LazyDisk;
let reads: GuestReads;
let server: NbdServer;
let client: NbdClient;
let running: Promise<unknown>[];
const failures: unknown[] = [];

beforeAll(async () => {
  room = await DiskRoom.open();
  engine = createSyncEngine({ assembleWorkers: 2 });
  const blocks = range(1, BLOCKS_PER_SEGMENT * SEGMENTS);
  const from = ZERO_SEGMENT * BLOCKS_PER_SEGMENT;
  wanted = await room.store(diskOf(blocks.fill(0, from, from + BLOCKS_PER_SEGMENT)));
});
afterAll(async () => {
  await engine?.[Symbol.asyncDispose]();
  await room?.close();
});

beforeEach(async () => {
  stop = new AbortController();
  running = [];
  disk = new LazyDisk(wanted.recipe);
  reads = new GuestReads();
  const socketPath = join(room.path('nbd'), 's');
  server = await serveNbd({
    place: { socketPath },
    exports: { find: () => reads.watch(disk, 0), names: () => [''] },
    onReadError: (_, error) => failures.push(error),
  });
  client = await connectNbd({ socketPath });
});
afterEach(async () => {
  stop.abort();
  await Promise.allSettled(running);
  await client.close();
  await server.close();
  await disk.close();
  expect(failures).toEqual([]);
});

async function sync(
  source: ReturnType<typeof sourceOf>,
  more: Partial<LazyReading> & { stagingDir?: string } = {},
): Promise<{ readonly done: Promise<unknown>; readonly stagingDir: string }> {
  const plan = await planOf(engine, wanted, []);
  const { stagingDir = room.path('staging'), ...reading } = more;
  const request = { plan, stagingDir, sources: [source], signal: stop.signal };
  const done = engine.sync({ ...request, reading: { disk, ...reading } });
  done.catch(() => {});
  running.push(done);
  return { done, stagingDir };
}

/** Reads over NBD and compares. */
async function readRight(offset: number, length: number): Promise<void> {
  const target = Buffer.alloc(length);
  await client.read(target, offset);
  expect(target.equals(wanted.bytes.subarray(offset, offset + length))).toBe(true);
}

/** The segments that a request is for. */
function segmentsOf(runs: Uint32Array): number[] {
  const segments = new Set<number>();
  for (let i = 0; i < runs.length; i += 2) {
    for (let block = runs[i]!; block < runs[i]! + runs[i + 1]!; block += 1) {
      segments.add(Math.floor(block / BLOCKS_PER_SEGMENT));
    }
  }
  return [...segments];
}

/** A source whose requests each wait until they are let go. */
function gated() {
  const gates: PromiseWithResolvers<void>[] = [];
  const gate = (number: number): PromiseWithResolvers<void> => {
    gates[number - 1] ??= Promise.withResolvers<void>();
    return gates[number - 1]!;
  };
  const source = sourceOf(wanted.bytes, { onRequest: (number) => gate(number).promise });
  return { source, letGo: (number: number) => gate(number).resolve() };
}

/** Whether a promise is settled by now. */
function watch(promise: Promise<unknown>): { isSettled: boolean } {
  const state = { isSettled: false };
  const settle = (): void => {
    state.isSettled = true;
  };
  promise.then(settle, settle);
  return state;
}

describe('reads of a disk in the making', () => {
  it('overtake everything else: their segments are asked for alone and at once', async () => {
    const { source, letGo } = gated();
    await sync(source);
    // Both lanes of the source are busy with the beginning of the disk.
    await expect.poll(() => source.requests.length).toBe(2);
    const read = readRight(150 * SEGMENT_BYTES + 5000, SEGMENT_BYTES);
    await expect.poll(() => source.requests.length).toBe(3);
    expect(segmentsOf(source.requests[2]!)).toEqual([150, 151]);
    letGo(3);
    await read;
    const second = readRight(20 * SEGMENT_BYTES, 512);
    await expect.poll(() => source.requests.length).toBe(4);
    expect(segmentsOf(source.requests[3]!)).toEqual([20]);
    letGo(4);
    await second;
    // Nothing else has come so far.
    expect(new Set(source.sentBlocks.map((block) => block >> 4))).toEqual(new Set([150, 151, 20]));
    expect(reads.stalls.seconds(performance.now())).toBeGreaterThan(0);
  });

  it('bring the right bytes wherever they are, before anything else comes; then the rest does', async () => {
    // Not where the two lanes of the background begin.
    const first = 16 * SEGMENT_BYTES;
    const reads = Array.from({ length: 60 }, (_, i) => {
      const length = 1 + ((i * 977) % 9000);
      return { offset: first + ((i * 7919 * 4099) % (wanted.bytes.length - first - 9000)), length };
    });
    const segments = new Set(
      reads.flatMap(({ offset, length }) => {
        return [offset, offset + length - 1].map((byte) => Math.floor(byte / SEGMENT_BYTES));
      }),
    );
    const rest = Promise.withResolvers<void>();
    const source = sourceOf(wanted.bytes, {
      onRequest: (number) => {
        const isWanted = (segment: number): boolean => segments.has(segment);
        return segmentsOf(source.requests[number - 1]!).every(isWanted) ? undefined : rest.promise;
      },
    });
    const { done } = await sync(source);
    await expect.poll(() => source.requests.length).toBe(2);
    await Promise.all(reads.map(({ offset, length }) => readRight(offset, length)));
    const came = new Set(source.sentBlocks.map((block) => Math.floor(block / BLOCKS_PER_SEGMENT)));
    segments.delete(ZERO_SEGMENT);
    expect(came).toEqual(segments);
    rest.resolve();
    await done;
    await readRight(0, wanted.bytes.length);
  });

  it('I2: wait while the source is away, and go on when it is back', async () => {
    let isDown = false;
    let tries = 0;
    const { source, letGo } = gated();
    const away = {
      ...source,
      readBlocks(request: Parameters<typeof source.readBlocks>[0]) {
        tries += 1;
        if (isDown) throw new VmdnError('unavailable', 'The origin is down.');
        return source.readBlocks(request);
      },
    };
    await sync(away);
    await expect.poll(() => source.requests.length).toBe(2);
    isDown = true;
    for (const number of [1, 2]) letGo(number);
    // The next background requests find out.
    const read = readRight(100 * SEGMENT_BYTES, 512);
    const state = watch(read);
    const before = tries;
    await expect.poll(() => tries, { timeout: 10_000 }).toBeGreaterThan(before + 1);
    expect(state.isSettled).toBe(false);
    isDown = false;
    for (let number = 3; number < 300; number += 1) letGo(number);
    await read;
  });

  it('are not needed to find out that a source is back', async () => {
    const source = sourceOf(wanted.bytes, {
      onRequest(number) {
        if (number <= 6) throw new VmdnError('unavailable', 'The origin is down.');
      },
    });
    const { done } = await sync(source);
    await done;
    await readRight(0, wanted.bytes.length);
  });

  it('I2: wait when the sync fails, and the next one goes on with them', async () => {
    const bad = sourceOf(wanted.bytes, {
      onRequest() {
        throw new VmdnError('withdrawn', 'The version is gone.');
      },
    });
    const read = readRight(100 * SEGMENT_BYTES, 512);
    const state = watch(read);
    const { done, stagingDir } = await sync(bad);
    await expect(done).rejects.toMatchObject({ code: 'withdrawn' });
    expect(state.isSettled).toBe(false);
    const { source, letGo } = gated();
    await sync(source, { stagingDir });
    await expect.poll(() => source.requests.length).toBeGreaterThan(0);
    expect(source.requests.some((runs) => segmentsOf(runs).includes(100))).toBe(true);
    for (let number = 1; number < 300; number += 1) letGo(number);
    await read;
  });

  it('that are called off are waited for by nobody', async () => {
    const { source, letGo } = gated();
    await sync(source);
    await expect.poll(() => source.requests.length).toBe(2);
    const giveUp = new AbortController();
    const target = Buffer.alloc(512);
    const read = disk.read(target, 0, 512, 150 * SEGMENT_BYTES, giveUp.signal);
    await expect.poll(() => source.requests.length).toBe(3);
    giveUp.abort(new Error('enough'));
    await expect(read).rejects.toThrow('enough');
    letGo(3);
    await readRight(150 * SEGMENT_BYTES, 512);
    expect(target.equals(Buffer.alloc(512))).toBe(true);
  });

  it('of zeros need nobody', async () => {
    const target = new Uint8Array(SEGMENT_BYTES).fill(1);
    const never = new AbortController().signal;
    await disk.read(target, 0, SEGMENT_BYTES, ZERO_SEGMENT * SEGMENT_BYTES, never);
    expect(target.every((byte) => byte === 0)).toBe(true);
    const extents = await client.blockStatus(0, wanted.bytes.length);
    const lengths = [ZERO_SEGMENT, 1, SEGMENTS - ZERO_SEGMENT - 1].map((n) => n * SEGMENT_BYTES);
    expect([...extents]).toEqual([lengths[0], 0, lengths[1], 3, lengths[2], 0]);
    await readRight(ZERO_SEGMENT * SEGMENT_BYTES, SEGMENT_BYTES);
  });
});

describe('what comes before the rest', () => {
  it('is the boot trace, in its order, behind what is read', async () => {
    const { source, letGo } = gated();
    await sync(source, { bootTrace: [180, 20, 160, 21, 30, 170, 40, 41] });
    await expect.poll(() => source.requests.length).toBe(2);
    expect(segmentsOf(source.requests[0]!)).toEqual([20, 21, 160, 180]);
    expect(segmentsOf(source.requests[1]!)).toEqual([30, 40, 41, 170]);
    const read = readRight(90 * SEGMENT_BYTES, 512);
    await expect.poll(() => source.requests.length).toBe(3);
    expect(segmentsOf(source.requests[2]!)).toEqual([90]);
    letGo(3);
    await read;
  });

  it('is what a reader that goes on will want, behind what is read', async () => {
    const { source, letGo } = gated();
    await sync(source, { bootTrace: range(0, 8) });
    await expect.poll(() => source.requests.length).toBe(2);
    for (const [step, segment] of [100, 101, 102].entries()) {
      const read = readRight(segment * SEGMENT_BYTES, 4096);
      await expect.poll(() => source.requests.length).toBe(3 + step);
      letGo(3 + step);
      await read;
    }
    const read = readRight(150 * SEGMENT_BYTES, 4096);
    await expect.poll(() => source.requests.length).toBe(6);
    expect(segmentsOf(source.requests[5]!)).toEqual([150]);
    letGo(6);
    await read;
    // A lane of the background is free: it takes up what was read ahead, before the rest of the disk.
    letGo(1);
    await expect.poll(() => source.requests.length).toBe(7);
    expect(segmentsOf(source.requests[6]!)).toEqual([103, 104]);
  });

  it('is what an earlier boot read: nothing else is asked for before all of that', async () => {
    // A boot reads here and there, from a quarter of the disk.
    const boot = range(0, 50).map((n) => ((n * 67) % 190) + 1);
    const first = sourceOf(wanted.bytes);
    reads.record();
    const { done } = await sync(first);
    for (const segment of boot) await readRight(segment * SEGMENT_BYTES, SEGMENT_BYTES);
    await done;
    const trace = reads.recorded([wanted.recipe])!;
    const index = buildRecipeIndex(wanted.recipe);
    const looked = { disk: 0, recipe: wanted.recipe, index };
    const { segments } = traceDisk({ kinship: 'version', trace }, looked, 1);
    expect(segments).toEqual(boot.filter((segment) => segment !== ZERO_SEGMENT));

    /** How many segments of the boot are among as many as a source is asked for first. */
    const askedFirst = async (bootTrace: readonly number[]): Promise<number> => {
      disk = new LazyDisk(wanted.recipe);
      const source = sourceOf(wanted.bytes);
      await (await sync(source, { bootTrace, stagingDir: room.path('staging') })).done;
      const asked = source.requests.flatMap(segmentsOf);
      return asked.slice(0, segments.length).filter((one) => segments.includes(one)).length;
    };
    expect(await askedFirst([])).toBeLessThan(segments.length / 2);
    expect(await askedFirst(segments)).toBe(segments.length);
  });
});
