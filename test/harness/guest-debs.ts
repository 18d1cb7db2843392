/**
 * Room: test, harness. The package files that the guests' builder kept, so that a mirror of a test has them
 * whatever Debian's has by now.
 */

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { InstalledPackage } from '@vmdn/core/domain/description.ts';
import { guestsDir } from '@vmdn/infra/lab/guests.ts';

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
