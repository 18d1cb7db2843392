/**
 * Room: origin, io. Listens on a unix socket that only this user can open.
 *
 * I1: the socket lies in a folder of mode 0700 and is itself 0600; one that an earlier process left is
 *     replaced (the state folder's owner lock says that there is no other process).
 */

import { once } from 'node:events';
import { chmod, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { createAdaptorServer } from '@hono/node-server';
import type { App } from '@vmdn/core/http/mount.ts';
import { ensurePrivateDir } from '@vmdn/core/io/files/files.ts';

/** Serves `app` at `path`; disposing of it closes and removes the socket. */
export async function listenOnControlSocket(app: App, path: string): Promise<AsyncDisposable> {
  await ensurePrivateDir(dirname(path));
  await rm(path, { force: true });
  const server = createAdaptorServer({ fetch: app.fetch as never, overrideGlobalObjects: false });
  server.listen(path);
  await once(server, 'listening');
  await chmod(path, 0o600);
  return {
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      if ('closeAllConnections' in server) server.closeAllConnections();
      await closed;
      await rm(path, { force: true });
    },
  };
}
