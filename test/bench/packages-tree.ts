/**
 * Room: test, bench. The files of all packages that a guest has installed, as the floor's given blocks:
 * fetched and unpacked by apt and dpkg, by nothing of the product.
 */

import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { guestsDir } from '@vmdn/infra/lab/guests.ts';
import type { BenchmarkOptions } from './benchmark.ts';
import { treeOf } from './methods/rsync-tree.ts';
import { type Disk, precomputed } from './workbench.ts';

const TIMEOUT_MS = 600_000;
/** Names in one call of apt-get: what an argument list holds is far more. */
const NAMES_PER_CALL = 200;

/** A folder with the unpacked files of every package of the guest, a folder for each. */
export async function packagesTree(options: BenchmarkOptions, disk: Disk): Promise<string> {
  const status = join(await treeOf(options, disk), 'var', 'lib', 'dpkg', 'status');
  const installed = installedIn(await readFile(status, 'utf8'));
  const debs = join(options.cacheDir, 'bench', 'debs');
  await mkdir(debs, { recursive: true });
  await download(options, installed, debs);
  return precomputed(disk.cacheFolder, 'packages', async (path) => {
    options.progress(`${disk.name}: its ${installed.length} packages unpacked, beforehand`);
    for (const { file } of installed) {
      const args = ['-x', join(debs, file), join(path, file)];
      await mkdir(join(path, file), { recursive: true });
      await options.runner.run('dpkg-deb', args, { timeoutMs: TIMEOUT_MS });
    }
  });
}

interface Installed {
  /** As apt-get takes it: `name:arch=version`. */
  readonly wanted: string;
  /** As apt-get names it. */
  readonly file: string;
}

function installedIn(status: string): Installed[] {
  return status.split('\n\n').flatMap((stanza) => {
    const field = (name: string): string =>
      new RegExp(`^${name}: (.*)$`, 'm').exec(stanza)?.[1] ?? '';
    if (field('Status') !== 'install ok installed') return [];
    const [name, version, architecture] = ['Package', 'Version', 'Architecture'].map(field);
    const file = `${name}_${version?.replace(':', '%3a')}_${architecture}.deb`;
    return [{ wanted: `${name}=${version}`, file }];
  });
}

/** Fetches what is not there, by the machine's own apt, and its guests' cache. */
async function download(
  { runner, signal, progress }: BenchmarkOptions,
  installed: readonly Installed[],
  folder: string,
): Promise<void> {
  const kept = join(guestsDir(process.env), 'debs');
  const there = existsSync(kept) ? new Set(await readdir(kept)) : new Set<string>();
  for (const { file } of installed) {
    if (!there.has(file) || existsSync(join(folder, file))) continue;
    const args = ['--', join(kept, file), join(folder, file)];
    await runner.run('cp', args, { timeoutMs: TIMEOUT_MS, signal });
  }
  const missing = installed.filter(({ file }) => !existsSync(join(folder, file)));
  if (missing.length > 0) progress(`${missing.length} packages, by apt`);
  for (let at = 0; at < missing.length; at += NAMES_PER_CALL) {
    const names = missing.slice(at, at + NAMES_PER_CALL).map(({ wanted }) => wanted);
    const args = ['-o', 'APT::Sandbox::User=root', 'download', '--', ...names];
    await runner.run('apt-get', args, { timeoutMs: TIMEOUT_MS, signal, cwd: folder });
  }
  const absent = installed.find(({ file }) => !existsSync(join(folder, file)));
  if (absent === undefined) return;
  throw new VmdnError('not_found', `apt did not bring ${absent.file}; run apt-get update.`);
}
