/**
 * Room: test, harness. What stands between an edge and a node in a test: an HTTP server that passes on what
 * it is asked, and may do something to it on the way.
 *
 * I1: an exchange of which one side ends early is cut on the other side too: nothing looks whole that is not.
 */

import { once } from 'node:events';
import {
  type ClientRequest,
  createServer,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

export interface HttpProxy extends AsyncDisposable {
  readonly url: string;
}

/** One request, as it came in. */
export interface Exchange {
  readonly incoming: IncomingMessage;
  readonly outgoing: ServerResponse;
}

/** Starts a proxy that serves each request by `serve`. */
export async function startProxy(serve: (exchange: Exchange) => void): Promise<HttpProxy> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((incoming, outgoing) => serve({ incoming, outgoing }));
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/**
 * Asks `base` the same; the caller sends the body. Without a base, as of a node that is not there yet, the
 * connection is cut, and nothing is returned.
 */
export function askOn(
  base: string | undefined,
  { incoming, outgoing }: Exchange,
  onAnswer: (answer: IncomingMessage) => void,
): ClientRequest | undefined {
  if (base === undefined) {
    outgoing.destroy();
    return undefined;
  }
  const { host: _, ...headers } = incoming.headers;
  const url = new URL(incoming.url ?? '/', base);
  const forwarded = request(url, { method: incoming.method, headers }, onAnswer);
  forwarded.on('error', () => outgoing.destroy());
  outgoing.on('close', () => forwarded.destroy());
  return forwarded;
}

/** Gives an answer back as it is. */
export function giveBack(answer: IncomingMessage, outgoing: ServerResponse): void {
  const { 'transfer-encoding': _, ...headers } = answer.headers;
  outgoing.writeHead(answer.statusCode ?? 502, headers);
  answer.on('error', () => outgoing.destroy());
  answer.pipe(outgoing);
}
