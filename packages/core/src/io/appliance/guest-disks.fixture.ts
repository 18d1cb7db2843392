/**
 * Room: io, appliance. For tests: guests of several distributions as disks, made once in the appliance and
 * kept in the cache folder for the next run.
 */

import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheDir } from '../../process/paths.ts';
import { createCommandRunner } from '../command/command-runner.ts';
import { probeAccelerator } from '../hypervisor/kvm-probe.ts';
import { type Appliance, createAppliance } from './appliance.ts';
import type { PulseLimits } from './pulse.ts';

const SCRIPT = 'fixture-guests.sh';
const MIB = 2 ** 20;
/** Disk names and sizes, as the script lays guests on them. */
const DISKS: readonly (readonly [name: string, sizeMiB: number])[] = [
  ['diska', 320],
  ['diskb', 192],
  ['diskc', 384],
  ['diskd', 320],
];

type Environment = Readonly<Record<string, string | undefined>>;

export const runner = createCommandRunner();

/** An appliance for tests, made once for all of them. */
export function testAppliance(
  workDir: string,
  env: Environment,
  pulseLimits?: PulseLimits,
): Appliance {
  const dir = join(cacheDir(env), 'appliance');
  const accelerator = probeAccelerator(runner, join(workDir, 'kvm.json'));
  return createAppliance({
    ...{ runner, cacheDir: dir, workDir, accelerator },
    ...(pulseLimits === undefined ? {} : { pulseLimits }),
  });
}

/** Paths of the disks by name; makes them when they are not there. */
export async function guestDisks(
  appliance: Appliance,
  env: Environment,
): Promise<ReadonlyMap<string, string>> {
  const script = await readFile(new URL(SCRIPT, import.meta.url));
  const hash = createHash('sha256').update(script).digest('hex').slice(0, 16);
  const parent = join(cacheDir(env), 'inspected-guests');
  const dir = join(parent, hash);
  if ((await stat(dir).catch(() => null)) === null) await makeDisks(appliance, parent, dir);
  return new Map(DISKS.map(([name]) => [name, join(dir, `${name}.raw`)]));
}

async function makeDisks(appliance: Appliance, parent: string, dir: string): Promise<void> {
  await mkdir(parent, { recursive: true });
  const made = await mkdtemp(join(parent, 'new-'));
  try {
    for (const [name, sizeMiB] of DISKS) {
      const file = await open(join(made, `${name}.raw`), 'wx');
      await file.truncate(sizeMiB * MIB);
      await file.close();
    }
    const result = await appliance.run({
      disks: DISKS.map(([label]) => ({
        label,
        at: { path: join(made, `${label}.raw`) },
        format: 'raw',
        access: 'write',
      })),
      ...{ scripts: [SCRIPT], args: [], files: new Map(), resultBytesMax: MIB },
      ...{ memoryMiB: 1024, timeoutMs: 600_000 },
    });
    if (result.exitCode !== 0) throw new Error(result.log);
    await rename(made, dir).catch((error: NodeJS.ErrnoException) => {
      // Another process made them meanwhile.
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
    });
  } finally {
    await rm(made, { recursive: true, force: true });
  }
}
