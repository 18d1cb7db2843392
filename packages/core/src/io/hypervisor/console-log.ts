/**
 * Room: io, hypervisor. A VM's console on disk: appended, and never larger than two halves.
 *
 * I1: a guest that writes without end costs CONSOLE_LOG_BYTES_MAX of disk and loses its oldest lines.
 */

import { appendFile, open, rename, rm, stat, truncate } from 'node:fs/promises';

/** Kept of one VM's console: a noisy boot is some 60 KiB. */
export const CONSOLE_LOG_BYTES_MAX = 1024 * 1024;
const HALF_BYTES = CONSOLE_LOG_BYTES_MAX / 2;

/** Appends to the log at `path`; the older half is at `path.1`. */
export async function appendConsole(path: string, text: Uint8Array): Promise<void> {
  if (text.length === 0) return;
  await appendFile(path, text.subarray(Math.max(0, text.length - HALF_BYTES)), { mode: 0o600 });
  if ((await stat(path)).size >= HALF_BYTES) await rename(path, `${path}.1`);
}

/** What is kept, oldest first. */
export async function readConsole(path: string): Promise<string> {
  const [older, newer] = [await readTail(`${path}.1`), await readTail(path)];
  return Buffer.concat([older, newer]).toString('utf8');
}

/** Begins anew, for a new boot. */
export async function clearConsole(path: string): Promise<void> {
  await rm(path, { force: true });
  await rm(`${path}.1`, { force: true });
}

/** Cuts a log that somebody else appends to (QEMU's own messages) to nothing once it is too long. */
export async function boundForeignLog(path: string): Promise<void> {
  try {
    if ((await stat(path)).size > HALF_BYTES) await truncate(path, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

/** The last half of a log, or nothing. */
export async function readTail(path: string): Promise<Buffer> {
  try {
    await using file = await open(path, 'r');
    const { size } = await file.stat();
    const length = Math.min(size, HALF_BYTES * 2);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length);
    return buffer.subarray(0, bytesRead);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return Buffer.alloc(0);
    throw error;
  }
}
