/**
 * Room: test, bench. What the recipe of a disk costs an edge that has the base image's: the plain recipe, and
 * outline and rows (docs/formats/recipe-outline.md).
 *
 * I1: bytes are those of the bodies as the disk routes send them, compressed by the same code.
 * I2: the recipe that comes out of outline and rows is the wanted one, byte for byte, or there is no figure.
 * I3: times are the best of ROUNDS, in a thread that runs already.
 */

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseDiskFormat } from '@vmdn/core/domain/disk-format.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Recipe } from '@vmdn/core/domain/recipe.ts';
import { buildRecipeIndex } from '@vmdn/core/domain/recipe-index.ts';
import { digestOfRecipe } from '@vmdn/core/formats/disk-digest.ts';
import { keysRootOfRecipe } from '@vmdn/core/formats/key-pages.ts';
import { encodeRecipe } from '@vmdn/core/formats/recipe.ts';
import { outlinePieces } from '@vmdn/core/formats/recipe-outline.ts';
import { encodeRowRequest, rowPieces } from '@vmdn/core/formats/recipe-rows.ts';
import { DISK_ROUTE_LIMITS } from '@vmdn/core/http/disk-routes-limits.ts';
import { compressBody } from '@vmdn/core/http/disk-zstd.ts';
import { openDiskExport } from '@vmdn/core/io/disk-export/disk-export.ts';
import { describeDisk } from '@vmdn/core/io/hashing/describe-disk.ts';
import type { OutlineResolver } from '@vmdn/core/io/ports/outline-resolver.ts';
import { createOutlineResolver } from '@vmdn/core/io/sync/outline-resolver.ts';
import type { Guest } from '@vmdn/infra/lab/guests.ts';
import type { BenchmarkOptions, BenchmarkReport } from './benchmark.ts';
import { ensureGuests } from './guests.ts';
import { simplePlot } from './plot.ts';
import { formatBytes, formatTable } from './table.ts';
import { openWorkbench } from './workbench.ts';

const BASE = 'debian-12-base';
/** A clone of the base with packages added, and a guest that was installed by itself. */
const WANTED = ['web-02', 'web-01'] as const;
const CLONE = 'web-02';
const ROUNDS = 5;
/** What a clone's recipe may cost of the plain one. */
const RATIO_MAX = 0.4;

/** Bytes of bodies as sent (`fileBytes`: of the file), rows, milliseconds. */
export interface LightFigures {
  readonly fileBytes: number;
  readonly plainBytes: number;
  readonly outlineBytes: number;
  readonly requestBytes: number;
  readonly rowsBytes: number;
  readonly rows: number;
  readonly missingRows: number;
  readonly lookUpMs: number;
  readonly completeMs: number;
}

export async function run(options: BenchmarkOptions): Promise<BenchmarkReport> {
  await using bench = await openWorkbench(options);
  await using resolver = createOutlineResolver();
  const [base, ...wanteds] = await ensureGuests([BASE, ...WANTED], options);
  const socketDir = await bench.freshFolder('sockets');
  const held = join(bench.folder, 'held.recipe');
  await writeFile(held, encodeRecipe(await recipeOf(base!, socketDir, options)));
  const figures = new Map<string, LightFigures>();
  for (const guest of wanteds) {
    const wanted = await recipeOf(guest, socketDir, options);
    figures.set(guest.name, await measureLight(wanted, held, { resolver, signal: options.signal }));
  }
  return report(figures);
}

async function recipeOf(
  guest: Guest,
  socketDir: string,
  { runner, signal, progress }: BenchmarkOptions,
): Promise<Recipe> {
  progress(`${guest.name}: its recipe`);
  const layers = [{ path: guest.disk.path, format: parseDiskFormat(guest.disk.format) }];
  const disk = await openDiskExport({ layers, socketDir, runner, signal });
  try {
    return (await describeDisk({ ...disk, signal })).recipe;
  } finally {
    await disk.close();
  }
}

/** What it costs to bring `wanted` to an edge that has the recipe file at `heldPath`. */
export async function measureLight(
  wanted: Recipe,
  heldPath: string,
  means: { readonly resolver: OutlineResolver; readonly signal: AbortSignal },
): Promise<LightFigures> {
  const { resolver, signal } = means;
  const file = encodeRecipe(wanted);
  const index = buildRecipeIndex(wanted);
  const promised = { digest: digestOfRecipe(wanted), keysRoot: keysRootOfRecipe(wanted) };
  let best: LightFigures | undefined;
  for (let round = 0; round < ROUNDS; round += 1) {
    const outline = joined(outlinePieces(wanted));
    const askedAt = performance.now();
    const question = { outline, recipePaths: [heldPath], recipeBytes: file.length, signal };
    const resolved = await resolver.resolve(question);
    const lookUpMs = performance.now() - askedAt;
    const { runs, rows, missingRows } = resolved;
    const answer = runs.length === 0 ? null : joined(rowPieces(wanted, index, runs));
    const rowsBytes = answer === null ? 0 : await sentBytes([answer]);
    const requestBytes = answer === null ? 0 : encodeRowRequest(runs).length;
    const gotAt = performance.now();
    const whole = await resolver.complete(resolved, answer, promised, signal);
    const completeMs = performance.now() - gotAt;
    if (Buffer.compare(whole, file) !== 0) {
      throw new VmdnError('internal', 'Outline and rows brought another recipe.');
    }
    best = {
      ...{ fileBytes: file.length, rows, missingRows, requestBytes, rowsBytes },
      plainBytes: best?.plainBytes ?? (await sentBytes([file])),
      outlineBytes: best?.outlineBytes ?? (await sentBytes(outlinePieces(wanted))),
      lookUpMs: Math.min(lookUpMs, best?.lookUpMs ?? lookUpMs),
      completeMs: Math.min(completeMs, best?.completeMs ?? completeMs),
    };
  }
  return best!;
}

function joined(pieces: Iterable<Uint8Array>): Uint8Array {
  return new Uint8Array(Buffer.concat([...pieces]));
}

async function sentBytes(pieces: Iterable<Uint8Array>): Promise<number> {
  const body = (async function* () {
    yield* pieces;
  })();
  let bytes = 0;
  for await (const piece of compressBody(body, DISK_ROUTE_LIMITS.compressionLevel)) {
    bytes += piece.length;
  }
  return bytes;
}

function report(figures: ReadonlyMap<string, LightFigures>): BenchmarkReport {
  const heading = [
    'recipe',
    'file',
    'plain',
    'outline',
    'rows',
    'both',
    'of plain',
    'missing',
    'ms',
  ];
  const rows = [...figures].map(([name, cost]) => [
    name,
    ...[cost.fileBytes, cost.plainBytes, cost.outlineBytes, cost.rowsBytes].map(formatBytes),
    formatBytes(cost.outlineBytes + cost.rowsBytes),
    `${(100 * ratioOf(cost)).toFixed(1)} %`,
    `${formatBytes(cost.missingRows)} of ${formatBytes(cost.rows)}`,
    `${cost.lookUpMs.toFixed(0)} + ${cost.completeMs.toFixed(0)}`,
  ]);
  const clone = figures.get(CLONE);
  const words = `The recipe of ${CLONE} costs at most ${100 * RATIO_MAX} % of the plain one.`;
  return {
    json: Object.fromEntries(figures),
    table: `Held: ${BASE}. Bytes as sent, zstd.\n\n${formatTable([heading, ...rows])}`,
    plot: {
      title: `Bytes of a recipe for an edge that has ${BASE}`,
      groups: [...figures].map(([name, cost]) => {
        const light = cost.outlineBytes + cost.rowsBytes;
        const values = { plain: cost.plainBytes, 'outline and rows': light };
        const [group] = simplePlot('', values, ['outline and rows'], formatBytes).groups;
        return { title: name, bars: group!.bars };
      }),
    },
    promised: [{ words, holds: clone !== undefined && ratioOf(clone) <= RATIO_MAX }],
  };
}

function ratioOf({ outlineBytes, rowsBytes, plainBytes }: LightFigures): number {
  return (outlineBytes + rowsBytes) / plainBytes;
}
