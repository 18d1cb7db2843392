/**
 * Room: io, appliance. What libguestfs leaves when it is killed: its QEMU, for the two seconds until its
 * recovery process looks; and the folders of its sockets, which for root lie in /tmp, whatever it is told.
 *
 * I1: only folders of ours, of libguestfs' own form, that no process has named for OLD_MS are removed.
 */

import { lstat, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { hasEnded, markProcess } from '../command/process-mark.ts';

const DIR = '/tmp';
const NAME = /^libguestfs[A-Za-z0-9]{6}$/;
/** From the making of the folder to the start of QEMU, which names it, milliseconds pass. */
const OLD_MS = 60_000;
const QEMU = /^(?:[^\0]*\/)?qemu[^/\0]*\0/;
const LOOK_MS = 20;
/** A process that waits for a disk of the machine does not end when it is killed. */
const END_MS_MAX = 30_000;

/**
 * Ends each QEMU whose command line names a job's folder, and waits until it is gone: while any of its
 * threads lives it has the locks of the job's disks. False when that takes too long. Never rejects.
 */
export async function endQemuOf(dir: string): Promise<boolean> {
  const named = (await allCommands()).filter(({ line }) => QEMU.test(line) && line.includes(dir));
  const marks = await Promise.all(named.map(({ pid }) => markProcess(pid)));
  const ours = marks.filter((mark) => mark !== null);
  for (const { pid } of ours) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended meanwhile.
    }
  }
  for (let waitedMs = 0; waitedMs < END_MS_MAX; waitedMs += LOOK_MS) {
    const gone = await Promise.all(ours.map(hasEnded));
    if (gone.every(Boolean)) return true;
    await pause(LOOK_MS);
  }
  return false;
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
