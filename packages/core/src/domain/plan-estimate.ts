/**
 * Room: domain. What a plan costs: bytes on the wire and seconds, under rates that were measured; and what
 * copying the whole disk would cost instead.
 *
 * I1: no rate is made up here: until something was measured, DEFAULT_RATES say what is assumed.
 * I2: link and local work go on at the same time: the slower of the two is what a plan takes.
 * I3: a plain copy is the same plan with nothing near, so that a plan never costs more than a copy.
 */

import type { DiskPlan } from './plan.ts';
import type { Candidate } from './score.ts';
import type { TierBytes } from './tiers.ts';

/** Measured rates, as numbers. */
export interface Rates {
  /** Which tier stands for what no local image covers. */
  readonly remoteTier: 'peer' | 'origin';
  /** Of the link, in bytes on the wire. */
  readonly remoteBytesPerSecond: number;
  /** Bytes on the wire for one byte of what travels. */
  readonly compressedRatio: number;
  /** The same for all blocks of the disk. */
  readonly diskCompressedRatio: number;
  /** Reading, verifying and writing local blocks. */
  readonly localBytesPerSecond: number;
  /** What every delivery takes, however small. */
  readonly fixedSeconds: number;
}

/** Until something was measured: a 10 MB/s link, half-compressible data, a laptop's disk. */
export const DEFAULT_RATES: Rates = {
  remoteTier: 'origin',
  remoteBytesPerSecond: 10_000_000,
  compressedRatio: 0.5,
  diskCompressedRatio: 0.5,
  localBytesPerSecond: 400_000_000,
  fixedSeconds: 0.2,
};

/** What one way of bringing a disk costs. */
export interface MethodCost {
  /** From other nodes, compressed. */
  readonly wireBytes: number;
  readonly estimatedSeconds: number;
}

/** A plan in numbers; the contract's planSummary has this shape. */
export interface PlanSummary extends MethodCost {
  readonly diskBytes: TierBytes;
  readonly candidates: readonly Candidate[];
  /** The whole disk, as if nothing of it were here. */
  readonly copy: MethodCost;
}

type Planned = Pick<DiskPlan, 'counts' | 'candidates'>;

/** A plan's numbers under given rates. */
export function estimatePlan({ counts, candidates }: Planned, rates: Rates): PlanSummary {
  const fromPeers = rates.remoteTier === 'peer';
  const { zeroBytes, localBytes, packageBytes, remoteBytes } = counts;
  const bytes = localBytes + packageBytes + remoteBytes;
  const copied = counts.distinctBytes * rates.diskCompressedRatio;
  return {
    diskBytes: {
      zero: zeroBytes,
      local: localBytes,
      package: packageBytes,
      peer: fromPeers ? remoteBytes : 0,
      origin: fromPeers ? 0 : remoteBytes,
    },
    ...cost(counts.travellingBytes * rates.compressedRatio, bytes, rates),
    candidates,
    copy: cost(copied, bytes, rates),
  };
}

function cost(wireBytes: number, diskBytes: number, rates: Rates): MethodCost {
  const linkSeconds = wireBytes / rates.remoteBytesPerSecond;
  const localSeconds = diskBytes / rates.localBytesPerSecond;
  return {
    wireBytes: Math.round(wireBytes),
    estimatedSeconds: rates.fixedSeconds + Math.max(linkSeconds, localSeconds),
  };
}

/** What a delivery showed of the rates. */
export interface DeliverySample {
  /** Of blocks, from other nodes. */
  readonly wireBytes: number;
  /** Of the disk, that came in them. */
  readonly remoteBytes: number;
  /** While at least one request was under way, and not kept waiting by this edge. */
  readonly remoteSeconds: number;
  /** Of the disk, verified and written in this delivery. */
  readonly diskBytes: number;
  readonly seconds: number;
}

/** Less says nothing about a rate: latency and set-up count for more than the bytes. */
const SAMPLE_BYTES_MIN = 4 * 1024 * 1024;
/** Weight of a new sample: three deliveries make most of the estimate. */
const SAMPLE_WEIGHT = 0.5;
/** Above this share of a delivery's time the link was what it waited for. */
const LINK_BOUND_SHARE = 0.8;

/** The rates after one more delivery. */
export function learnRates(rates: Rates, sample: DeliverySample): Rates {
  const { wireBytes, remoteBytes, remoteSeconds, diskBytes, seconds } = sample;
  let learned = rates;
  if (wireBytes >= SAMPLE_BYTES_MIN && remoteSeconds > 0 && remoteBytes > 0) {
    const ratio = Math.min(1, wireBytes / remoteBytes);
    learned = {
      ...learned,
      remoteBytesPerSecond: blend(rates.remoteBytesPerSecond, wireBytes / remoteSeconds),
      compressedRatio: blend(rates.compressedRatio, ratio),
    };
  }
  if (diskBytes < SAMPLE_BYTES_MIN || seconds <= 0) return learned;
  const local = diskBytes / seconds;
  // Where the link was waited for, the disk's rate is only known to be no less.
  const isLinkBound = remoteSeconds > LINK_BOUND_SHARE * seconds;
  if (isLinkBound && local < rates.localBytesPerSecond) return learned;
  return { ...learned, localBytesPerSecond: blend(rates.localBytesPerSecond, local) };
}

function blend(before: number, now: number): number {
  return before + (now - before) * SAMPLE_WEIGHT;
}
