/**
 * Room: io, appliance. Jobs in a throw-away Linux (libguestfs' appliance): where a guest's file systems are
 * mounted and its own programs run, if anywhere.
 *
 * I1: a job sees its disks and the files handed to it, and nothing else of this machine: no network, no
 *     folder.
 * I2: what it leaves comes back on a disk of its own as a tar archive, which is read by a total parser with
 *     a limit on all of it.
 * I3: bounded in memory and time; when the promise settles no process and no file of the job is left.
 * I4: an appliance that stands still (pulse.ts) is ended, and started anew once where its disks are as they
 *     were before the job.
 */

import {
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rm,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { isVmdnError, VmdnError } from '../../domain/errors.ts';
import { ArchiveFeeder, type ArchiveMember } from '../../formats/archive.ts';
import { tarMembers } from '../../formats/tar.ts';
import type { CommandRunner } from '../command/command-runner.ts';
import { type ApplianceDisk, type GuestfishRun, runGuestfish } from '../command/guestfish.ts';
import { buildAppliance } from '../command/supermin.ts';
import { missingToolMessage } from '../command/tool-packages.ts';
import { ensurePrivateDir } from '../files/files.ts';
import { awaitOwnerLock } from '../files/owner-lock.ts';
import type { Accelerator } from '../ports/hypervisor.ts';
import { endQemuOf, sweepSocketDirs } from './leftovers.ts';
import {
  type LastBeat,
  PULSE_BYTES,
  PULSE_LIMITS,
  type PulseLimits,
  readLastBeat,
  watchPulse,
} from './pulse.ts';

export interface ApplianceJob {
  readonly disks: readonly ApplianceDisk[];
  /** Names of scripts in this folder: the one to run, then those that it sources. */
  readonly scripts: readonly [string, ...string[]];
  readonly args: readonly string[];
  /** Files for the script, by plain name, beside it. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly memoryMiB: number;
  /** For all starts together. */
  readonly timeoutMs: number;
  /** What it may leave, all files together. */
  readonly resultBytesMax: number;
  readonly signal?: AbortSignal | undefined;
  /**
   * Puts the disks that the job writes back as they were, for an appliance that is started anew. Without it
   * a job that had begun to write is not.
   */
  readonly renew?: (() => Promise<void>) | undefined;
}

/** What a job left. */
export interface ApplianceResult {
  /** Of its script. */
  readonly exitCode: number;
  /** The last of what it printed. */
  readonly log: string;
  /** Regular files by their path in OUT, without a leading slash. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

export interface Appliance {
  /**
   * Runs a job. Throws `tool_missing`, `tool_failed` (the appliance did not start, stood still, or ended
   * without a word), `timeout`, `too_large`, `corrupt`, `cancelled`.
   */
  run(job: ApplianceJob): Promise<ApplianceResult>;
}

export interface ApplianceConfig {
  readonly runner: CommandRunner;
  /** For the appliance once it is made, some 400 MB; it can be made again. */
  readonly cacheDir: string;
  /** For the files of running jobs. */
  readonly workDir: string;
  /** Asked once, before the first job: whether KVM works here. */
  readonly accelerator: () => Promise<Accelerator>;
  /** Default: PULSE_LIMITS. */
  readonly pulseLimits?: PulseLimits;
}

const JOB_SCRIPT = 'job.sh';
/** Another process makes the appliance meanwhile, on a machine that is busy (supermin.ts). */
const TURN_MS_MAX = 20 * 60_000;
/** Of an appliance that stands still each time, twice is enough. */
const STARTS = 2;
/** Where a job's scripts and files lie in the appliance. */
export const JOB_FOLDER = '/var/tmp/vmdn-job';
/** Where libguestfs' own description of the appliance lies: Debian and Ubuntu, then Fedora. */
const SUPERMIN_DIRS = [
  '/usr/lib/x86_64-linux-gnu/guestfs/supermin.d',
  '/usr/lib/aarch64-linux-gnu/guestfs/supermin.d',
  '/usr/lib64/guestfs/supermin.d',
];
/**
 * What the appliance needs beyond libguestfs' own: rpm reads the database of an RPM guest, rsync copies
 * files, the others make a system from scratch. Those that this machine lacks are not in it.
 */
const MORE_PACKAGES =
  'rpm\nrsync\nmmdebstrap\nperl\ngrub-common\ngrub-pc-bin\ngrub-efi-amd64-bin\n';
const FILE_NAME = /^[a-z0-9][a-z0-9._-]{0,99}$/;
const ARGUMENT = /^[A-Za-z0-9._/=:-]{1,200}$/;
/** tar's headers and padding beside the files themselves. */
const ARCHIVE_ROOM_BYTES = 64 * 2 ** 20;
const READ_BYTES = 2 ** 20;

export function createAppliance(config: ApplianceConfig): Appliance {
  let accelerator: Promise<Accelerator> | undefined;
  return {
    async run(job) {
      const command = commandOf(job);
      accelerator ??= config.accelerator();
      await ensurePrivateDir(config.cacheDir);
      await ensurePrivateDir(config.workDir);
      const applianceDir = await prepareAppliance(config.runner, config.cacheDir);
      const means = { command, applianceDir, accelerator: await accelerator };
      const deadlineMs = performance.now() + job.timeoutMs;
      for (let start = 1; ; start += 1) {
        try {
          const timeoutMs = Math.max(1, Math.ceil(deadlineMs - performance.now()));
          return await runOnce(config, { ...job, timeoutMs }, means);
        } catch (error) {
          if (!(error instanceof StoodStill) || start === STARTS || !error.mayStartAnew) {
            throw error;
          }
          await job.renew?.();
        }
      }
    },
  };
}

/** I4. */
class StoodStill extends VmdnError {
  readonly mayStartAnew: boolean;

  constructor(mayStartAnew: boolean, words: string) {
    super(
      'tool_failed',
      `The appliance stood still and was ended; ${lastSaid(words)}. Try it again.`,
    );
    this.mayStartAnew = mayStartAnew;
  }
}

function lastSaid(words: string): string {
  return words === '' ? 'it had said nothing yet' : `it last said: ${words}`;
}

/** What a failed start means: a job was called off, its appliance stood still, or it is as it was said. */
function failureOf(
  error: unknown,
  { disks, renew, signal, timeoutMs }: ApplianceJob,
  { isStill, isGone, hasBegun, words }: LastBeat & { isStill: boolean; isGone: boolean },
): unknown {
  if (signal?.aborted === true) return error;
  if (isStill) {
    const asTheyWere = !hasBegun || disks.every(({ access }) => access === 'read');
    return new StoodStill(isGone && (asTheyWere || renew !== undefined), words);
  }
  if (!isVmdnError(error, 'timeout')) return error;
  return new VmdnError('timeout', `The appliance did not finish in time; ${lastSaid(words)}.`, {
    ...{ data: { timeoutMs }, cause: error },
  });
}

async function runOnce(
  config: ApplianceConfig,
  job: ApplianceJob,
  means: Pick<GuestfishRun, 'command' | 'applianceDir' | 'accelerator'>,
): Promise<ApplianceResult> {
  const { memoryMiB, timeoutMs } = job;
  await sweepSocketDirs(Date.now());
  const dir = await mkdtemp(join(config.workDir, 'job-'));
  try {
    const input = await packInput(config.runner, dir, job);
    const [result, beats] = [join(dir, 'result'), join(dir, 'pulse')];
    await makeEmpty(result, job.resultBytesMax + ARCHIVE_ROOM_BYTES);
    await makeEmpty(beats, PULSE_BYTES);
    const ours: readonly ApplianceDisk[] = [
      { label: 'input', at: { path: input }, format: 'raw', access: 'read' },
      { label: 'result', at: { path: result }, format: 'raw', access: 'write' },
      { label: 'pulse', at: { path: beats }, format: 'raw', access: 'write' },
    ];
    const still = new AbortController();
    using pulse = watchPulse(beats, config.pulseLimits ?? PULSE_LIMITS, () => still.abort());
    const signal = AbortSignal.any([still.signal, ...(job.signal ? [job.signal] : [])]);
    const disks = [...job.disks, ...ours];
    const run = { ...means, runDir: dir, memoryMiB, timeoutMs, signal, disks };
    try {
      await runGuestfish(config.runner, run);
    } catch (error) {
      const isGone = await endQemuOf(dir);
      throw failureOf(error, job, {
        isStill: pulse.isStill,
        isGone,
        ...(await readLastBeat(beats)),
      });
    }
    return await readResult(result, job.resultBytesMax);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** The line for the appliance's shell. Throws `invalid_input`. */
function commandOf({ scripts, args, files }: ApplianceJob): string {
  const bad = [...files.keys()].find((name) => !FILE_NAME.test(name));
  if (bad !== undefined) {
    throw new VmdnError('invalid_input', 'A file for an appliance has an odd name.', {
      data: { name: bad },
    });
  }
  const words = [scripts[0], ...args];
  if (!words.every((word) => ARGUMENT.test(word))) {
    throw new VmdnError(
      'invalid_input',
      'A job of the appliance has an argument of odd characters.',
      {
        data: { words },
      },
    );
  }
  const folder = JOB_FOLDER;
  const unpack = `mkdir -p ${folder} && tar -xf /dev/disk/guestfs/input -C ${folder}`;
  return `${unpack} && bash ${folder}/${JOB_SCRIPT} ${words.join(' ')}`;
}

/**
 * Makes the appliance, or finds it as this machine's packages are now. The description is libguestfs' own,
 * by links so that an update shows, and our packages. Processes that want it at once make it once: who waited
 * finds it made. Throws `tool_missing`, `tool_failed`, `conflict` when another process does not get it done.
 */
export async function prepareAppliance(runner: CommandRunner, cacheDir: string): Promise<string> {
  const inputDir = join(cacheDir, 'supermin.d');
  const outputDir = join(cacheDir, 'fixed');
  // Around all that follows. supermin's own lock is held by a supermin whose parent was killed, too.
  using _turn = await awaitOwnerLock(join(cacheDir, 'making.lock'), TURN_MS_MAX);
  await describeAppliance(inputDir);
  const startedAt = new Date();
  const tempDir = await mkdtemp(join(cacheDir, 'make-'));
  try {
    const lockPath = join(cacheDir, 'lock');
    await buildAppliance(runner, { inputDir, outputDir, lockPath, tempDir });
  } finally {
    await rm(tempDir, { recursive: true, force: true });
  }
  // supermin keeps the kernel's own time, by which it would make everything anew at each call. What another
  // process changed since the start is newer, and seen by the next call.
  await utimes(join(outputDir, 'kernel'), startedAt, startedAt);
  // By this file libguestfs knows an appliance that is made (libguestfs-make-fixed-appliance(1)).
  await writeFile(join(outputDir, 'README.fixed'), 'A fixed appliance of libguestfs.\n');
  return outputDir;
}

async function describeAppliance(target: string): Promise<void> {
  for (const dir of SUPERMIN_DIRS) {
    const names = await readdir(dir).catch(() => []);
    if (names.length === 0) continue;
    await mkdir(target, { recursive: true, mode: 0o700 });
    const present = new Set(await readdir(target));
    for (const name of names.filter((each) => !present.has(each))) {
      await symlink(join(dir, name), join(target, name));
    }
    const ours = join(target, 'packages-vmdn');
    const before = await readFile(ours, 'utf8').catch(() => '');
    if (before === MORE_PACKAGES) return;
    // supermin goes by the time of the folder, which a new file changes and a rewritten one does not.
    await rm(ours, { force: true });
    await writeFile(ours, MORE_PACKAGES);
    return;
  }
  throw new VmdnError('tool_missing', missingToolMessage('guestfish'));
}

/** A tar archive of the job's scripts and files, as the bytes of a disk. */
async function packInput(runner: CommandRunner, dir: string, job: ApplianceJob): Promise<string> {
  const folder = join(dir, 'input');
  await mkdir(folder, { mode: 0o700 });
  for (const name of [JOB_SCRIPT, ...job.scripts]) {
    await writeFile(join(folder, name), await scriptText(name));
  }
  for (const [name, bytes] of job.files) await writeFile(join(folder, name), bytes);
  const archive = join(dir, 'input.tar');
  await runner.run('tar', ['-C', folder, '-cf', archive, '.'], { timeoutMs: 60_000 });
  return archive;
}

async function scriptText(name: string): Promise<Uint8Array> {
  const file = await open(new URL(name, import.meta.url), 'r');
  try {
    return await file.readFile();
  } finally {
    await file.close();
  }
}

async function makeEmpty(path: string, sizeBytes: number): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.truncate(Math.ceil(sizeBytes / 2 ** 20) * 2 ** 20);
  } finally {
    await file.close();
  }
}

/** Reads the archive on the result disk. Throws `tool_failed`, `too_large`, `corrupt`. */
async function readResult(path: string, bytesMax: number): Promise<ApplianceResult> {
  const sink = new ResultSink(bytesMax);
  const feeder = new ArchiveFeeder(tarMembers(), sink);
  const disk = await open(path, 'r');
  try {
    const piece = new Uint8Array(READ_BYTES);
    for (;;) {
      const { bytesRead } = await disk.read(piece, 0, piece.length);
      if (bytesRead === 0) break;
      feeder.push(piece.subarray(0, bytesRead));
    }
    feeder.end();
  } finally {
    await disk.close();
  }
  const files = sink.files();
  const text = (name: string): string => Buffer.from(files.get(name) ?? []).toString('utf8');
  const exit = text('exit');
  if (!/^[0-9]{1,3}$/.test(exit)) {
    throw new VmdnError('tool_failed', 'The appliance ended without a word; it may lack memory.');
  }
  return { exitCode: Number(exit), log: text('log'), files };
}

/** Keeps the members of an archive in memory. */
class ResultSink {
  readonly #bytesMax: number;
  readonly #pieces = new Map<string, Uint8Array[]>();
  #current: Uint8Array[] = [];
  #total = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  member({ path, kind, sizeBytes }: ArchiveMember): void {
    this.#total += sizeBytes + path.length;
    if (this.#total > this.#bytesMax) {
      throw new VmdnError('too_large', 'The appliance found more than can be taken from it.', {
        data: { bytesMax: this.#bytesMax },
      });
    }
    this.#current = [];
    if (kind === 'file') this.#pieces.set(path.replace(/^\.\//, ''), this.#current);
  }

  content(bytes: Uint8Array): void {
    this.#current.push(Uint8Array.from(bytes));
  }

  files(): Map<string, Uint8Array> {
    return new Map([...this.#pieces].map(([name, pieces]) => [name, Buffer.concat(pieces)]));
  }
}
