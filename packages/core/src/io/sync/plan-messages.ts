/**
 * Room: io, sync. What the planner asks of its worker thread.
 */

import type { Digest } from '../../domain/digest.ts';
import type { LocalImage } from '../../domain/plan.ts';

/** What both kinds of order are about: a wanted disk, and what is here of it. */
interface Wanted {
  readonly digest: Digest;
  readonly recipePath: string;
  readonly images: readonly LocalImage[];
}

export interface PlanOrder extends Wanted {
  readonly kind: 'plan';
}

export interface CoverageOrder extends Wanted {
  readonly kind: 'coverage';
  /** Recipe files of images that are not here. */
  readonly offered: readonly string[];
}

/** How much of a disk images that are not here would cover. In bytes. */
export interface Coverage {
  /** In no image that is here. */
  readonly missingBytes: number;
  /** For each offered recipe what neither the images here nor those before it cover. */
  readonly coveredBytes: readonly number[];
}
