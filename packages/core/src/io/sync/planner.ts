/**
 * Room: io, sync. Plans disks in one worker thread, one after another: planning is background work and
 * leaves the other cores to deliveries.
 *
 * I1: every request is answered, also when the thread dies (worker-calls.ts).
 * I2: plans that nobody has any more take at most UNCOLLECTED_BYTES_MAX and one plan's bytes.
 */

import type { Digest } from '../../domain/digest.ts';
import { isVmdnError } from '../../domain/errors.ts';
import { type DiskPlan, type LocalImage, planBytes } from '../../domain/plan.ts';
import { fileError } from '../files/files.ts';
import { garbageCollector } from './collect-garbage.ts';
import type { Coverage, CoverageOrder, PlanOrder } from './plan-messages.ts';
import { createWorkerCalls } from './worker-calls.ts';

/** A wanted disk, and what is here of it. */
export interface PlanRequest {
  readonly digest: Digest;
  /** The encoded recipe of the wanted disk. */
  readonly recipePath: string;
  /** What may be a source, the preferred ones first. */
  readonly images: readonly LocalImage[];
  readonly signal?: AbortSignal;
}

export interface CoverageRequest extends PlanRequest {
  /** Recipe files of images that are not here. */
  readonly offered: readonly string[];
}

/** Both throw `corrupt` (the recipe is not that of the digest), `not_found`, `too_large`, `cancelled`. */
export interface Planner {
  plan(request: PlanRequest): Promise<DiskPlan>;
  /** What the offered images would cover beyond those that are here. */
  coverage(request: CoverageRequest): Promise<Coverage>;
  close(): Promise<void>;
}

/** Plans of some 7 GiB of disk. They lie in shared memory: no number of them would make V8 collect one. */
const UNCOLLECTED_BYTES_MAX = 32 * 2 ** 20;

export function createPlanner(): Planner {
  const collectGarbage = garbageCollector();
  let uncollectedBytes = 0;
  const script = new URL('./plan-worker.ts', import.meta.url);
  const calls = createWorkerCalls<PlanOrder | CoverageOrder, DiskPlan | Coverage>(
    script,
    'plans disks',
  );
  const ask = async (
    order: PlanOrder | CoverageOrder,
    signal: AbortSignal | undefined,
  ): Promise<DiskPlan | Coverage> => {
    try {
      return await calls.call(order, { signal });
    } catch (error) {
      throw isVmdnError(error) ? error : fileError(error, order.recipePath);
    }
  };
  return {
    async plan({ signal, ...wanted }) {
      if (uncollectedBytes > UNCOLLECTED_BYTES_MAX) {
        collectGarbage();
        uncollectedBytes = 0;
      }
      const plan = (await ask({ kind: 'plan', ...wanted }, signal)) as DiskPlan;
      uncollectedBytes += planBytes(plan);
      return plan;
    },
    coverage: async ({ signal, ...wanted }) =>
      (await ask({ kind: 'coverage', ...wanted }, signal)) as Coverage,
    close: () => calls.close(),
  };
}
