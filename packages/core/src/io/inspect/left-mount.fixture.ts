/**
 * Room: io, inspect (tests). What an inspection leaves whose process was killed, and fusermount3 with it.
 */

import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { CommandRunner } from '../command/command-runner.ts';
import { openDiskExport } from '../disk-export/disk-export.ts';

/** Shows a raw disk in a folder of `workDir` by an nbdfuse that is killed; its mount stays. */
export async function leaveMount(
  runner: CommandRunner,
  disk: string,
  { workDir, socketDir }: { readonly workDir: string; readonly socketDir: string },
): Promise<void> {
  const mountPoint = join(workDir, 'inspect-left', 'mnt');
  await mkdir(mountPoint, { recursive: true, mode: 0o700 });
  const layers = [{ path: disk, format: 'raw' as const }];
  const exported = await openDiskExport({ layers, socketDir, runner });
  const shown = join(mountPoint, 'disk');
  const args = ['-r', shown, '--unix', exported.socketPath];
  const server = runner.start('nbdfuse', args, { lifetime: 'with-parent' });
  await expect.poll(() => readFile(shown).catch(() => null), { timeout: 60_000 }).not.toBeNull();
  process.kill(server.pid, 'SIGKILL');
  await server.exited;
  await exported.close();
  expect(await readFile('/proc/mounts', 'utf8')).toContain(mountPoint);
}
