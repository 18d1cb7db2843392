/**
 * Room: coordinator, services. Secrets that are handed out once and kept as hashes, and hashes of
 * content.
 *
 * I1: a secret has 256 random bits, so a plain SHA-256 of it can't be searched.
 */

import { createHash, randomBytes, randomUUID, timingSafeEqual } from 'node:crypto';
import { type Id, parseId } from '@vmdn/core/domain/names.ts';

/** A fresh secret, and what is kept of it. */
export function makeSecret(prefix: string): { readonly secret: string; readonly hash: Buffer } {
  const secret = `${prefix}${randomBytes(32).toString('base64url')}`;
  return { secret, hash: hashSecret(secret) };
}

/** SHA-256 of a secret. */
export function hashSecret(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}

/** Compares hashes in constant time. */
export function sameHash(left: Buffer, right: Buffer): boolean {
  return left.length === right.length && timingSafeEqual(left, right);
}

/** SHA-256 over JSON, hexadecimal. */
export function contentHash(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex');
}

/** An identifier that is the same for the same words: the first 16 bytes of their SHA-256. */
export function idFromWords(...words: readonly (string | number)[]): Id {
  const hex = contentHash(words);
  const parts = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20)];
  return parseId([...parts, hex.slice(20, 32)].join('-'), 'identifier');
}

/** An identifier that nobody can guess. */
export function randomId(): Id {
  return parseId(randomUUID(), 'identifier');
}
