import { mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { nbdExports } from '../nbd/export-server.ts';
import { type Appliance, type ApplianceJob, createAppliance } from './appliance.ts';
import { runner, testAppliance } from './guest-disks.fixture.ts';
import { PULSE_LIMITS } from './pulse.ts';

/** What an appliance of these tests may be silent. */
const SILENCE_MS = 60_000;
const BEAT_MS = 5000;

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

const fresh = (): Promise<void> => writeFile(disk, Buffer.alloc(2 ** 20));
/** A job that marks the disk and doesn't end before the disk is a renewed one. */
const marking = (more: Partial<ApplianceJob> = {}): ApplianceJob => ({
  ...job(more),
  disks: [{ label: 'diska', at: { path: disk }, format: 'raw', access: 'write' }],
  ...{ scripts: ['fixture-pulse.sh'], args: ['mark', 'diska'] },
});

/** Command lines of processes that use files of ours, by their numbers. */
async function commandsOfOurs(): Promise<Map<number, string>> {
  const found = new Map<number, string>();
  for (const pid of await readdir('/proc')) {
    if (!/^[0-9]+$/.test(pid) || pid === String(process.pid)) continue;
    const line = await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '');
    if (line.includes(dir)) found.set(Number(pid), line.replaceAll('\0', ' '));
  }
  return found;
}

async function processesOfOurs(): Promise<string[]> {
  return [...(await commandsOfOurs()).values()];
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

const hasQemu = async (): Promise<boolean> =>
  (await processesOfOurs()).some((line) => line.includes('qemu-system'));

it('I3: a job whose time is up leaves no process and no file', { timeout: 600_000 }, async () => {
  await fresh();
  const failed = appliance.run(marking({ timeoutMs: 60_000 }));
  const rejected = expect(failed).rejects.toMatchObject({ code: 'timeout' });
  await Promise.race([expect.poll(hasQemu, { timeout: 60_000 }).toBe(true), failed]);
  await rejected;
  expect(await processesOfOurs()).toEqual([]);
  expect(await jobFolders()).toEqual([]);
});

it('I3: so does one that is cancelled', { timeout: 600_000 }, async () => {
  await fresh();
  const stop = new AbortController();
  const failed = appliance.run(marking({ signal: stop.signal }));
  const rejected = expect(failed).rejects.toMatchObject({ code: 'cancelled' });
  await Promise.race([expect.poll(hasQemu, { timeout: 240_000 }).toBe(true), failed]);
  stop.abort();
  await rejected;
  expect(await processesOfOurs()).toEqual([]);
  expect(await jobFolders()).toEqual([]);
});

/** The pulse of the job that runs. */
async function beat(): Promise<string> {
  const [folder = ''] = await jobFolders();
  return readFile(join(dir, folder, 'pulse'), 'latin1').catch(() => '');
}

/** A disk of zeros whose first read of a job waits until the job has beaten `beats` times more. */
function slowDisk(sizeBytes: number, beats: number) {
  let waited: Promise<void> | undefined;
  const number = async (): Promise<number> => Number.parseInt(await beat(), 10);
  return {
    sizeBytes,
    waited: () => waited,
    readNow: () => false,
    async read(target: Uint8Array, at: number, lengthBytes: number, _offsetBytes: number) {
      const now = await number();
      // Its start reads the disk too: where partitions and file systems begin.
      if (now > 0) {
        waited ??= expect.poll(number, { timeout: 240_000 }).toBeGreaterThanOrEqual(now + beats);
        await waited;
      }
      target.fill(0, at, at + lengthBytes);
    },
    extent: (_: number, endBytes: number) => ({ endBytes, isZero: false }),
  };
}

describe('I4: an appliance that stands still', { timeout: 600_000 }, () => {
  /** Stops the appliance when its job has written and said so, as a kernel that stands still does. */
  async function stopWhenMarked(): Promise<void> {
    await expect.poll(beat, { timeout: 240_000 }).toContain('marked');
    for (const [pid, line] of await commandsOfOurs()) {
      if (/qemu-system/.test(line)) process.kill(pid, 'SIGSTOP');
    }
  }
  const quick = () =>
    testAppliance(dir, process.env, { startMs: PULSE_LIMITS.startMs, silenceMs: SILENCE_MS });

  it('is ended and started anew, with its disks as they were', async () => {
    await fresh();
    let renewals = 0;
    const renew = async (): Promise<void> => {
      renewals += 1;
      const renewed = Buffer.alloc(2 ** 20);
      renewed.write('renewed', 512);
      await writeFile(disk, renewed);
    };
    const done = quick().run(marking({ renew }));
    await Promise.race([stopWhenMarked(), done]);
    expect(await done).toMatchObject({ exitCode: 0, log: 'the disk is marked\n' });
    expect(renewals).toBe(1);
  });

  it('is not started anew where its job has written; what it said last is told', async () => {
    await fresh();
    const failed = quick().run(marking());
    const rejected = expect(failed).rejects.toMatchObject({
      code: 'tool_failed',
      message: expect.stringMatching(/stood still and was ended; it last said: the disk is marked/),
    });
    await Promise.race([stopWhenMarked(), failed]);
    await rejected;
    expect(await processesOfOurs()).toEqual([]);
    expect(await jobFolders()).toEqual([]);
  });

  it('is not one whose job waits for a disk (pulse.ts I1)', async () => {
    const socketPath = join(dir, 'exports', 'slow');
    const served = slowDisk(2 ** 20, SILENCE_MS / BEAT_MS + 1);
    const options = { socketPath, user: null, disks: new Map([['', served]]) };
    const server = await nbdExports(() => undefined)(options);
    onTestFinished(() => server.close());
    const renew = vi.fn(async () => undefined);
    const { exitCode } = await quick().run({
      ...marking({ renew }),
      args: ['read', 'slow'],
      disks: [{ label: 'slow', at: { socketPath }, format: 'raw', access: 'read' }],
    });
    expect(exitCode).toBe(0);
    expect(renew).not.toHaveBeenCalled();
    expect(served.waited()).toBeDefined();
  });
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
