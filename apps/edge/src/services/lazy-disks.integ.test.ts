import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseDigest } from '@vmdn/core/domain/digest.ts';
import { parseId } from '@vmdn/core/domain/names.ts';
import type { DiskPlan } from '@vmdn/core/domain/plan.ts';
import { referenceRecipe } from '@vmdn/core/formats/recipe.fixture.ts';
import { clearExports, nbdExports } from '@vmdn/core/io/nbd/export-server.ts';
import { connectNbd } from '@vmdn/core/io/nbd/nbd-client.ts';
import type { ClosableDisk } from '@vmdn/core/io/ports/exported-disk.ts';
import type { StoredImage } from '@vmdn/core/io/ports/image-store.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GuestReads } from '../sync/guest-reads.ts';
import { LazyDisk } from '../sync/lazy-disk.ts';
import { createLazyDisks, type LazyDisks } from './lazy-disks.ts';

const VM = parseId('0b6f5a4e-0d6c-4c61-8a43-111111111111', 'VM');
const OTHER_VM = parseId('0b6f5a4e-0d6c-4c61-8a43-222222222222', 'VM');
const DIGEST = parseDigest('ab'.repeat(32));
const SIZE = 128 * 1024;
const DISKS = [{ digest: DIGEST, virtualSizeBytes: SIZE }];

/** A disk of one byte again and again. */
function diskOf(byte: number): ClosableDisk & { readonly closed: () => boolean } {
  let isClosed = false;
  return {
    sizeBytes: SIZE,
    readNow: () => false,
    read: async (target, at, lengthBytes) => void target.fill(byte, at, at + lengthBytes),
    extent: (_, endBytes) => ({ endBytes, isZero: false }),
    close: async () => {
      isClosed = true;
    },
    closed: () => isClosed,
  };
}

let dir: string;
let lazy: LazyDisks;
let image: ReturnType<typeof diskOf>;
let held: boolean;
let changed: (() => void)[];
const tell = (): void => {
  for (const listener of changed) listener();
};
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmdn-lazy-'));
  [held, changed, image] = [false, [], diskOf(7)];
  const listen = (listener: (kind: 'snapshot') => void) => {
    changed.push(() => listener('snapshot'));
    return () => undefined;
  };
  lazy = createLazyDisks({
    dir,
    store: {
      find: () => (held ? ({ digest: DIGEST } as StoredImage) : undefined),
      onChange: listen,
    },
    hypervisor: { exportUser: async () => null },
    serveExports: nbdExports(() => undefined),
    clearExports,
    lazyDisk: (recipe) => new LazyDisk(recipe),
    guestReads: () => new GuestReads(),
    openImage: async () => image,
    onTrouble: () => undefined,
  });
});
afterEach(async () => {
  await lazy[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

function planOf(byte: number, digest = DIGEST): DiskPlan {
  return { digest, wanted: referenceRecipe(new Uint8Array(SIZE).fill(byte)) } as DiskPlan;
}

/** A sync of the disk begins that has all of it already: bytes of this value. Tells what a boot reads. */
async function begins(byte: number): Promise<readonly number[] | undefined> {
  const reading = await lazy.reading(planOf(byte));
  reading?.disk.attach({ file: diskOf(byte), isThere: () => true, want: () => undefined });
  return reading?.bootTrace;
}

async function firstByte(socket: string): Promise<number> {
  const client = await connectNbd({ socketPath: socket, exportName: DIGEST });
  try {
    const target = Buffer.alloc(512);
    await client.read(target, 4096);
    return target[0]!;
  } finally {
    await client.close();
  }
}

describe('the exports of disks that are on their way', () => {
  it('I1: are there at once; who reads early waits for the disk', async () => {
    const { socket } = await lazy.serve(VM, DISKS);
    const early = firstByte(socket);
    await begins(1);
    expect(await early).toBe(1);
    expect(await lazy.reading(planOf(1, parseDigest('cd'.repeat(32))))).toBeUndefined();
  });

  it('I2: read from the newest sync, and from the store as soon as that has the disk', async () => {
    const { socket } = await lazy.serve(VM, DISKS);
    await begins(1);
    await begins(2);
    expect(await firstByte(socket)).toBe(2);
    held = true;
    tell();
    await expect.poll(() => firstByte(socket)).toBe(7);
  });

  it('I2: goes back to the sync when the store has lost the disk', async () => {
    held = true;
    const { socket } = await lazy.serve(VM, DISKS);
    await expect.poll(() => firstByte(socket)).toBe(7);
    held = false;
    tell();
    await expect.poll(() => image.closed()).toBe(true);
    const early = firstByte(socket);
    await begins(3);
    expect(await early).toBe(3);
  });

  it('I3: end with their VM and leave nothing open; another VM of the same disk goes on', async () => {
    held = true;
    const [one, other] = [await lazy.serve(VM, DISKS), await lazy.serve(OTHER_VM, DISKS)];
    expect((await lazy.serve(VM, DISKS)).socket).toBe(one.socket);
    await lazy.end(VM);
    await lazy.end(VM);
    await expect(stat(one.socket)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(image.closed()).toBe(false);
    expect(await firstByte(other.socket)).toBe(7);
    await lazy.end(OTHER_VM);
    expect(image.closed()).toBe(true);
    expect((await lazy.serve(VM, DISKS)).socket).toBe(one.socket);
  });

  it('I4: give a sync what boots like this one read, and record what this one reads', async () => {
    const { socket } = await lazy.serve(VM, DISKS);
    expect(lazy.recorded(VM)).toBeNull();
    lazy.record(VM);
    const early = firstByte(socket);
    await expect.poll(() => lazy.stallSeconds(VM)).toBeGreaterThan(0);
    expect(await begins(1)).toEqual([]);
    expect(lazy.ahead(VM)).toBeNull();
    await early;
    const stalled = lazy.stallSeconds(VM);
    await firstByte(socket);
    expect(lazy.stallSeconds(VM)).toBe(stalled);
    const trace = lazy.recorded(VM)!;
    expect([...trace.blocks]).toEqual([1]);
    expect(trace.keys).toEqual(planOf(1).wanted.keys.subarray(2, 4));
    // One boot, one recording.
    expect(lazy.recorded(VM)).toBeNull();
    await lazy.end(VM);

    await lazy.serve(VM, DISKS);
    lazy.expect(VM, Promise.resolve([{ kinship: 'version', trace }]));
    expect(await begins(1)).toEqual([0]);
    expect(lazy.ahead(VM)).toEqual({ segments: 1, bytes: 64 * 1024 });
  });

  it('I4: record nothing of a VM of which a disk is read from files', async () => {
    held = true;
    const { socket } = await lazy.serve(VM, DISKS);
    lazy.record(VM);
    await expect.poll(() => firstByte(socket)).toBe(7);
    expect(lazy.recorded(VM)).toBeNull();
  });
});
