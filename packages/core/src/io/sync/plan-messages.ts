/**
 * Room: io, sync. What the planner and its worker thread say to each other.
 */

import type { Digest } from '../../domain/digest.ts';
import type { ErrorData } from '../../domain/errors.ts';
import type { DiskPlan, LocalImage, Rates } from '../../domain/plan.ts';

export interface PlanOrder {
  readonly number: number;
  readonly digest: Digest;
  readonly recipePath: string;
  readonly images: readonly LocalImage[];
  readonly rates: Rates;
}

export type PlanAnswer =
  | { readonly kind: 'planned'; readonly number: number; readonly plan: DiskPlan }
  | {
      readonly kind: 'failed';
      readonly number: number;
      /** An error code of ours, or an errno. */
      readonly code: string;
      readonly message: string;
      readonly data: ErrorData;
    };
