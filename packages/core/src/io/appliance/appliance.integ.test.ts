import { mkdtemp, open, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Appliance, type ApplianceJob, createAppliance } from './appliance.ts';
import { runner, testAppliance } from './guest-disks.fixture.ts';

let dir: string;
let disk: string;
let appliance: Appliance;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmdn-appliance-'));
  disk = join(dir, 'disk.raw');
  const file = await open(disk, 'wx');
  await file.truncate(2 ** 20);
  await file.close();
  appliance = testAppliance(dir, process.env);
});
afterAll(async () => await rm(dir, { recursive: true, force: true }));

const job = (more: Partial<ApplianceJob> = {}): ApplianceJob => ({
  disks: [{ label: 'diska', at: { path: disk }, format: 'raw', access: 'read' }],
  ...{ scripts: ['inspect.sh', 'mount-guest.sh'], args: ['/none', 'diska'], files: new Map() },
  ...{ memoryMiB: 512, timeoutMs: 600_000, resultBytesMax: 2 ** 20, ...more },
});

/** Command lines of processes that use files of ours. */
async function processesOfOurs(): Promise<string[]> {
  const found: string[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^[0-9]+$/.test(pid) || pid === String(process.pid)) continue;
    const line = await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '');
    if (line.includes(dir)) found.push(line.replaceAll('\0', ' '));
  }
  return found;
}

async function jobFolders(): Promise<string[]> {
  return (await readdir(dir)).filter((name) => name.startsWith('job-'));
}

it('gives back what a job left, and its exit code', { timeout: 600_000 }, async () => {
  const result = await appliance.run(job());
  expect(result).toMatchObject({ exitCode: 0 });
  const remarks = Buffer.from(result.files.get('remarks') ?? []).toString();
  expect(remarks).toMatch(/no file system that can be read/);
  expect(await jobFolders()).toEqual([]);
});

it('I3: a job whose time is up leaves no process and no file', { timeout: 120_000 }, async () => {
  const failed = appliance.run(job({ timeoutMs: 6000 }));
  const rejected = expect(failed).rejects.toMatchObject({ code: 'timeout' });
  const hasQemu = async () => (await processesOfOurs()).some((line) => line.includes('qemu'));
  await expect.poll(hasQemu, { timeout: 60_000 }).toBe(true);
  await rejected;
  await expect.poll(processesOfOurs, { timeout: 20_000 }).toEqual([]);
  expect(await jobFolders()).toEqual([]);
});

it('I3: so does one that is cancelled', { timeout: 120_000 }, async () => {
  const stop = new AbortController();
  const failed = appliance.run(job({ signal: stop.signal }));
  const rejected = expect(failed).rejects.toMatchObject({ code: 'cancelled' });
  const hasQemu = async () => (await processesOfOurs()).some((line) => line.includes('qemu'));
  await expect.poll(hasQemu, { timeout: 60_000 }).toBe(true);
  stop.abort();
  await rejected;
  await expect.poll(processesOfOurs, { timeout: 20_000 }).toEqual([]);
  expect(await jobFolders()).toEqual([]);
});

it('refuses names and arguments that would have to be quoted', async () => {
  for (const more of [
    { args: ['a b'] },
    { args: ['$(id)'] },
    { files: new Map([['../x', new Uint8Array()]]) },
  ]) {
    await expect(appliance.run(job(more))).rejects.toMatchObject({ code: 'invalid_input' });
  }
  expect(await jobFolders()).toEqual([]);
});

it('says what to install where the programs are missing', async () => {
  const config = { workDir: join(dir, 'other'), cacheDir: join(dir, 'cache') };
  const without = createAppliance({
    ...config,
    runner: { ...runner, run: (_tool, args, options) => runner.run('no-such-tool', args, options) },
    accelerator: async () => 'tcg',
  });
  await expect(without.run(job())).rejects.toMatchObject({ code: 'tool_missing' });
});
