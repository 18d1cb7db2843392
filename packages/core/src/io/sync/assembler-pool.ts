/**
 * Room: io, sync. The worker threads that assemble, one per core, shared by all disks being synced.
 *
 * I1: a worker has at most ORDERS_AHEAD orders; the rest wait here, urgent ones first.
 * I2: each order is answered or fails; when a worker dies, its orders fail with `internal`.
 */

import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { VmdnError } from '../../domain/errors.ts';
import { fileError } from '../files/files.ts';
import {
  type AssembleResult,
  type Assembler,
  type AssemblyJob,
  type AssemblySession,
  type CheckResult,
  packRow,
  ROW_WORDS,
  type RowWork,
} from '../ports/disk-assembly.ts';
import type { AssembleAnswer, AssembleOrder, NumberedAnswer } from './assemble-messages.ts';
import { garbageCollector } from './collect-garbage.ts';

/** Two: while a worker obeys one order, the next is already in its queue. */
const ORDERS_AHEAD = 2;

interface PendingOrder {
  readonly order: AssembleOrder;
  readonly resolve: (answer: AssembleAnswer) => void;
  readonly reject: (error: unknown) => void;
}

interface Member {
  readonly worker: Worker;
  readonly orders: Map<number, PendingOrder>;
}

export interface AssemblerPool extends Assembler {
  close(): Promise<void>;
}

/** Starts the workers. `workerCount`: one per core unless said. */
export function createAssemblerPool(workerCount = availableParallelism()): AssemblerPool {
  return new Pool(workerCount);
}

class Pool implements AssemblerPool {
  readonly #members: Member[];
  readonly #urgent: PendingOrder[] = [];
  readonly #waiting: PendingOrder[] = [];
  readonly #collectGarbage = garbageCollector();
  #number = 0;
  #session = 0;
  #failure: VmdnError | undefined;

  constructor(workerCount: number) {
    this.#members = Array.from({ length: Math.max(1, workerCount) }, () => this.#start());
  }

  get size(): number {
    return this.#members.length;
  }

  async open(job: AssemblyJob): Promise<AssemblySession> {
    this.#session += 1;
    const session = this.#session;
    // Every worker must know the session, so these orders do not go through the queue.
    try {
      await Promise.all(
        this.#members.map((member) => this.#tell(member, { kind: 'open', session, job })),
      );
    } catch (error) {
      await this.closeSession(session).catch(() => {});
      throw fileError(error, job.staging.files[0]!.path);
    }
    return new Session(this, session, job.staging.files[0]!.path);
  }

  /** Orders for whichever worker is free first. */
  submit(order: AssembleOrder, urgent: boolean): Promise<AssembleAnswer> {
    return new Promise((resolve, reject) => {
      (urgent ? this.#urgent : this.#waiting).push({ order, resolve, reject });
      this.#dispatch();
    });
  }

  async closeSession(session: number): Promise<void> {
    await Promise.all(
      this.#members.map((member) => this.#tell(member, { kind: 'close', session })),
    );
    // The buffers for blocks on their way go as soon as whoever closed the session has let go of them.
    setImmediate(this.#collectGarbage).unref();
  }

  async close(): Promise<void> {
    this.#failure ??= new VmdnError('cancelled', 'The sync engine was stopped.');
    await Promise.all(this.#members.map(({ worker }) => worker.terminate()));
  }

  #start(): Member {
    const worker = new Worker(new URL('./assemble-worker.ts', import.meta.url));
    // An idle pool keeps no process alive; whoever waits for an answer has something else that does.
    worker.unref();
    const member: Member = { worker, orders: new Map() };
    worker.on('message', ({ number, answer }: NumberedAnswer) => {
      const pending = member.orders.get(number);
      member.orders.delete(number);
      if (member.orders.size === 0) worker.unref();
      if (answer.kind === 'failed') pending?.reject(workerError(answer));
      else pending?.resolve(answer);
      this.#dispatch();
    });
    worker.on('error', (cause) => {
      this.#fail(new VmdnError('internal', 'A worker that assembles disks died.', { cause }));
    });
    worker.on('exit', () => {
      this.#fail(new VmdnError('internal', 'A worker that assembles disks ended.'));
    });
    return member;
  }

  #dispatch(): void {
    for (;;) {
      const queue = this.#urgent.length > 0 ? this.#urgent : this.#waiting;
      if (queue.length === 0) return;
      const member = this.#leastBusy();
      if (this.#failure === undefined && member.orders.size >= ORDERS_AHEAD) return;
      this.#send(member, queue.shift()!);
    }
  }

  #leastBusy(): Member {
    let least = this.#members[0]!;
    for (const member of this.#members) if (member.orders.size < least.orders.size) least = member;
    return least;
  }

  #tell(member: Member, order: AssembleOrder): Promise<AssembleAnswer> {
    return new Promise((resolve, reject) => this.#send(member, { order, resolve, reject }));
  }

  #send(member: Member, pending: PendingOrder): void {
    if (this.#failure !== undefined) {
      pending.reject(this.#failure);
      return;
    }
    this.#number += 1;
    member.orders.set(this.#number, pending);
    member.worker.ref();
    member.worker.postMessage({ number: this.#number, order: pending.order });
  }

  #fail(error: VmdnError): void {
    this.#failure ??= error;
    for (const { orders } of this.#members) {
      for (const pending of orders.values()) pending.reject(this.#failure);
      orders.clear();
    }
    this.#dispatch();
  }
}

class Session implements AssemblySession {
  readonly width: number;
  readonly #pool: Pool;
  readonly #session: number;
  readonly #stagingPath: string;
  readonly #running = new Set<Promise<unknown>>();

  constructor(pool: Pool, session: number, stagingPath: string) {
    this.#pool = pool;
    this.#session = session;
    this.#stagingPath = stagingPath;
    this.width = pool.size * ORDERS_AHEAD;
  }

  async assemble(rows: readonly RowWork[], urgent: boolean): Promise<AssembleResult> {
    const order = { kind: 'assemble', session: this.#session, rows: packRows(rows) } as const;
    const answer = await this.#submit(order, urgent);
    if (answer.kind !== 'assembled') throw wrongAnswer(answer);
    return answer;
  }

  async stage(row: RowWork): Promise<void> {
    const order = { kind: 'stage', session: this.#session, rows: packRows([row]) } as const;
    await this.#submit(order, true);
  }

  async check(from: number, to: number): Promise<CheckResult> {
    const order = { kind: 'check', session: this.#session, from, to } as const;
    const answer = await this.#submit(order, false);
    if (answer.kind !== 'checked') throw wrongAnswer(answer);
    return answer;
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#running);
    await this.#pool.closeSession(this.#session);
  }

  async #submit(order: AssembleOrder, urgent: boolean): Promise<AssembleAnswer> {
    const running = this.#pool.submit(order, urgent);
    this.#running.add(running);
    try {
      return await running;
    } catch (error) {
      throw fileError(error, this.#stagingPath);
    } finally {
      this.#running.delete(running);
    }
  }
}

function packRows(rows: readonly RowWork[]): Uint32Array {
  const words = new Uint32Array(rows.length * ROW_WORDS);
  rows.forEach((row, i) => {
    packRow(words, i * ROW_WORDS, row);
  });
  return words;
}

/** The error that the worker met, with its errno, as if it had been thrown here. */
function workerError(answer: { readonly errno: string; readonly message: string }): Error {
  return Object.assign(new Error(answer.message), { code: answer.errno });
}

function wrongAnswer(answer: AssembleAnswer): VmdnError {
  return new VmdnError('internal', 'A worker gave an answer to another question.', {
    data: { kind: answer.kind },
  });
}
