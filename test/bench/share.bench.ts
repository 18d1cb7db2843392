/**
 * Room: test, bench. What it saves to share storage in place: a clone of the base image is delivered to an
 * edge that has the base, with and without sharing, by the edge's own planner and engine.
 *
 * I1: what is in no local image comes straight from a file: no link is measured, only the edge.
 * I2: a figure counts only when the disk is right: by SHA-256 of what QEMU reads of it, each time.
 * I3: rounds alternate, the first is thrown away, and each method's figure is its best round. The clock
 *     runs from the finished plan until all is verified and durable.
 */

import { open, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { BLOCK_BYTES } from '@vmdn/core/domain/units.ts';
import type { StoredImage } from '@vmdn/core/io/ports/image-store.ts';
import type { RemoteSource } from '@vmdn/core/io/ports/remote-source.ts';
import { guestVisibleSha256 } from '@vmdn/infra/lab/disk-proof.ts';
import { createImageUses } from '../../apps/edge/src/services/image-uses.ts';
import { createPlanner } from '../../apps/edge/src/services/planner.ts';
import { createSyncEngine, type SyncEngine } from '../../apps/edge/src/sync/create-sync-engine.ts';
import type { BenchmarkOptions, BenchmarkReport } from './benchmark.ts';
import { ensureGuests } from './guests.ts';
import { simplePlot } from './plot.ts';
import { NOTHING_MEASURED, openStore, type Store } from './store.ts';
import { formatMegabytes, formatTable } from './table.ts';
import { type Disk, openWorkbench } from './workbench.ts';

const [BASE, CLONE] = ['debian-12-base', 'web-02'];
const ROUNDS = 5;
const METHODS = ['shared', 'copied'] as const;
/** Sharing may take this much of the room and of the time that copying takes. */
const ROOM_MAX = 0.2;
const TIME_MAX = 1.1;
/** Blocks handed over at once. */
const PIECE_BLOCKS = 256;

interface Figures {
  readonly allocatedBytes: number;
  readonly seconds: number;
}

export async function run(options: BenchmarkOptions): Promise<BenchmarkReport> {
  await using bench = await openWorkbench(options);
  const disks: Disk[] = [];
  for (const guest of await ensureGuests([BASE, CLONE], options))
    disks.push(await bench.disk(guest));
  const [base, clone] = disks as [Disk, Disk];
  await using edge = await openStore(options, bench, base);
  await using origin = await openStore(options, bench, clone);
  await using engine = createSyncEngine();
  const best = new Map<string, Figures>();
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const method of METHODS) {
      options.signal.throwIfAborted();
      const figures = await deliver(options, engine, edge, { method, origin, clone });
      if (round === 0) continue;
      options.progress(`round ${round} of ${ROUNDS}: ${method} ${figures.seconds.toFixed(3)} s`);
      const seconds = Math.min(figures.seconds, best.get(method)?.seconds ?? figures.seconds);
      best.set(method, { ...figures, seconds });
    }
  }
  return report(best.get('shared')!, best.get('copied')!);
}

async function deliver(
  { signal }: BenchmarkOptions,
  engine: SyncEngine,
  edge: Store,
  task: { readonly method: 'shared' | 'copied'; readonly origin: Store; readonly clone: Disk },
): Promise<Figures> {
  const { image } = task.origin;
  const partialImages = async () => [];
  const sharesInPlace = task.method === 'shared';
  const planner = createPlanner({
    uses: createImageUses(),
    engine,
    store: edge,
    partialImages,
    sharesInPlace,
    ratios: NOTHING_MEASURED,
  });
  const plan = await planner.plan(image.digest, image.recipePath, signal);
  // Where the finished disk would be, so that its header's name of the base is right.
  const stagingDir = join(dirname(dirname(edge.image.path)), image.digest);
  const { path, seconds } = await engine.sync({
    ...{ plan, stagingDir, signal },
    sources: [fileSource(image)],
  });
  const format = path.endsWith('qcow2') ? 'qcow2' : 'raw';
  if ((await guestVisibleSha256({ path, format })) !== task.clone.sha256) {
    throw new VmdnError('corrupt', `The disk that was ${task.method} is not ${task.clone.name}'s.`);
  }
  const allocatedBytes = (await stat(path)).blocks * 512;
  await rm(stagingDir, { recursive: true });
  return { allocatedBytes, seconds };
}

/** A source without a link. */
function fileSource({ path, virtualSizeBytes }: StoredImage): RemoteSource {
  return {
    tier: 'origin',
    name: 'file',
    async readBlocks({ runs, onBlocks, onWireBytes, signal }) {
      await using file = await open(path, 'r');
      let wireBytes = 0;
      for (let i = 0; i < runs.length; i += 2) {
        const end = runs[i]! + runs[i + 1]!;
        for (let block = runs[i]!; block < end; block += PIECE_BLOCKS) {
          signal.throwIfAborted();
          const count = Math.min(PIECE_BLOCKS, end - block);
          const length = Math.min(count * BLOCK_BYTES, virtualSizeBytes - block * BLOCK_BYTES);
          const bytes = Buffer.allocUnsafe(length);
          await file.read(bytes, 0, length, block * BLOCK_BYTES);
          wireBytes += length;
          onWireBytes?.(length);
          await onBlocks(block, count, bytes);
        }
      }
      return { wireBytes };
    },
  };
}

function report(shared: Figures, copied: Figures): BenchmarkReport {
  const row = (words: string, { allocatedBytes, seconds }: Figures): string[] => [
    words,
    formatMegabytes(allocatedBytes),
    `${seconds.toFixed(2)} s`,
  ];
  const rows = [
    [`${CLONE} onto an edge with ${BASE}`, 'allocated', 'seconds'],
    row('shared in place', shared),
    row('copied', copied),
  ];
  return {
    json: { shared, copied },
    table: formatTable(rows),
    plot: simplePlot(
      `Room that ${CLONE} takes on an edge with ${BASE}`,
      { 'shared in place': shared.allocatedBytes, copied: copied.allocatedBytes },
      ['shared in place'],
      formatMegabytes,
    ),
    promised: [
      {
        words: `room ≤ ${ROOM_MAX} × copied`,
        holds: shared.allocatedBytes <= ROOM_MAX * copied.allocatedBytes,
      },
      {
        words: `seconds ≤ ${TIME_MAX} × copied`,
        holds: shared.seconds <= TIME_MAX * copied.seconds,
      },
    ],
  };
}
