/**
 * Room: io, hashing. From a locked export to a recipe, a digest and keysRoot, on all cores.
 *
 * I1: the result depends on the guest-visible bytes alone, not on format, holes, threads or their order.
 * I2: extents that block status calls ZERO are not read; everything else is, and zero is decided by content.
 * I3: whatever fails or is cancelled, no connection is left behind when the promise settles, and no thread
 *     but idle ones of the caller's pool.
 * I4: the disk without its free space is described from the same bytes, read once.
 */

import type { Worker } from 'node:worker_threads';
import type { Digest, MerkleRoot } from '../../domain/digest.ts';
import { VmdnError } from '../../domain/errors.ts';
import { SEGMENTS_PER_PAGE } from '../../domain/limits.ts';
import type { Recipe } from '../../domain/recipe.ts';
import { SEGMENT_BYTES } from '../../domain/units.ts';
import { pageCount } from '../../formats/key-pages.ts';
import { rootsOfPages } from '../../formats/page-roots.ts';
import { buildRecipe, type PageDescription } from '../../formats/recipe-builder.ts';
import { type FreeSpace, findFreeSpace, NO_FREE_SPACE } from '../inspect/free-space.ts';
import { connectNbd } from '../nbd/nbd-client.ts';
import { createHashPool, type HashPool } from './hash-pool.ts';
import {
  CONTROL_DONE_PAGES,
  CONTROL_STOP,
  CONTROL_WORDS,
  type HashJob,
  type HashWorkerMessage,
} from './hash-protocol.ts';
import { readMap } from './read-map.ts';

export interface DescribeDiskOptions {
  /** A read-only export that stays locked meanwhile; see io/disk-export. */
  readonly socketPath: string;
  readonly virtualSizeBytes: number;
  readonly signal?: AbortSignal | undefined;
  /** Called now and then with how many bytes of the disk are done, up to virtualSizeBytes. */
  readonly onProgress?: (doneBytes: number) => void;
  /** Threads to use; without it some are started for this disk alone. */
  readonly pool?: HashPool;
  /** The segments to look at, a bit each (see read-map.ts): what else there is counts as zero. */
  readonly within?: Uint8Array;
  /** Whether to find the disk's free space, and describe the disk without it too; default false. */
  readonly findsFree?: boolean;
}

interface Described {
  readonly recipe: Recipe;
  readonly digest: Digest;
  readonly keysRoot: MerkleRoot;
}

export interface DiskDescription extends Described {
  /** The disk with its free space as zero; the same as the disk where nothing of it is free or differs. */
  readonly withoutFree: Described;
  /** Nothing where it was not looked for. */
  readonly free: FreeSpace;
  /** Bytes read through the export; the rest of the disk was ZERO by block status. */
  readonly readBytes: number;
}

/**
 * Describes the disk behind an export. Throws `unavailable` (the export died or cannot read),
 * `source_changed` (its size is not what was said), `corrupt`, `cancelled`.
 */
export async function describeDisk(options: DescribeDiskOptions): Promise<DiskDescription> {
  const { virtualSizeBytes, signal } = options;
  if (signal?.aborted) throw cancelled();
  const { pages, pagesWithoutFree, free, readBytes } = await describePages(options);
  const described = describedBy(virtualSizeBytes, pages);
  const withoutFree =
    pagesWithoutFree === null ? described : describedBy(virtualSizeBytes, pagesWithoutFree);
  options.onProgress?.(virtualSizeBytes);
  return { ...described, withoutFree, free, readBytes };
}

function describedBy(virtualSizeBytes: number, pages: readonly PageDescription[]): Described {
  return { recipe: buildRecipe(virtualSizeBytes, pages), ...rootsOfPages(virtualSizeBytes, pages) };
}

interface Collected {
  readonly pages: readonly PageDescription[];
  /** Null: the same. */
  readonly pagesWithoutFree: readonly PageDescription[] | null;
  readonly readBytes: number;
}

interface Maps {
  readonly map: HashJob['map'];
  readonly free: FreeSpace;
}

async function describePages(
  options: DescribeDiskOptions,
): Promise<Collected & { readonly free: FreeSpace }> {
  const { socketPath, virtualSizeBytes, signal } = options;
  const pageTotal = pageCount(virtualSizeBytes);
  if (pageTotal === 0) {
    return { pages: [], pagesWithoutFree: null, free: NO_FREE_SPACE, readBytes: 0 };
  }
  const control = new Int32Array(new SharedArrayBuffer(CONTROL_WORDS * 4));
  const pool = options.pool ?? createHashPool();
  // Threads take a while to start: they do so while the map is made.
  const workers = pool.take(pageTotal);
  const abort = Promise.withResolvers<never>();
  const onAbort = (): void => abort.reject(cancelled());
  signal?.addEventListener('abort', onAbort, { once: true });
  let state: 'good' | 'bad' = 'bad';
  try {
    const collected = collect(workers, () => {
      const done = Atomics.load(control, CONTROL_DONE_PAGES) * SEGMENTS_PER_PAGE * SEGMENT_BYTES;
      options.onProgress?.(Math.min(done, virtualSizeBytes));
    });
    // A thread that fails before the map is made is reported below, not as an unhandled rejection.
    collected.catch(() => {});
    const maps = await Promise.race([
      makeMaps(options),
      abort.promise,
      collected.then(neverMapped),
    ]);
    const free = new Float64Array(new SharedArrayBuffer(maps.free.ranges.byteLength));
    free.set(maps.free.ranges);
    const job: HashJob = { socketPath, virtualSizeBytes, control, map: maps.map, free };
    for (const worker of workers) worker.postMessage(job);
    const described = await Promise.race([collected, abort.promise]);
    state = 'good';
    return { ...described, free: maps.free };
  } finally {
    signal?.removeEventListener('abort', onAbort);
    Atomics.store(control, CONTROL_STOP, 1);
    await pool.give(workers, state);
    if (options.pool === undefined) await pool.close();
  }
}

/** No thread is done before it was given a job. */
function neverMapped(): never {
  throw new VmdnError('internal', 'A hashing thread answered without a job.');
}

/** The map of what must be read, and the one of what is free. */
async function makeMaps(options: DescribeDiskOptions): Promise<Maps> {
  const { socketPath, virtualSizeBytes, signal } = options;
  const client = await connectNbd({ socketPath, signal });
  try {
    if (client.sizeBytes !== virtualSizeBytes) {
      throw new VmdnError('source_changed', 'The disk is not as large as it was when opened.', {
        data: { before: virtualSizeBytes, now: client.sizeBytes },
      });
    }
    const map = await readMap(client);
    options.within?.forEach((bits, at) => {
      map[at]! &= bits;
    });
    const free = options.findsFree === true ? await findFreeSpace(client, signal) : NO_FREE_SPACE;
    return { map, free };
  } finally {
    await client.close();
  }
}

/** Gathers pages until every worker is done. Rejects with the first failure. */
function collect(workers: readonly Worker[], onPage: () => void): Promise<Collected> {
  const pages: PageDescription[] = [];
  const withoutFree: PageDescription[] = [];
  let differs = false;
  let readBytes = 0;
  let running = workers.length;
  return new Promise((resolve, reject) => {
    const onMessage = (message: HashWorkerMessage): void => {
      if (message.kind === 'page') {
        pages.push(message.description);
        const own = message.withoutFree === 'same' ? message.description : message.withoutFree;
        if (own !== null) withoutFree.push(own);
        differs ||= message.withoutFree !== 'same';
        onPage();
      } else if (message.kind === 'done') {
        readBytes += message.readBytes;
        running -= 1;
        if (running > 0) return;
        resolve({ pages, pagesWithoutFree: differs ? withoutFree : null, readBytes });
      } else {
        reject(new VmdnError(message.code, message.message, { data: message.data }));
      }
    };
    for (const worker of workers) {
      worker.on('message', onMessage);
      worker.on('error', (cause) => {
        reject(new VmdnError('internal', 'A hashing thread failed.', { cause }));
      });
      worker.on('exit', (exitCode) => {
        if (exitCode === 0) return;
        reject(new VmdnError('internal', 'A hashing thread ended early.', { data: { exitCode } }));
      });
    }
  });
}

function cancelled(): VmdnError {
  return new VmdnError('cancelled', 'Describing the disk was cancelled.');
}
