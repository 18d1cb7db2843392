/**
 * Room: test, bench. `rsync -z` of the disk image onto a copy of the base image. Two block sizes: rsync's
 * own choice (about the square root of the image's size, so that few matches survive), and 4 KiB, which
 * suits file systems. Not --inplace: it would forbid rsync to use what lies behind the place it writes
 * (measured: all of a disk whose files had moved forward was sent again).
 */

import { rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Netlab } from '@vmdn/infra/netlab/netlab.ts';
import { checkDisk, type Method, STEP_TIMEOUT_MS, type Task, type Transfer } from './method.ts';
import { fetchByRsync, serveByRsync } from './rsync-daemon.ts';

/** Size and time of both images could be equal by chance: never skip on them. */
const FLAGS = ['-z', '--no-whole-file', '--sparse', '--ignore-times', '--fsync'];

const SETTINGS = [
  { setting: 'block size by rsync', flags: FLAGS },
  { setting: 'blocks of 4 KiB', flags: [...FLAGS, '--block-size=4096'] },
];

export const rsyncImage: Method = {
  key: 'rsyncImage',
  words: 'rsync -z of the image onto the base image',
  prepare: (task) => Promise.all(SETTINGS.map((one) => prepare(task, one.setting, one.flags))),
};

async function prepare(task: Task, setting: string, flags: readonly string[]): Promise<Transfer> {
  const { base, wanted, bench, options } = task;
  const folder = await bench.freshFolder('rsync-image');
  const result = join(folder, 'disk.raw');
  return {
    setting,
    serve: async (lab: Netlab) => {
      const copy = ['--sparse=always', '--', base.rawPath, result];
      const { runner, signal } = options;
      await runner.run('cp', copy, { timeoutMs: STEP_TIMEOUT_MS, signal });
      await serveByRsync(lab, dirname(wanted.rawPath), folder);
    },
    fetch: (lab) => fetchByRsync(lab, flags, basename(wanted.rawPath), result),
    verify: async () => {
      await checkDisk(result, task);
      await rm(result);
    },
  };
}
