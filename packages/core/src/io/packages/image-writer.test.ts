import { mkdtemp, open, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { rootsOfPages } from '../../formats/page-roots.ts';
import {
  referenceDigest,
  referenceKeysRoot,
  referenceRecipe,
  seededBytes,
} from '../../formats/recipe.fixture.ts';
import { buildRecipe } from '../../formats/recipe-builder.ts';
import { ImageWriter } from './image-writer.ts';

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'vmdn-image-'));
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

/** Writes files, each given as pieces. */
async function written(files: readonly (readonly Uint8Array[])[], limitBytes = 2 ** 30) {
  const path = join(directory, 'image');
  await rm(path, { force: true });
  await using file = await open(path, 'wx');
  const image = new ImageWriter(file.fd, limitBytes);
  for (const pieces of files) {
    image.align();
    for (const piece of pieces) image.write(piece);
  }
  return { path, ...image.finish() };
}

describe('writing an image', () => {
  test('I1: each file begins at a block boundary, and digest and recipe are those of the bytes', async () => {
    const lengths = fc.oneof(
      fc.nat(10_000),
      fc.constantFrom(0, 4096, 65_536, 131_072),
      fc.nat(150_000),
    );
    const aFile = fc.array(fc.tuple(lengths, fc.nat(3)), { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(fc.array(aFile, { maxLength: 12 }), async (plan) => {
        // Seed 0 is zeros: holes, which must read as what they are.
        const files = plan.map((pieces) =>
          pieces.map(([length, seed]) =>
            seed === 0 ? new Uint8Array(length) : seededBytes(String(seed), length),
          ),
        );
        const image = Buffer.concat(
          files.flatMap((pieces) => {
            const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
            return [...pieces, Buffer.alloc((4096 - (length % 4096)) % 4096)];
          }),
        );
        const expected = image.length === 0 ? Buffer.alloc(4096) : image;
        const { path, virtualSizeBytes, pages } = await written(files);
        expect(Buffer.compare(await readFile(path), expected)).toBe(0);
        expect(buildRecipe(virtualSizeBytes, pages)).toEqual(referenceRecipe(expected));
        const { digest, keysRoot } = rootsOfPages(virtualSizeBytes, pages);
        expect([digest, keysRoot]).toEqual([
          referenceDigest(expected),
          referenceKeysRoot(expected),
        ]);
      }),
      { numRuns: 20 },
    );
  });

  test('the description of an image of several pages is that of its bytes', async () => {
    const content = Buffer.alloc(9 * 2 ** 20 + 5);
    for (const at of [0, 2 ** 20 + 4095, 4 * 2 ** 20 - 1, 9 * 2 ** 20 + 4]) content[at] = 7;
    const { path, virtualSizeBytes, pages } = await written([[content]]);
    const bytes = await readFile(path);
    expect(Buffer.compare(bytes.subarray(0, content.length), content)).toBe(0);
    expect(buildRecipe(virtualSizeBytes, pages)).toEqual(referenceRecipe(bytes));
    expect(rootsOfPages(virtualSizeBytes, pages).digest).toBe(referenceDigest(bytes));
  });

  test('zeros take no room on the disk', async () => {
    const { path } = await written([[new Uint8Array(8 * 2 ** 20)], [Uint8Array.of(1)]]);
    const { size, blocks } = await stat(path);
    expect(size).toBe(8 * 2 ** 20 + 4096);
    expect(blocks * 512).toBeLessThan(2 ** 20);
  });

  test('I2: an image without content is one block of zeros', async () => {
    const { virtualSizeBytes, pages } = await written([]);
    expect([virtualSizeBytes, pages]).toEqual([4096, []]);
  });

  test('more bytes than it may have are too_large', async () => {
    const chunk = new Uint8Array(60_000);
    await expect(written([[chunk], [chunk]], 100_000)).rejects.toMatchObject({ code: 'too_large' });
  });
});
