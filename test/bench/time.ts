/**
 * Room: test, bench. Seconds from the request until the verified, durable disk is on an edge that has the
 * base image: by VMDN, by what people would use instead, and the floor under what VMDN sends.
 *
 * I1: each method did beforehand what can be done before somebody asks: compressed streams, chunks and their
 *     index; at VMDN description, recipe, plan and packages. `vmdnCold` did none of it but the description.
 * I2: a figure stands only beside a verified result, and all are durable when the clock stops.
 */

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { BenchmarkOptions, BenchmarkReport } from './benchmark.ts';
import { chosen } from './chosen.ts';
import { ensureGuests } from './guests.ts';
import { casync } from './methods/casync.ts';
import { type Cost, type Method, measure, STEP_TIMEOUT_MS, type Task } from './methods/method.ts';
import { nbdcopy } from './methods/nbdcopy.ts';
import { rsyncImage } from './methods/rsync-image.ts';
import { rsyncTree } from './methods/rsync-tree.ts';
import { vmdnCold, vmdnPackages } from './methods/vmdn.ts';
import { zstdCopy } from './methods/zstd-copy.ts';
import { type Timed, type TimeFigures, timeReport } from './time-report.ts';
import { type Disk, openWorkbench } from './workbench.ts';

const BASE = 'debian-12-base';
const WANTED = ['web-01', 'web-02', 'shop-01'] as const;
const METHODS: Readonly<Record<string, Method>> = {
  vmdn: vmdnPackages,
  vmdnCold,
  zstdCopy,
  rsyncImage,
  rsyncTree,
  casync,
  nbdcopy,
};
const FLOOR_ROUNDS = 3;

export async function run(options: BenchmarkOptions): Promise<BenchmarkReport> {
  const names = chosen('pair', options.pairs, WANTED);
  const keys = chosen('method', options.methods, Object.keys(METHODS));
  await using bench = await openWorkbench(options);
  const [base, ...wanteds] = await ensureGuests([BASE, ...names], options);
  const baseDisk = await bench.disk(base!);
  const pairs = new Map<string, TimeFigures>();
  for (const guest of wanteds) {
    const wanted: Disk = await bench.disk(guest);
    pairs.set(guest.name, await measurePair(keys, { base: baseDisk, wanted, bench, options }));
  }
  return timeReport(BASE, pairs);
}

async function measurePair(keys: readonly string[], task: Task): Promise<TimeFigures> {
  const methods = new Map<string, Timed>();
  for (const key of keys) {
    const method = METHODS[key]!;
    const costs = (await measure(method, task)).map((cost) => timed(method, cost));
    methods.set(key, costs.sort((a, b) => a.seconds - b.seconds)[0]!);
  }
  const ours = methods.get('vmdn');
  if (ours === undefined) return { methods, floorSeconds: undefined };
  const { rateBytesPerSecond } = task.options;
  const linkSeconds = rateBytesPerSecond === null ? 0 : ours.bytes / rateBytesPerSecond;
  return { methods, floorSeconds: linkSeconds + (await copySeconds(task)) };
}

function timed({ words }: Method, { setting, critical }: Cost): Timed {
  const { startMs, endMs, bytes } = critical;
  return { words, setting, seconds: (endMs - startMs) / 1000, bytes };
}

/** A durable copy of the disk on the same machine, everything in memory: the best of a few. */
async function copySeconds({ bench, wanted, options }: Task): Promise<number> {
  const { runner, signal, progress } = options;
  progress(`${wanted.name}: a durable local copy, for the floor`);
  const path = join(await bench.freshFolder('floor'), 'disk.raw');
  const timing = { timeoutMs: STEP_TIMEOUT_MS, signal };
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < FLOOR_ROUNDS; round += 1) {
    const start = performance.now();
    await runner.run('cp', ['--sparse=always', '--', wanted.rawPath, path], timing);
    await runner.run('sync', ['-d', '--', path], timing);
    best = Math.min(best, (performance.now() - start) / 1000);
    await rm(path);
  }
  return best;
}
