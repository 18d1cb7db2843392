/**
 * Room: io, hashing. Hashing threads that outlive one disk; see workers/worker-pool.ts for its invariants.
 */

import {
  createWorkerPool,
  type WorkerPool,
  type WorkerPoolOptions,
} from '../workers/worker-pool.ts';

export type HashPoolOptions = WorkerPoolOptions;
export type HashPool = WorkerPool;

const SCRIPT = new URL('./hash-worker.ts', import.meta.url);

export function createHashPool(options: HashPoolOptions = {}): HashPool {
  return createWorkerPool(SCRIPT, options);
}
