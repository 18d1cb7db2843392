import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createCommandRunner } from '../command/command-runner.ts';
import { type DiskExport, openDiskExport } from '../disk-export/disk-export.ts';
import { leaveMount } from './left-mount.fixture.ts';
import { clearInspections, openVolumeFile } from './volume-file.ts';

const SIZE_BYTES = 2 ** 20;
const runner = createCommandRunner();
let dir: string;
let workDir: string;
let disk: string;
let exported: DiskExport;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmdn-volume-'));
  workDir = join(dir, 'work');
  await mkdir(workDir);
  disk = join(dir, 'disk.raw');
  await writeFile(disk, Buffer.alloc(SIZE_BYTES, 7));
  const layers = [{ path: disk, format: 'raw' as const }];
  exported = await openDiskExport({ layers, socketDir: join(dir, 's'), runner });
});
afterEach(async () => {
  await exported.close();
  await rm(dir, { recursive: true, force: true });
});

async function mountsOfOurs(): Promise<string[]> {
  const lines = (await readFile('/proc/mounts', 'utf8')).split('\n');
  return lines.filter((line) => line.includes(dir));
}

async function killServers(): Promise<void> {
  for (const pid of await readdir('/proc')) {
    if (!/^[0-9]+$/.test(pid)) continue;
    const line = await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '');
    if (line.startsWith('nbdfuse') && line.includes(dir)) process.kill(Number(pid), 'SIGKILL');
  }
}

it('I2: a server that is killed leaves no mount', async () => {
  const volume = { offsetBytes: 0, lengthBytes: SIZE_BYTES };
  const { socketPath } = exported;
  const file = await openVolumeFile({ socketPath, volume, workDir, runner });
  expect((await readFile(join(file.dir, file.name))).equals(Buffer.alloc(SIZE_BYTES, 7))).toBe(
    true,
  );
  await killServers();
  await expect.poll(mountsOfOurs, { timeout: 60_000 }).toEqual([]);
  await file.close();
  expect(await readdir(workDir)).toEqual([]);
});

it('I2: what a kill left is cleared away at the next start, and nothing else', async () => {
  await leaveMount(runner, disk, { workDir, socketDir: join(dir, 's') });
  await mkdir(join(workDir, 'inspect-copied'));
  await writeFile(join(workDir, 'inspect-copied', 'volume'), 'a copy');
  await mkdir(join(workDir, 'jobs'));
  await clearInspections(workDir, runner);
  expect(await mountsOfOurs()).toEqual([]);
  expect(await readdir(workDir)).toEqual(['jobs']);
});
