/**
 * Room: io, sync. Plans disks in one worker thread, one after another: planning is background work and
 * leaves the other cores to deliveries.
 *
 * I1: every request is answered, also when the thread dies (worker-calls.ts).
 */

import type { Digest } from '../../domain/digest.ts';
import { isVmdnError } from '../../domain/errors.ts';
import type { DiskPlan, LocalImage, Rates } from '../../domain/plan.ts';
import { fileError } from '../files/files.ts';
import type { PlanOrder } from './plan-messages.ts';
import { createWorkerCalls } from './worker-calls.ts';

export interface PlanRequest {
  readonly digest: Digest;
  /** The encoded recipe of the wanted disk. */
  readonly recipePath: string;
  /** What may be a source, the preferred ones first. */
  readonly images: readonly LocalImage[];
  readonly rates: Rates;
  readonly signal?: AbortSignal;
}

export interface Planner {
  /** Throws `corrupt` (the recipe is not that of the digest), `not_found`, `too_large`, `cancelled`. */
  plan(request: PlanRequest): Promise<DiskPlan>;
  close(): Promise<void>;
}

export function createPlanner(): Planner {
  const script = new URL('./plan-worker.ts', import.meta.url);
  const calls = createWorkerCalls<PlanOrder, DiskPlan>(script, 'plans disks');
  return {
    async plan({ signal, ...order }) {
      try {
        return await calls.call(order, { signal });
      } catch (error) {
        throw isVmdnError(error) ? error : fileError(error, order.recipePath);
      }
    },
    close: () => calls.close(),
  };
}
