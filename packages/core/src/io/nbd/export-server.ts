/**
 * Room: io, nbd. The NBD server as a server of exports (ports/export-server.ts): one socket, in a directory
 * of its own that goes with it.
 */

import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { ServeExports } from '../ports/export-server.ts';
import { serveNbd } from './nbd-server.ts';

/** `onReadError` is told of reads that failed; the client got EIO. */
export function nbdExports(
  onReadError: (exportName: string, error: unknown) => void,
): ServeExports {
  return async ({ socketPath, user, disks }) => {
    const exports = { find: (name: string) => disks.get(name), names: () => [...disks.keys()] };
    const place = { socketPath, user: user ?? undefined };
    const server = await serveNbd({ place, exports, onReadError });
    return {
      close: async () => {
        await server.close();
        await clearExports(socketPath);
      },
    };
  };
}

/** Takes a socket away with its directory. Idempotent. */
export async function clearExports(socketPath: string): Promise<void> {
  await rm(dirname(socketPath), { recursive: true, force: true });
}
