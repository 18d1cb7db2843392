/**
 * Room: io, sync. Plans disks in one worker thread, one after another: planning is background work and
 * leaves the other cores to deliveries.
 *
 * I1: every request is answered; when the thread dies, what it was asked fails with `internal` and the
 *     next request starts another.
 */

import { Worker } from 'node:worker_threads';
import type { Digest } from '../../domain/digest.ts';
import { ERROR_CODES, type ErrorCode, VmdnError } from '../../domain/errors.ts';
import type { DiskPlan, LocalImage, Rates } from '../../domain/plan.ts';
import { fileError } from '../files/files.ts';
import type { PlanAnswer } from './plan-messages.ts';

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
  return new ThreadPlanner();
}

interface Pending {
  readonly recipePath: string;
  readonly resolve: (plan: DiskPlan) => void;
  readonly reject: (error: unknown) => void;
}

class ThreadPlanner implements Planner {
  #worker: Worker | undefined;
  readonly #pending = new Map<number, Pending>();
  #number = 0;
  #isClosed = false;

  plan(request: PlanRequest): Promise<DiskPlan> {
    const { signal, ...order } = request;
    if (this.#isClosed || signal?.aborted === true) return Promise.reject(cancelled());
    this.#number += 1;
    const number = this.#number;
    return new Promise((resolve, reject) => {
      const abandon = (): void => {
        this.#pending.delete(number);
        reject(cancelled());
      };
      signal?.addEventListener('abort', abandon, { once: true });
      const settled = <T>(settle: (value: T) => void) => {
        return (value: T): void => {
          signal?.removeEventListener('abort', abandon);
          settle(value);
        };
      };
      this.#pending.set(number, {
        recipePath: request.recipePath,
        resolve: settled(resolve),
        reject: settled(reject),
      });
      const worker = this.#thread();
      worker.ref();
      worker.postMessage({ number, ...order });
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#failAll(cancelled());
    await this.#worker?.terminate();
  }

  #thread(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    const worker = new Worker(new URL('./plan-worker.ts', import.meta.url));
    worker.on('message', (answer: PlanAnswer) => {
      const pending = this.#pending.get(answer.number);
      this.#pending.delete(answer.number);
      if (this.#pending.size === 0) worker.unref();
      if (answer.kind === 'planned') pending?.resolve(answer.plan);
      else pending?.reject(planError(answer, pending.recipePath));
    });
    const died = (cause: unknown): void => {
      if (this.#worker !== worker) return;
      this.#worker = undefined;
      this.#failAll(new VmdnError('internal', 'The worker that plans disks died.', { cause }));
    };
    worker.on('error', died);
    worker.on('exit', died);
    this.#worker = worker;
    return worker;
  }

  #failAll(error: VmdnError): void {
    for (const pending of this.#pending.values()) pending.reject(error);
    this.#pending.clear();
  }
}

function planError(answer: PlanAnswer & { readonly kind: 'failed' }, recipePath: string): unknown {
  const { code, message, data } = answer;
  if (ERROR_CODES.some((known) => known === code)) {
    return new VmdnError(code as ErrorCode, message, { data });
  }
  return fileError(Object.assign(new Error(message), { code }), recipePath);
}

function cancelled(): VmdnError {
  return new VmdnError('cancelled', 'Planning was cancelled.');
}
