/**
 * Room: http. A listening server for a fetch handler: limits on headers and idle time, TLS where
 * given, and a refusal to speak plain text to other machines by accident.
 *
 * I1: without TLS it listens on loopback only, unless the operator said that plain text is allowed
 *     (a private network, or a proxy that ends TLS in front).
 * I2: `close` stops accepting, ends idle connections at once, and the others when the given grace
 *     is over.
 */

import { once } from 'node:events';
import { createServer as createPlainServer, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { isIP } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { VmdnError } from '../domain/errors.ts';

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

export interface ServeOptions {
  readonly fetch: (request: Request, env: never) => Response | Promise<Response>;
  readonly listen: ListenAddress;
  /** PEM texts. */
  readonly tls?: { readonly certificate: string; readonly key: string } | undefined;
  readonly plaintextAllowed?: boolean | undefined;
}

export interface RunningServer {
  readonly url: string;
  /** Stops; connections still busy after `graceMs` (default 5,000) are cut. */
  close(graceMs?: number): Promise<void>;
}

/** Longer than any long poll: the header of a slow client must be here by then. */
const HEADERS_TIMEOUT_MS = 15_000;
const KEEP_ALIVE_MS = 65_000;
const HEADER_BYTES_MAX = 64 * 1024;
/** While it closes: how often it looks for connections whose last request has ended. */
const IDLE_SWEEP_MS = 50;

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

function requireSafe(options: ServeOptions): void {
  if (options.tls !== undefined || options.plaintextAllowed === true) return;
  if (isLoopback(options.listen.host)) return;
  throw new VmdnError(
    'invalid_input',
    `Refusing to listen on ${options.listen.host} without TLS: give a certificate and key, listen on ` +
      'loopback behind a proxy that ends TLS, or set VMDN_PLAINTEXT=allow on a private network.',
  );
}

/** Starts to listen; resolves when it does. Throws `invalid_input`, `conflict` (port taken). */
export async function serve(options: ServeOptions): Promise<RunningServer> {
  requireSafe(options);
  // The global Request and Response stay Node's own: undici's are used by clients in this process.
  const listener = getRequestListener(options.fetch as never, { overrideGlobalObjects: false });
  const limits = { maxHeaderSize: HEADER_BYTES_MAX, noDelay: true };
  const server: Server =
    options.tls === undefined
      ? createPlainServer(limits, listener)
      : createTlsServer(
          { ...limits, cert: options.tls.certificate, key: options.tls.key, minVersion: 'TLSv1.3' },
          listener,
        );
  server.headersTimeout = HEADERS_TIMEOUT_MS;
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  // A block stream over a slow link takes hours: time limits belong to the routes.
  server.requestTimeout = 0;
  await listening(server, options.listen);
  const { port } = server.address() as AddressInfo;
  const host = options.listen.host.includes(':') ? `[${options.listen.host}]` : options.listen.host;
  return {
    url: `${options.tls === undefined ? 'http' : 'https'}://${host}:${port}`,
    async close(graceMs = 5000) {
      if (!server.listening) return;
      const closed = once(server, 'close');
      server.close();
      server.closeIdleConnections();
      // A request that ends from now on leaves an idle connection behind, which nobody else would close.
      const sweep = setInterval(() => server.closeIdleConnections(), IDLE_SWEEP_MS);
      const cut = setTimeout(() => server.closeAllConnections(), graceMs);
      await closed;
      clearInterval(sweep);
      clearTimeout(cut);
    },
  };
}

async function listening(server: Server, address: ListenAddress): Promise<void> {
  server.listen(address.port, address.host);
  try {
    await once(server, 'listening');
  } catch (cause) {
    const where = `${address.host}:${address.port}`;
    throw new VmdnError('conflict', `Could not listen on ${where}; is another process using it?`, {
      data: { ...address },
      cause,
    });
  }
}
