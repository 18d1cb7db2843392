/**
 * Room: formats. Merkle trees of RFC 6962 (section 2.1) over leaf hashes in one flat array.
 *
 * I1: leaf = SHA-256(0x00 ‖ data), node = SHA-256(0x01 ‖ left ‖ right), empty tree = SHA-256("").
 * I2: a tree of n leaves is split at the largest power of two below n; level by level this is: pair
 *     neighbours, and hand an odd last node up unchanged.
 * I3: a range proof holds, level by level from the leaves, the left neighbour of the range when its
 *     first node is a right child, then the right neighbour when its last node is a left child that
 *     has one. Its length follows from (n, from, to); a proof of any other length is refused.
 * I4: verification is total: whatever the bytes, it returns a root or throws `corrupt`.
 */

import { hash } from 'node:crypto';
import { HASH_BYTES } from '../domain/digest.ts';
import { VmdnError } from '../domain/errors.ts';

export { HASH_BYTES };

const NODE_PREFIX = 1;
/** Of the longest leaf so far, a page of keys: thousands are hashed, and leave nothing to be collected. */
let leafScratch = new Uint8Array(1 + HASH_BYTES);
const nodeScratch = new Uint8Array(1 + 2 * HASH_BYTES);
nodeScratch[0] = NODE_PREFIX;

/** SHA-256 of nothing: the root of a tree without leaves. */
export const EMPTY_ROOT: Uint8Array = new Uint8Array(hash('sha256', '', 'buffer'));

/** The leaf of empty data: SHA-256(0x00). */
export const EMPTY_LEAF: Uint8Array = new Uint8Array(hash('sha256', Uint8Array.of(0), 'buffer'));

/** A tree with all its levels, to prove many ranges. levels[0] are the leaves, the last is the root. */
export interface MerkleTree {
  readonly leafCount: number;
  readonly levels: readonly Uint8Array[];
}

/** Writes the leaf hash of `data` to `out` at `outOffset`. */
export function leafHashInto(data: Uint8Array, out: Uint8Array, outOffset: number): void {
  const length = 1 + data.length;
  if (leafScratch.length < length) leafScratch = new Uint8Array(length);
  leafScratch.set(data, 1);
  const prefixed = leafScratch.length === length ? leafScratch : leafScratch.subarray(0, length);
  writeHash(hash('sha256', prefixed, 'binary'), out, outOffset);
}

/** The leaf hash of `data`: SHA-256(0x00 ‖ data), 32 bytes. */
export function leafHash(data: Uint8Array): Uint8Array {
  const out = new Uint8Array(HASH_BYTES);
  leafHashInto(data, out, 0);
  return out;
}

/** The root over the leaf hashes (32 bytes each) in `leafHashes`, which is left as it is. */
export function merkleRoot(leafHashes: Uint8Array): Uint8Array {
  const count = leafCountOf(leafHashes);
  if (count === 0) return EMPTY_ROOT.slice();
  let level = leafHashes;
  for (let width = count; width > 1; width = (width + 1) >>> 1) {
    // After the first level the hashes are our own copy, so a level may overwrite the one below.
    const target = level === leafHashes ? new Uint8Array(((width + 1) >>> 1) * HASH_BYTES) : level;
    hashLevel(level, width, target);
    level = target;
  }
  return new Uint8Array(level.subarray(0, HASH_BYTES));
}

/** Builds all levels, for proofs. Needs as much memory again as the leaves. */
export function merkleTree(leafHashes: Uint8Array): MerkleTree {
  const leafCount = leafCountOf(leafHashes);
  const levels = [leafHashes];
  for (let width = leafCount; width > 1; width = (width + 1) >>> 1) {
    const target = new Uint8Array(((width + 1) >>> 1) * HASH_BYTES);
    hashLevel(levels[levels.length - 1]!, width, target);
    levels.push(target);
  }
  return { leafCount, levels };
}

/** The root of a built tree. */
export function treeRoot(tree: MerkleTree): Uint8Array {
  return new Uint8Array(tree.leafCount === 0 ? EMPTY_ROOT : tree.levels.at(-1)!);
}

/** How many hashes the proof of leaves [from, to) of `leafCount` has. */
export function merkleProofCount(leafCount: number, from: number, to: number): number {
  let count = 0;
  walkRange(leafCount, from, to, () => {
    count += 1;
  });
  return count;
}

/** Proves that leaves [from, to) belong to the tree. Throws `invalid_input` for a range outside it. */
export function merkleRangeProof(tree: MerkleTree, from: number, to: number): Uint8Array {
  checkRange(tree.leafCount, from, to, 'invalid_input');
  const proof = new Uint8Array(merkleProofCount(tree.leafCount, from, to) * HASH_BYTES);
  let at = 0;
  walkRange(tree.leafCount, from, to, (level, index) => {
    const start = index * HASH_BYTES;
    proof.set(tree.levels[level]!.subarray(start, start + HASH_BYTES), at);
    at += HASH_BYTES;
  });
  return proof;
}

/**
 * The root that leaves [from, to) and a proof lead to. The caller compares it with the root it trusts;
 * `leafCount` must come from a trusted place as well. Throws `corrupt` when the shapes do not agree.
 */
export function merkleRootFromRange(range: {
  readonly leafCount: number;
  readonly from: number;
  readonly to: number;
  readonly leafHashes: Uint8Array;
  readonly proof: Uint8Array;
}): Uint8Array {
  const { leafCount, from, to, proof } = range;
  checkRange(leafCount, from, to, 'corrupt');
  if (range.leafHashes.length !== (to - from) * HASH_BYTES) throw badProof('leaf count');
  if (proof.length !== merkleProofCount(leafCount, from, to) * HASH_BYTES) throw badProof('length');

  // One spare place on each side: a neighbour joins the range there before its level is hashed.
  const nodes = new Uint8Array((to - from + 2) * HASH_BYTES);
  nodes.set(range.leafHashes, HASH_BYTES);
  let [low, high, width, at] = [from, to, leafCount, 0];
  while (width > 1) {
    let [start, count] = [HASH_BYTES, high - low];
    if ((low & 1) === 1) {
      nodes.set(proof.subarray(at, at + HASH_BYTES), 0);
      [start, count, low, at] = [0, count + 1, low - 1, at + HASH_BYTES];
    }
    if ((high & 1) === 1 && high < width) {
      nodes.set(proof.subarray(at, at + HASH_BYTES), start + count * HASH_BYTES);
      [count, high, at] = [count + 1, high + 1, at + HASH_BYTES];
    }
    const parents = hashLevel(nodes.subarray(start, start + count * HASH_BYTES), count, nodes);
    nodes.copyWithin(HASH_BYTES, 0, parents * HASH_BYTES);
    [low, high, width] = [low >>> 1, (high + 1) >>> 1, (width + 1) >>> 1];
  }
  return nodes.slice(HASH_BYTES, 2 * HASH_BYTES);
}

/** Hashes pairs of a level into `target`; an odd last node goes up unchanged. Returns the new width. */
function hashLevel(level: Uint8Array, width: number, target: Uint8Array): number {
  const parents = (width + 1) >>> 1;
  let previousPair = -1;
  for (let parent = 0; parent < width >>> 1; parent += 1) {
    const at = parent * 2 * HASH_BYTES;
    // Runs of equal pairs (zero segments) are hashed once: a sparse disk of terabytes stays cheap.
    const repeats = previousPair >= 0 && equalsScratch(level, at);
    if (!repeats) {
      for (let i = 0; i < 2 * HASH_BYTES; i += 1) nodeScratch[1 + i] = level[at + i]!;
      writeHash(hash('sha256', nodeScratch, 'binary'), target, parent * HASH_BYTES);
    } else {
      target.copyWithin(parent * HASH_BYTES, (parent - 1) * HASH_BYTES, parent * HASH_BYTES);
    }
    previousPair = parent;
  }
  if ((width & 1) === 1) {
    const last = (width - 1) * HASH_BYTES;
    target.set(level.subarray(last, last + HASH_BYTES), (parents - 1) * HASH_BYTES);
  }
  return parents;
}

/** True when the pair at `at` is the pair that was hashed last. */
function equalsScratch(level: Uint8Array, at: number): boolean {
  for (let i = 0; i < 2 * HASH_BYTES; i += 1) {
    if (level[at + i] !== nodeScratch[1 + i]) return false;
  }
  return true;
}

/** Calls `visit(level, index)` for every neighbour that a proof of [from, to) needs, in proof order. */
function walkRange(
  leafCount: number,
  from: number,
  to: number,
  visit: (level: number, index: number) => void,
): void {
  let [low, high, level] = [from, to, 0];
  for (let width = leafCount; width > 1; width = (width + 1) >>> 1) {
    if ((low & 1) === 1) visit(level, low - 1);
    if ((high & 1) === 1 && high < width) visit(level, high);
    [low, high, level] = [low >>> 1, (high + 1) >>> 1, level + 1];
  }
}

function checkRange(
  leafCount: number,
  from: number,
  to: number,
  code: 'corrupt' | 'invalid_input',
): void {
  const whole =
    Number.isSafeInteger(leafCount) && Number.isSafeInteger(from) && Number.isSafeInteger(to);
  if (whole && from >= 0 && from < to && to <= leafCount && leafCount < 2 ** 31) return;
  throw new VmdnError(code, 'A range of leaves lies outside its tree.', {
    data: { leafCount, from, to },
  });
}

function leafCountOf(leafHashes: Uint8Array): number {
  if (leafHashes.length % HASH_BYTES === 0) return leafHashes.length / HASH_BYTES;
  throw new VmdnError('internal', 'Leaf hashes are 32 bytes each.', {
    data: { bytes: leafHashes.length },
  });
}

function badProof(what: string): VmdnError {
  return new VmdnError('corrupt', 'A Merkle proof does not fit its range; ask another source.', {
    data: { what },
  });
}

/** Writes a 32-character Latin-1 string as bytes. */
function writeHash(text: string, out: Uint8Array, outOffset: number): void {
  for (let i = 0; i < HASH_BYTES; i += 1) out[outOffset + i] = text.charCodeAt(i);
}
