/**
 * Room: test, harness. A proxy between an edge and its origin that can be told to lie: the origin is
 * honest, the network is not.
 *
 * I1: it touches answers only; requests, grants and proofs pass as they are.
 * I2: `honest` passes everything unchanged.
 */

import type { IncomingMessage, ServerResponse } from 'node:http';
import { askOn, giveBack, type HttpProxy, startProxy } from './proxy.ts';

export type Lie =
  | 'honest'
  /** One bit of each answer is another. */
  | 'flipped'
  /** Each answer ends in the middle, as if it were whole. */
  | 'truncated'
  /** Each answer goes on for ever. */
  | 'endless'
  /** The connection is cut in the middle of each answer. */
  | 'cut'
  /** 200, and a page of words. */
  | 'page'
  /** Another block's answer: blocks of a request come from elsewhere. */
  | 'garbage';

export interface LyingProxy extends HttpProxy {
  lie: Lie;
  /** Answers that were lies. */
  readonly lies: number;
}

/** Starts a proxy; `target` is asked for each request, since an origin may move, or not be there yet. */
export async function startLyingProxy(target: () => string | undefined): Promise<LyingProxy> {
  const lying = { lie: 'honest' as Lie, lies: 0 };
  const proxy = await startProxy((exchange) => {
    const { incoming, outgoing } = exchange;
    const forwarded = askOn(target(), exchange, (answer) => {
      const isLie = lying.lie !== 'honest' && answer.statusCode === 200;
      if (isLie) lying.lies += 1;
      pass(answer, outgoing, isLie ? lying.lie : 'honest');
    });
    if (forwarded !== undefined) incoming.pipe(forwarded);
  });
  return {
    url: proxy.url,
    get lie() {
      return lying.lie;
    },
    set lie(lie) {
      lying.lie = lie;
    },
    get lies() {
      return lying.lies;
    },
    [Symbol.asyncDispose]: () => proxy[Symbol.asyncDispose](),
  };
}

function pass(answer: IncomingMessage, outgoing: ServerResponse, lie: Lie): void {
  if (lie === 'honest') {
    giveBack(answer, outgoing);
    return;
  }
  const { 'content-length': _, 'transfer-encoding': __, ...headers } = answer.headers;
  outgoing.writeHead(200, lie === 'page' ? { 'content-type': 'text/html' } : headers);
  if (lie === 'page') {
    outgoing.end('<html>Please log in to the hotel network.</html>');
    answer.resume();
    return;
  }
  const chunks: Buffer[] = [];
  answer.on('data', (chunk: Buffer) => chunks.push(chunk));
  answer.on('error', () => outgoing.destroy());
  answer.on('end', () => tell(Buffer.concat(chunks), outgoing, lie));
}

function tell(body: Buffer, outgoing: ServerResponse, lie: Lie): void {
  const half = Math.floor(body.length / 2);
  if (lie === 'truncated') outgoing.end(body.subarray(0, half));
  else if (lie === 'garbage') outgoing.end(Buffer.alloc(body.length, 0x5a));
  else if (lie === 'cut') outgoing.write(body.subarray(0, half), () => outgoing.destroy());
  else if (lie === 'flipped') {
    body[half] = (body[half] ?? 0) ^ 0x10;
    outgoing.end(body);
  } else {
    // An empty body would go on for ever without a byte, and nobody else would have a turn.
    if (body.length === 0) outgoing.destroy();
    const more = (): void => {
      while (!outgoing.destroyed && outgoing.write(body)) {
        // Until the other side has had enough.
      }
      if (!outgoing.destroyed) outgoing.once('drain', more);
    };
    more();
  }
}
