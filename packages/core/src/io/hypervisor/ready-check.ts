/**
 * Room: io, hypervisor. One attempt at a guest's ready check, through its forwarded port.
 *
 * QEMU's user networking accepts on the host before the guest has even booted, so that neither a
 * connection nor a request that hangs says anything. Each attempt asks QEMU whether the *guest*
 * completed the handshake, gives up soon when it did not (libslirp repeats a lost SYN after 6 s and
 * more), and only then sends a request.
 *
 * I1: the guest is not trusted: an attempt is bounded in time and reads a bounded answer.
 */

import { request } from 'node:http';
import { createConnection, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { VmEndpoint } from '../ports/hypervisor.ts';

/** A page under emulation takes seconds (PHP under TCG: about 3 s). */
export const HTTP_ATTEMPT_MS = 15_000;
/** A handshake with a guest that listens takes milliseconds, under emulation some ten. */
const HANDSHAKE_MS = 1000;
const HANDSHAKE_POLL_MS = 50;
/** A page may be of any size; its head is all that counts. */
const HEAD_BYTES_MAX = 16 * 1024;

/** Whether the guest completed a handshake on the endpoint. */
export type IsEstablished = () => Promise<boolean>;

/** Whether the guest accepts a connection. Never rejects. */
export async function acceptsTcp(
  endpoint: VmEndpoint,
  isEstablished: IsEstablished,
): Promise<boolean> {
  const socket = await openEstablished(endpoint, isEstablished);
  socket?.destroy();
  return socket !== null;
}

/** Whether `path` answers 2xx within `timeoutMs`. Never rejects. */
export async function answersHttp(
  endpoint: VmEndpoint,
  isEstablished: IsEstablished,
  path: string,
  timeoutMs: number,
): Promise<boolean> {
  const socket = await openEstablished(endpoint, isEstablished);
  if (socket === null) return false;
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const attempt = request(
    {
      createConnection: () => socket,
      host: endpoint.host,
      path,
      method: 'GET',
      headers: { 'user-agent': 'vmdn-ready', connection: 'close' },
      maxHeaderSize: HEAD_BYTES_MAX,
      signal: AbortSignal.timeout(timeoutMs),
    },
    (response) => {
      const status = response.statusCode ?? 0;
      response.destroy();
      resolve(status >= 200 && status < 300);
    },
  );
  attempt.on('error', () => resolve(false));
  attempt.end();
  return await promise.finally(() => socket.destroy());
}

/** A connection that the guest itself accepted, or null. */
async function openEstablished(
  endpoint: VmEndpoint,
  isEstablished: IsEstablished,
): Promise<Socket | null> {
  const socket = createConnection({ host: endpoint.host, port: endpoint.hostPort });
  socket.on('error', () => socket.destroy());
  const deadline = performance.now() + HANDSHAKE_MS;
  while (performance.now() < deadline && !socket.destroyed) {
    if (!socket.connecting && (await isEstablished())) return socket;
    await delay(HANDSHAKE_POLL_MS);
  }
  socket.destroy();
  return null;
}
