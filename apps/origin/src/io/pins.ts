/**
 * Room: origin, io. Copies of disks that outlive their source: `<state>/pins/DIGEST.FORMAT`.
 *
 * I1: a source is never read past its lock: a pin is a reflink made while the lock is held, or a copy
 *     through the locked export in which every segment was verified against the recipe.
 * I2: a pin has its name only when it is whole and durable; what a crash left is swept.
 */

import { constants, copyFile, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Digest, isDigest } from '@vmdn/core/domain/digest.ts';
import { type DiskLayer, isDiskFormat } from '@vmdn/core/domain/disk-format.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Recipe } from '@vmdn/core/domain/recipe.ts';
import { buildRecipeIndex } from '@vmdn/core/domain/recipe-index.ts';
import { SEGMENT_BYTES, segmentLengthBytes } from '@vmdn/core/domain/units.ts';
import { segmentMatches } from '@vmdn/core/formats/segment-hash.ts';
import {
  ensurePrivateDir,
  fileError,
  fsyncDir,
  sweepTemps,
  TEMP_SUFFIX,
} from '@vmdn/core/io/files/files.ts';
import type { LockedDisk, Pins } from '../ports.ts';

/** Segments that are read at once: 1 MiB, what NBD carries at full speed. */
const SEGMENTS_AT_ONCE = 16;

/** The pins in `dir`, which is made when it is missing. */
export async function openPins(dir: string): Promise<Pins> {
  await ensurePrivateDir(dir);
  await sweepTemps(dir);
  const pins = new Map<Digest, DiskLayer>();
  for (const name of await readdir(dir)) {
    const [digest, format] = name.split('.');
    if (isDigest(digest) && isDiskFormat(format))
      pins.set(digest, { path: join(dir, name), format });
  }
  return {
    list: () => pins,
    async make({ digest, recipe, disk }, locked, signal) {
      if (pins.has(digest)) return;
      const temp = join(dir, `${digest}${TEMP_SUFFIX}`);
      try {
        const isCloned = await tryReflink(disk.layers, temp, locked);
        if (!isCloned) await copyVerified(recipe, locked, temp, signal);
        const format = isCloned ? disk.layers[0]!.format : 'raw';
        const path = join(dir, `${digest}.${format}`);
        await makeDurable(temp, path, dir);
        pins.set(digest, { path, format });
      } catch (error) {
        await rm(temp, { force: true });
        throw fileError(error, temp);
      }
    },
    async remove(digest) {
      const pin = pins.get(digest);
      if (pin === undefined) return;
      pins.delete(digest);
      await rm(pin.path, { force: true });
      await fsyncDir(dir);
    },
  };
}

/**
 * Shares the source's extents where the file system can: at once, and without reading a byte. Only for
 * formats that are one file without names of others in it.
 */
async function tryReflink(
  layers: readonly DiskLayer[],
  temp: string,
  locked: LockedDisk,
): Promise<boolean> {
  const [layer] = layers;
  if (layers.length !== 1 || layer === undefined) return false;
  if (layer.format !== 'raw' && layer.format !== 'qcow2') return false;
  try {
    await copyFile(layer.path, temp, constants.COPYFILE_FICLONE_FORCE | constants.COPYFILE_EXCL);
  } catch {
    await rm(temp, { force: true });
    return false;
  }
  // One read through the lock tells whether the source is still what was described (I1).
  await locked.readInto(new Uint8Array(Math.min(512, locked.virtualSizeBytes)), 0);
  return true;
}

async function copyVerified(
  recipe: Recipe,
  locked: LockedDisk,
  temp: string,
  signal: AbortSignal,
): Promise<void> {
  const { segmentOfRow } = buildRecipeIndex(recipe);
  const file = await open(temp, 'wx', 0o600);
  try {
    await file.truncate(recipe.virtualSizeBytes);
    for (let row = 0; row < segmentOfRow.length; row += SEGMENTS_AT_ONCE) {
      if (signal.aborted) throw new VmdnError('cancelled', 'Pinning was cancelled.');
      const count = Math.min(SEGMENTS_AT_ONCE, segmentOfRow.length - row);
      await Promise.all(
        Array.from({ length: count }, async (_, i) => {
          const segment = segmentOfRow[row + i]!;
          const bytes = new Uint8Array(segmentLengthBytes(recipe.virtualSizeBytes, segment));
          await locked.readInto(bytes, segment * SEGMENT_BYTES);
          if (!segmentMatches(bytes, recipe.segmentHashes, row + i)) throw notAsDescribed(segment);
          await file.write(bytes, 0, bytes.length, segment * SEGMENT_BYTES);
        }),
      );
    }
    await file.sync();
  } finally {
    await file.close();
  }
}

async function makeDurable(temp: string, path: string, dir: string): Promise<void> {
  const file = await open(temp, 'r');
  try {
    await file.chmod(0o400);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temp, path);
  await fsyncDir(dir);
}

function notAsDescribed(segment: number): VmdnError {
  return new VmdnError('withdrawn', 'The disk is not as it was described; it is described anew.', {
    data: { segment },
  });
}
