/**
 * Room: http, auth. The proof of possession that a node sends with each request: a compact JWS over
 * method, path, body and grant by the node's own key, after the model of DPoP (RFC 9449). A stolen
 * grant is useless without the key, and a recorded request is useless elsewhere and later.
 *
 * I1: a proof names its receiver (`aud`), method (`htm`), path with query (`htu`), the SHA-256 of
 *     the body (`bh`) and of the grant (`gh`); any difference is refused.
 * I2: a proof is good for PROOF_WINDOW_SECONDS around its `iat`, once: its `jti` is remembered for
 *     as long as it could be good again.
 * I3: the memory for `jti`s is bounded; when it is full, new proofs are refused, never old ones
 *     forgotten early.
 */

import { createHash, randomUUID, type webcrypto } from 'node:crypto';
import { CompactSign, compactVerify, decodeProtectedHeader } from 'jose';
import { z } from 'zod';
import { VmdnError } from '../../domain/errors.ts';
import type { PublicKey } from '../contracts/schemas.ts';
import { importPublicKey, type NodeKey, SIGNATURE_ALGORITHM } from './keys.ts';

/** How far the sender's clock may be off, either way. RFC 9449 §11.1 speaks of seconds or minutes. */
export const PROOF_WINDOW_SECONDS = 60;
/** 2 × 60 s at 4,000 requests a second, some 100 bytes each: 48 MB at the very worst. */
export const REMEMBERED_PROOFS_MAX = 480_000;
const PROOF_TYPE = 'vmdn-proof+jwt';
/** A proof is some 500 characters; a longer header is not one of ours. */
const PROOF_CHARACTERS_MAX = 4096;

/** The request that a proof speaks of. */
export interface ProvenRequest {
  /** Upper case. */
  readonly method: string;
  /** Path with its query string, as sent. */
  readonly path: string;
  readonly body?: Uint8Array | undefined;
  readonly grant?: string | undefined;
}

const claims = z.object({
  aud: z.string(),
  htm: z.string(),
  htu: z.string(),
  bh: z.string(),
  gh: z.string().optional(),
  iat: z.number(),
  jti: z.uuid(),
});

function sha256Base64Url(data: Uint8Array | string): string {
  return createHash('sha256').update(data).digest('base64url');
}

/** Signs a request. `keyId` is the node's id; `audience` is the receiver's (`coordinator` or a node's id). */
export async function signProof(
  key: NodeKey,
  request: ProvenRequest & { readonly keyId: string; readonly audience: string },
): Promise<string> {
  const payload = {
    aud: request.audience,
    htm: request.method,
    htu: request.path,
    bh: sha256Base64Url(request.body ?? new Uint8Array()),
    ...(request.grant === undefined ? {} : { gh: sha256Base64Url(request.grant) }),
    iat: Math.floor(Date.now() / 1000),
    jti: randomUUID(),
  };
  return await new CompactSign(new TextEncoder().encode(JSON.stringify(payload)))
    .setProtectedHeader({ alg: SIGNATURE_ALGORITHM, typ: PROOF_TYPE, kid: request.keyId })
    .sign(key.privateKey);
}

function refuse(why: string, cause?: unknown): never {
  throw new VmdnError('unauthenticated', `The request's proof was refused: ${why}.`, { cause });
}

/** Remembers spent proofs until they can't be good any more, in two generations. */
function createReplayMemory(now: () => number): (jti: string) => boolean {
  const generationMs = 2 * PROOF_WINDOW_SECONDS * 1000;
  let young = new Set<string>();
  let old = new Set<string>();
  let turnedAt = now();
  return (jti) => {
    if (now() - turnedAt >= generationMs) {
      old = now() - turnedAt >= 2 * generationMs ? new Set() : young;
      young = new Set();
      turnedAt = now();
    }
    if (young.has(jti) || old.has(jti)) return false;
    if (young.size + old.size >= REMEMBERED_PROOFS_MAX) {
      throw new VmdnError('busy', 'Too many requests at once; try again in a minute.');
    }
    young.add(jti);
    return true;
  };
}

export interface ProofVerifier {
  /**
   * Checks a proof against the request it came with and returns whose key signed it. `findKey`
   * gives the public key for a key id, or undefined. Throws `unauthenticated`, `busy`.
   */
  verify(
    token: string | undefined,
    request: ProvenRequest,
    findKey: (keyId: string) => Promise<PublicKey | undefined>,
  ): Promise<{ keyId: string }>;
}

/** A verifier for one receiver; keep one per process, it remembers spent proofs. */
export function createProofVerifier(options: {
  readonly audience: string;
  readonly now?: () => number;
}): ProofVerifier {
  const now = options.now ?? Date.now;
  const isFirstUse = createReplayMemory(now);
  const imported = new Map<string, webcrypto.CryptoKey>();
  const keyOf = async (publicKey: PublicKey): Promise<webcrypto.CryptoKey> => {
    const known = imported.get(publicKey.x);
    if (known !== undefined) return known;
    if (imported.size >= 10_000) imported.clear();
    const key = await importPublicKey(publicKey);
    imported.set(publicKey.x, key);
    return key;
  };
  return {
    async verify(token, request, findKey) {
      if (token === undefined || token.length > PROOF_CHARACTERS_MAX) refuse('there is none');
      const keyId = readKeyId(token);
      const publicKey = await findKey(keyId);
      if (publicKey === undefined) refuse('its key is not known here');
      const parsed = claims.safeParse(await verifiedPayload(token, await keyOf(publicKey)));
      if (!parsed.success) refuse('a claim is missing');
      const proof = parsed.data;
      if (proof.aud !== options.audience) refuse('it is meant for another receiver');
      if (proof.htm !== request.method || proof.htu !== request.path) {
        refuse('it was made for another request');
      }
      if (proof.bh !== sha256Base64Url(request.body ?? new Uint8Array())) {
        refuse('the body is not the one it was made for');
      }
      const grantHash = request.grant === undefined ? undefined : sha256Base64Url(request.grant);
      if (proof.gh !== grantHash) refuse('the grant is not the one it was made for');
      if (Math.abs(now() / 1000 - proof.iat) > PROOF_WINDOW_SECONDS) {
        refuse('it is too old, or the clocks differ by more than a minute');
      }
      if (!isFirstUse(proof.jti)) refuse('it was used before');
      return { keyId };
    },
  };
}

function readKeyId(token: string): string {
  try {
    const header = decodeProtectedHeader(token);
    if (header.typ !== PROOF_TYPE || header.alg !== SIGNATURE_ALGORITHM) refuse('it is no proof');
    return header.kid ?? refuse('it names no key');
  } catch (cause) {
    if (cause instanceof VmdnError) throw cause;
    return refuse('it is not a JWS', cause);
  }
}

async function verifiedPayload(token: string, key: webcrypto.CryptoKey): Promise<unknown> {
  try {
    const { payload } = await compactVerify(token, key, { algorithms: [SIGNATURE_ALGORITHM] });
    return JSON.parse(new TextDecoder().decode(payload));
  } catch (cause) {
    return refuse('its signature is not right', cause);
  }
}
