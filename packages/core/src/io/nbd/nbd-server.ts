/**
 * Room: io, nbd. A server of read-only disks: on a unix socket for this machine, by TLS for others.
 *
 * I1: a unix socket lies in a directory that only its one user can enter: from bind to chmod a socket has
 *     the rights that the umask leaves, so rights of the socket alone come too late. It is 0600 besides.
 * I2: over the network there is TLS or nothing, and clients show who they are too. Loopback is no exception:
 *     guests and browsers reach it.
 * I3: there are at most NBD_CONNECTIONS_MAX clients, and none that is silent in the handshake for long.
 * I4: close() leaves no connection, no read in flight and no socket.
 */

import { chmod, chown, lstat, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { dirname } from 'node:path';
import { VmdnError } from '../../domain/errors.ts';
import { NBD_CONNECTIONS_MAX, SOCKET_PATH_BYTES_MAX } from '../../domain/limits.ts';
import { fileError, takePrivateDir } from '../files/files.ts';
import type { SocketUser } from '../ports/export-server.ts';
import type { NbdExports } from './nbd-negotiation.ts';
import type { NbdTls } from './nbd-tls.ts';
import { ReplyMemory } from './reply-memory.ts';
import { ServedConnection } from './served-connection.ts';

export type { NbdExports } from './nbd-negotiation.ts';
export type { NbdTls } from './nbd-tls.ts';

/** The socket's directory is made, and belongs to `user` then; absent: to ourselves. */
export interface UnixPlace {
  readonly socketPath: string;
  readonly user?: SocketUser | undefined;
}

export interface NetworkPlace {
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  readonly tls: NbdTls;
}

export interface NbdServerOptions {
  readonly place: UnixPlace | NetworkPlace;
  readonly exports: NbdExports;
  /** Told of reads that failed; the client got EIO. */
  readonly onReadError: (exportName: string, error: unknown) => void;
  /** Default NBD_HANDSHAKE_MS_MAX. */
  readonly handshakeMs?: number;
}

export interface NbdServer {
  /** The port that it listens on; 0 for a unix socket. */
  readonly port: number;
  readonly connections: number;
  /** Idempotent. */
  close(): Promise<void>;
}

/** Starts to serve. Throws `invalid_input`, `forbidden`, `conflict`. */
export async function serveNbd(options: NbdServerOptions): Promise<NbdServer> {
  const { place, exports, onReadError, handshakeMs } = options;
  const tls = 'tls' in place ? place.tls : undefined;
  const memory = new ReplyMemory();
  const open = new Set<ServedConnection>();
  const server = createServer({ noDelay: true }, (socket) => {
    const means = { exports, tls, memory, onReadError, handshakeMs };
    const connection = new ServedConnection(socket, means);
    open.add(connection);
    connection.ended.then(() => open.delete(connection));
  });
  server.maxConnections = NBD_CONNECTIONS_MAX;
  // Who cannot be let in (EMFILE) tries again; without a listener it would be the end of this process.
  server.on('error', () => {});
  await ('tls' in place ? listen(server, place) : listenOnSocket(server, place));
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    get connections() {
      return open.size;
    },
    close: async () => {
      const isClosed = new Promise<void>((resolve) => server.close(() => resolve()));
      await Promise.all([...open].map((connection) => connection.close()));
      await isClosed;
    },
  };
}

/** I1. Whoever restarts finds the socket of before, in a directory that is its user's already. */
async function listenOnSocket(server: Server, { socketPath, user }: UnixPlace): Promise<void> {
  if (Buffer.byteLength(socketPath) > SOCKET_PATH_BYTES_MAX) {
    const message = `${socketPath} is too long a path for a socket; choose a shorter directory.`;
    throw new VmdnError('invalid_input', message, { data: { socketPath } });
  }
  const directory = await takePrivateDir(dirname(socketPath), user?.uid);
  try {
    const found = await lstat(socketPath).catch(() => undefined);
    if (found?.isSocket()) await rm(socketPath, { force: true });
    await listen(server, { path: socketPath });
    await chmod(socketPath, 0o600);
    if (user === undefined) return;
    await chown(socketPath, user.uid, user.gid);
    await directory.chown(user.uid, user.gid);
  } catch (error) {
    server.close();
    throw fileError(error, socketPath);
  } finally {
    await directory.close();
  }
}

async function listen(
  server: Server,
  place: { readonly path: string } | { readonly host: string; readonly port: number },
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      const where = 'path' in place ? place.path : `${place.host}:${place.port}`;
      const message = `Nothing can listen on ${where}; choose another, or end what uses it.`;
      reject(new VmdnError('conflict', message, { data: { where }, cause }));
    });
    server.listen(place, resolve);
  });
}
