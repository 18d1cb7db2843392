/**
 * Room: edge, services. How well the blocks compress that plans fetch, as their holders measured it: what a
 * plan says of bytes and seconds on the wire follows from that.
 *
 * I1: a ratio is asked for where it is not known, or where what travels has changed since; it costs a round
 *     trip and no blocks.
 * I2: whatever goes wrong costs truth, not the plan: the rates that were learned stand in. So they do where
 *     there is nobody to ask: this edge alone has the disk.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import { type DiskPlan, indexOf, planMasks } from '@vmdn/core/domain/plan.ts';
import type { Rates } from '@vmdn/core/domain/plan-estimate.ts';
import { createTurns } from '@vmdn/core/domain/turns.ts';
import { BLOCK_BYTES } from '@vmdn/core/domain/units.ts';
import { sampleRows, type WireSample } from '@vmdn/core/domain/wire-sample.ts';
import type { DiskClient } from '@vmdn/core/http/clients/disk-client.ts';
import type { EdgeEvents } from '../events.ts';
import { RATIOS_KEPT_MAX, SAMPLED_BLOCKS_MAX } from '../limits.ts';
import type { DiskHolder } from './remote-sources.ts';

/** Whom to ask, and by whose leave. */
export interface RatioQuestion {
  readonly holders: readonly DiskHolder[];
  readonly grant: () => string;
  readonly signal: AbortSignal;
}

export interface WireRatios {
  /** Asks a holder where that is called for. Throws `cancelled` only. */
  measure(plan: DiskPlan, question: RatioQuestion): Promise<void>;
  /** The rates with what was measured for a disk. */
  applied(digest: Digest, rates: Rates): Rates;
}

interface Known {
  /** Of what travelled when it was measured; null: nothing did. */
  readonly travelling: number | null;
  readonly travellingBytes: number;
  readonly disk: number;
}

/** Below this change of what travels, its ratio stays. */
const CHANGE_MIN = 0.02;

export function createWireRatios(deps: {
  readonly client: Pick<DiskClient, 'measureBlocks'>;
  readonly events: EdgeEvents;
}): WireRatios {
  const ratios = new Map<Digest, Known>();
  const turns = createTurns<string>();
  const measure = async (plan: DiskPlan, question: RatioQuestion): Promise<void> => {
    const { digest, counts } = plan;
    const known = ratios.get(digest);
    const { travellingBytes } = counts;
    if (known !== undefined && isNear(known.travellingBytes, travellingBytes)) return;
    const disk = known?.disk ?? (await ratioOf(deps.client, plan, wholeOf(plan), question));
    const travelling = await ratioOf(deps.client, plan, travellingOf(plan), question);
    ratios.delete(digest);
    ratios.set(digest, { travelling, travellingBytes, disk: disk ?? 0 });
    if (ratios.size > RATIOS_KEPT_MAX) ratios.delete(ratios.keys().next().value!);
    deps.events.wireMeasured(digest, { travelling, disk, travellingBytes });
  };
  return {
    async measure(plan, question) {
      if (question.holders.length === 0) return;
      try {
        // Two that want to know the same ask once.
        await turns.inTurn(plan.digest, () => measure(plan, question));
      } catch (error) {
        if (question.signal.aborted) throw error;
        deps.events.wireNotMeasured(plan.digest, error);
      }
    },
    applied(digest, rates) {
      const known = ratios.get(digest);
      if (known === undefined) return rates;
      const compressedRatio = known.travelling ?? rates.compressedRatio;
      return { ...rates, compressedRatio, diskCompressedRatio: known.disk };
    },
  };
}

function isNear(before: number, now: number): boolean {
  return Math.abs(now - before) <= CHANGE_MIN * Math.max(before, now);
}

function travellingOf(plan: DiskPlan): WireSample | undefined {
  const { segmentOfRow } = indexOf(plan);
  return sampleRows({ segmentOfRow, masks: planMasks(plan).remote }, SAMPLED_BLOCKS_MAX);
}

function wholeOf(plan: DiskPlan): WireSample | undefined {
  const { segmentOfRow } = indexOf(plan);
  return sampleRows({ segmentOfRow, masks: plan.wanted.blockMasks }, SAMPLED_BLOCKS_MAX);
}

/** Bytes on the wire for one of disk, from the first holder that tells. Throws what the last one said. */
async function ratioOf(
  client: Pick<DiskClient, 'measureBlocks'>,
  { digest, wanted }: DiskPlan,
  sample: WireSample | undefined,
  { holders, grant, signal }: RatioQuestion,
): Promise<number | null> {
  if (sample === undefined) return null;
  const { runs, blocks } = sample;
  const { virtualSizeBytes } = wanted;
  let last: unknown;
  for (const { url, node } of holders) {
    const about = { url, holder: node, digest, grant: grant(), signal };
    try {
      const { wireBytes } = await client.measureBlocks({ ...about, virtualSizeBytes, runs });
      return wireBytes / (blocks * BLOCK_BYTES);
    } catch (error) {
      last = error;
    }
  }
  throw last;
}
