/**
 * Room: http, auth. JSON that a node signed, as a compact JWS (RFC 7515, EdDSA), and its verification.
 *
 * I1: nobody reads a document that was not verified against the key of the node that it is from; there is no
 *     function here that would.
 * I2: a document of one type is never taken for one of another: the type is signed (`typ`) and asked for.
 */

import { CompactSign, compactVerify } from 'jose';
import type { z } from 'zod';
import { VmdnError } from '../../domain/errors.ts';
import type { Id } from '../../domain/names.ts';
import type { PublicKey } from '../contracts/schemas.ts';
import { importPublicKey, type NodeKey, SIGNATURE_ALGORITHM } from './keys.ts';

/** A kind of document that nodes sign. */
export interface SignedType<Value> {
  /** `typ` of the JWS. */
  readonly typ: string;
  /** In words, for errors. */
  readonly name: string;
  readonly schema: z.ZodType<Value>;
}

/** Signs `value` as the node `signer`. */
export async function signJson<Value>(
  { typ }: SignedType<Value>,
  key: NodeKey,
  signer: Id,
  value: Value,
): Promise<string> {
  return await new CompactSign(new TextEncoder().encode(JSON.stringify(value)))
    .setProtectedHeader({ alg: SIGNATURE_ALGORITHM, typ, kid: signer })
    .sign(key.privateKey);
}

/** Verifies and reads a document. Throws `forbidden` (signature), `corrupt` (content). */
export async function verifyJson<Value>(
  type: SignedType<Value>,
  token: string,
  signerKey: PublicKey,
): Promise<Value> {
  const payload = await verifiedBytes(type, token, signerKey);
  const parsed = type.schema.safeParse(parseJson(payload));
  if (parsed.success) return parsed.data;
  throw new VmdnError(
    'corrupt',
    `The ${type.name} is signed but malformed; bring its signer and this node to the same version.`,
    { data: { issues: parsed.error.issues.slice(0, 5).map((issue) => issue.path.join('.')) } },
  );
}

async function verifiedBytes<Value>(
  { typ, name }: SignedType<Value>,
  token: string,
  signerKey: PublicKey,
): Promise<Uint8Array> {
  try {
    const key = await importPublicKey(signerKey);
    const verified = await compactVerify(token, key, { algorithms: [SIGNATURE_ALGORITHM] });
    if (verified.protectedHeader.typ !== typ) throw new TypeError(`not a ${name}`);
    return verified.payload;
  } catch (cause) {
    throw new VmdnError('forbidden', `The ${name} was not signed by the node that it names.`, {
      cause,
    });
  }
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
}
