/**
 * Room: edge, sync. Takes over what a staging area holds from before.
 *
 * I1: a row counts only when the area is trusted, or when the row's bytes were hashed just now.
 * I2: a claim that turned out wrong is taken back, also in the bitmap.
 * I3: a segment that is right without a claim was written after the last commit: it counts for the tiers
 *     that the plan names.
 */

import { setBlockTier, tierCode } from '@vmdn/core/domain/bitmap.ts';
import { type DiskPlan, keyOf, REMOTE, SELF } from '@vmdn/core/domain/plan.ts';
import type { RecipeIndex } from '@vmdn/core/domain/recipe-index.ts';
import { ROW_DONE } from '@vmdn/core/domain/schedule.ts';
import type { Tier } from '@vmdn/core/domain/tiers.ts';
import { BLOCK_BYTES, divCeil, segmentCount, segmentLengthBytes } from '@vmdn/core/domain/units.ts';
import type { AssemblySession, StagingArea } from '@vmdn/core/io/ports/disk-assembly.ts';
import { CHECK_SEGMENTS } from './limits.ts';

export interface RecoveryOptions {
  readonly plan: DiskPlan;
  readonly index: RecipeIndex;
  readonly session: AssemblySession;
  readonly condition: StagingArea['condition'];
  /** Rows that count become ROW_DONE. */
  readonly states: Uint8Array;
  /** What the bitmap claims; corrected here. */
  readonly records: Uint32Array;
  readonly remoteTier: Tier;
  readonly isOver: () => boolean;
  /** For each row that counts. */
  readonly onRow: (row: number) => void;
  /** For each row of which the bitmap does not say what is so. */
  readonly onNews: (row: number, isThere: boolean) => void;
}

/** Returns when everything was looked at, or as soon as the run is over. */
export async function recover(options: RecoveryOptions): Promise<void> {
  const { condition, states, records } = options;
  if (condition === 'fresh') return;
  if (condition === 'trusted') {
    for (let row = 0; row < states.length; row += 1) {
      if (records[2 * row] !== 0) states[row] = ROW_DONE;
    }
  } else {
    await checkAll(options);
    if (options.isOver()) return;
    for (let row = 0; row < states.length; row += 1) correctClaim(options, row);
  }
  for (let row = 0; row < states.length; row += 1) {
    if (states[row] === ROW_DONE) options.onRow(row);
  }
}

/** Hashes every segment that the staging file holds, and clears what should be zero. */
async function checkAll({ plan, session, states, isOver }: RecoveryOptions): Promise<void> {
  const segments = segmentCount(plan.wanted.virtualSizeBytes);
  let next = 0;
  const checker = async (): Promise<void> => {
    while (next < segments && !isOver()) {
      const from = next;
      next += CHECK_SEGMENTS;
      const { verified } = await session.check(from, next);
      for (const row of verified) states[row] = ROW_DONE;
    }
  };
  await Promise.all(Array.from({ length: session.width }, checker));
}

function correctClaim(options: RecoveryOptions, row: number): void {
  const { states, records, onNews } = options;
  const isThere = states[row] === ROW_DONE;
  const isClaimed = records[2 * row] !== 0;
  if (isThere === isClaimed) return;
  if (isThere) recordPlanned(options, row);
  else records.fill(0, 2 * row, 2 * row + 2);
  onNews(row, isThere);
}

/** Gives a row's blocks the tiers that the plan names. */
function recordPlanned(options: RecoveryOptions, row: number): void {
  const { plan, index, records, remoteTier } = options;
  const mask = plan.wanted.blockMasks[row]!;
  const length = segmentLengthBytes(plan.wanted.virtualSizeBytes, index.segmentOfRow[row]!);
  for (let bit = 0; bit < divCeil(length, BLOCK_BYTES); bit += 1) {
    let tier: Tier = 'zero';
    if ((mask & (1 << bit)) !== 0) {
      const source = plan.source[keyOf(index, mask, row, bit)]!;
      const isRemote = source === REMOTE || source === SELF;
      const image = isRemote ? undefined : plan.images[plan.placeImage[source]!];
      tier = isRemote ? remoteTier : (image?.tier ?? 'local');
    }
    setBlockTier(records, row, bit, tierCode(tier));
  }
}
