/**
 * Room: domain. The identity of a disk's content, as a type that cannot be wrong.
 *
 * I1: a Digest is 64 lower-case hexadecimal digits: SHA-256 as in DESIGN's decision 2.
 */

import { VmdnError } from './errors.ts';

/** The digest of a disk's content; see formats/disk-digest.ts for how it is computed. */
export type Digest = string & { readonly __brand: 'Digest' };

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
