/**
 * Room: io, packages. The adapter of ports/package-unpacker.ts: each package in a thread of its own, so that
 * this one's event loop only passes chunks on.
 *
 * I1: the chunks are copied once and handed over: the caller's buffers stay its own.
 * I2: no more packages at once than the pool has threads; the others wait, unread.
 * I3: when the promise settles, no thread works for it and no file of a failed job is left, even when the
 *     thread died.
 */

import { availableParallelism } from 'node:os';
import type { Worker } from 'node:worker_threads';
import pLimit from 'p-limit';
import { VmdnError } from '../../domain/errors.ts';
import { sweepTemps } from '../files/files.ts';
import type { PackageUnpacker, UnpackedPackage, UnpackOrder } from '../ports/package-unpacker.ts';
import {
  createWorkerPool,
  type WorkerPool,
  type WorkerPoolOptions,
} from '../workers/worker-pool.ts';
import { removeImage } from './unpack-package.ts';
import { UNPACK_BYTES_AHEAD, type UnpackAnswer, type UnpackMessage } from './unpack-protocol.ts';

const SCRIPT = new URL('./unpack-worker.ts', import.meta.url);

/** Bytes of one message: large chunks are cut, so that what is ahead stays near its limit. */
const MESSAGE_BYTES_MAX = UNPACK_BYTES_AHEAD / 4;

/** Starts threads as they are needed; `workerCount` is how many packages are unpacked at once. */
export function createPackageUnpacker(
  options: WorkerPoolOptions = {},
): PackageUnpacker & AsyncDisposable {
  const pool = createWorkerPool(SCRIPT, options);
  const limit = pLimit(Math.max(1, options.workerCount ?? availableParallelism()));
  return {
    unpack: (order) => limit(() => unpackInThread(pool, order)),
    [Symbol.asyncDispose]: () => pool.close(),
  };
}

async function unpackInThread(pool: WorkerPool, order: UnpackOrder): Promise<UnpackedPackage> {
  const { name, stagingDir, signal } = order;
  if (signal.aborted) throw new VmdnError('cancelled', `Unpacking ${name} was cancelled.`);
  const worker = pool.take(1)[0]!;
  const before = worker.performance.eventLoopUtilization();
  const conversation = new Conversation(worker);
  const onAbort = (): void => conversation.say({ kind: 'abort' });
  signal.addEventListener('abort', onAbort, { once: true });
  let state: 'good' | 'bad' = 'bad';
  try {
    const unpacked = await conversation.run(order);
    state = 'good';
    return unpacked;
  } finally {
    signal.removeEventListener('abort', onAbort);
    order.onBusy?.(worker.performance.eventLoopUtilization(before).active / 1000);
    await pool.give([worker], state);
    if (conversation.isThreadDead) {
      await removeImage(stagingDir).catch(() => {});
      await sweepTemps(stagingDir).catch(() => {});
    }
  }
}

/** One job's messages. */
class Conversation {
  readonly #worker: Worker;
  readonly #answer = Promise.withResolvers<UnpackedPackage>();
  #isOver = false;
  #aheadBytes = 0;
  #wake: (() => void) | undefined;
  isThreadDead = false;

  constructor(worker: Worker) {
    this.#worker = worker;
    worker.on('message', (message: UnpackAnswer) => this.#hear(message));
    worker.on('error', (cause) => {
      this.#die(new VmdnError('internal', 'A thread that unpacks packages failed.', { cause }));
    });
    worker.on('exit', () => {
      this.#die(new VmdnError('internal', 'A thread that unpacks packages ended.'));
    });
  }

  say(message: UnpackMessage, transfer: readonly ArrayBuffer[] = []): void {
    this.#worker.postMessage(message, [...transfer]);
  }

  /** Hands the job and its bytes over, and waits for the answer. */
  async run(order: UnpackOrder): Promise<UnpackedPackage> {
    const { format, name, expected, stagingDir } = order;
    this.say({ kind: 'job', job: { format, name, expected, stagingDir } });
    let inputError: { readonly error: unknown } | undefined;
    this.#send(order.bytes).catch((error: unknown) => {
      inputError = { error };
      if (!this.#isOver) this.say({ kind: 'abort' });
    });
    try {
      return await this.#answer.promise;
    } catch (error) {
      throw inputError === undefined ? error : inputError.error;
    } finally {
      this.#end();
    }
  }

  async #send(bytes: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const chunk of bytes) {
      for (let at = 0; at < chunk.length; at += MESSAGE_BYTES_MAX) {
        while (this.#aheadBytes >= UNPACK_BYTES_AHEAD && !this.#isOver) {
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
        }
        if (this.#isOver) return;
        const copy = new Uint8Array(chunk.subarray(at, at + MESSAGE_BYTES_MAX));
        this.#aheadBytes += copy.length;
        this.say({ kind: 'bytes', bytes: copy }, [copy.buffer]);
      }
    }
    if (!this.#isOver) this.say({ kind: 'end' });
  }

  #hear(message: UnpackAnswer): void {
    if (message.kind === 'consumed') {
      this.#aheadBytes -= message.bytes;
      this.#wake?.();
    } else if (message.kind === 'done') this.#answer.resolve(message.unpacked);
    else {
      const { code, message: words, data } = message;
      this.#answer.reject(new VmdnError(code, words, { data }));
    }
  }

  #die(error: VmdnError): void {
    this.isThreadDead = true;
    this.#answer.reject(error);
  }

  /** Ends the sending; a source that is being waited for is let go when it next speaks. */
  #end(): void {
    this.#isOver = true;
    this.#wake?.();
  }
}
