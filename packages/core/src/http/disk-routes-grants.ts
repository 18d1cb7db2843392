/**
 * Room: http. Who may read what of a disk, and how much of it: grants, proofs, byte caps, slots.
 *
 * I1: nothing about a disk is looked up before grant, proof, digest and scope were checked: without
 *     a grant nobody learns whether a digest is held here.
 * I2: never more than `bytesMax` body bytes leave under one grant, all its requests together.
 * I3: what is remembered is bounded: grants until they expire, requests by slots.
 */

import type { Digest } from '../domain/digest.ts';
import { VmdnError } from '../domain/errors.ts';
import { type GrantClaims, verifyGrant } from './auth/grant.ts';
import { createProofVerifier } from './auth/proof.ts';
import { GRANT_HEADER, PROOF_HEADER } from './contracts/disks.ts';
import type { PublicKey } from './contracts/schemas.ts';
import type { DiskRouteLimits } from './disk-routes-limits.ts';
import type { AppContext } from './mount.ts';

/** One admitted request. */
export interface AdmittedRequest {
  readonly claims: GrantClaims;
  /** Counts body bytes before they leave. Throws `quota_exceeded` instead of passing the cap. */
  spend(bytes: number): void;
  /** Gives the slot back; called once. */
  end(): void;
}

export interface GrantDesk {
  /**
   * Checks a request for `digest` and takes a slot. Throws `unauthenticated`, `forbidden`,
   * `quota_exceeded`, `busy`.
   */
  admit(
    context: AppContext,
    wanted: {
      readonly digest: Digest;
      readonly scope: 'recipe' | 'blocks';
      readonly body: Uint8Array;
    },
  ): Promise<AdmittedRequest>;
}

interface GrantUse {
  readonly bytesMax: number;
  readonly expiresAtMs: number;
  spentBytes: number;
  requests: number;
}

export function createGrantDesk(options: {
  /** This node's id: proofs are made for it. */
  readonly nodeId: string;
  readonly coordinatorKey: () => PublicKey;
  readonly limits: DiskRouteLimits;
  readonly now: () => number;
}): GrantDesk {
  const { limits, now } = options;
  const proofs = createProofVerifier({ audience: options.nodeId, now });
  const uses = createGrantMemory(limits.grantsMax, now);
  let requests = 0;

  const admitGrant = (claims: GrantClaims): AdmittedRequest => {
    const use = uses.of(claims);
    if (use.spentBytes >= use.bytesMax) throw overCap(claims);
    if (requests >= limits.requestsMax || use.requests >= limits.requestsPerGrantMax) {
      throw new VmdnError('busy', 'Too many requests are under way here; try again in a second.', {
        data: { requestsMax: limits.requestsMax, perGrantMax: limits.requestsPerGrantMax },
      });
    }
    requests += 1;
    use.requests += 1;
    return {
      claims,
      spend(bytes) {
        if (use.spentBytes + bytes > use.bytesMax) throw overCap(claims);
        use.spentBytes += bytes;
      },
      end() {
        requests -= 1;
        use.requests -= 1;
      },
    };
  };

  return {
    async admit(context, wanted) {
      const grant = context.req.header(GRANT_HEADER);
      const claims = await verifyGrant(grant, options.coordinatorKey(), now());
      const { pathname, search } = new URL(context.req.url);
      await proofs.verify(
        context.req.header(PROOF_HEADER),
        { method: context.req.method, path: pathname + search, body: wanted.body, grant },
        async (keyId) => (keyId === claims.edge ? claims.edgeKey : undefined),
      );
      if (!claims.disks.includes(wanted.digest) || !claims.scopes.includes(wanted.scope)) {
        throw new VmdnError(
          'forbidden',
          `The grant does not open the ${wanted.scope} of this disk.`,
          {
            data: { grant: claims.grant, scope: wanted.scope },
          },
        );
      }
      return admitGrant(claims);
    },
  };
}

function overCap(claims: GrantClaims): VmdnError {
  return new VmdnError(
    'quota_exceeded',
    'The grant is used up; ask the coordinator for a fresh one.',
    {
      data: { grant: claims.grant, bytesMax: claims.bytesMax },
    },
  );
}

/** Grants in use, swept when the memory is full. */
function createGrantMemory(
  grantsMax: number,
  now: () => number,
): { of(claims: GrantClaims): GrantUse } {
  const uses = new Map<string, GrantUse>();
  const sweep = (): void => {
    for (const [grant, use] of uses) {
      if (use.requests === 0 && use.expiresAtMs <= now()) uses.delete(grant);
    }
  };
  return {
    of(claims) {
      const known = uses.get(claims.grant);
      if (known !== undefined) return known;
      if (uses.size >= grantsMax) sweep();
      // Forgetting a grant that is still good would forget what it has spent.
      if (uses.size >= grantsMax) {
        throw new VmdnError('busy', 'Too many grants are in use here; try again later.');
      }
      const use: GrantUse = {
        bytesMax: claims.bytesMax,
        expiresAtMs: claims.expiresAt * 1000,
        spentBytes: 0,
        requests: 0,
      };
      uses.set(claims.grant, use);
      return use;
    },
  };
}
