/**
 * Room: io, disk-export (tests). Who holds a disk for writing, as the QEMU of a running VM does.
 */

import { vi } from 'vitest';
import type { DiskLayer } from '../../domain/disk-format.ts';
import type { CommandExit, CommandRunner, RunningCommand } from '../command/command-runner.ts';
import { connectNbd } from '../nbd/nbd-client.ts';

const START_MS_MAX = 60_000;

/**
 * Resolves when the disk is held, until the owner is stopped. The socket alone proves nothing: qemu-nbd binds
 * it before it opens the disk. Two owners can hold a raw disk together: start one after the other has ended.
 * Throws when the disk can't be had, for instance because it is read.
 */
export async function startDiskOwner(
  runner: CommandRunner,
  disk: Pick<DiskLayer, 'path' | 'format'>,
  socketPath: string,
): Promise<RunningCommand> {
  const args = ['--persistent', `--format=${disk.format}`, `--socket=${socketPath}`];
  const owner = runner.start('qemu-nbd', [...args, '--', disk.path], { lifetime: 'with-parent' });
  let exit: CommandExit | undefined;
  void owner.exited.then((found) => (exit = found));
  const answered = async (): Promise<void> => {
    if (exit === undefined) await (await connectNbd({ socketPath })).close();
  };
  try {
    await vi.waitFor(answered, { timeout: START_MS_MAX, interval: 20 });
  } catch (error) {
    await owner.stop();
    throw error;
  }
  if (exit === undefined) return owner;
  throw new Error(`${disk.path} can't be held: ${exit.stderrTail}`);
}
