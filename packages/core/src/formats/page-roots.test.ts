import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SEGMENTS_PER_PAGE } from '../domain/limits.ts';
import { segmentCount } from '../domain/units.ts';
import { pageCount } from './key-pages.ts';
import { type PageRoots, rootsOfPage, rootsOfPages } from './page-roots.ts';
import { diskOf, referenceDigest, referenceKeysRoot, referenceRecipe } from './recipe.fixture.ts';
import { bytesOf } from './recipe.ts';

const PAGE_BYTES = SEGMENTS_PER_PAGE * 65_536;

test('I1, I2: roots put together from pages are those of an independent reading', () => {
  const writes = fc.array(
    fc.record({ at: fc.nat(60_000), length: fc.integer({ min: 1, max: 200 }), seed: fc.nat(9) }),
    { maxLength: 5 },
  );
  // Up to eight pages, ending anywhere: whole pages, one segment over, one sector over.
  const sectors = fc.oneof(fc.nat(60_000), fc.constantFrom(0, 1, 8192, 8193, 16_384, 24_704));
  fc.assert(
    fc.property(sectors, writes, (size, places) => {
      const disk = diskOf(size, places);
      const pages: PageRoots[] = [];
      for (let page = 0; page < pageCount(disk.length); page += 1) {
        const part = referenceRecipe(disk.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES));
        if (part.blockMasks.length === 0) continue;
        const masks = new Uint16Array(segmentCount(part.virtualSizeBytes));
        let row = 0;
        for (let i = 0; i < masks.length; i += 1) {
          if (((part.segmentBitmap[i >> 3]! >> (i & 7)) & 1) === 0) continue;
          masks[i] = part.blockMasks[row]!;
          row += 1;
        }
        pages.push(rootsOfPage(page, masks, part.segmentHashes, bytesOf(part.keys)));
      }
      expect(rootsOfPages(disk.length, pages.reverse())).toEqual({
        digest: referenceDigest(disk),
        keysRoot: referenceKeysRoot(disk),
      });
    }),
    { numRuns: 40 },
  );
});
