import { readFile } from 'node:fs/promises';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createSyncEngine, type SyncEngine } from './create-sync-engine.ts';
import {
  DiskRoom,
  diskOf,
  imageOf,
  planOf,
  type StoredDisk,
  sourceOf,
  type TestSource,
} from './sync.fixture.ts';
import type { Waiting } from './sync-disk.ts';

const never = new AbortController().signal;
let room: DiskRoom;
let engine: SyncEngine;
let wanted: StoredDisk;

beforeAll(async () => {
  room = await DiskRoom.open();
  engine = createSyncEngine({ assembleWorkers: 2 });
  wanted = await room.store(diskOf(Array.from({ length: 640 }, (_, i) => i + 1)));
});

afterAll(async () => {
  await engine?.[Symbol.asyncDispose]();
  await room?.close();
});

async function sync(
  sources: readonly TestSource[],
  stagingDir = room.path('staging'),
  by: SyncEngine = engine,
) {
  const plan = await planOf(engine, wanted, []);
  const waits: (Waiting | null)[] = [];
  const onWaiting = (waiting: Waiting | null) => waits.push(waiting);
  const result = await by.sync({ plan, stagingDir, sources, signal: never, onWaiting });
  expect(Buffer.compare(await readFile(result.path), wanted.bytes)).toBe(0);
  return { result, waits };
}

const failTimes = (code: 'unavailable' | 'timeout' | 'withdrawn', times: number) => {
  return (request: number): void => {
    if (request <= times) throw new VmdnError(code, 'for the test');
  };
};

describe('a source that fails', () => {
  it('is waited for when it is away, aloud, and the sync goes on by itself', async () => {
    const origin = sourceOf(wanted.bytes, { onRequest: failTimes('unavailable', 4) });
    const { waits } = await sync([origin]);
    expect(waits[0]).toMatchObject({ sources: [{ name: 'origin', code: 'unavailable' }] });
    expect(waits.at(-1)).toBeNull();
  });

  it('is replaced by another while it is away', async () => {
    const peer = sourceOf(wanted.bytes, {
      name: 'peer',
      tier: 'peer',
      onRequest: failTimes('timeout', 999),
    });
    const { result, waits } = await sync([peer, sourceOf(wanted.bytes)]);
    expect(result.delivery.diskBytes.origin).toBe(wanted.bytes.length);
    expect(waits).toEqual([]);
  });

  it('keeps what came before it was cut off', async () => {
    const origin = sourceOf(wanted.bytes, {
      chunkBytes: 65_536,
      onChunk: (request) => {
        if (request === 1 && origin.sentBlocks.length > 300) {
          throw new VmdnError('unavailable', 'cut for the test');
        }
      },
    });
    const { result } = await sync([origin]);
    expect(origin.sentBlocks.length).toBeLessThan(640 + 16);
    expect(result.mismatches).toEqual([]);
  });

  it('is of use even when each of its answers is cut off within one segment', async () => {
    const small = await room.store(diskOf(Array.from({ length: 32 }, (_, i) => i + 1)));
    const cutting = sourceOf(small.bytes, {
      chunkBytes: 5 * 4096,
      onChunk: () => {
        throw new VmdnError('unavailable', 'cut for the test');
      },
    });
    const plan = await planOf(engine, small, []);
    const stagingDir = room.path('staging');
    const result = await engine.sync({ plan, stagingDir, sources: [cutting], signal: never });
    expect(Buffer.compare(await readFile(result.path), small.bytes)).toBe(0);
    // No block travelled twice.
    expect(new Set(cutting.sentBlocks).size).toBe(cutting.sentBlocks.length);
  });

  it('is asked again when its answer is truncated, and counts as bad the second time', async () => {
    const cut = (body: Uint8Array) => body.subarray(0, body.length / 2);
    const once = sourceOf(wanted.bytes, { mangle: (body, n) => (n === 1 ? cut(body) : body) });
    await sync([once]);
    // The segment that came in part may be asked for apart from the rest.
    expect(once.requests.length - 1).toBeOneOf([1, 2]);
    const always = sourceOf(wanted.bytes, { mangle: cut });
    await expect(sync([always])).rejects.toMatchObject({ code: 'corrupt' });
    // Here too, when the rest is on its way at that moment.
    expect(always.requests.length).toBeOneOf([2, 3]);
  });

  it('counts as bad when it says that it is done and is not', async () => {
    const lazy = sourceOf(wanted.bytes);
    const readBlocks = async () => ({ wireBytes: 0 });
    await expect(sync([{ ...lazy, readBlocks }])).rejects.toMatchObject({ code: 'corrupt' });
  });

  it('is given up for a while when it stands still, and probed with little', async () => {
    await using impatient = createSyncEngine({ assembleWorkers: 1, stallMs: 200 });
    const origin = sourceOf(wanted.bytes, {
      onRequest: (request) => (request === 1 ? new Promise<void>(() => {}) : undefined),
    });
    await sync([origin], room.path('staging'), impatient);
    expect([...origin.requests[0]!]).toEqual([0, 640]);
    expect([...origin.requests[1]!]).toEqual([0, 256]);
  });

  it('ends the sync with `withdrawn` when it was the only one, and what is verified stays', async () => {
    const stagingDir = room.path('staging');
    const origin = sourceOf(wanted.bytes, {
      chunkBytes: 65_536,
      onChunk: () => {
        if (origin.sentBlocks.length > 300) throw new VmdnError('withdrawn', 'for the test');
      },
    });
    await expect(sync([origin], stagingDir)).rejects.toMatchObject({ code: 'withdrawn' });
    const peer = sourceOf(wanted.bytes, { name: 'peer', tier: 'peer' });
    const { result } = await sync([peer], stagingDir);
    expect(peer.sentBlocks.length).toBeLessThan(640 - 280);
    expect(result.delivery.diskBytes.origin).toBeGreaterThan(280 * 4096);
  });

  it('does no harm with `withdrawn` while another has the blocks', async () => {
    const gone = sourceOf(wanted.bytes, { onRequest: failTimes('withdrawn', 9) });
    const { result } = await sync([gone, sourceOf(wanted.bytes, { name: 'peer', tier: 'peer' })]);
    expect(result.delivery.diskBytes.peer).toBe(wanted.bytes.length);
  });

  it('is not needed for a disk that lies here', async () => {
    const plan = await planOf(engine, wanted, [imageOf(wanted)]);
    const staging = { plan, stagingDir: room.path('staging'), signal: never };
    const result = await engine.sync({ ...staging, sources: [] });
    expect(result.delivery.diskBytes.local).toBe(wanted.bytes.length);
  });

  it('when there is none at all, is said to be missing', async () => {
    await expect(sync([])).rejects.toMatchObject({ code: 'unavailable' });
  });
});

describe('a caller', () => {
  it('whose callback throws gets that error, and its staging area stays usable', async () => {
    const plan = await planOf(engine, wanted, []);
    const stagingDir = room.path('staging');
    const failed = engine.sync({
      plan,
      stagingDir,
      sources: [sourceOf(wanted.bytes, { onRequest: () => new Promise(() => {}) })],
      signal: never,
      onProgress: () => {
        throw new TypeError('of the caller');
      },
    });
    await expect(failed).rejects.toThrow('of the caller');
    await sync([sourceOf(wanted.bytes)], stagingDir);
  });

  it('that stops the engine ends its syncs', async () => {
    const other = createSyncEngine({ assembleWorkers: 1 });
    const plan = await planOf(other, wanted, []);
    const stagingDir = room.path('staging');
    let isAsked = (): void => {};
    const asked = new Promise<void>((resolve) => {
      isAsked = resolve;
    });
    const origin = sourceOf(wanted.bytes, {
      onRequest: () => {
        isAsked();
        return new Promise<void>(() => {});
      },
    });
    const failed = other.sync({ plan, stagingDir, sources: [origin], signal: never });
    const outcome = expect(failed).rejects.toMatchObject({ code: 'cancelled' });
    await asked;
    await other[Symbol.asyncDispose]();
    await outcome;
  });
});
