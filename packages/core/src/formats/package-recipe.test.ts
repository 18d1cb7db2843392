import { zstdCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { Digest } from '../domain/digest.ts';
import { PACKAGE_IMAGE_BYTES_MAX, PACKAGE_RECIPE_BYTES_MAX } from '../domain/limits.ts';
import type { Recipe } from '../domain/recipe.ts';
import { digestOfRecipe } from './disk-digest.ts';
import { keysRootOfRecipe } from './key-pages.ts';
import { packPackageRecipe, unpackPackageRecipe } from './package-recipe.ts';
import { diskOf, referenceDigest, referenceKeysRoot, referenceRecipe } from './recipe.fixture.ts';
import { bitmapLength, encodeRecipe } from './recipe.ts';

const DISK = diskOf(4096, [{ at: 8, length: 1000, seed: 1 }]);
const FILE = encodeRecipe(referenceRecipe(DISK));
const ROOTS = {
  digest: referenceDigest(DISK) as Digest,
  keysRoot: referenceKeysRoot(DISK) as Digest,
};

describe('a package recipe', () => {
  it('comes back as it was packed (I1)', async () => {
    const { file, recipe } = await unpackPackageRecipe(await packPackageRecipe(FILE), ROOTS);
    expect(Buffer.from(file)).toEqual(Buffer.from(FILE));
    expect(recipe.virtualSizeBytes).toBe(DISK.length);
  });

  it('is refused when it has other roots than promised, or is none (I1)', async () => {
    const packed = await packPackageRecipe(FILE);
    const other = { ...ROOTS, keysRoot: ROOTS.digest };
    const corrupt = { code: 'corrupt' };
    await expect(unpackPackageRecipe(packed, other)).rejects.toMatchObject(corrupt);
    const wrong = { ...ROOTS, digest: ROOTS.keysRoot };
    await expect(unpackPackageRecipe(packed, wrong)).rejects.toMatchObject(corrupt);
    await expect(unpackPackageRecipe(FILE, ROOTS)).rejects.toMatchObject(corrupt);
    const cut = packed.subarray(0, packed.length / 2);
    await expect(unpackPackageRecipe(cut, ROOTS)).rejects.toMatchObject(corrupt);
    const noRecipe = zstdCompressSync(new Uint8Array(100));
    await expect(unpackPackageRecipe(noRecipe, ROOTS)).rejects.toMatchObject(corrupt);
  });

  it('does not grow beyond its limit, neither when packed nor when unpacked (I2)', async () => {
    const large = new Uint8Array(PACKAGE_RECIPE_BYTES_MAX + 1);
    await expect(packPackageRecipe(large)).rejects.toMatchObject({ code: 'too_large' });
    const bomb = zstdCompressSync(large);
    await expect(unpackPackageRecipe(bomb, ROOTS)).rejects.toMatchObject({ code: 'too_large' });
  });

  it('is refused for a huge empty disk, whose roots would take long to compute (I2)', async () => {
    const virtualSizeBytes = PACKAGE_IMAGE_BYTES_MAX + 512;
    const recipe: Recipe = {
      virtualSizeBytes,
      segmentBitmap: new Uint8Array(bitmapLength(virtualSizeBytes)),
      segmentHashes: new Uint8Array(0),
      blockMasks: new Uint16Array(0),
      keys: new Uint32Array(0),
    };
    const roots = { digest: digestOfRecipe(recipe), keysRoot: keysRootOfRecipe(recipe) };
    const packed = await packPackageRecipe(encodeRecipe(recipe));
    await expect(unpackPackageRecipe(packed, roots)).rejects.toMatchObject({ code: 'too_large' });
  });
});
