/**
 * Room: formats (tests only). An independent, slow way from a disk's bytes to its recipe and roots, written
 * from docs/formats/ and sharing no code with the product: what the tests compare it with.
 */

import { createHash } from 'node:crypto';
import type { Recipe } from '../domain/recipe.ts';

export function sha256(...parts: (Uint8Array | string)[]): Buffer {
  const digest = createHash('sha256');
  for (const part of parts) digest.update(part);
  return digest.digest();
}

/** RFC 6962, section 2.1, as it is written there: recursive, over leaf data. */
export function referenceRoot(leaves: readonly Uint8Array[]): Buffer {
  if (leaves.length === 0) return sha256('');
  if (leaves.length === 1) return sha256(Uint8Array.of(0), leaves[0]!);
  let split = 1;
  while (split * 2 < leaves.length) split *= 2;
  return sha256(
    Uint8Array.of(1),
    referenceRoot(leaves.slice(0, split)),
    referenceRoot(leaves.slice(split)),
  );
}

function pieces(bytes: Uint8Array, size: number): Uint8Array[] {
  const result: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += size) result.push(bytes.subarray(at, at + size));
  return result;
}

const hasData = (bytes: Uint8Array): boolean =>
  Buffer.compare(bytes, new Uint8Array(bytes.length)) !== 0;

/** The recipe of a disk whose bytes are `disk`. */
export function referenceRecipe(disk: Uint8Array): Recipe {
  const segments = pieces(disk, 65_536);
  const bitmap = new Uint8Array(Math.ceil(segments.length / 64) * 8);
  const hashes: Buffer[] = [];
  const masks: number[] = [];
  const keys: number[] = [];
  segments.forEach((segment, index) => {
    if (!hasData(segment)) return;
    bitmap[index >> 3]! |= 1 << (index & 7);
    hashes.push(sha256(segment));
    let mask = 0;
    pieces(segment, 4096).forEach((block, bit) => {
      if (!hasData(block)) return;
      mask |= 1 << bit;
      const key = sha256(block, new Uint8Array(4096 - block.length));
      keys.push(key.readUInt32LE(0), key.readUInt32LE(4));
    });
    masks.push(mask);
  });
  return {
    virtualSizeBytes: disk.length,
    segmentBitmap: bitmap,
    segmentHashes: new Uint8Array(Buffer.concat(hashes)),
    blockMasks: Uint16Array.from(masks),
    keys: Uint32Array.from(keys),
  };
}

/** The digest of a disk whose bytes are `disk`, in hexadecimal. */
export function referenceDigest(disk: Uint8Array): string {
  const leaves = pieces(disk, 65_536).map((s) => (hasData(s) ? sha256(s) : new Uint8Array(0)));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(disk.length));
  return sha256('vmdn-disk/1', size, referenceRoot(leaves)).toString('hex');
}

/** The root over the key pages of a disk whose bytes are `disk`, in hexadecimal. */
export function referenceKeysRoot(disk: Uint8Array): string {
  const pages = pieces(disk, 64 * 65_536).map((page) => {
    const masks: Buffer[] = [];
    const keys: Buffer[] = [];
    for (const segment of pieces(page, 65_536)) {
      let mask = 0;
      pieces(segment, 4096).forEach((block, bit) => {
        if (!hasData(block)) return;
        mask |= 1 << bit;
        keys.push(sha256(block, new Uint8Array(4096 - block.length)).subarray(0, 8));
      });
      masks.push(Buffer.from([mask & 255, mask >> 8]));
    }
    return Buffer.concat([...masks, ...keys]);
  });
  return referenceRoot(pages).toString('hex');
}

/** Bytes that look random and are the same on every machine: SHA-256 in counter mode. */
export function seededBytes(seed: string, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 32) {
    bytes.set(sha256(`${seed}/${at}`).subarray(0, Math.min(32, length - at)), at);
  }
  return bytes;
}

/**
 * A disk of `sectors` × 512 bytes of zeros in which `writes` put data: at sector `at`, `length` sectors of
 * seeded bytes. What falls past the end is dropped.
 */
export function diskOf(
  sectors: number,
  writes: readonly { readonly at: number; readonly length: number; readonly seed: number }[],
): Uint8Array {
  const disk = new Uint8Array(sectors * 512);
  for (const { at, length, seed } of writes) {
    const start = (at % Math.max(1, sectors)) * 512;
    const room = Math.min(length * 512, disk.length - start);
    if (room > 0) disk.set(seededBytes(String(seed), room), start);
  }
  return disk;
}
