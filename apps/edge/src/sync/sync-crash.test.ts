import { readFile } from 'node:fs/promises';
import { totalTierBytes } from '@vmdn/core/domain/tiers.ts';
import type {
  Assembler,
  AssemblySession,
  StagingArea,
  StagingAreas,
} from '@vmdn/core/io/ports/disk-assembly.ts';
import { type AssemblerPool, createAssemblerPool } from '@vmdn/core/io/sync/assembler-pool.ts';
import { createStagingAreas } from '@vmdn/core/io/sync/staging.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createSyncEngine, type SyncEngine } from './create-sync-engine.ts';
import { DiskRoom, diskOf, imageOf, planOf, range, sourceOf, tiersOf } from './sync.fixture.ts';
import { type SyncMeans, syncDisk } from './sync-disk.ts';

const never = new AbortController().signal;
let room: DiskRoom;
let engine: SyncEngine;
let pool: AssemblerPool;

beforeAll(async () => {
  room = await DiskRoom.open();
  engine = createSyncEngine({ assembleWorkers: 1 });
  pool = createAssemblerPool(2);
});

afterAll(async () => {
  await engine?.[Symbol.asyncDispose]();
  await pool?.close();
  await room?.close();
});

/** The real means, until `steps` steps were taken; then the process is as good as dead. */
function meansThatDie(steps: number): SyncMeans & { readonly isDead: () => boolean } {
  let left = steps;
  const step = <T>(take: () => Promise<T>): Promise<T> => {
    left -= 1;
    return left < 0 ? Promise.reject(new Error('dead')) : take();
  };
  const assembler: Assembler = {
    open: async (job) => {
      const session = await pool.open(job);
      const mortal: AssemblySession = {
        width: session.width,
        assemble: (rows, urgent) => step(() => session.assemble(rows, urgent)),
        stage: (row) => step(() => session.stage(row)),
        check: (from, to) => step(() => session.check(from, to)),
        close: () => session.close(),
      };
      return mortal;
    },
  };
  const real = createStagingAreas();
  const stagingAreas: StagingAreas = {
    open: async (dir, plan) => {
      const area = await real.open(dir, plan);
      const mortal: StagingArea = {
        path: area.path,
        recipePath: area.recipePath,
        layers: area.layers,
        condition: area.condition,
        records: area.records,
        wireBytes: area.wireBytes,
        commit: (...commit) => step(() => area.commit(...commit)),
        note: (wireBytes) => step(() => area.note(wireBytes)),
        // The dead close nothing in order.
        close: (isClean) => area.close(isClean && left >= 0),
      };
      return mortal;
    },
  };
  return { assembler, stagingAreas, bufferBytes: 8 * 65_536, isDead: () => left < 0 };
}

describe('at every step', () => {
  it('a sync can die, and the next one ends with the exact disk and counters that add up', async () => {
    const base = await room.store(diskOf(range(5000, 200)));
    const contents = [
      ...range(5000, 100),
      ...range(1, 300),
      ...Array<number>(64).fill(0),
      ...range(1, 40),
      ...range(5100, 100),
    ];
    const wanted = await room.store(diskOf(contents));
    const plan = await planOf(engine, wanted, [imageOf(base)]);
    let deaths = 0;
    for (let steps = 0; ; steps += 1) {
      const stagingDir = room.path('staging');
      const origin = sourceOf(wanted.bytes, { chunkBytes: 5 * 4096 });
      const request = { plan, stagingDir, sources: [origin], signal: never };
      const first = meansThatDie(steps);
      const outcome = await syncDisk(first, request).catch((error: unknown) => error);
      if (first.isDead()) {
        deaths += 1;
        expect(String(outcome)).toContain('dead');
        // And once more on the way back.
        const second = meansThatDie(Math.floor(steps / 2));
        await syncDisk(second, request).catch(() => {});
      }
      const result = await syncDisk(meansThatDie(1e9), request);
      expect(Buffer.compare(await readFile(result.path), wanted.bytes)).toBe(0);
      expect(totalTierBytes(result.delivery.diskBytes)).toBe(wanted.bytes.length);
      expect(result.delivery.diskBytes).toEqual(tiersOf(plan));
      if (!first.isDead()) {
        expect(origin.sentBlocks).toHaveLength(300);
        break;
      }
    }
    expect(deaths).toBeGreaterThan(20);
  }, 600_000);
});
