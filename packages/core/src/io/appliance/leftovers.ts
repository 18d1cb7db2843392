/**
 * Room: io, appliance. What libguestfs leaves when it is killed: its QEMU, for the two seconds until its
 * recovery process looks; and the folders of its sockets, which for root lie in /tmp, whatever it is told.
 *
 * I1: only folders of ours, of libguestfs' own form, that no process has named for OLD_MS are removed.
 */

import { lstat, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

const DIR = '/tmp';
const NAME = /^libguestfs[A-Za-z0-9]{6}$/;
/** From the making of the folder to the start of QEMU, which names it, milliseconds pass. */
const OLD_MS = 60_000;
const LOOK_MS = 20;

/**
 * Ends the processes whose command line names a job's folder, and waits until they are gone: while one lives
 * it has the locks of the job's disks. Never rejects.
 */
export async function endProcessesOf(dir: string): Promise<void> {
  for (;;) {
    const commands = await allCommands();
    const left = commands.filter(({ pid, line }) => line.includes(dir) && pid !== process.pid);
    if (left.length === 0) return;
    for (const { pid } of left) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended meanwhile.
      }
    }
    await pause(LOOK_MS);
  }
}

/** Removes what killed appliances left. Never rejects. */
export async function sweepSocketDirs(nowMs: number): Promise<void> {
  const names = (await readdir(DIR).catch(() => [])).filter((name) => NAME.test(name));
  if (names.length === 0) return;
  const commands = await allCommands();
  for (const name of names) {
    const path = join(DIR, name);
    const found = await lstat(path).catch(() => null);
    const isOurs = found?.isDirectory() === true && found.uid === process.getuid?.();
    const isOld = found !== null && nowMs - found.mtimeMs > OLD_MS;
    const isUsed = commands.some(({ line }) => line.includes(name));
    if (isOurs && isOld && !isUsed) await rm(path, { recursive: true, force: true });
  }
}

async function allCommands(): Promise<{ readonly pid: number; readonly line: string }[]> {
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^[0-9]+$/.test(name));
  const line = (pid: string) => readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '');
  return await Promise.all(pids.map(async (pid) => ({ pid: Number(pid), line: await line(pid) })));
}
