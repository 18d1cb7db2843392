import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { totalTierBytes } from '@vmdn/core/domain/tiers.ts';
import { readStagingState } from '@vmdn/core/io/sync/staging.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createSyncEngine, type SyncEngine } from './create-sync-engine.ts';
import type { DiskDelivery } from './delivery-ledger.ts';
import {
  type DiskFile,
  DiskRoom,
  diskOf,
  imageOf,
  planOf,
  type StoredDisk,
  sourceOf,
} from './sync.fixture.ts';
import type { ChildTask } from './sync-child.fixture.ts';

const never = new AbortController().signal;
let room: DiskRoom;
let engine: SyncEngine;

beforeAll(async () => {
  room = await DiskRoom.open();
  engine = createSyncEngine({ assembleWorkers: 2 });
});

afterAll(async () => {
  await engine[Symbol.asyncDispose]();
  await room.close();
});

const range = (from: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => from + i);

/** Cancels the first sync after `blocks` blocks; returns how many had been sent. */
async function interrupted(wanted: StoredDisk, stagingDir: string, blocks: number) {
  const plan = await planOf(engine, wanted, []);
  const stop = new AbortController();
  const origin = sourceOf(wanted.bytes, {
    chunkBytes: 16 * 4096,
    onChunk: () => {
      if (origin.sentBlocks.length >= blocks) stop.abort();
    },
  });
  const failed = engine.sync({ plan, stagingDir, sources: [origin], signal: stop.signal });
  await expect(failed).rejects.toMatchObject({ code: 'cancelled' });
  return { plan, sent: origin.sentBlocks.length };
}

async function resumed(wanted: StoredDisk, stagingDir: string) {
  const plan = await planOf(engine, wanted, []);
  const origin = sourceOf(wanted.bytes);
  const result = await engine.sync({ plan, stagingDir, sources: [origin], signal: never });
  expect(Buffer.compare(await readFile(result.path), wanted.bytes)).toBe(0);
  expect(totalTierBytes(result.delivery.diskBytes)).toBe(wanted.bytes.length);
  return { result, sent: origin.sentBlocks };
}

describe('a sync that was interrupted', () => {
  it('goes on where it was, and counts on from what was counted', async () => {
    const wanted = await room.store(diskOf(range(1, 640)));
    const stagingDir = room.path('staging');
    const before = await interrupted(wanted, stagingDir, 320);
    const after = await resumed(wanted, stagingDir);
    expect(before.sent + after.sent.length).toBeLessThanOrEqual(640 * 1.05);
    expect(after.result.delivery.diskBytes.origin).toBe(640 * 4096);
    expect(after.result.delivery.wireBytes.origin).toBeGreaterThanOrEqual(640 * 4096);
    expect(after.result.delivery.wireBytes.origin).toBeLessThan(640 * 4096 * 1.06);
  });

  it('a finished one is recognised: nothing is sent, the counters stay', async () => {
    const wanted = await room.store(diskOf(range(1, 100)));
    const stagingDir = room.path('staging');
    const first = await resumed(wanted, stagingDir);
    const second = await resumed(wanted, stagingDir);
    expect(second.sent).toEqual([]);
    expect(second.result.delivery).toEqual(first.result.delivery);
  });

  it('believes no claim about a file that was touched since', async () => {
    const wanted = await room.store(diskOf([...range(1, 64), ...Array<number>(64).fill(0), 5]));
    const stagingDir = room.path('staging');
    await resumed(wanted, stagingDir);
    const file = await open(join(stagingDir, 'disk.raw'), 'r+');
    await file.write(Buffer.alloc(4096, 1), 0, 4096, 20 * 4096);
    await file.write(Buffer.alloc(4096, 1), 0, 4096, 100 * 4096);
    await file.close();
    const { sent } = await resumed(wanted, stagingDir);
    expect(sent).toEqual(range(16, 16));
  });

  it.each(['bitmap', 'state'])(
    'with a damaged %s verifies everything and keeps what is right',
    async (name) => {
      const wanted = await room.store(diskOf([...range(1, 64), ...Array<number>(64).fill(0), 5]));
      const stagingDir = room.path('staging');
      await resumed(wanted, stagingDir);
      await writeFile(join(stagingDir, name), 'torn');
      const file = await open(join(stagingDir, 'disk.raw'), 'r+');
      await file.write(Buffer.alloc(4096, 1), 0, 4096, 40 * 4096);
      await file.write(Buffer.alloc(100, 1), 0, 100, 90 * 4096);
      await file.close();
      const { sent, result } = await resumed(wanted, stagingDir);
      expect(sent).toEqual(range(32, 16));
      expect(result.delivery.diskBytes.origin).toBe(65 * 4096);
    },
  );

  it('without a bitmap verifies everything too', async () => {
    const wanted = await room.store(diskOf(range(1, 64)));
    const stagingDir = room.path('staging');
    await resumed(wanted, stagingDir);
    await rm(join(stagingDir, 'bitmap'));
    expect((await resumed(wanted, stagingDir)).sent).toEqual([]);
  });

  it('over another disk’s data keeps equal segments and makes zero segments read as zero', async () => {
    const old = await room.store(diskOf(range(1, 640)));
    const contents = [...range(1, 64), ...Array<number>(200).fill(0), ...range(900, 20)];
    const wanted = await room.store(diskOf(contents));
    const stagingDir = room.path('staging');
    await resumed(old, stagingDir);
    const { sent } = await resumed(wanted, stagingDir);
    expect(sent).toEqual(range(264, 20));
    expect((await readStagingState(stagingDir))?.digest).toBe(wanted.digest);
  });

  it('refuses a second sync into the same directory', async () => {
    const wanted = await room.store(diskOf(range(1, 64)));
    const plan = await planOf(engine, wanted, []);
    const stagingDir = room.path('staging');
    const sync = { plan, stagingDir, sources: [sourceOf(wanted.bytes)], signal: never };
    const first = engine.sync(sync);
    await expect(engine.sync(sync)).rejects.toMatchObject({ code: 'conflict' });
    await first;
  });
});

describe('a process that is killed', () => {
  async function startChild(task: ChildTask, argv: readonly string[] = []) {
    const taskPath = room.path('task.json');
    await writeFile(taskPath, JSON.stringify(task));
    const script = new URL('./sync-child.fixture.ts', import.meta.url).pathname;
    const [command, ...args] = [...argv, process.execPath, script, taskPath];
    const child = spawn(command!, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const lines: string[] = [];
    child.stdout.setEncoding('utf8').on('data', (text: string) => lines.push(text));
    return { child, lines };
  }

  const lastEvent = (lines: readonly string[]) =>
    JSON.parse(lines.join('').trim().split('\n').at(-1) || '{}') as {
      event?: string;
      code?: string;
      delivery?: DiskDelivery;
      peakBytes?: number;
    };

  const blocksIn = async (log: string): Promise<number> => {
    const text = await readFile(log, 'utf8').catch(() => '');
    return text.split('\n').reduce((sum, line) => sum + Number(line.split(' ')[1] ?? 0), 0);
  };

  const taskFor = (wanted: DiskFile, images: readonly DiskFile[], pause: number): ChildTask => ({
    digest: wanted.digest,
    recipePath: wanted.recipePath,
    diskPath: wanted.path,
    virtualSizeBytes: wanted.virtualSizeBytes,
    images: images.map((image) => imageOf(image)),
    stagingDir: room.path('staging'),
    sentLog: room.path('sent'),
    pauseEveryBlocks: pause,
  });

  /** Kills the child once it has sent `blocks` more blocks than before; false when it ended first. */
  async function killAfter(child: ChildProcess, log: string, blocks: number): Promise<boolean> {
    const exited = once(child, 'exit').then(() => true);
    const before = await blocksIn(log);
    for (;;) {
      if (await Promise.race([exited, blocksIn(log).then((now) => now < before + blocks)])) {
        if (child.exitCode !== null || child.signalCode !== null) return false;
        continue;
      }
      child.kill('SIGKILL');
      await exited;
      return true;
    }
  }

  it('goes on after kill -9 at any moment, with at most 5 % more bytes for each', async () => {
    const remote = 8000;
    const base = await room.store(diskOf(range(50_000, 1000)));
    const contents = [...range(50_000, 500), ...range(1, remote), ...range(50_500, 500)];
    const wanted = await room.store(diskOf(contents));
    const task = taskFor(wanted, [base], 16);
    let kills = 0;
    for (const blocks of [1, 700, 2100, 1300, 900, 1900]) {
      const { child } = await startChild(task);
      if (await killAfter(child, task.sentLog, blocks)) kills += 1;
    }
    const { child, lines } = await startChild(task);
    await once(child, 'exit');
    const { event, delivery } = lastEvent(lines);
    expect(event).toBe('done');
    expect(kills).toBe(6);
    expect(Buffer.compare(await readFile(join(task.stagingDir, 'disk.raw')), wanted.bytes)).toBe(0);
    expect(await blocksIn(task.sentLog)).toBeLessThanOrEqual(remote * (1 + 0.05 * kills));
    expect(delivery?.diskBytes).toMatchObject({ local: 1000 * 4096, origin: remote * 4096 });
  }, 120_000);

  it('with a full disk says disk_full, keeps what it has, and ends when there is room', async () => {
    const wanted = await room.store(diskOf(range(1, 2000)));
    const task = taskFor(wanted, [], 0);
    // A limit on the size of files stands for a full disk: EFBIG instead of ENOSPC.
    const full = await startChild(task, ['prlimit', `--fsize=${1000 * 4096}`]);
    await once(full.child, 'exit');
    expect(lastEvent(full.lines)).toMatchObject({ event: 'failed', code: 'disk_full' });
    const again = await startChild(task);
    await once(again.child, 'exit');
    expect(lastEvent(again.lines).event).toBe('done');
    expect(Buffer.compare(await readFile(join(task.stagingDir, 'disk.raw')), wanted.bytes)).toBe(0);
  });

  it('needs no more memory for a 2 GiB disk than for a small one', async () => {
    const bytes = new Uint8Array(65_536);
    const wanted = await room.storeSparse(2 ** 31, (segment) => {
      if (segment % 64 > 8) return undefined;
      for (let block = 0; block < 16; block += 1) bytes.fill(segment, block * 4096);
      for (let block = 0; block < 16; block += 1)
        bytes.set([segment & 255, segment >> 8, block], block * 4096);
      return bytes;
    });
    const task = taskFor(wanted, [], 0);
    const { child, lines } = await startChild(task);
    await once(child, 'exit');
    const { event, peakBytes, delivery } = lastEvent(lines);
    expect(event).toBe('done');
    expect(delivery?.verifiedBytes).toBe(2 ** 31);
    expect(peakBytes).toBeLessThan(400e6);
  }, 120_000);
});
