import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DiskSource } from '@vmdn/core/domain/vm-specification.ts';
import { createCommandRunner } from '@vmdn/core/io/command/command-runner.ts';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { SourceLocks } from '../ports.ts';
import { createSourceLocks } from './source-locks.ts';

const runner = createCommandRunner();
let dir: string;
let locks: SourceLocks;
const clock = { nowMs: 1_000_000 };

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmdn-locks-'));
  const socketDir = join(dir, 's');
  locks = createSourceLocks({
    runner,
    socketDir,
    idleMs: 600_000,
    locksMax: 2,
    now: () => clock.nowMs,
  });
});
afterEach(async () => {
  await locks[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

async function makeDisk(name: string, fill: number): Promise<DiskSource & { path: string }> {
  const path = join(dir, name);
  await writeFile(path, Buffer.alloc(1 << 20, fill));
  return { path, layers: [{ path, format: 'raw' }] };
}

async function poke(path: string): Promise<void> {
  const file = await open(path, 'r+');
  await file.write(Buffer.from([0xee]), 0, 1, 5);
  await file.close();
}

describe('a lock', () => {
  it('is shared by all who read the same disk', async () => {
    const disk = await makeDisk('a', 1);
    const [one, two] = await Promise.all([locks.lock(disk), locks.lock(disk)]);
    expect(one!.socketPath).toBe(two!.socketPath);
    expect(locks.isLocked(disk)).toBe(true);
    one!.release();
    one!.release();
    const bytes = new Uint8Array(4096);
    await two!.readInto(bytes, 0);
    expect(bytes.every((byte) => byte === 1)).toBe(true);
  });

  it('I1: gives no bytes of a source that was written to since, to anybody who holds it', async () => {
    const disk = await makeDisk('a', 1);
    const [one, two] = [await locks.lock(disk), await locks.lock(disk)];
    await poke(disk.path);
    const reads = [one, two].flatMap((locked) =>
      Array.from({ length: 8 }, (_, i) => locked.readInto(new Uint8Array(4096), i * 4096)),
    );
    for (const result of await Promise.allSettled(reads)) {
      expect(result).toMatchObject({ status: 'rejected', reason: { code: 'withdrawn' } });
    }
    const fresh = await locks.lock(disk);
    const bytes = new Uint8Array(8);
    await fresh.readInto(bytes, 0);
    expect([...bytes]).toEqual([1, 1, 1, 1, 1, 0xee, 1, 1]);
    expect(fresh.print).toBe(await locks.print(disk));
  });

  it('I2: is kept for the next reader, or let go at once where none is expected', async () => {
    const disk = await makeDisk('a', 1);
    const [one, two] = [await locks.lock(disk), await locks.lock(disk)];
    one.release({ atOnce: true });
    await two.readInto(new Uint8Array(1), 0);
    two.release();
    expect(locks.isLocked(disk)).toBe(true);
    (await locks.lock(disk)).release({ atOnce: true });
    await vi.waitFor(() => expect(locks.isLocked(disk)).toBe(false), 60_000);
  });

  it('that is idle and older than a change is not joined', async () => {
    const disk = await makeDisk('a', 1);
    const first = await locks.lock(disk);
    first.release();
    await poke(disk.path);
    const second = await locks.lock(disk);
    expect(second.print).not.toBe(first.print);
    await second.readInto(new Uint8Array(1), 5);
  });

  it('of a replaced file is withdrawn: another inode is another source', async () => {
    const disk = await makeDisk('a', 1);
    const locked = await locks.lock(disk);
    await rm(disk.path);
    await makeDisk('a', 1);
    await expect(locked.readInto(new Uint8Array(1), 0)).rejects.toMatchObject({
      code: 'withdrawn',
    });
  });

  it('I2: let go on request ends reads under way and is not taken again before the time', async () => {
    const disk = await makeDisk('a', 1);
    const locked = await locks.lock(disk);
    await locks.letGo(disk, clock.nowMs + 5_000);
    expect(locks.isLocked(disk)).toBe(false);
    const read = locked.readInto(new Uint8Array(1), 0);
    await expect(read).rejects.toMatchObject({ code: 'unavailable' });
    await expect(locks.lock(disk)).rejects.toMatchObject({ code: 'unavailable' });
    clock.nowMs += 5_001;
    await (await locks.lock(disk)).readInto(new Uint8Array(1), 0);
  });

  it('I2: that is kept away is taken by nobody, and what its owner asked for stands after that', async () => {
    const disk = await makeDisk('a', 1);
    await locks.letGo(disk, clock.nowMs + 5_000);
    (await locks.keepAway(disk))[Symbol.dispose]();
    await expect(locks.lock(disk)).rejects.toMatchObject({ data: { seconds: 5 } });
    clock.nowMs += 5_001;
    const locked = await locks.lock(disk);
    const keeping = await locks.keepAway(disk);
    expect(locks.isLocked(disk)).toBe(false);
    const read = locked.readInto(new Uint8Array(1), 0);
    await expect(read).rejects.toMatchObject({ code: 'unavailable' });
    await expect(locks.lock(disk)).rejects.toMatchObject({ code: 'unavailable' });
    keeping[Symbol.dispose]();
    await (await locks.lock(disk)).readInto(new Uint8Array(1), 0);
  });

  it('there are only so many: idle ones make room, used ones do not', async () => {
    const [a, b, c] = [await makeDisk('a', 1), await makeDisk('b', 2), await makeDisk('c', 3)];
    const first = await locks.lock(a);
    await locks.lock(b);
    await expect(locks.lock(c)).rejects.toMatchObject({ code: 'busy' });
    first.release();
    await locks.lock(c);
    await vi.waitFor(() => expect(locks.isLocked(a)).toBe(false), 60_000);
  });

  it('that could not be taken can be asked for again', async () => {
    const disk = await makeDisk('a', 1);
    await rm(disk.path);
    await expect(locks.lock(disk)).rejects.toMatchObject({ code: 'not_found' });
    await makeDisk('a', 1);
    await (await locks.lock(disk)).readInto(new Uint8Array(1), 0);
  });
});
