import type { Digest } from '@vmdn/core/domain/digest.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { ResolvedPackage } from '@vmdn/core/io/ports/package-mirrors.ts';
import type { UnpackOrder } from '@vmdn/core/io/ports/package-unpacker.ts';
import { createLogger } from '@vmdn/core/process/logger.ts';
import { describe, expect, it } from 'vitest';
import { createEdgeEvents } from '../events.ts';
import { createPackageImages } from './package-images.ts';

const digest = (letter: string): Digest => letter.repeat(64) as Digest;
const [SHA256, IMAGE, DISK] = ['a', 'b', 'd'].map(digest) as [Digest, Digest, Digest];
const PIECES = [Buffer.alloc(100), Buffer.alloc(50)];
const RESOLVED: ResolvedPackage = {
  ...{ name: 'libc6', version: '1', architecture: 'all', format: 'deb', sha256: SHA256 },
  ...{ url: 'http://mirror.test/libc6', mirror: 'test', sizeBytes: 150, installedBytes: 4000 },
};

/** Package images over an edge that tells, in order, what was done with one package. */
function edge(world: {
  readonly spend?: (bytes: number) => Promise<void>;
  readonly unpackFails?: boolean;
}) {
  const told: string[] = [];
  const records = new Map<string, unknown>();
  const held = new Set<Digest>();
  const tell = (words: string) => async (): Promise<void> => void told.push(words);
  const images = createPackageImages({
    store: {
      find: (image: Digest) => (held.has(image) ? {} : undefined),
      stagingDir: () => 'staging',
      reserve: tell('reserved'),
      release: () => undefined,
      removeStaging: tell('staging removed'),
      adopt: async () => {
        told.push('adopted');
        held.add(IMAGE);
        return {};
      },
    } as never,
    mirrors: {
      async open(_: unknown, { onWireBytes }: { onWireBytes: (bytes: number) => void }) {
        return (async function* () {
          for (const piece of PIECES) {
            onWireBytes(piece.length);
            yield piece;
          }
        })();
      },
    } as never,
    unpacker: {
      async unpack({ bytes, onBusy }: UnpackOrder) {
        for await (const _ of bytes);
        onBusy?.(0.5);
        if (world.unpackFails) throw new VmdnError('corrupt', 'for the test');
        return { digest: IMAGE, keysRoot: IMAGE, nonZeroBytes: 5000 };
      },
    } as never,
    records: {
      read: async (key: string) => records.get(key) ?? null,
      write: async (key: string, value: unknown) => void records.set(key, value),
    } as never,
    recipes: { find: async () => new Map(), share: tell('shared') },
    room: {
      take: async (_, bytes) => void told.push(`room for ${bytes}`),
      release: () => undefined,
    },
    uses: { brought: () => void told.push('in use') },
    budget: { spend: world.spend ?? (async (bytes) => void told.push(`paid ${bytes}`)) },
    events: createEdgeEvents(createLogger('test', { level: 'silent' })),
  });
  const fetch = (isAwaited: boolean) =>
    images.fetch(RESOLVED, {
      ...{ disk: DISK, isAwaited, signal: new AbortController().signal },
      onRead: async (_, bytes) => void told.push(`read ${bytes}`),
      onBusy: (seconds) => void told.push(`busy ${seconds}`),
    });
  return { told, fetch };
}

describe('the image of a package', () => {
  it('I3, I4: comes after its room was found and its bytes were told', async () => {
    const { told, fetch } = edge({});
    expect(await fetch(true)).toEqual({ wireBytes: 150, unpackedBytes: 5000 });
    expect(told).toEqual([
      ...['room for 4000', 'reserved', 'busy 0.5', 'read 150', 'room for 5000'],
      ...['in use', 'adopted', 'shared', 'staging removed'],
    ]);
    // It is here now.
    expect(await fetch(true)).toEqual({ wireBytes: 0, unpackedBytes: 0 });
  });

  it('I4: that fails costs what crossed all the same', async () => {
    const { told, fetch } = edge({ unpackFails: true });
    await expect(fetch(true)).rejects.toMatchObject({ code: 'corrupt' });
    expect(told).toContain('read 150');
    expect(told).not.toContain('adopted');
  });

  it('I5: is paid for, chunk by chunk, when nobody waits for it', async () => {
    const { told, fetch } = edge({});
    await fetch(false);
    expect(told.filter((words) => words.startsWith('paid'))).toEqual(['paid 100', 'paid 50']);
  });

  it('I5: is not held back any more once somebody waits for it', async () => {
    const paid: number[] = [];
    const first = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    const { fetch } = edge({
      spend: async (bytes) => {
        paid.push(bytes);
        asked.resolve();
        await first.promise;
      },
    });
    const ahead = fetch(false);
    await asked.promise;
    const awaited = fetch(true);
    first.resolve();
    expect(await Promise.all([ahead, awaited])).toMatchObject([
      { wireBytes: 150 },
      { wireBytes: 0 },
    ]);
    expect(paid).toEqual([100]);
  });
});
