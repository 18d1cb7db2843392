/**
 * Room: io, hashing. From a locked export to a recipe, a digest and keysRoot, on all cores.
 *
 * I1: the result depends on the guest-visible bytes alone, not on format, holes, threads or their order.
 * I2: extents that block status calls ZERO are not read; everything else is, and zero is decided by content.
 * I3: whatever fails or is cancelled, no thread and no connection is left behind when the promise settles.
 */

import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { Digest, MerkleRoot } from '../../domain/digest.ts';
import { VmdnError } from '../../domain/errors.ts';
import { MAX_HASH_WORKERS, SEGMENTS_PER_PAGE } from '../../domain/limits.ts';
import type { Recipe } from '../../domain/recipe.ts';
import { SEGMENT_BYTES } from '../../domain/units.ts';
import { digestOfRecipe } from '../../formats/disk-digest.ts';
import { keysRootOfRecipe, pageCount } from '../../formats/key-pages.ts';
import { buildRecipe, type PageDescription } from '../../formats/recipe-builder.ts';
import { connectNbd } from '../nbd/nbd-client.ts';
import {
  CONTROL_DONE_PAGES,
  CONTROL_STOP,
  CONTROL_WORDS,
  type HashWorkerData,
  type HashWorkerMessage,
  type HashWorkerStart,
} from './hash-protocol.ts';
import { readMap } from './read-map.ts';

export interface DescribeDiskOptions {
  /** A read-only export that stays locked meanwhile; see io/disk-export. */
  readonly socketPath: string;
  readonly virtualSizeBytes: number;
  readonly signal?: AbortSignal | undefined;
  /** Called now and then with how many bytes of the disk are done, up to virtualSizeBytes. */
  readonly onProgress?: (doneBytes: number) => void;
  /** Threads; by default one more than there are cores, so that a core has work while one waits. */
  readonly workerCount?: number;
}

export interface DiskDescription {
  readonly recipe: Recipe;
  readonly digest: Digest;
  readonly keysRoot: MerkleRoot;
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
  const { pages, readBytes } = await describePages(options);
  const recipe = buildRecipe(virtualSizeBytes, pages);
  options.onProgress?.(virtualSizeBytes);
  return {
    recipe,
    digest: digestOfRecipe(recipe),
    keysRoot: keysRootOfRecipe(recipe),
    readBytes,
  };
}

interface Described {
  readonly pages: readonly PageDescription[];
  readonly readBytes: number;
}

async function describePages(options: DescribeDiskOptions): Promise<Described> {
  const { socketPath, virtualSizeBytes, signal } = options;
  const pageTotal = pageCount(virtualSizeBytes);
  if (pageTotal === 0) return { pages: [], readBytes: 0 };
  const control = new Int32Array(new SharedArrayBuffer(CONTROL_WORDS * 4));
  const data: HashWorkerData = { socketPath, virtualSizeBytes, control };
  const count = Math.min(
    options.workerCount ?? availableParallelism() + 1,
    pageTotal,
    MAX_HASH_WORKERS,
  );
  const url = new URL('./hash-worker.ts', import.meta.url);
  // Threads take a while to start: they do so while the map is made.
  const workers = Array.from({ length: count }, () => new Worker(url, { workerData: data }));
  const abort = Promise.withResolvers<never>();
  const onAbort = (): void => abort.reject(cancelled());
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    const collected = collect(workers, () => {
      const done = Atomics.load(control, CONTROL_DONE_PAGES) * SEGMENTS_PER_PAGE * SEGMENT_BYTES;
      options.onProgress?.(Math.min(done, virtualSizeBytes));
    });
    // A thread that fails before the map is made is reported below, not as an unhandled rejection.
    collected.catch(() => {});
    await Promise.race([startWorkers(options, workers), abort.promise, collected]);
    return await Promise.race([collected, abort.promise]);
  } finally {
    signal?.removeEventListener('abort', onAbort);
    Atomics.store(control, CONTROL_STOP, 1);
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

/** Makes the map of what must be read and lets the workers begin. */
async function startWorkers(
  options: DescribeDiskOptions,
  workers: readonly Worker[],
): Promise<void> {
  const { socketPath, virtualSizeBytes, signal } = options;
  const client = await connectNbd({ socketPath, signal });
  try {
    if (client.sizeBytes !== virtualSizeBytes) {
      throw new VmdnError('source_changed', 'The disk is not as large as it was when opened.', {
        data: { before: virtualSizeBytes, now: client.sizeBytes },
      });
    }
    const start: HashWorkerStart = { map: await readMap(client) };
    for (const worker of workers) worker.postMessage(start);
  } finally {
    await client.close();
  }
}

/** Gathers pages until every worker is done. Rejects with the first failure. */
function collect(workers: readonly Worker[], onPage: () => void): Promise<Described> {
  const pages: PageDescription[] = [];
  let readBytes = 0;
  let running = workers.length;
  return new Promise((resolve, reject) => {
    const onMessage = (message: HashWorkerMessage): void => {
      if (message.kind === 'page') {
        pages.push(message.description);
        onPage();
      } else if (message.kind === 'done') {
        readBytes += message.readBytes;
        running -= 1;
        if (running === 0) resolve({ pages, readBytes });
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
