/**
 * Room: formats. Digest and keysRoot put together from pages, so that every core hashes its own part of both
 * trees.
 *
 * I1: a page is 64 segments, a power of two and aligned: the root over a page's segments is a node of the
 *     tree over all segments (or what is handed up to where that node would be, on the last page). So the
 *     root over all pages' roots is the root over all segments.
 * I2: a page that is not given is all zero, and known without looking.
 */

import { type Digest, HASH_BYTES, type MerkleRoot } from '../domain/digest.ts';
import { SEGMENTS_PER_PAGE } from '../domain/limits.ts';
import { segmentCount } from '../domain/units.ts';
import { diskDigest, rangeLeaves } from './disk-digest.ts';
import { pageCount, rootToHex } from './key-pages.ts';
import { leafHash, merkleRoot } from './merkle.ts';

/** One page's part of the two trees, 32 bytes each. */
export interface PageRoots {
  readonly page: number;
  /** Root over the page's segments. */
  readonly segmentsRoot: Uint8Array;
  /** Leaf of the page in the tree of keysRoot. */
  readonly keysLeaf: Uint8Array;
}

const NOTHING = new Uint8Array(0);

/**
 * The roots of a page with these masks (one for each of its segments, zero ones included), hashes (one for
 * each mask that is not 0) and key bytes (8 for each set bit).
 */
export function rootsOfPage(
  page: number,
  masks: Uint16Array,
  hashes: Uint8Array,
  keyBytes: Uint8Array,
): PageRoots {
  const bytes = new Uint8Array(masks.byteLength + keyBytes.length);
  bytes.set(new Uint8Array(masks.buffer, masks.byteOffset, masks.byteLength), 0);
  bytes.set(keyBytes, masks.byteLength);
  const leaves = rangeLeaves(masks.length, (i) => masks[i] !== 0, hashes);
  return { page, segmentsRoot: merkleRoot(leaves), keysLeaf: leafHash(bytes) };
}

/** Digest and keysRoot of a disk of this size from the roots of its pages that are not all zero. */
export function rootsOfPages(
  virtualSizeBytes: number,
  pages: readonly PageRoots[],
): { digest: Digest; keysRoot: MerkleRoot } {
  const count = pageCount(virtualSizeBytes);
  const segmentRoots = new Uint8Array(count * HASH_BYTES);
  const keyLeaves = new Uint8Array(count * HASH_BYTES);
  const set = ({ page, segmentsRoot, keysLeaf }: PageRoots): void => {
    segmentRoots.set(segmentsRoot, page * HASH_BYTES);
    keyLeaves.set(keysLeaf, page * HASH_BYTES);
  };
  if (count > 0) {
    const zero = rootsOfPage(0, new Uint16Array(SEGMENTS_PER_PAGE), NOTHING, NOTHING);
    for (let page = 0; page < count - 1; page += 1) set({ ...zero, page });
    const tail = segmentCount(virtualSizeBytes) - (count - 1) * SEGMENTS_PER_PAGE;
    set(rootsOfPage(count - 1, new Uint16Array(tail), NOTHING, NOTHING));
  }
  for (const page of pages) set(page);
  return {
    digest: diskDigest(virtualSizeBytes, merkleRoot(segmentRoots)),
    keysRoot: rootToHex(merkleRoot(keyLeaves)),
  };
}
