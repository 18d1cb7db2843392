/**
 * Room: io, command. supermin(1): makes libguestfs' appliance, a kernel, an initial RAM disk and a root
 * file system, of the packages that are installed on this machine. Done here and not by libguestfs on the
 * way, since it must chown files, and what handles guests' disks may not.
 *
 * I1: what is made is made again when packages of this machine have changed, by one process at a time.
 */

import { VmdnError } from '../../domain/errors.ts';
import type { CommandRunner } from './command-runner.ts';
import { missingToolMessage } from './tool-packages.ts';

/** Some 400 MB are copied; a busy machine takes minutes. */
const TIMEOUT_MS = 15 * 60_000;
const CPU: Readonly<Record<string, string>> = { x64: 'x86_64', arm64: 'aarch64' };

/** Makes `outputDir` of the description in `inputDir`. Throws `tool_missing`, `tool_failed`, `timeout`. */
export async function buildAppliance(
  runner: CommandRunner,
  dirs: {
    readonly inputDir: string;
    readonly outputDir: string;
    readonly lockPath: string;
    readonly tempDir: string;
  },
): Promise<void> {
  const args = [
    ...['--build', '--if-newer', '--lock', dirs.lockPath, '--copy-kernel', '-f', 'ext2'],
    ...['--host-cpu', CPU[process.arch] ?? process.arch, '-o', dirs.outputDir, dirs.inputDir],
  ];
  try {
    const env = { HOME: dirs.tempDir, TMPDIR: dirs.tempDir };
    await runner.run('supermin', args, { timeoutMs: TIMEOUT_MS, env });
  } catch (error) {
    if (!(error instanceof VmdnError) || error.code !== 'tool_failed') throw error;
    if (!/kernel/.test(error.message)) throw error;
    throw new VmdnError('tool_missing', `${missingToolMessage('vmlinuz')} (${error.message})`, {
      cause: error,
    });
  }
}
