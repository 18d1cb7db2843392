/**
 * Room: http, auth. Grants: what the coordinator allows one edge to read, signed, verified offline
 * by whoever serves the bytes (DESIGN, decision 10).
 *
 * I1: a grant names the edge's key; without a proof by that key it opens nothing.
 * I2: a grant names every disk it opens, a byte cap and an expiry; there is no wildcard.
 */

import { CompactSign, compactVerify } from 'jose';
import { z } from 'zod';
import { VmdnError } from '../../domain/errors.ts';
import { byteCount, digest, id, type PublicKey, publicKey } from '../contracts/schemas.ts';
import { importPublicKey, type NodeKey, SIGNATURE_ALGORITHM } from './keys.ts';

export const GRANT_SECONDS = 3600;
const GRANT_TYPE = 'vmdn-grant+jwt';
/** Disks in one grant: those of a VM, or the recipes of a library's worth of versions. */
export const GRANT_DISKS_MAX = 64;

const grantClaims = z.object({
  grant: id,
  project: id,
  edge: id,
  edgeKey: publicKey,
  purpose: z.enum(['teleport', 'seed', 'background']),
  teleport: id.optional(),
  epoch: z.number().int().min(1).optional(),
  disks: z.array(digest).min(1).max(GRANT_DISKS_MAX),
  scopes: z.array(z.enum(['recipe', 'blocks'])).min(1),
  /** Body bytes that may be read under this grant, all requests together. */
  bytesMax: byteCount,
  /** Seconds since 1970. */
  expiresAt: z.number().int(),
});

export type GrantClaims = z.infer<typeof grantClaims>;

/** Signs a grant with the coordinator's key. */
export async function signGrant(coordinatorKey: NodeKey, grant: GrantClaims): Promise<string> {
  return await new CompactSign(new TextEncoder().encode(JSON.stringify(grantClaims.parse(grant))))
    .setProtectedHeader({ alg: SIGNATURE_ALGORITHM, typ: GRANT_TYPE })
    .sign(coordinatorKey.privateKey);
}

/** Verifies a grant's signature and expiry. Throws `unauthenticated`. */
export async function verifyGrant(
  token: string | undefined,
  coordinatorKey: PublicKey,
  nowMs: number,
): Promise<GrantClaims> {
  if (token === undefined) {
    throw new VmdnError('unauthenticated', 'This needs a grant; ask the coordinator for one.');
  }
  const grant = await verifiedGrant(token, coordinatorKey);
  if (grant.expiresAt * 1000 <= nowMs) {
    throw new VmdnError(
      'unauthenticated',
      'The grant has expired; ask the coordinator for a fresh one.',
      {
        data: { grant: grant.grant },
      },
    );
  }
  return grant;
}

async function verifiedGrant(token: string, coordinatorKey: PublicKey): Promise<GrantClaims> {
  try {
    const key = await importPublicKey(coordinatorKey);
    const { payload, protectedHeader } = await compactVerify(token, key, {
      algorithms: [SIGNATURE_ALGORITHM],
    });
    if (protectedHeader.typ !== GRANT_TYPE) throw new TypeError('not a grant');
    return grantClaims.parse(JSON.parse(new TextDecoder().decode(payload)));
  } catch (cause) {
    throw new VmdnError('unauthenticated', 'The grant was not signed by this coordinator.', {
      cause,
    });
  }
}
