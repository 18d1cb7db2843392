/**
 * Room: coordinator, services. Grants: what an edge may read, from whom it does not matter.
 *
 * I1: a grant lives at least half of `grantSeconds` and at most all of it; within one such half, an hour's
 *     half unless set otherwise, the same grant is the same text, so that the desired state of an edge
 *     does not change by being asked for.
 * I2: a background grant opens recipes only, never blocks.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import { GRANT_BYTES_EXTRA, GRANT_BYTES_FACTOR, GRANTS_KEPT_MAX } from '../limits.ts';
import type { PublicKeyValue } from '../ports.ts';
import type { Context, GrantValue } from './context.ts';
import { idFromWords } from './secrets.ts';

/** A disk as a grant needs it: how much reading it can take. */
export interface GrantedDisk {
  readonly digest: Digest;
  readonly nonZeroBytes: number;
  readonly recipeBytes: number;
}

interface Reader {
  readonly id: Id;
  readonly project: Id;
  readonly publicKey: PublicKeyValue;
}

/** What a grant is for. */
export type GrantPurpose =
  | { readonly purpose: 'teleport'; readonly teleport: Id; readonly epoch: number }
  | { readonly purpose: 'seed'; readonly seed: Id }
  | { readonly purpose: 'background' };

export interface GrantIssuer {
  /** Changes at half-life: part of whatever names a set of grants. */
  window(): number;
  /** The grant of this half-life; `fresh` makes a new one with an allowance of its own. */
  issue(
    edge: Reader,
    purpose: GrantPurpose,
    disks: readonly GrantedDisk[],
    fresh?: Id,
  ): Promise<string>;
}

function bytesMaxOf(purpose: GrantPurpose, disks: readonly GrantedDisk[]): number {
  const bytes = disks.reduce(
    (sum, disk) =>
      sum + disk.recipeBytes + (purpose.purpose === 'background' ? 0 : disk.nonZeroBytes),
    0,
  );
  return bytes * GRANT_BYTES_FACTOR + GRANT_BYTES_EXTRA;
}

function grantOf(
  edge: Reader,
  purpose: GrantPurpose,
  disks: readonly GrantedDisk[],
  expiresAt: number,
  fresh: Id | undefined,
): GrantValue {
  const digests = [...new Set(disks.map((disk) => disk.digest))];
  const bound =
    purpose.purpose === 'teleport' ? { teleport: purpose.teleport, epoch: purpose.epoch } : {};
  const words = JSON.stringify([purpose, digests]);
  return {
    grant: fresh ?? idFromWords('grant', edge.id, words, expiresAt),
    project: edge.project,
    edge: edge.id,
    edgeKey: edge.publicKey,
    purpose: purpose.purpose,
    ...bound,
    disks: digests,
    scopes: purpose.purpose === 'background' ? ['recipe'] : ['recipe', 'blocks'],
    bytesMax: bytesMaxOf(purpose, disks),
    expiresAt,
  };
}

/** An issuer that keeps what it signed. */
export function createGrantIssuer(context: Pick<Context, 'keys' | 'now' | 'timing'>): GrantIssuer {
  const signed = new Map<string, string>();
  const halfLifeSeconds = (): number => context.timing.grantSeconds / 2;
  const window = (): number => Math.floor(context.now() / 1000 / halfLifeSeconds());
  return {
    window,
    async issue(edge, purpose, disks, fresh) {
      const expiresAt = Math.floor((window() + 2) * halfLifeSeconds());
      const grant = grantOf(edge, purpose, disks, expiresAt, fresh);
      const key = JSON.stringify(grant);
      const kept = signed.get(key);
      if (kept !== undefined) return kept;
      const token = await context.keys.signGrant(grant);
      if (signed.size >= GRANTS_KEPT_MAX) signed.clear();
      signed.set(key, token);
      return token;
    },
  };
}
