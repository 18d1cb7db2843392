/** Room: test, bench. Disks of random bytes: no block is anywhere else, and nothing compresses. */

import { join } from 'node:path';
import type { BenchmarkOptions } from './benchmark.ts';
import { STEP_TIMEOUT_MS } from './methods/method.ts';
import { type Disk, sha256OfFile, type Workbench } from './workbench.ts';

const MIB = 2 ** 20;

/** A VM with a disk of random bytes, otherwise as `source`; it never boots. */
export async function randomDisk(
  { runner, signal, progress }: BenchmarkOptions,
  bench: Workbench,
  source: Disk['source'],
  sizeBytes: number,
): Promise<Disk> {
  progress(`${sizeBytes / MIB} MiB of random bytes`);
  const cacheFolder = await bench.freshFolder('random');
  const rawPath = join(cacheFolder, 'random.raw');
  const args = ['if=/dev/urandom', `of=${rawPath}`, `bs=${MIB}`, `count=${sizeBytes / MIB}`];
  await runner.run('dd', [...args, 'status=none'], { timeoutMs: STEP_TIMEOUT_MS, signal });
  const sha256 = await sha256OfFile(rawPath, signal);
  const disk = { path: rawPath, format: 'raw' };
  const guest = { ...source, name: 'random', disk, siteManifestPath: null };
  return { name: 'random', source: guest, rawPath, sizeBytes, sha256, cacheFolder };
}
