/**
 * Room: http, auth. Descriptions as the origin signs them and everybody else verifies them.
 *
 * I1: nobody reads a description that was not verified against its origin's key; there is no
 *     function here that would.
 */

import { hash } from 'node:crypto';
import { CompactSign, compactVerify } from 'jose';
import type { Description } from '../../domain/description.ts';
import { type Digest, parseDigest } from '../../domain/digest.ts';
import { VmdnError } from '../../domain/errors.ts';
import type { Id } from '../../domain/names.ts';
import { description as descriptionSchema, type PublicKey } from '../contracts/schemas.ts';
import { importPublicKey, type NodeKey, SIGNATURE_ALGORITHM } from './keys.ts';

const DESCRIPTION_TYPE = 'vmdn-description+json';

/** Signs a description as the node `origin`. */
export async function signDescription(
  key: NodeKey,
  origin: Id,
  description: Description,
): Promise<string> {
  return await new CompactSign(new TextEncoder().encode(JSON.stringify(description)))
    .setProtectedHeader({ alg: SIGNATURE_ALGORITHM, typ: DESCRIPTION_TYPE, kid: origin })
    .sign(key.privateKey);
}

/** The name of a signed description: SHA-256 of its text. */
export function descriptionDigestOf(token: string): Digest {
  return parseDigest(hash('sha256', token));
}

/** Verifies and reads a description. Throws `forbidden` (signature), `corrupt` (content). */
export async function verifyDescription(token: string, originKey: PublicKey): Promise<Description> {
  const payload = await verifiedBytes(token, originKey);
  const parsed = descriptionSchema.safeParse(parseJson(payload));
  if (!parsed.success) {
    throw new VmdnError(
      'corrupt',
      'The description is signed but malformed; upgrade the origin or this node.',
      {
        data: { issues: parsed.error.issues.slice(0, 5).map((issue) => issue.path.join('.')) },
      },
    );
  }
  return parsed.data;
}

async function verifiedBytes(token: string, originKey: PublicKey): Promise<Uint8Array> {
  try {
    const key = await importPublicKey(originKey);
    const verified = await compactVerify(token, key, { algorithms: [SIGNATURE_ALGORITHM] });
    if (verified.protectedHeader.typ !== DESCRIPTION_TYPE) throw new TypeError('not a description');
    return verified.payload;
  } catch (cause) {
    throw new VmdnError('forbidden', 'The description was not signed by its origin.', { cause });
  }
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
}
