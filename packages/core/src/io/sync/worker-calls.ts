/**
 * Room: io, sync. Questions to one worker thread that outlives them, answered one after another.
 *
 * I1: every question is answered; when the thread dies, what it was asked fails with `internal` and the
 *     next question starts another.
 * I2: a thread that was asked nothing does not keep the process alive, and ends after IDLE_MS.
 * I3: an error crosses as code, message and data; one that is not ours comes out as an Error with the
 *     errno as its code.
 * I4: what an answer was made with is given back at once: columns of hundreds of megabytes, which V8 would
 *     keep until the next answers have added theirs.
 */

import { parentPort, type Transferable, Worker } from 'node:worker_threads';
import { ERROR_CODES, type ErrorCode, type ErrorData, VmdnError } from '../../domain/errors.ts';
import { garbageCollector } from './collect-garbage.ts';

export interface CallOptions {
  /** Stops waiting; the thread finishes what it began. */
  readonly signal?: AbortSignal | undefined;
  readonly transfer?: readonly Transferable[];
}

export interface WorkerCalls<Order, Value> {
  /** Throws what the thread threw, `cancelled`, `internal`. */
  call(order: Order, options?: CallOptions): Promise<Value>;
  /** Ends the thread; what is asked afterwards is `cancelled`. Idempotent. */
  close(): Promise<void>;
}

/** A thread takes 30 MB and 0.15 s to start: it stays for a series of questions, not for a quiet night. */
const IDLE_MS = 15_000;

interface Message<Order> {
  readonly number: number;
  readonly order: Order;
}

type Answer<Value> =
  | { readonly kind: 'done'; readonly number: number; readonly value: Value }
  | {
      readonly kind: 'failed';
      readonly number: number;
      /** An error code of ours, or an errno. */
      readonly code: string;
      readonly message: string;
      readonly data: ErrorData;
    };

/** Calls to the script at `url`, which must call `answerCalls`. `work` names in words what it does. */
export function createWorkerCalls<Order, Value>(url: URL, work: string): WorkerCalls<Order, Value> {
  return new ThreadCalls<Order, Value>(url, work);
}

/** Inside the thread: answers each order with what `handle` returns, or with what it throws. */
export function answerCalls<Order, Value>(
  handle: (order: Order) => Value,
  transferOf: (value: Value) => readonly Transferable[] = () => [],
): void {
  const collectGarbage = garbageCollector();
  parentPort?.on('message', ({ number, order }: Message<Order>) => {
    setImmediate(collectGarbage);
    try {
      const value = handle(order);
      const answer: Answer<Value> = { kind: 'done', number, value };
      parentPort?.postMessage(answer, transferOf(value));
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : '';
      const data = error instanceof VmdnError ? error.data : {};
      const message = error instanceof Error ? error.message : String(error);
      const answer: Answer<Value> = { kind: 'failed', number, code, message, data };
      parentPort?.postMessage(answer);
    }
  });
}

/** The buffers that can be handed over: those that hold nothing but one of the columns. */
export function buffersOf(columns: readonly ArrayBufferView[]): readonly ArrayBuffer[] {
  const whole = columns.filter(({ buffer, byteLength }) => byteLength === buffer.byteLength);
  return [...new Set(whole.map(({ buffer }) => buffer as ArrayBuffer))];
}

interface Pending<Value> {
  readonly resolve: (value: Value) => void;
  readonly reject: (error: unknown) => void;
}

class ThreadCalls<Order, Value> implements WorkerCalls<Order, Value> {
  readonly #url: URL;
  readonly #work: string;
  #worker: Worker | undefined;
  #idle: NodeJS.Timeout | undefined;
  readonly #pending = new Map<number, Pending<Value>>();
  #number = 0;
  #isClosed = false;

  constructor(url: URL, work: string) {
    this.#url = url;
    this.#work = work;
  }

  call(order: Order, { signal, transfer = [] }: CallOptions = {}): Promise<Value> {
    if (this.#isClosed || signal?.aborted === true) return Promise.reject(this.#cancelled());
    this.#number += 1;
    const number = this.#number;
    return new Promise((resolve, reject) => {
      const abandon = (): void => {
        this.#pending.delete(number);
        if (this.#pending.size === 0) this.#rest();
        reject(this.#cancelled());
      };
      signal?.addEventListener('abort', abandon, { once: true });
      const settled = <T>(settle: (value: T) => void) => {
        return (value: T): void => {
          signal?.removeEventListener('abort', abandon);
          settle(value);
        };
      };
      this.#pending.set(number, { resolve: settled(resolve), reject: settled(reject) });
      const worker = this.#thread();
      clearTimeout(this.#idle);
      worker.ref();
      worker.postMessage({ number, order }, transfer);
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#failAll(this.#cancelled());
    clearTimeout(this.#idle);
    await this.#worker?.terminate();
  }

  /** Nobody waits: the thread ends soon, unless it is asked again. */
  #rest(): void {
    const worker = this.#worker;
    worker?.unref();
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => {
      if (this.#worker === worker) this.#worker = undefined;
      void worker?.terminate();
    }, IDLE_MS).unref();
  }

  #thread(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    const worker = new Worker(this.#url);
    worker.on('message', (answer: Answer<Value>) => {
      const pending = this.#pending.get(answer.number);
      this.#pending.delete(answer.number);
      if (this.#pending.size === 0) this.#rest();
      if (answer.kind === 'done') pending?.resolve(answer.value);
      else pending?.reject(errorOf(answer));
    });
    const died = (cause: unknown): void => {
      if (this.#worker !== worker) return;
      this.#worker = undefined;
      this.#failAll(new VmdnError('internal', `The worker that ${this.#work} died.`, { cause }));
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

  #cancelled(): VmdnError {
    return new VmdnError('cancelled', `The worker that ${this.#work} was told to stop.`);
  }
}

function errorOf({ code, message, data }: Answer<unknown> & { readonly kind: 'failed' }): Error {
  if (ERROR_CODES.some((known) => known === code)) {
    return new VmdnError(code as ErrorCode, message, { data });
  }
  return Object.assign(new Error(message), { code });
}
