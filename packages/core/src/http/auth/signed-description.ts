/**
 * Room: http, auth. Descriptions as the origin signs them and everybody else verifies them (signed-json.ts).
 */

import { hash } from 'node:crypto';
import type { Description } from '../../domain/description.ts';
import { type Digest, parseDigest } from '../../domain/digest.ts';
import type { Id } from '../../domain/names.ts';
import { type PublicKey, description as schema } from '../contracts/schemas.ts';
import type { NodeKey } from './keys.ts';
import { type SignedType, signJson, verifyJson } from './signed-json.ts';

const DESCRIPTION: SignedType<Description> = {
  typ: 'vmdn-description+json',
  name: 'description',
  schema,
};

/** Signs a description as the node `origin`. */
export async function signDescription(
  key: NodeKey,
  origin: Id,
  description: Description,
): Promise<string> {
  return await signJson(DESCRIPTION, key, origin, description);
}

/** The name of a signed description: SHA-256 of its text. */
export function descriptionDigestOf(token: string): Digest {
  return parseDigest(hash('sha256', token));
}

/** Verifies and reads a description. Throws `forbidden` (signature), `corrupt` (content). */
export async function verifyDescription(token: string, originKey: PublicKey): Promise<Description> {
  return await verifyJson(DESCRIPTION, token, originKey);
}
