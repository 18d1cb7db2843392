import { TRACE_BLOCKS_MAX } from '@vmdn/core/domain/limits.ts';
import { recipeOfKeys } from '@vmdn/core/domain/match.fixture.ts';
import { describe, expect, it } from 'vitest';
import { GuestReads, type StallingDisk } from './guest-reads.ts';

const BLOCK = 4096;
const never = new AbortController().signal;
const target = new Uint8Array(16);

/** All there, unless told to wait. */
function diskOf(sizeBytes: number, wait?: Promise<void>): StallingDisk {
  return {
    sizeBytes,
    readNow: () => wait === undefined,
    async read(_target, _at, _length, _offset, _signal, stalls) {
      stalls?.enter(performance.now());
      await wait;
      stalls?.leave(performance.now());
    },
    extent: (_, endBytes) => ({ endBytes, isZero: false }),
  };
}

describe('the reads of a guest', () => {
  it('I3: are recorded over all of its disks in the order of the first reads, without zeros', async () => {
    const reads = new GuestReads();
    const one = reads.watch(diskOf(64 * BLOCK), 0);
    const two = reads.watch(diskOf(16 * BLOCK), 1);
    reads.record();
    one.readNow(target, 0, 100, 5 * BLOCK - 50);
    await two.read(target, 0, 2 * BLOCK, BLOCK, never);
    one.readNow(target, 0, 16, 4 * BLOCK);
    one.readNow(target, 0, BLOCK, 9 * BLOCK);
    const recipes = [recipeOfKeys([0, 0, 0, 0, 50, 60, 0, 0, 0, 0]), recipeOfKeys([0, 70, 80])];
    const trace = reads.recorded(recipes)!;
    expect([...trace.disks]).toEqual([0, 0, 1, 1]);
    expect([...trace.blocks]).toEqual([4, 5, 1, 2]);
    expect([...trace.keys]).toEqual([50, 60, 70, 80].flatMap((key) => [key & 3, key >>> 2]));
  });

  it('I2, I3: are no recording that did not begin, and none of a part of the disks', () => {
    const reads = new GuestReads();
    const disk = reads.watch(diskOf(BLOCK), 0);
    disk.readNow(target, 0, 16, 0);
    expect(reads.recorded([recipeOfKeys([5])])).toBeNull();
    reads.record();
    disk.readNow(target, 0, 16, 0);
    expect(reads.recorded([recipeOfKeys([5]), undefined])).toBeNull();
    reads.record();
    expect(reads.recorded([recipeOfKeys([5])])).toBeNull();
  });

  it('I2: are recorded up to a bound, the first ones', async () => {
    const reads = new GuestReads();
    const blocks = TRACE_BLOCKS_MAX + 100;
    const disk = reads.watch(diskOf(blocks * BLOCK), 0);
    reads.record();
    await disk.read(target, 0, blocks * BLOCK, 0, never);
    const recipe = recipeOfKeys(Array.from({ length: blocks }, (_, block) => block + 1));
    const trace = reads.recorded([recipe])!;
    expect(trace.blocks).toHaveLength(TRACE_BLOCKS_MAX);
    expect(trace.blocks.at(-1)).toBe(TRACE_BLOCKS_MAX - 1);
  });

  it('I1: count time in which they wait once, over all disks', async () => {
    const reads = new GuestReads();
    const gate = Promise.withResolvers<void>();
    const one = reads.watch(diskOf(BLOCK, gate.promise), 0);
    const two = reads.watch(diskOf(BLOCK, gate.promise), 1);
    const waiting = [one.read(target, 0, 16, 0, never), two.read(target, 0, 16, 0, never)];
    expect(reads.stalls.isBusy).toBe(true);
    gate.resolve();
    await Promise.all(waiting);
    expect(reads.stalls.isBusy).toBe(false);
    expect(reads.stalls.seconds(1)).toBe(reads.stalls.seconds(2));
  });
});
