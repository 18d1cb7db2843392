/**
 * Room: io, packages. The thread that unpacks packages, one after the other, with the bytes that the other
 * side sends. What decompresses bzip2 is its child: the kernel ends it with the thread.
 *
 * I1: each job is answered once, after its files are complete or removed.
 */

import { parentPort } from 'node:worker_threads';
import { describeError, VmdnError } from '../../domain/errors.ts';
import { createCommandRunner } from '../command/command-runner.ts';
import { unpackPackage } from './unpack-package.ts';
import type { UnpackAnswer, UnpackJob, UnpackMessage } from './unpack-protocol.ts';

const port = parentPort!;
const runner = createCommandRunner();

const answer = (message: UnpackAnswer): void => port.postMessage(message);

/** The bytes that have come and are not used yet; the other side keeps them few. */
class Inbox {
  readonly aborter = new AbortController();
  readonly #chunks: Uint8Array[] = [];
  #isEnded = false;
  #wake: (() => void) | undefined;

  receive(message: UnpackMessage): void {
    if (message.kind === 'bytes') this.#chunks.push(message.bytes);
    else if (message.kind === 'end') this.#isEnded = true;
    else this.aborter.abort();
    this.#wake?.();
  }

  async *bytes(): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      if (this.aborter.signal.aborted) throw new VmdnError('cancelled', 'Unpacking was cancelled.');
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        yield chunk;
        answer({ kind: 'consumed', bytes: chunk.length });
      } else if (this.#isEnded) return;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}

let inbox = new Inbox();

async function work(job: UnpackJob, from: Inbox): Promise<void> {
  const order = { ...job, bytes: from.bytes(), signal: from.aborter.signal };
  answer({ kind: 'done', unpacked: await unpackPackage(order, runner) });
}

port.on('message', (message: UnpackMessage) => {
  if (message.kind !== 'job') {
    inbox.receive(message);
    return;
  }
  inbox = new Inbox();
  work(message.job, inbox).catch((error: unknown) => {
    const isOurs = error instanceof VmdnError;
    const [code, data] = isOurs ? ([error.code, error.data] as const) : (['internal', {}] as const);
    answer({ kind: 'failed', code, message: describeError(error), data });
  });
});
