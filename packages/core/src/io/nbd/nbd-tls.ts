/**
 * Room: io, nbd. TLS on an NBD connection, after NBD_OPT_STARTTLS.
 *
 * I1: a client shows a certificate that the given authority signed, or nothing is said to it.
 */

import type { Socket } from 'node:net';
import { createServer, type TLSSocket } from 'node:tls';

/** PEM texts: the server's own key and certificate, and the authority whose clients are let in. */
export interface NbdTls {
  readonly key: string;
  readonly cert: string;
  readonly ca: string;
}

/** Speaks TLS on a socket from here on. Rejects when the client cannot, or shows nothing of worth. */
export async function startTls(
  socket: Socket,
  { key, cert, ca }: NbdTls,
  handshakeTimeoutMs: number,
): Promise<TLSSocket> {
  const server = createServer({
    key,
    cert,
    ca,
    requestCert: true,
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
    handshakeTimeout: handshakeTimeoutMs,
  });
  return await new Promise((resolve, reject) => {
    server.once('secureConnection', resolve);
    server.once('tlsClientError', reject);
    socket.once('close', () => reject(new Error('The client went away.')));
    // Documented: a connection from elsewhere is handed to the server so.
    server.emit('connection', socket);
  });
}
