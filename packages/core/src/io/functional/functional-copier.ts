/**
 * Room: io, functional. SMART-MIGRATE (domain/functional.ts) in an appliance: clone the best image, or make a
 * system from scratch, swPrepare and swInstall by the guest's own package manager, smartSync by rsync,
 * databases by their servers.
 *
 * I1: the candidate is the read-only backing of a new overlay; the source is mounted for reading on a
 *     throw-away one.
 * I2: programs of the guest run in an appliance without a network and nowhere else; packages are fetched and
 *     verified here before.
 * I3: the target has its name only when all is done and durable; on any error nothing of it is left.
 */

import { randomBytes } from 'node:crypto';
import { mkdtemp, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { copiedDatabases, dumpedDatabases } from '../../domain/databases.ts';
import type { InstalledPackage } from '../../domain/description.ts';
import { VmdnError } from '../../domain/errors.ts';
import {
  BOOT_LINKS,
  FIRST_RUN_EXCLUDES,
  listStarts,
  OTHER_METHODS,
  packageDifference,
  pickCandidate,
  SECOND_RUN_EXCLUDES,
  scratchPackages,
} from '../../domain/functional.ts';
import { packageFormatOf } from '../../domain/package-origin.ts';
import { parseDatabaseReport } from '../../formats/database-report.ts';
import { parseRsyncStats } from '../../formats/rsync-stats.ts';
import {
  type Appliance,
  type ApplianceJob,
  type ApplianceResult,
  JOB_FOLDER,
} from '../appliance/appliance.ts';
import { diskLabel } from '../appliance/inspect-in-appliance.ts';
import type { CommandRunner } from '../command/command-runner.ts';
import type { ApplianceDisk } from '../command/guestfish.ts';
import type { QemuImg } from '../command/qemu-img.ts';
import { ensurePrivateDir, fsyncDir, TEMP_SUFFIX } from '../files/files.ts';
import type {
  FunctionalCopier,
  FunctionalCopyJob,
  FunctionalCopyResult,
  FunctionalImage,
  SourceDisk,
} from '../ports/functional-copy.ts';
import type { ImageStore } from '../ports/image-store.ts';
import type { PackageMirrors } from '../ports/package-mirrors.ts';
import { type FetchedPackages, fetchPackages } from './fetch-packages.ts';
import { listFile, packageFiles } from './package-files.ts';

export interface FunctionalMeans {
  readonly appliance: Appliance;
  readonly runner: CommandRunner;
  readonly qemuImg: Pick<QemuImg, 'create' | 'createOverlay'>;
  readonly mirrors: Pick<PackageMirrors, 'resolve' | 'open'>;
  /** Where room is promised to packages on their way. */
  readonly store: Pick<ImageStore, 'reserve' | 'release'>;
  /** A private folder for them. */
  readonly workDir: string;
  /** For a package manager's one run; an hour unless said. */
  readonly packageSecondsMax?: number;
  /** For one job of the appliance, the dry runs or the copy; three hours unless said. */
  readonly timeoutMs?: number;
}

/** Maintainer scripts build initial RAM disks and caches; rsync holds a list of all files. */
const MEMORY_MIB = 2048;
/** All that the appliance does for shop-01 took 888 s under emulation (docs/benchmarks.md). */
const PACKAGE_SECONDS_MAX = 3600;
/** Packages and files of a full server under emulation; what hangs is ended sooner by the script itself. */
const TIMEOUT_MS = 3 * 3_600_000;
const RESULT_BYTES_MAX = 8 * 2 ** 20;
/** Disks of candidates in one appliance, beside those of the source. */
const CANDIDATES_MAX = 6;
const SCRIPTS = [
  ...['functional.sh', 'functional-deb.sh', 'functional-rpm.sh', 'functional-scratch.sh'],
  ...['mount-guest.sh', 'databases.sh', 'without-sync.pl'],
] as const;

export function createFunctionalCopier(means: FunctionalMeans): FunctionalCopier {
  return async (job) => {
    await ensurePrivateDir(means.workDir);
    const dir = await mkdtemp(join(means.workDir, 'functional-'));
    try {
      return await makeCopy(means, job, dir);
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  };
}

async function makeCopy(
  means: FunctionalMeans,
  job: FunctionalCopyJob,
  dir: string,
): Promise<FunctionalCopyResult> {
  const { source } = job;
  const { image, applianceSeconds } = await chooseImage(means, job);
  const change =
    image === null
      ? scratchPackages(source.packages)
      : packageDifference(source.packages, image.packages);
  const started = performance.now();
  using packages = await fetchPackages(means, job, change.install, dir);
  const packageSeconds = secondsSince(started);
  const unfinished = join(
    dirname(job.targetPath),
    `${randomBytes(12).toString('hex')}${TEMP_SUFFIX}`,
  );
  try {
    const createTarget = () => createDisk(means, unfinished, image, job);
    const virtualSizeBytes = await createTarget();
    const inside = performance.now();
    const files = startFiles(job, image, packages, change.remove);
    files.set(
      'package-seconds',
      listFile([String(means.packageSecondsMax ?? PACKAGE_SECONDS_MAX)]),
    );
    const result = await means.appliance.run({
      ...copyJob(job, unfinished, packages, files),
      ...limits(means, job),
      renew: async () => void (await createTarget()),
    });
    requireDone(result, job);
    await makeDurable(unfinished, job.targetPath);
    const runs = ['rsync-1', 'rsync-2'].map((name) => parseRsyncStats(textOf(result, name)));
    return {
      image: image?.name ?? null,
      layers: [{ path: job.targetPath, format: 'qcow2' }, ...(image?.layers ?? [])],
      virtualSizeBytes,
      ...{ installed: change.install.length, removed: change.remove.length },
      packageBytes: packages.bytes,
      files: runs.reduce((sum, { files }) => sum + (files ?? 0), 0),
      fileBytes: runs.reduce((sum, { bytes }) => sum + (bytes ?? 0), 0),
      databases: copiedDatabases(
        job.source.databases,
        parseDatabaseReport(textOf(result, 'databases')),
      ),
      seconds: {
        packages: packageSeconds,
        appliance: applianceSeconds + secondsSince(inside),
      },
      steps: stepsOf(textOf(result, 'seconds')),
    };
  } finally {
    await rm(unfinished, { force: true });
  }
}

/**
 * The disk that the appliance fills: an overlay on a clone's image, or an empty one of the source's size.
 * Returns its size.
 */
async function createDisk(
  { qemuImg }: FunctionalMeans,
  path: string,
  image: FunctionalImage | null,
  { source }: FunctionalCopyJob,
): Promise<number> {
  if (image === null) {
    const { virtualSizeBytes } = source;
    await qemuImg.create({ path, format: 'qcow2', virtualSizeBytes });
    return virtualSizeBytes;
  }
  const virtualSizeBytes = Math.max(image.virtualSizeBytes, source.virtualSizeBytes);
  await qemuImg.createOverlay({ path, backing: image.layers[0]!, virtualSizeBytes });
  return virtualSizeBytes;
}

/** listImages and pickCandidate; null without an image of the release. Throws `not_found`. */
async function chooseImage(
  means: FunctionalMeans,
  job: FunctionalCopyJob,
): Promise<{ image: FunctionalImage | null; applianceSeconds: number }> {
  const { os, packages } = job.source;
  const images = listStarts(os, packages, job.images).slice(0, CANDIDATES_MAX);
  const started = performance.now();
  const measured =
    images.length > 1
      ? await measure(means, job, images)
      : images.map((image) => ({ image, differingBytes: null }));
  return { image: pickCandidate(packages, measured), applianceSeconds: secondsSince(started) };
}

/** The dry runs: what each image would take from the source. */
async function measure(
  means: FunctionalMeans,
  job: FunctionalCopyJob,
  images: readonly FunctionalImage[],
): Promise<{ image: FunctionalImage; differingBytes: number | null }[]> {
  await using overlays = new AsyncDisposableStack();
  const dir = await mkdtemp(join(means.workDir, 'measure-'));
  overlays.defer(() => rm(dir, { recursive: true, force: true }));
  const labels = images.map((_, i) => `candidate${String.fromCharCode(97 + i)}`);
  const paths = images.map((_, i) => join(dir, `${i}.qcow2`));
  const createOverlays = async (): Promise<void> => {
    for (const [i, { layers, virtualSizeBytes }] of images.entries()) {
      const [path, backing] = [paths[i]!, layers[0]!];
      await means.qemuImg.createOverlay({ path, backing, virtualSizeBytes });
    }
  };
  await createOverlays();
  const disks = paths.map(
    (path, i): ApplianceDisk => ({
      ...{ label: labels[i]!, at: { path }, format: 'qcow2', access: 'write' },
    }),
  );
  const sources = sourceDisks(job.source.disks);
  const result = await means.appliance.run({
    disks: [...sources, ...disks],
    scripts: ['estimate.sh', 'mount-guest.sh'],
    args: [JOB_FOLDER, ...labels, '--', ...sources.map(({ label }) => label)],
    files: listsOf(job),
    renew: createOverlays,
    ...limits(means, job),
  });
  requireDone(result, job);
  return images.map((image, i) => {
    const [first, second] = ['first', 'second'].map(
      (name) => parseRsyncStats(textOf(result, `${name}-${labels[i]}`)).bytes,
    );
    const isMeasured = typeof first === 'number' && typeof second === 'number';
    return { image, differingBytes: isMeasured ? first + second : null };
  });
}

/** What functional.sh is told beside its lists. */
function startFiles(
  { source }: FunctionalCopyJob,
  image: FunctionalImage | null,
  packages: FetchedPackages,
  remove: readonly InstalledPackage[],
): Map<string, Uint8Array> {
  // What has packages has a format: functionalObstacle.
  const format = packageFormatOf(source.os.id) ?? 'deb';
  return new Map([
    ['format', listFile([format])],
    ['start', listFile([image === null ? source.firmware : 'clone'])],
    ['install', listFile(packages.names)],
    ...packageFiles(format, source.packages, remove),
  ]);
}

function copyJob(
  job: FunctionalCopyJob,
  target: string,
  packages: FetchedPackages,
  files: ReadonlyMap<string, Uint8Array>,
): Pick<ApplianceJob, 'disks' | 'scripts' | 'args' | 'files'> {
  const sources = sourceDisks(job.source.disks);
  const more: ApplianceDisk[] =
    packages.diskPath === null
      ? []
      : [
          {
            ...{ label: 'packages', at: { path: packages.diskPath } },
            ...{ format: 'raw', access: 'read' },
          },
        ];
  const disk: ApplianceDisk = {
    ...{ label: 'target', at: { path: target }, format: 'qcow2', access: 'write' },
  };
  return {
    disks: [...sources, disk, ...more],
    scripts: SCRIPTS,
    args: [JOB_FOLDER, 'target', ...sources.map(({ label }) => label)],
    files: new Map([...listsOf(job), ...files]),
  };
}

/** What the two runs leave out, and the databases that come by dump and restore instead. */
function listsOf({ source, databases }: FunctionalCopyJob): Map<string, Uint8Array> {
  const dumped = dumpedDatabases(source.databases, databases);
  const more = [...BOOT_LINKS, ...dumped.map(({ dataDirectory }) => dataDirectory)];
  const lines = dumped.map(({ engine, dataDirectory }) => `${engine}\t${dataDirectory}`);
  return new Map([
    ['first', listFile([...FIRST_RUN_EXCLUDES, ...more])],
    ['second', listFile([...SECOND_RUN_EXCLUDES, ...more])],
    ['databases', listFile(lines)],
  ]);
}

function limits({ timeoutMs = TIMEOUT_MS }: FunctionalMeans, { signal }: FunctionalCopyJob) {
  return { memoryMiB: MEMORY_MIB, timeoutMs, resultBytesMax: RESULT_BYTES_MAX, signal };
}

function sourceDisks(disks: readonly SourceDisk[]): ApplianceDisk[] {
  return disks.map((at, i) => ({ label: diskLabel(i), at, format: 'raw', access: 'read' }));
}

const DATABASES_FAILED = 15;
/** What the exit codes of the scripts mean; the numbers stand in functional.sh. */
const FAILURES: Readonly<
  Record<number, readonly ['unsupported_format' | 'no_room' | 'tool_failed', string]>
> = {
  10: ['unsupported_format', 'The guest cannot be copied by its files'],
  11: ['unsupported_format', 'The image that was chosen cannot be used for this'],
  12: ['no_room', 'The copy does not fit'],
  13: ['tool_failed', 'The packages of the guest could not be installed'],
  14: ['tool_failed', 'The files of the guest could not be copied'],
  [DATABASES_FAILED]: [
    'tool_failed',
    'The databases of the guest could not be dumped and restored',
  ],
};

/** Throws when a job of an appliance did not come to its end. */
function requireDone(result: ApplianceResult, job: FunctionalCopyJob): void {
  if (result.exitCode === 0) return;
  const [code, words] = FAILURES[result.exitCode] ?? ['tool_failed', 'The copy failed'];
  const why = textOf(result, 'failure')
    .replace(/[\p{Cc}\u2028\u2029]+/gu, ' ')
    .trim();
  const byFiles =
    result.exitCode === DATABASES_FAILED ? 'take its databases by their files, or ' : '';
  throw new VmdnError(code, `${words}: ${why || 'see the log'}; ${byFiles}${OTHER_METHODS}.`, {
    data: { exitCode: result.exitCode, os: job.source.os.prettyName, log: result.log.slice(-4000) },
  });
}

/** Lines of a name and seconds. */
function stepsOf(text: string): Record<string, number> {
  const lines = [...text.matchAll(/^([a-z]{1,20}) ([0-9]{1,6})$/gm)];
  return Object.fromEntries(lines.map(([, name, seconds]) => [name, Number(seconds)]));
}

function textOf({ files }: ApplianceResult, name: string): string {
  return Buffer.from(files.get(name) ?? []).toString('utf8');
}

async function makeDurable(path: string, finalPath: string): Promise<void> {
  const file = await open(path, 'r+');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(path, finalPath);
  await fsyncDir(dirname(finalPath));
}

function secondsSince(startedMs: number): number {
  return Number(((performance.now() - startedMs) / 1000).toFixed(1));
}
