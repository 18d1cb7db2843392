/**
 * Room: http, auth. Ed25519 keys (RFC 8032) of nodes and of the coordinator, as JWKs (RFC 8037).
 *
 * I1: a private key leaves this module only through `exportNodeKey`, for a 0600 file.
 * I2: the thumbprint is RFC 7638 over the public key: the key's name in proofs and grants.
 */

import type { webcrypto } from 'node:crypto';
import { calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK } from 'jose';
import { z } from 'zod';
import { VmdnError } from '../../domain/errors.ts';
import { type PublicKey, publicKey } from '../contracts/schemas.ts';

export const SIGNATURE_ALGORITHM = 'EdDSA';

/** A key pair; the private half signs, the public half travels. */
export interface NodeKey {
  readonly privateKey: webcrypto.CryptoKey;
  readonly publicKey: PublicKey;
  /** RFC 7638, SHA-256, base64url. */
  readonly thumbprint: string;
}

const privateJwk = publicKey.extend({ d: z.string().regex(/^[A-Za-z0-9_-]{43}$/) });
/** A private key as it stands in a 0600 file. */
export type PrivateJwk = z.infer<typeof privateJwk>;

/** A fresh key pair. */
export async function generateNodeKey(): Promise<NodeKey> {
  const pair = await generateKeyPair(SIGNATURE_ALGORITHM, { crv: 'Ed25519', extractable: true });
  return importNodeKey(await exportJWK(pair.privateKey));
}

/** Reads a key pair from a private JWK. Throws `invalid_input`. */
export async function importNodeKey(raw: unknown): Promise<NodeKey> {
  const jwk = privateJwk.safeParse(raw);
  if (!jwk.success) {
    throw new VmdnError('invalid_input', 'This is not a private Ed25519 key in JWK form.');
  }
  const { d, ...publicHalf } = jwk.data;
  const privateKey = (await importJWK({ ...publicHalf, d }, SIGNATURE_ALGORITHM, {
    extractable: true,
  })) as webcrypto.CryptoKey;
  return { privateKey, publicKey: publicHalf, thumbprint: await thumbprintOf(publicHalf) };
}

/** The private key for a file that only its owner reads. */
export async function exportNodeKey(key: NodeKey): Promise<PrivateJwk> {
  return privateJwk.parse(await exportJWK(key.privateKey));
}

/** RFC 7638 thumbprint of a public key. */
export async function thumbprintOf(key: PublicKey): Promise<string> {
  return await calculateJwkThumbprint(key, 'sha256');
}

/** A public key ready to verify with. */
export async function importPublicKey(key: PublicKey): Promise<webcrypto.CryptoKey> {
  return (await importJWK(key, SIGNATURE_ALGORITHM)) as webcrypto.CryptoKey;
}
