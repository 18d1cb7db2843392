/**
 * Room: domain. The identity of a disk's content, as a type that cannot be wrong.
 *
 * I1: a Digest is 64 lower-case hexadecimal digits: SHA-256 as in DESIGN's decision 2.
 * I2: keysRoot, the Merkle root of a recipe's key pages, is spelt, stored and sent exactly like a digest.
 */

import { VmdnError } from './errors.ts';

/** The digest of a disk's content; see formats/disk-digest.ts for how it is computed. */
export type Digest = string & { readonly __brand: 'Digest' };

/** The root of a Merkle tree (of a recipe's key pages); see formats/merkle.ts. */
export type MerkleRoot = Digest;

/** Bytes of a SHA-256. */
export const HASH_BYTES = 32;

const DIGEST_PATTERN = /^[0-9a-f]{64}$/;

/** True for 64 lower-case hexadecimal digits. */
export function isDigest(raw: unknown): raw is Digest {
  return typeof raw === 'string' && DIGEST_PATTERN.test(raw);
}

/** Parses a digest that came from outside. Throws `invalid_input`. */
export function parseDigest(raw: unknown): Digest {
  if (isDigest(raw)) return raw;
  throw new VmdnError('invalid_input', 'A digest is 64 lower-case hexadecimal digits.', {
    data: { digest: String(raw).slice(0, 80) },
  });
}
