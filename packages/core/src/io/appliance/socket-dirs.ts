/**
 * Room: io, appliance. The folders that libguestfs makes for its sockets. It removes them itself, unless it
 * was killed; for root they lie in /tmp, whatever it is told.
 *
 * I1: only folders of ours, of libguestfs' own form, that no process has named for OLD_MS are removed.
 */

import { lstat, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';

const DIR = '/tmp';
const NAME = /^libguestfs[A-Za-z0-9]{6}$/;
/** From the making of the folder to the start of QEMU, which names it, milliseconds pass. */
const OLD_MS = 60_000;

/** Removes what killed appliances left. Never rejects. */
export async function sweepSocketDirs(nowMs: number): Promise<void> {
  const names = (await readdir(DIR).catch(() => [])).filter((name) => NAME.test(name));
  if (names.length === 0) return;
  const commands = await allCommandLines();
  for (const name of names) {
    const path = join(DIR, name);
    const found = await lstat(path).catch(() => null);
    const isOurs = found?.isDirectory() === true && found.uid === process.getuid?.();
    const isOld = found !== null && nowMs - found.mtimeMs > OLD_MS;
    const isUsed = commands.some((line) => line.includes(name));
    if (isOurs && isOld && !isUsed) await rm(path, { recursive: true, force: true });
  }
}

async function allCommandLines(): Promise<string[]> {
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^[0-9]+$/.test(name));
  return await Promise.all(
    pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '')),
  );
}
