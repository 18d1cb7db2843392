/**
 * Room: io, hashing. What the describing thread and its workers say to one another.
 *
 * I1: pages are claimed by adding 1 to one shared counter, so each is described exactly once.
 */

import type { ErrorCode, ErrorData } from '../../domain/errors.ts';
import type { PageDescription } from '../../formats/recipe-builder.ts';

/** Words of the shared control block: next page to claim, pages done, and whether to stop. */
export const CONTROL_NEXT_PAGE = 0;
export const CONTROL_DONE_PAGES = 1;
export const CONTROL_STOP = 2;
export const CONTROL_WORDS = 3;

/** A job: describe the pages of one disk that `map` says must be read. */
export interface HashJob {
  readonly socketPath: string;
  readonly virtualSizeBytes: number;
  readonly control: Int32Array<SharedArrayBuffer>;
  /** A bit for each segment; see read-map.ts. */
  readonly map: Uint8Array<SharedArrayBuffer>;
  /** What the disk is also described without; see domain/free-ranges.ts. */
  readonly free: Float64Array<SharedArrayBuffer>;
}

/** What a worker says of its job: a page that is not all zero; the end; a failure, which is an end too. */
export type HashWorkerMessage =
  | {
      readonly kind: 'page';
      readonly description: PageDescription;
      /** The page with what is free of it as zero; null: then all of it is zero. */
      readonly withoutFree: PageDescription | 'same' | null;
    }
  | { readonly kind: 'done'; readonly readBytes: number }
  | {
      readonly kind: 'failed';
      readonly code: ErrorCode;
      readonly message: string;
      readonly data: ErrorData;
    };
