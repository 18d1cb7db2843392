/**
 * Room: coordinator, services. Grants: what an edge may read, from whom it does not matter.
 *
 * I1: a grant lives at least half an hour and at most an hour; within one half hour the same grant
 *     is the same text, so that the desired state of an edge does not change by being asked for.
 * I2: a background grant opens recipes only, never blocks.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import { GRANT_BYTES_EXTRA, GRANT_BYTES_FACTOR, GRANTS_KEPT_MAX } from '../limits.ts';
import type { PublicKeyValue } from '../ports.ts';
import type { Context, GrantValue } from './context.ts';
import { idFromWords } from './secrets.ts';

const HALF_LIFE_SECONDS = 1800;

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
  /** Changes every half hour: part of whatever names a set of grants. */
  window(): number;
  /** The grant of this half hour; `fresh` makes a new one with an allowance of its own. */
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
  window: number,
  fresh: Id | undefined,
): GrantValue {
  const digests = [...new Set(disks.map((disk) => disk.digest))];
  const bound =
    purpose.purpose === 'teleport' ? { teleport: purpose.teleport, epoch: purpose.epoch } : {};
  const words = JSON.stringify([purpose, digests]);
  return {
    grant: fresh ?? idFromWords('grant', edge.id, words, window),
    project: edge.project,
    edge: edge.id,
    edgeKey: edge.publicKey,
    purpose: purpose.purpose,
    ...bound,
    disks: digests,
    scopes: purpose.purpose === 'background' ? ['recipe'] : ['recipe', 'blocks'],
    bytesMax: bytesMaxOf(purpose, disks),
    expiresAt: (window + 2) * HALF_LIFE_SECONDS,
  };
}

/** An issuer that keeps what it signed. */
export function createGrantIssuer(context: Pick<Context, 'keys' | 'now'>): GrantIssuer {
  const signed = new Map<string, string>();
  const window = (): number => Math.floor(context.now() / 1000 / HALF_LIFE_SECONDS);
  return {
    window,
    async issue(edge, purpose, disks, fresh) {
      const grant = grantOf(edge, purpose, disks, window(), fresh);
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
