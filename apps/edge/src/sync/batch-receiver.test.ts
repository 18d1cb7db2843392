import { buildRecipeIndex } from '@vmdn/core/domain/recipe-index.ts';
import { beforeEach, describe, expect, it } from 'vitest';
import { type ArrivedRow, BatchReceiver } from './batch-receiver.ts';
import { SlotArena } from './slot-arena.ts';
import { diskOf, range, recipeOf } from './sync.fixture.ts';

/** Segments 0, 1, 2 full; the last block of segment 2 has 512 bytes. */
const disk = diskOf(range(1, 48), 512);
const index = buildRecipeIndex(recipeOf(disk));
const WANTED = [0b0111, 0, 0x8001];

let arena: SlotArena;
let arrived: ArrivedRow[];

beforeEach(() => {
  arena = new SlotArena(8 * 65_536);
  arrived = [];
});

const receiver = (): BatchReceiver =>
  new BatchReceiver({
    batch: { rows: Uint32Array.of(0, 2), runs: Uint32Array.of(0, 3, 32, 1, 47, 1), blockCount: 5 },
    index,
    virtualSizeBytes: disk.length,
    arena,
    wantedMask: (row) => WANTED[row]!,
    onRow: (row) => arrived.push(row),
  });

const bytes = (block: number, count: number) => disk.subarray(block * 4096, (block + count) * 4096);

describe('receiving a batch', () => {
  it('puts blocks at their place in a slot and hands on each row when it is whole', () => {
    const intake = receiver();
    intake.take(0, 2, bytes(0, 2));
    expect(arrived).toEqual([]);
    intake.take(2, 1, bytes(2, 1));
    expect(arrived).toMatchObject([{ row: 0, fresh: 0b0111 }]);
    intake.take(32, 1, bytes(32, 1));
    intake.take(47, 1, bytes(47, 1));
    expect(arrived[1]).toMatchObject({ row: 2, fresh: 0x8001 });
    intake.end();
    const at = arrived[1]!.slot * 65_536;
    expect(arena.bytes.slice(at + 15 * 4096, at + 15 * 4096 + 512)).toEqual(bytes(47, 1).slice());
  });

  it.each([
    ['blocks that nobody asked for', 3, 1],
    ['a row that is not in the batch', 16, 1],
    ['rows out of order', 32, 1],
    ['more than was asked for', 0, 4],
    ['blocks past the end of the disk', 47, 2],
  ])('I2: refuses %s', (_, block, count) => {
    const intake = receiver();
    const body = new Uint8Array(count * 4096);
    expect(() => intake.take(block, count, body)).toThrow(/not asked for/);
  });

  it('I2: refuses a block twice, and a length that is not the blocks’', () => {
    const intake = receiver();
    intake.take(0, 1, bytes(0, 1));
    expect(() => intake.take(0, 1, bytes(0, 1))).toThrow(/not asked for/);
    expect(() => intake.take(1, 1, bytes(1, 1).subarray(1))).toThrow(/not asked for/);
  });

  it('I4: says what is missing when the source ends early, and hands on what came of the row in hand', () => {
    const intake = receiver();
    intake.take(0, 3, bytes(0, 3));
    intake.take(32, 1, bytes(32, 1));
    expect(() => intake.end()).toThrow(/before all blocks/);
    const { part, missing } = intake.abandon();
    expect(part).toMatchObject({ row: 2, fresh: 0b0001 });
    expect([...missing]).toEqual([]);
    arena.release(part!.slot);
    arena.release(arrived[0]!.slot);
    expect(() => Array.from({ length: 16 }, () => arena.take())).not.toThrow();
    expect(() => arena.take()).toThrow(/more than was taken/);
  });
});

describe('the arena', () => {
  it('asks for patience above its bound, until there is room', async () => {
    const slots = Array.from({ length: 9 }, () => arena.take());
    expect(arena.isCrowded).toBe(true);
    let isThere = false;
    const room = arena.room().then(() => {
      isThere = true;
    });
    await Promise.resolve();
    expect(isThere).toBe(false);
    arena.release(slots[0]!);
    await room;
    expect(arena.isCrowded).toBe(false);
  });
});
