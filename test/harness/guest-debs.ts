/**
 * Room: test, harness. The package files that the guests' builder kept, so that a mirror of a test has them
 * whatever Debian's has by now.
 */

import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { InstalledPackage } from '@vmdn/core/domain/description.ts';
import { createCommandRunner } from '@vmdn/core/io/command/command-runner.ts';
import { openDiskExport } from '@vmdn/core/io/disk-export/disk-export.ts';
import { inspectByTools } from '@vmdn/core/io/inspect/inspect-by-tools.ts';
import type { FakeMirror, SigningKey } from '@vmdn/core/io/mirrors/package-mirrors.fixture.ts';
import type { DiskFile } from '@vmdn/infra/lab/disk-proof.ts';
import { guestsDir } from '@vmdn/infra/lab/guests.ts';

/** What is installed on a disk; `dir` is for what that takes. */
export async function packagesOn(
  disk: DiskFile,
  dir: string,
): Promise<readonly InstalledPackage[]> {
  const runner = createCommandRunner();
  const layers = [{ path: disk.path, format: disk.format as 'raw' | 'qcow2' }];
  const exported = await openDiskExport({ layers, socketDir: join(dir, 's'), runner });
  try {
    const socketPaths = [exported.socketPath];
    const found = await inspectByTools({ socketPaths, workDir: join(dir, 'inspect'), runner });
    return found.packages;
  } finally {
    await exported.close();
  }
}

/** Writes what an edge is told of a mirror's suite `stable`. Returns the path. */
export async function writeSources(
  path: string,
  mirror: Pick<FakeMirror, 'url'>,
  key: Pick<SigningKey, 'binaryPath'>,
): Promise<string> {
  const lines = [
    ...['Types: deb', `URIs: ${mirror.url}/debian`, 'Suites: stable', 'Components: main'],
    ...['Architectures: amd64', `Signed-By: ${key.binaryPath}`, ''],
  ];
  await writeFile(path, lines.join('\n'));
  return path;
}

/** The files of these packages, as `publishSuite` takes them. */
export async function keptDebs(
  packages: readonly InstalledPackage[],
): Promise<Readonly<Record<string, Uint8Array>>> {
  const folder = join(guestsDir(process.env), 'debs');
  const files = await readdir(folder);
  const debs: Record<string, Uint8Array> = {};
  for (const { name, version, architecture } of packages) {
    const plain = version.replace(/^[0-9]+:/, '');
    const file = files.find(
      (each) => each.startsWith(`${name}_`) && each.endsWith(`${plain}_${architecture}.deb`),
    );
    if (file === undefined) throw new Error(`${folder} lacks ${name} ${version}; build the guests`);
    debs[`${name}_${version}_${architecture}`] = await readFile(join(folder, file));
  }
  return debs;
}
