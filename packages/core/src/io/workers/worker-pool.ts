/**
 * Room: io, workers. Threads that outlive one job: starting one costs a quarter of a second of processor time
 * (mostly Node reading TypeScript), which is as much as hashing 100 MB.
 *
 * I1: a thread serves one job at a time; jobs at the same time get threads of their own.
 * I2: a thread goes back only after a job that ended well; any other one is ended.
 * I3: idle threads do not keep the process alive, and end after `idleMs` or with close().
 * I4: a thread that ended while it was idle is given to nobody: it would never answer.
 */

import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { MAX_POOL_WORKERS } from '../../domain/limits.ts';

export interface WorkerPoolOptions {
  /** Threads for one job. Default: as many as there are cores. */
  readonly workerCount?: number;
  /** How long threads wait for the next job. Default: a minute. */
  readonly idleMs?: number;
}

export interface WorkerPool extends AsyncDisposable {
  /** Threads for one job, at most `count` and as many as the pool gives to one; makes them if need be. */
  take(count: number): Worker[];
  /** Gives threads back: `good` ones wait for the next job, others are ended. */
  give(workers: readonly Worker[], state: 'good' | 'bad'): Promise<void>;
  /** Ends idle threads; those at work end when they are given back. Idempotent. */
  close(): Promise<void>;
}

const DEFAULT_IDLE_MS = 60_000;

/** A pool of threads that run `script`. */
export function createWorkerPool(script: URL, options: WorkerPoolOptions = {}): WorkerPool {
  const limit = Math.min(options.workerCount ?? availableParallelism(), MAX_POOL_WORKERS);
  const idle: Worker[] = [];
  let isClosed = false;
  let timer: NodeJS.Timeout | undefined;

  const end = async (workers: readonly Worker[]): Promise<void> => {
    await Promise.all(workers.map((worker) => worker.terminate()));
  };
  const leaveIdle = (worker: Worker): void => {
    const at = idle.indexOf(worker);
    if (at >= 0) idle.splice(at, 1);
  };
  const close = async (): Promise<void> => {
    isClosed = true;
    clearTimeout(timer);
    await end(idle.splice(0));
  };
  return {
    take(count) {
      clearTimeout(timer);
      const workers = idle.splice(0, Math.min(count, limit));
      while (workers.length < Math.min(count, limit)) workers.push(new Worker(script));
      for (const worker of workers) worker.ref();
      return workers;
    },
    async give(workers, state) {
      for (const worker of workers) {
        // By name: Node keeps listeners of its own on a worker.
        for (const name of ['message', 'error', 'exit']) worker.removeAllListeners(name);
        // A thread that dies while idle is no loss; without a listener it would be an uncaught error.
        worker.on('error', () => {});
        worker.once('exit', () => leaveIdle(worker));
        worker.unref();
      }
      const room = isClosed || state === 'bad' ? 0 : Math.max(0, limit - idle.length);
      idle.push(...workers.slice(0, room));
      clearTimeout(timer);
      timer = setTimeout(() => void end(idle.splice(0)), options.idleMs ?? DEFAULT_IDLE_MS);
      timer.unref();
      await end(workers.slice(room));
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}
