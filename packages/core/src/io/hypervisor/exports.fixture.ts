/**
 * Room: io, hypervisor (tests). Exports of disks that fail, or come and go, for guests that read their disk
 * for ever (boot-sector.fixture.ts).
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { vi } from 'vitest';
import { connectNbd } from '../nbd/nbd-client.ts';
import type { SocketUser } from '../ports/export-server.ts';
import type { ExportedDisk } from '../ports/exported-disk.ts';
import { READ_PASS } from './boot-sector.fixture.ts';

const START_TIMEOUT_MS = 60_000;

/** A disk in memory of which a place, read by the guest in every pass, fails some times. */
export function failingDisk(bytes: Uint8Array, failures: { left: number }): ExportedDisk {
  const bad = bytes.indexOf(READ_PASS.charCodeAt(4), 512);
  return {
    sizeBytes: bytes.length,
    readNow: () => false,
    async read(target, at, lengthBytes, offsetBytes) {
      const isBad = offsetBytes <= bad && bad < offsetBytes + lengthBytes;
      if (isBad && failures.left > 0) {
        failures.left -= 1;
        throw new Error('the drive is not well');
      }
      target.set(bytes.subarray(offsetBytes, offsetBytes + lengthBytes), at);
    },
    extent: (_, endBytes) => ({ endBytes, isZero: false }),
  };
}

/** A read-only NBD export of these bytes, by qemu-nbd, which can be killed and come back. */
export async function startExport(place: string, bytes: Uint8Array) {
  const image = join(place, 'exported.raw');
  const socket = join(place, 'socket');
  await writeFile(image, bytes);
  await chmod(place, 0o711);
  let server: ChildProcess | undefined;
  let gone: Promise<unknown> | undefined;
  const down = async (): Promise<void> => {
    if (server === undefined) return;
    server.kill('SIGKILL');
    await gone;
    server = undefined;
    await rm(socket, { force: true });
  };
  return {
    socket,
    down,
    async up(user: SocketUser | null) {
      const args = ['-r', '-t', '-e', '8', '-k', socket, '-x', 'disk', '-f', 'raw', image];
      server = spawn('qemu-nbd', args, { stdio: 'ignore' });
      gone = once(server, 'exit');
      // Its socket is there before anybody listens.
      const answered = async () =>
        await (await connectNbd({ socketPath: socket, exportName: 'disk' })).close();
      await vi.waitFor(answered, { timeout: START_TIMEOUT_MS, interval: 50 });
      if (user !== null) await chown(socket, user.uid, user.gid);
    },
    [Symbol.asyncDispose]: down,
  };
}
