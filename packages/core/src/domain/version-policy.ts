/**
 * Room: domain. Whether a version of a VM is live, pinned or withdrawn, and whether its origin should
 * keep a copy of it (DESIGN, section 2).
 *
 * I1: a version without a copy is live exactly while its source is off and unchanged, and only the
 *     newest one can be: an older one never comes back to life.
 * I2: a copy that is there is kept while it is wanted, and is pinned as long as it is kept, whatever
 *     happens to the source.
 * I3: what was described while it ran is nowhere but in its copy: whatever the policy, the copy is wanted
 *     as long as the version is the newest or teleports read it.
 */

import type { VersionState } from './description.ts';

/** When an origin keeps a copy of a version. */
export const PIN_POLICIES = ['never', 'while-teleporting', 'always'] as const;
export type PinPolicy = (typeof PIN_POLICIES)[number];

/** What an origin knows of one version. */
export interface VersionFacts {
  /** No later version of this VM has been described. */
  readonly isNewest: boolean;
  /** The source is off and its bytes are still this version's. */
  readonly sourceMatches: boolean;
  /** A teleport grant for it was used and is still good. */
  readonly teleporting: boolean;
  /** It was described while the VM ran. */
  readonly ran: boolean;
  /** A whole copy of all its disks is here. */
  readonly pinIsThere: boolean;
}

export interface VersionDecision {
  readonly state: VersionState;
  /** What to do about the copy. */
  readonly pin: 'make' | 'keep' | 'remove' | 'none';
}

/** Decides by the policy and the facts; a total function. */
export function decideVersion(policy: PinPolicy, facts: VersionFacts): VersionDecision {
  const isWanted =
    policy === 'always' || facts.ran
      ? facts.isNewest || facts.teleporting
      : policy === 'while-teleporting' && facts.teleporting;
  const isLive = facts.isNewest && facts.sourceMatches;
  if (facts.pinIsThere) {
    if (isWanted) return { state: 'pinned', pin: 'keep' };
    return { state: isLive ? 'live' : 'withdrawn', pin: 'remove' };
  }
  if (isLive) return { state: 'live', pin: isWanted ? 'make' : 'none' };
  return { state: 'withdrawn', pin: 'none' };
}
