/**
 * Room: io, sync. What the planner asks of its worker thread.
 */

import type { Digest } from '../../domain/digest.ts';
import type { LocalImage, Rates } from '../../domain/plan.ts';

export interface PlanOrder {
  readonly digest: Digest;
  readonly recipePath: string;
  readonly images: readonly LocalImage[];
  readonly rates: Rates;
}
