/**
 * Room: formats. The recipe of a package image as nodes share it: its recipe file, compressed with zstd
 * (RFC 8878).
 *
 * I1: what is unpacked has both of the roots that it was promised by, or is refused.
 * I2: nothing grows beyond the limits of package images, whatever the compressed bytes say: not the file,
 *     not the window of the decoder, not the disk whose roots are computed.
 */

import { constants, zstdCompress, zstdDecompress } from 'node:zlib';
import type { Digest, MerkleRoot } from '../domain/digest.ts';
import { VmdnError } from '../domain/errors.ts';
import { PACKAGE_IMAGE_BYTES_MAX, PACKAGE_RECIPE_BYTES_MAX } from '../domain/limits.ts';
import type { Recipe } from '../domain/recipe.ts';
import { decodeRecipe, verifyRecipe } from './recipe.ts';

/**
 * Of the layout of package images (docs/formats/package-image.md): another one gives other digests, so that
 * recipes made with different versions are never mixed.
 */
export const PACKAGE_UNPACKER_VERSION = 1;

/** Hashes do not compress; the masks do, and a higher level finds no more. */
const COMPRESSION_LEVEL = 3;
/** 8 MiB: the largest file that is taken, so that a frame in one piece can be decoded. */
const WINDOW_LOG_MAX = 23;

export interface UnpackedRecipe {
  /** The recipe file (docs/formats/recipe.md). */
  readonly file: Uint8Array;
  /** Its columns, views into `file`. */
  readonly recipe: Recipe;
}

/** Compresses a recipe file. Throws `too_large`. */
export async function packPackageRecipe(file: Uint8Array): Promise<Uint8Array> {
  if (file.length > PACKAGE_RECIPE_BYTES_MAX) throw tooLarge({ recipeBytes: file.length });
  const params = { [constants.ZSTD_c_compressionLevel]: COMPRESSION_LEVEL };
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  zstdCompress(file, { params }, (error, packed) => (error ? reject(error) : resolve(packed)));
  return await promise;
}

/** Decompresses, reads and verifies. Throws `corrupt`, `too_large`, `incompatible_protocol`. */
export async function unpackPackageRecipe(
  packed: Uint8Array,
  promised: { readonly digest: Digest; readonly keysRoot: MerkleRoot },
): Promise<UnpackedRecipe> {
  const file = await decompress(packed);
  const recipe = decodeRecipe(file);
  const { virtualSizeBytes } = recipe;
  if (virtualSizeBytes > PACKAGE_IMAGE_BYTES_MAX) throw tooLarge({ virtualSizeBytes });
  verifyRecipe(recipe, promised);
  return { file, recipe };
}

async function decompress(packed: Uint8Array): Promise<Uint8Array> {
  const options = {
    maxOutputLength: PACKAGE_RECIPE_BYTES_MAX,
    params: { [constants.ZSTD_d_windowLogMax]: WINDOW_LOG_MAX },
  };
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  zstdDecompress(packed, options, (error, file) => (error ? reject(error) : resolve(file)));
  try {
    return await promise;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') {
      throw tooLarge({ packedBytes: packed.length });
    }
    throw new VmdnError('corrupt', 'A package recipe is not zstd; make it again.', { cause });
  }
}

function tooLarge(data: Readonly<Record<string, number>>): VmdnError {
  return new VmdnError(
    'too_large',
    'The package is too large to share its recipe; take its bytes from elsewhere.',
    { data },
  );
}
