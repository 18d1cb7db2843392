/**
 * Room: test, bench. How long it takes to find the best candidate of a library for a wanted disk: one scan of
 * its recipes, beside what the 2015 report did, rsync dry runs of the file trees.
 *
 * I1: both look at the same candidates, as often as they stand in the library, from a warm page cache.
 * I2: rsync gets its best case: trees that are there already, on this machine, compared by size and time
 *     only, where the report's ran between two hypervisors. Our scan is exact.
 * I3: both must name the same guest as the best candidate, or the figures say nothing.
 */

import { randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { rawLayers } from '@vmdn/core/domain/layers.ts';
import type { LocalImage } from '@vmdn/core/domain/plan.ts';
import { nonZeroBlockCount } from '@vmdn/core/domain/recipe.ts';
import { digestOfRecipe } from '@vmdn/core/formats/disk-digest.ts';
import { decodeRecipe, encodeRecipe } from '@vmdn/core/formats/recipe.ts';
import { openDiskExport } from '@vmdn/core/io/disk-export/disk-export.ts';
import { describeDisk } from '@vmdn/core/io/hashing/describe-disk.ts';
import { createPlanner } from '@vmdn/core/io/sync/planner.ts';
import type { BenchmarkOptions, BenchmarkReport } from './benchmark.ts';
import { ensureGuests } from './guests.ts';
import { treeOf } from './methods/rsync-tree.ts';
import { simplePlot } from './plot.ts';
import { formatBytes, formatTable } from './table.ts';
import { type Disk, openWorkbench, precomputed, type Workbench } from './workbench.ts';

const WANTED = 'web-01';
const CANDIDATES = ['debian-12-base', 'web-02', 'shop-01'] as const;
const LIBRARY_IMAGES = 100;
const ROUNDS = 3;
const TIMEOUT_MS = 600_000;

/** Scoring is at least this much faster than the dry runs, and 100 images take no longer than this. */
const RATIO_MIN = 50;
const SECONDS_MAX = 1.5;

/** What rsync says it would send: the report's measure of a difference. */
const DRY_RUN = ['-aAXn', '--numeric-ids', '--delete', '--stats'];

interface Candidate {
  readonly name: string;
  readonly recipePath: string;
  readonly tree: string;
  readonly blocks: number;
}

export async function run(options: BenchmarkOptions): Promise<BenchmarkReport> {
  await using bench = await openWorkbench(options);
  const [wantedGuest, ...guests] = await ensureGuests([WANTED, ...CANDIDATES], options);
  const wanted = await prepare(options, bench, await bench.disk(wantedGuest!));
  const candidates: Candidate[] = [];
  for (const guest of guests) {
    candidates.push(await prepare(options, bench, await bench.disk(guest)));
  }
  const library = Array.from(
    { length: LIBRARY_IMAGES },
    (_, i) => candidates[i % candidates.length]!,
  );
  const scored = await score(options, wanted, library);
  const compared = await dryRuns(options, wanted, library);
  if (scored.best !== compared.best) {
    const words = `The scan prefers ${scored.best}, rsync ${compared.best}: not comparable.`;
    throw new VmdnError('internal', words);
  }
  return report(library, scored, compared.seconds);
}

/** The recipe and the file tree of a disk, made beforehand. */
async function prepare(
  options: BenchmarkOptions,
  bench: Workbench,
  disk: Disk,
): Promise<Candidate> {
  const { runner, signal } = options;
  const tree = await treeOf(options, disk);
  const recipePath = await precomputed(disk.cacheFolder, 'recipe', async (path) => {
    options.progress(`${disk.name}: its recipe, beforehand`);
    const socketDir = await bench.freshFolder('sockets');
    const layers = [{ path: disk.rawPath, format: 'raw' as const }];
    const source = await openDiskExport({ layers, socketDir, runner, signal });
    try {
      const { recipe } = await describeDisk({ ...source, signal });
      await writeFile(path, encodeRecipe(recipe));
    } finally {
      await source.close();
    }
  });
  const blocks = nonZeroBlockCount(decodeRecipe(await readFile(recipePath)));
  return { name: disk.name, recipePath, tree, blocks };
}

interface Scored {
  readonly best: string;
  /** The best round's. */
  readonly seconds: number;
}

/** Plans against the whole library, in a thread that is there already, as an edge's is. */
async function score(
  options: BenchmarkOptions,
  wanted: Candidate,
  library: readonly Candidate[],
): Promise<Scored> {
  const digest = digestOfRecipe(decodeRecipe(await readFile(wanted.recipePath)));
  const images = library.map(
    ({ recipePath, tree }, i): LocalImage => ({
      digest: randomDigest(),
      name: null,
      layers: rawLayers(join(tree, String(i))),
      recipePath,
      virtualSizeBytes: 0,
    }),
  );
  const planner = createPlanner();
  try {
    let best = '';
    let seconds = Number.POSITIVE_INFINITY;
    for (let round = 0; round <= ROUNDS; round += 1) {
      const startedMs = performance.now();
      const request = { digest, recipePath: wanted.recipePath, images };
      const { candidates } = await planner.plan({ ...request, signal: options.signal });
      const now = (performance.now() - startedMs) / 1000;
      const first = images.findIndex((image) => image.digest === candidates[0]?.digest);
      best = library[first]?.name ?? 'none';
      if (round > 0) seconds = Math.min(seconds, now);
      options.progress(`scan ${round}: ${now.toFixed(3)} s, the best is ${best}`);
    }
    return { best, seconds };
  } finally {
    await planner.close();
  }
}

function randomDigest(): LocalImage['digest'] {
  return `${randomUUID()}${randomUUID()}`.replaceAll('-', '') as LocalImage['digest'];
}

/** One dry run for each candidate, after one round thrown away for the page cache. */
async function dryRuns(
  options: BenchmarkOptions,
  wanted: Candidate,
  library: readonly Candidate[],
): Promise<Scored> {
  const { runner, signal } = options;
  const differs = async ({ tree }: Candidate): Promise<number> => {
    const args = [...DRY_RUN, '--', `${wanted.tree}/`, `${tree}/`];
    const { stdout } = await runner.run('rsync', args, { timeoutMs: TIMEOUT_MS, signal });
    return transferredBytes(stdout);
  };
  for (const candidate of new Set(library)) await differs(candidate);
  options.progress(`rsync: ${library.length} dry runs`);
  let best = { name: 'none', bytes: Number.POSITIVE_INFINITY };
  const startedMs = performance.now();
  for (const candidate of library) {
    const bytes = await differs(candidate);
    if (bytes < best.bytes) best = { name: candidate.name, bytes };
  }
  return { best: best.name, seconds: (performance.now() - startedMs) / 1000 };
}

function transferredBytes(stats: string): number {
  const found = /^Total transferred file size: ([\d,]+) bytes/m.exec(stats)?.[1];
  if (found === undefined) throw new VmdnError('tool_failed', 'rsync printed no statistics.');
  return Number(found.replaceAll(',', ''));
}

function report(library: readonly Candidate[], scored: Scored, rsync: number): BenchmarkReport {
  const blocks = library.reduce((sum, candidate) => sum + candidate.blocks, 0);
  const ratio = rsync / scored.seconds;
  const rows = [
    ['method', 'seconds', 'ratio'],
    ['recipes, one exact scan', scored.seconds.toFixed(3), '1'],
    ['rsync dry runs of the file trees', rsync.toFixed(3), ratio.toFixed(0)],
  ];
  const sizes =
    `${library.length} candidates for ${WANTED}, ${formatBytes(blocks)} blocks in all; ` +
    `both name ${scored.best}.`;
  const words = [
    `At least ${RATIO_MIN} times faster than the dry runs`,
    `and within ${SECONDS_MAX} s`,
  ].join(' ');
  return {
    json: { vmdn: scored.seconds, rsync, images: library.length, blocks },
    table: `${sizes}\n\n${formatTable(rows)}`,
    plot: simplePlot(
      `Seconds to find the best of ${library.length} candidates`,
      { 'one exact scan': scored.seconds, 'rsync dry runs': rsync },
      ['one exact scan'],
    ),
    promised: [{ words, holds: ratio >= RATIO_MIN && scored.seconds <= SECONDS_MAX }],
  };
}
