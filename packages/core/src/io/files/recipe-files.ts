/**
 * Room: io, files. Recipe files read piece by piece.
 *
 * I1: a file that turns out shorter than it was when it was opened is `corrupt`, never an early end.
 */

import { constants, type FileHandle, open } from 'node:fs/promises';
import { VmdnError } from '../../domain/errors.ts';
import type { RecipeFile, RecipeFiles } from '../ports/recipe-files.ts';

const PIECE_BYTES = 256 * 1024;

/** Recipe files of this machine. */
export function createRecipeFiles(): RecipeFiles {
  return { open: openRecipeFile };
}

async function openRecipeFile(path: string): Promise<RecipeFile> {
  let handle: FileHandle;
  try {
    handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (cause) {
    throw new VmdnError('not_found', 'The recipe of this disk is not here; describe it again.', {
      data: { path },
      cause,
    });
  }
  const { size } = await handle.stat();
  return {
    sizeBytes: size,
    read: (fromByte, toByte) => readPieces(handle, fromByte, Math.min(toByte, size)),
    close: () => handle.close(),
  };
}

async function* readPieces(
  handle: FileHandle,
  fromByte: number,
  toByte: number,
): AsyncGenerator<Uint8Array> {
  for (let at = fromByte; at < toByte; ) {
    // A socket may still hold the last piece when the next one is read: each has its own memory.
    const piece = Buffer.allocUnsafe(Math.min(PIECE_BYTES, toByte - at));
    const { bytesRead } = await handle.read(piece, 0, piece.length, at);
    if (bytesRead === 0) {
      throw new VmdnError('corrupt', 'A recipe file ended early; describe the disk again.');
    }
    at += bytesRead;
    yield piece.subarray(0, bytesRead);
  }
}
