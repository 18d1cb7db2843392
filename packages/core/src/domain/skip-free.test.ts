import { describe, expect, it } from 'vitest';
import type { DescribedDisk } from './description.ts';
import type { Digest } from './digest.ts';
import { skippedFree, wantedDisks } from './skip-free.ts';

const [whole, less, keys] = ['a', 'b', 'c'].map((digit) => digit.repeat(64) as Digest) as [
  Digest,
  Digest,
  Digest,
];
const old: DescribedDisk = {
  ...{ digest: whole, keysRoot: keys, virtualSizeBytes: 4096, nonZeroBytes: 1000, recipeBytes: 80 },
};
const kept = ['volume 2: XFS is not understood'];
const disk: DescribedDisk = {
  ...old,
  skipFree: { digest: less, nonZeroBytes: 600, keysRoot: whole, recipeBytes: 70, kept },
};
describe('the disks of a teleport', () => {
  it('are those of the description unless free space is to stay home', () => {
    expect(wantedDisks([disk, old], false)).toEqual([disk, old]);
    const [first, second] = wantedDisks([disk, old], true);
    expect(first).toMatchObject({
      digest: less,
      nonZeroBytes: 600,
      keysRoot: whole,
      recipeBytes: 70,
    });
    expect(first).toMatchObject({ virtualSizeBytes: 4096 });
    expect(second).toEqual(old);
  });

  it('I1: come with what is skipped and what is not; a disk that nobody looked at is named', () => {
    expect(skippedFree([disk])).toEqual({ skippedBytes: 400, kept });
    const both = skippedFree([disk, old, { nonZeroBytes: 5, skipFree: null }]);
    expect(both.skippedBytes).toBe(400);
    expect(both.kept).toEqual([
      `disk 1, ${kept[0]}`,
      expect.stringMatching(/^disk 2, whole disk: its origin does not look/),
      expect.stringMatching(/^disk 3, whole disk: its origin does not look/),
    ]);
  });
});
