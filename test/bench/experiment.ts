/**
 * Room: test, bench. The experiment of the 2015 report ("Teleporting virtual machines", Dermois and Rengo),
 * repeated: a small VM and one with much data go to an edge that has a similar image and a mirror near, by a
 * plain copy, by SMART-MIGRATE as published, and by VMDN's exact method.
 *
 * I1: a figure stands only beside a verified result: the copy's and the exact disk's SHA-256 is the source's;
 *     the functional copy boots and its site answers.
 * I2: each run has a fresh network, edge and link; every method did beforehand what can be done then.
 * I3: what exact sends and a functional copy does not is counted on the blocks that nobody near has, by
 *     programs that share nothing with the product.
 */

import { open } from 'node:fs/promises';
import { constants, zstdCompressSync } from 'node:zlib';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { BenchmarkOptions, BenchmarkReport } from './benchmark.ts';
import { chosen } from './chosen.ts';
import { BLOCK_BYTES, BLOCKS_MAX, USES, type Use, usesOf } from './disk-uses.ts';
import {
  type Average,
  experimentReport,
  type Missing,
  type VmFigures,
} from './experiment-report.ts';
import { computeFloor } from './floor.ts';
import { ensureGuests } from './guests.ts';
import { type Cost, type Method, measure, type Task } from './methods/method.ts';
import { vmdnFunctional, vmdnPackages } from './methods/vmdn.ts';
import { zstdCopy } from './methods/zstd-copy.ts';
import { packagesTree } from './packages-tree.ts';
import { openWorkbench } from './workbench.ts';

const BASE = 'debian-12-base';
const REPORTED = ['shop-01', 'shop-01-data'] as const;
/** Smaller, to see that all of it works; it is not in the report's experiment. */
const SMALL = 'web-01';
const METHODS: Readonly<Record<string, Method>> = {
  copy: zstdCopy,
  functional: vmdnFunctional,
  exact: vmdnPackages,
};
const RUNS = 3;
/** The report: "9GiB of random data divided in small and big files". */
const FULL_MIB = 9 * 1024;

export async function run(options: BenchmarkOptions): Promise<BenchmarkReport> {
  const names = chosen('VM', options.vms ?? REPORTED, [...REPORTED, SMALL]);
  const keys = chosen('method', options.methods, Object.keys(METHODS));
  const runs = options.runs ?? RUNS;
  await using bench = await openWorkbench(options);
  const dataMiB = options.full === true ? FULL_MIB : undefined;
  const [base, ...wanteds] = await ensureGuests([BASE, ...names], options, dataMiB);
  const baseDisk = await bench.disk(base!);
  const vms = new Map<string, VmFigures>();
  for (const guest of wanteds) {
    const task = { base: baseDisk, wanted: await bench.disk(guest), bench, options };
    const averages = new Map<string, Average>();
    for (const key of keys) averages.set(key, await averageOf(METHODS[key]!, task, runs));
    vms.set(guest.name, { averages, missing: await missingOf(task) });
  }
  return experimentReport({ base: BASE, runs, rate: options.rateBytesPerSecond }, vms);
}

async function averageOf(method: Method, task: Task, runs: number): Promise<Average> {
  const costs: Cost[] = [];
  for (let run = 1; run <= runs; run += 1) {
    task.options.progress(`${task.wanted.name}: run ${run} of ${runs}`);
    const [cost] = await measure(method, task);
    costs.push(cost!);
  }
  const mean = (of: (cost: Cost) => number): number =>
    costs.reduce((sum, cost) => sum + of(cost), 0) / costs.length;
  return {
    words: method.words,
    s: mean(({ critical }) => (critical.endMs - critical.startMs) / 1000),
    applianceS: mean(({ critical }) => critical.applianceSeconds ?? 0),
    bytes: mean(({ critical }) => critical.bytes + (critical.beforeBytes ?? 0)),
    beforeBytes: mean(({ critical }) => critical.beforeBytes ?? 0),
  };
}

/** I3: the blocks that are neither in the base image nor in the guest's packages, by what they are for. */
async function missingOf(task: Task): Promise<Missing> {
  const { base, wanted, options } = task;
  options.progress(`${wanted.name}: what is on its disk and nowhere near, by use`);
  const tree = await packagesTree(options, wanted);
  const blocks: number[] = [];
  let incompressible = 0;
  const found = await computeFloor(wanted.rawPath, [base.rawPath], [tree], (number, block) => {
    if (zstdSize(block) >= block.length) incompressible += block.length;
    blocks.push(number);
  });
  if (found.sha256 !== wanted.sha256) {
    throw new VmdnError('corrupt', `What was looked at is not the disk of ${wanted.name}.`);
  }
  const byUse = new Map<Use, { blocks: number; zstdBytes: number }>();
  if (blocks.length > BLOCKS_MAX) return { incompressible, byUse };
  const uses = await usesOf(options, wanted, blocks);
  for (const use of USES) {
    const its = blocks.filter((_, i) => uses[i] === use);
    const bytes = await readBlocks(wanted.rawPath, its);
    byUse.set(use, { blocks: its.length, zstdBytes: its.length === 0 ? 0 : zstdSize(bytes) });
  }
  return { incompressible, byUse };
}

/** At the level of the floor. */
function zstdSize(block: Uint8Array): number {
  const params = { [constants.ZSTD_c_compressionLevel]: 3 };
  return zstdCompressSync(block, { params }).length;
}

/** Blocks of a disk, one behind the other. */
async function readBlocks(path: string, blocks: readonly number[]): Promise<Uint8Array> {
  const bytes = new Uint8Array(blocks.length * BLOCK_BYTES);
  const disk = await open(path, 'r');
  try {
    for (const [i, block] of blocks.entries()) {
      await disk.read(bytes, i * BLOCK_BYTES, BLOCK_BYTES, block * BLOCK_BYTES);
    }
  } finally {
    await disk.close();
  }
  return bytes;
}
