import { expect, it } from 'vitest';
import { BLOCK_BYTES } from '../domain/units.ts';
import { readBatches } from './disk-routes-batches.ts';

const BATCH_BLOCKS = 4;
const limits = { batchBytesMax: BATCH_BLOCKS * BLOCK_BYTES, batchesAhead: 2 };

/** A disk of which each block is filled with its number. */
const disk = {
  virtualSizeBytes: 64 * BLOCK_BYTES,
  async readInto(target: Uint8Array, offsetBytes: number) {
    for (let at = 0; at < target.length; at += BLOCK_BYTES) {
      target.fill((offsetBytes + at) / BLOCK_BYTES, at, at + BLOCK_BYTES);
    }
  },
};

it('I3: a request of many batches uses the memory of a few', async () => {
  const memories = new Set<ArrayBufferLike>();
  const blocks: number[] = [];
  for await (const batch of readBatches(disk, Uint32Array.of(0, 64), limits)) {
    memories.add(batch.buffer);
    for (let at = 8; at < batch.length; at += BLOCK_BYTES) blocks.push(batch[at]!);
  }
  expect(blocks).toEqual(Array.from({ length: 64 }, (_, i) => i));
  expect(memories.size).toBe(limits.batchesAhead + 1);
});

it('I3: a batch that needs more than there is gets memory of its own', async () => {
  // One run has one header; the next batch has four, and is longer.
  const runs = Uint32Array.of(0, 4, 8, 4, 16, 4, 20, 1, 22, 1, 24, 1, 26, 1);
  const lengths: number[] = [];
  for await (const batch of readBatches(disk, runs, limits)) lengths.push(batch.length);
  const whole = BATCH_BLOCKS * BLOCK_BYTES;
  expect(lengths).toEqual([whole + 8, whole + 8, whole + 8, whole + 4 * 8]);
});
