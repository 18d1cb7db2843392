import { readFile, truncate, unlink, writeFile } from 'node:fs/promises';
import { totalTierBytes } from '@vmdn/core/domain/tiers.ts';
import { encodeRecipe } from '@vmdn/core/formats/recipe.ts';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createSyncEngine, type SyncEngine } from './create-sync-engine.ts';
import {
  DiskRoom,
  diskOf,
  imageOf,
  planOf,
  range,
  type StoredDisk,
  sourceOf,
  tiersOf,
} from './sync.fixture.ts';

const never = new AbortController().signal;
let room: DiskRoom;
let engine: SyncEngine;

beforeAll(async () => {
  room = await DiskRoom.open();
  engine = createSyncEngine({ assembleWorkers: 2, bufferBytes: 8 * 65_536 });
});

afterAll(async () => {
  await engine?.[Symbol.asyncDispose]();
  await room?.close();
});

/** Disks of runs, as real ones are: zeros, shared files, own data, repetitions. */
const runOfBlocks = fc
  .record({ from: fc.integer({ min: 0, max: 150 }), count: fc.integer({ min: 1, max: 24 }) })
  .map(({ from, count }) => (from < 30 ? Array<number>(count).fill(0) : range(from, count)));
const contents = fc.array(runOfBlocks, { minLength: 1, maxLength: 14 }).map((runs) => runs.flat());
/** A last block of 512 bytes is nobody else's block. */
const wantedContents = fc.tuple(contents, fc.boolean());

const damage = fc.record({
  image: fc.nat({ max: 2 }),
  kind: fc.constantFrom('flip', 'zero', 'swap', 'truncate', 'delete' as const),
  at: fc.nat({ max: 400 }),
});

async function applyDamage(
  images: readonly StoredDisk[],
  { image, kind, at }: { image: number; kind: string; at: number },
): Promise<void> {
  const disk = images[image];
  if (disk === undefined) return;
  const bytes = await readFile(disk.path).catch(() => undefined);
  const blocks = Math.floor((bytes?.length ?? 0) / 4096);
  if (bytes === undefined || blocks === 0) return;
  const from = (at % blocks) * 4096;
  if (kind === 'truncate') await truncate(disk.path, from + 100);
  else if (kind === 'delete') await unlink(disk.path);
  else {
    if (kind === 'flip') bytes[from + 77]! ^= 4;
    if (kind === 'zero') bytes.fill(0, from, from + 4096);
    if (kind === 'swap') bytes.copyWithin(0, from, from + 4096);
    await writeFile(disk.path, bytes);
  }
}

async function storeWanted([blocks, isShort]: readonly [number[], boolean]) {
  return room.store(isShort ? diskOf([...blocks, 9999], 512) : diskOf(blocks));
}

async function delivered(wanted: StoredDisk, result: Awaited<ReturnType<SyncEngine['sync']>>) {
  expect(Buffer.compare(await readFile(result.path), wanted.bytes)).toBe(0);
  expect(totalTierBytes(result.delivery.diskBytes)).toBe(wanted.bytes.length);
  expect(result.delivery.verifiedBytes).toBe(wanted.bytes.length);
}

describe('whatever the sources are', () => {
  it('gives the exact disk, and asks for each missing block once and for nothing else', async () => {
    const library = fc.array(contents, { maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(wantedContents, library, async (want, images) => {
        const wanted = await storeWanted(want);
        const stored = await Promise.all(images.map((image) => room.store(diskOf(image))));
        const plan = await planOf(
          engine,
          wanted,
          stored.map((disk) => imageOf(disk)),
        );
        const origin = sourceOf(wanted.bytes, { chunkBytes: 9000 });
        const sync = { plan, stagingDir: room.path('staging'), signal: never };
        const result = await engine.sync({ ...sync, sources: [origin] });
        await delivered(wanted, result);
        expect(result.delivery.diskBytes).toEqual(tiersOf(plan));
        const held = new Set(images.flat());
        const all = want[1] ? [...want[0], 9999] : want[0];
        const missing = all.flatMap((content, block) =>
          content !== 0 && !held.has(content) && all.indexOf(content) === block ? [block] : [],
        );
        expect([...origin.sentBlocks].sort((a, b) => a - b)).toEqual(missing);
        expect(result.mismatches).toEqual([]);
      }),
      { numRuns: 40 },
    );
  }, 600_000);

  it('I1: whatever happened to local images since, the disk is exact and nothing travels twice', async () => {
    const library = fc.array(contents, { minLength: 1, maxLength: 3 });
    const harm = fc.array(damage, { minLength: 1, maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(wantedContents, library, harm, async (want, images, damages) => {
        const wanted = await storeWanted(want);
        const stored = await Promise.all(images.map((image) => room.store(diskOf(image))));
        const plan = await planOf(
          engine,
          wanted,
          stored.map((disk) => imageOf(disk)),
        );
        for (const one of damages) await applyDamage(stored, one);
        const origin = sourceOf(wanted.bytes, { chunkBytes: 9000 });
        const sync = { plan, stagingDir: room.path('staging'), signal: never };
        const result = await engine.sync({ ...sync, sources: [origin] });
        await delivered(wanted, result);
        const all = want[1] ? [...want[0], 9999] : want[0];
        const sent = origin.sentBlocks.map((block) => all[block]!);
        expect(new Set(sent).size).toBe(sent.length);
        const known = new Set<string>(stored.map(({ digest }) => digest));
        for (const { source } of result.mismatches) expect(known).toContain(source);
        const extra = result.delivery.diskBytes.origin - tiersOf(plan).origin;
        if (extra > 0) expect(result.mismatches.length).toBeGreaterThan(0);
      }),
      { numRuns: 40 },
    );
  }, 600_000);

  it('I1: a peer that sends wrong bytes costs at most two requests in a row and is named', async () => {
    const wanted = await room.store(diskOf(range(1, 1200)));
    const plan = await planOf(engine, wanted, []);
    const liar = sourceOf(wanted.bytes, {
      name: 'liar',
      tier: 'peer',
      mangle: (body) => {
        const bad = body.slice();
        bad[5000]! ^= 1;
        return bad;
      },
    });
    const origin = sourceOf(wanted.bytes);
    const sync = { plan, stagingDir: room.path('staging'), signal: never };
    const result = await engine.sync({ ...sync, sources: [liar, origin] });
    await delivered(wanted, result);
    expect(liar.requests.length).toBeLessThanOrEqual(4);
    expect(result.mismatches.map(({ source }) => source)).toEqual(['liar']);
    const { peer, origin: fromOrigin } = result.delivery.diskBytes;
    expect(peer + fromOrigin).toBe(wanted.bytes.length);
    expect(result.delivery.wireBytes.peer).toBeGreaterThan(0);
  });

  it('asks the origin only for what no peer holds', async () => {
    const wanted = await room.store(diskOf(range(1, 1500)));
    const plan = await planOf(engine, wanted, []);
    const neighbour = (name: string) => sourceOf(wanted.bytes, { name, tier: 'peer' });
    const origin = sourceOf(wanted.bytes);
    const sources = [origin, neighbour('near'), neighbour('nearer')];
    const result = await engine.sync({ plan, stagingDir: room.path('s'), sources, signal: never });
    await delivered(wanted, result);
    expect(origin.requests).toEqual([]);
    expect(result.delivery.diskBytes.peer).toBe(wanted.bytes.length);
  });

  it('takes from a partial holder only what it has', async () => {
    const wanted = await room.store(diskOf(range(1, 64)));
    const plan = await planOf(engine, wanted, []);
    const peer = sourceOf(wanted.bytes, {
      name: 'peer',
      tier: 'peer',
      presentSegments: Uint8Array.of(0b0101),
    });
    const origin = sourceOf(wanted.bytes);
    const sync = { plan, stagingDir: room.path('staging'), signal: never };
    const result = await engine.sync({ ...sync, sources: [peer, origin] });
    await delivered(wanted, result);
    expect([...peer.sentBlocks].sort((a, b) => a - b)).toEqual([...range(0, 16), ...range(32, 16)]);
    expect([...origin.sentBlocks].sort((a, b) => a - b)).toEqual([
      ...range(16, 16),
      ...range(48, 16),
    ]);
  });

  it('counts bytes of package images as package', async () => {
    const parcel = await room.store(diskOf(range(1, 10)));
    const wanted = await room.store(diskOf(range(1, 16)));
    const plan = await planOf(engine, wanted, [imageOf(parcel, 'package')]);
    const sync = { plan, stagingDir: room.path('staging'), signal: never };
    const result = await engine.sync({ ...sync, sources: [sourceOf(wanted.bytes)] });
    expect(result.delivery.diskBytes.package).toBe(10 * 4096);
    expect(result.delivery.diskBytes.origin).toBe(6 * 4096);
  });
});

describe('two blocks with one key', () => {
  /** Stores a disk whose recipe gives block `block` the key of `other`: as if the two keys collided. */
  async function withForgedKey(contents: readonly number[], block: number, other: StoredDisk) {
    const wanted = await room.store(diskOf(contents));
    wanted.recipe.keys.set(other.recipe.keys.subarray(0, 2), 2 * block);
    await writeFile(wanted.recipePath, encodeRecipe(wanted.recipe));
    return wanted;
  }

  it('a local block with the right key and the wrong content is found out and fetched', async () => {
    const twin = await room.store(diskOf([777, ...range(1, 10)]));
    const wanted = await withForgedKey(range(1, 40), 3, twin);
    const plan = await planOf(engine, wanted, [imageOf(twin)]);
    const origin = sourceOf(wanted.bytes);
    const sync = { plan, stagingDir: room.path('staging'), signal: never };
    const result = await engine.sync({ ...sync, sources: [origin] });
    await delivered(wanted, result);
    expect(result.mismatches).toMatchObject([{ source: twin.digest, reason: 'key_collision' }]);
    // The ten blocks of the twin in that segment, and what was missing anyway, each once.
    expect([...origin.sentBlocks].sort((a, b) => a - b)).toEqual(range(0, 40));
  });

  it('a block that only seems to repeat an earlier one of the same disk is fetched too', async () => {
    const first = await room.store(diskOf([50]));
    const wanted = await withForgedKey([...range(50, 16), ...range(1, 16)], 20, first);
    const plan = await planOf(engine, wanted, []);
    expect(plan.counts.travellingBytes).toBe(31 * 4096);
    const origin = sourceOf(wanted.bytes);
    const sync = { plan, stagingDir: room.path('staging'), signal: never };
    const result = await engine.sync({ ...sync, sources: [origin] });
    await delivered(wanted, result);
    expect(origin.sentBlocks.filter((block) => block === 20)).toHaveLength(1);
    expect(result.mismatches).toMatchObject([{ source: 'staging', reason: 'key_collision' }]);
  });

  it('a source that sends right keys and a wrong segment is set aside, with a clear error', async () => {
    const other = await room.store(diskOf([777]));
    const lie = [...range(1, 40)];
    lie[3] = 777;
    const wanted = await withForgedKey(range(1, 40), 3, other);
    const plan = await planOf(engine, wanted, []);
    const origin = sourceOf(diskOf(lie));
    const sync = { plan, stagingDir: room.path('staging'), signal: never };
    const failed = engine.sync({ ...sync, sources: [origin] });
    await expect(failed).rejects.toMatchObject({ code: 'corrupt' });
    expect(origin.requests.length).toBe(2);
  });
});
