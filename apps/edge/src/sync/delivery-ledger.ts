/**
 * Room: edge, sync. What was delivered of one disk: bytes by tier, bytes on the wire, mismatches, rates.
 *
 * I1: bytes by tier are the sum over the tier records of the verified segments plus the zero segments, so
 *     at the end they add up to the virtual size, whatever happened on the way.
 * I2: wire bytes only grow, and go on from what the staging area kept.
 */

import { addRecord } from '@vmdn/core/domain/bitmap.ts';
import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { DiskPlan } from '@vmdn/core/domain/plan.ts';
import type { RecipeIndex } from '@vmdn/core/domain/recipe-index.ts';
import { TIERS, type Tier, type TierBytes } from '@vmdn/core/domain/tiers.ts';
import { segmentLengthBytes } from '@vmdn/core/domain/units.ts';
import type { MismatchReason } from '@vmdn/core/io/ports/disk-assembly.ts';
import { MISMATCHES_MAX, RATE_SECONDS } from './limits.ts';

/** What was delivered of one disk; the contract's diskDelivery has this shape. */
export interface DiskDelivery {
  readonly digest: Digest;
  readonly virtualSizeBytes: number;
  readonly verifiedBytes: number;
  readonly diskBytes: TierBytes;
  readonly wireBytes: TierBytes;
}

export interface SyncProgress {
  readonly delivery: DiskDelivery;
  readonly wireBytesPerSecond: number;
  readonly diskBytesPerSecond: number;
  /** Null while nothing can be said. */
  readonly etaSeconds: number | null;
}

/** Bytes from one source that did not count, for one reason. */
export interface Mismatch {
  /** Digest of a local image, name of a remote source, or `staging`. */
  readonly source: string;
  readonly reason: MismatchReason;
  readonly count: number;
  /** The first one's block of the wanted disk. */
  readonly firstBlock: number;
}

export class DeliveryLedger {
  readonly #plan: DiskPlan;
  readonly #index: RecipeIndex;
  readonly #records: Uint32Array;
  readonly #diskBytes = new Float64Array(TIERS.length);
  readonly #wireBytes: Float64Array;
  readonly #mismatches = new Map<string, Mismatch>();
  #verifiedBytes: number;

  constructor(
    plan: DiskPlan,
    index: RecipeIndex,
    records: Uint32Array,
    wireBytes: readonly number[],
  ) {
    this.#plan = plan;
    this.#index = index;
    this.#records = records;
    this.#wireBytes = Float64Array.from(TIERS, (_, tier) => wireBytes[tier] ?? 0);
    let nonZeroBytes = 0;
    for (let row = 0; row < index.segmentOfRow.length; row += 1) nonZeroBytes += this.rowBytes(row);
    this.#verifiedBytes = plan.wanted.virtualSizeBytes - nonZeroBytes;
    this.#diskBytes[TIERS.indexOf('zero')] = this.#verifiedBytes;
  }

  /** True length of a row's segment. */
  rowBytes(row: number): number {
    const segment = this.#index.segmentOfRow[row]!;
    return segmentLengthBytes(this.#plan.wanted.virtualSizeBytes, segment);
  }

  /** A row was verified and its tier record is complete. */
  delivered(row: number): void {
    const bytes = this.rowBytes(row);
    addRecord(this.#diskBytes, this.#records, row, bytes);
    this.#verifiedBytes += bytes;
  }

  crossed(tier: Tier, bytes: number): void {
    this.#wireBytes[TIERS.indexOf(tier)]! += bytes;
  }

  mismatched(source: string, reason: MismatchReason, block: number): void {
    const name = `${reason} ${source}`;
    const known = this.#mismatches.get(name);
    if (known === undefined && this.#mismatches.size >= MISMATCHES_MAX) return;
    this.#mismatches.set(name, {
      source,
      reason,
      count: (known?.count ?? 0) + 1,
      firstBlock: known?.firstBlock ?? block,
    });
  }

  wireBytes(): number[] {
    return [...this.#wireBytes];
  }

  mismatches(): Mismatch[] {
    return [...this.#mismatches.values()];
  }

  delivery(): DiskDelivery {
    return {
      digest: this.#plan.digest,
      virtualSizeBytes: this.#plan.wanted.virtualSizeBytes,
      verifiedBytes: this.#verifiedBytes,
      diskBytes: tierBytes(this.#diskBytes),
      wireBytes: tierBytes(this.#wireBytes),
    };
  }
}

function tierBytes(sums: Float64Array): TierBytes {
  const of = (tier: Tier): number => sums[TIERS.indexOf(tier)]!;
  return {
    zero: of('zero'),
    local: of('local'),
    package: of('package'),
    peer: of('peer'),
    origin: of('origin'),
  };
}

/** A rate that forgets: exponentially weighted over RATE_SECONDS. */
export class Rate {
  #perSecond = 0;
  #total: number;
  #atMs: number;
  #isFirst = true;

  constructor(total: number, nowMs: number) {
    this.#total = total;
    this.#atMs = nowMs;
  }

  /** Takes the present total; returns bytes per second. */
  update(total: number, nowMs: number): number {
    const seconds = (nowMs - this.#atMs) / 1000;
    if (seconds <= 0) return this.#perSecond;
    const now = (total - this.#total) / seconds;
    const weight = this.#isFirst ? 1 : 1 - Math.exp(-seconds / RATE_SECONDS);
    this.#perSecond += weight * (now - this.#perSecond);
    this.#isFirst = false;
    this.#total = total;
    this.#atMs = nowMs;
    return this.#perSecond;
  }
}
