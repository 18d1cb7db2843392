/**
 * Room: io, sync. Plans disks in one worker thread, one after another: planning is background work and
 * leaves the other cores to deliveries.
 *
 * I1: every request is answered, also when the thread dies (worker-calls.ts).
 */

import type { Digest } from '../../domain/digest.ts';
import { isVmdnError } from '../../domain/errors.ts';
import type { DiskPlan, LocalImage } from '../../domain/plan.ts';
import { fileError } from '../files/files.ts';
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

export function createPlanner(): Planner {
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
    plan: async ({ signal, ...wanted }) =>
      (await ask({ kind: 'plan', ...wanted }, signal)) as DiskPlan,
    coverage: async ({ signal, ...wanted }) =>
      (await ask({ kind: 'coverage', ...wanted }, signal)) as Coverage,
    close: () => calls.close(),
  };
}
