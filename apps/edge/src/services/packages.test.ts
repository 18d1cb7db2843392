import type { Digest } from '@vmdn/core/domain/digest.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { ResolvedPackage } from '@vmdn/core/io/ports/package-mirrors.ts';
import { createLogger } from '@vmdn/core/process/logger.ts';
import { describe, expect, it } from 'vitest';
import { createEdgeEvents } from '../events.ts';
import { packageKey } from './package-key.ts';
import { measurePackageRates } from './package-rates.ts';
import { createPackages } from './packages.ts';

const MB = 1_000_000;
const DISK = 'd'.repeat(64) as Digest;
const OS = { id: 'debian', versionId: '12', prettyName: 'Debian 12', architecture: 'amd64' };

function resolved(name: string): ResolvedPackage {
  const sha256 = Buffer.from(name).toString('hex').padEnd(64, '0') as Digest;
  const where = { format: 'deb', url: `http://mirror.test/${name}`, mirror: 'test' } as const;
  const sizes = { sizeBytes: 3 * MB, installedBytes: 10 * MB };
  return { name, version: '1', architecture: 'all', sha256, ...where, ...sizes };
}

interface World {
  readonly mirror: readonly string[];
  /** What is missing of the disk, and what of it packages with a known recipe would cover. */
  readonly missingBytes: number;
  readonly covered?: Readonly<Record<string, number>>;
  readonly installed?: readonly string[];
  readonly failing?: readonly string[];
  /** Somebody else needs the edge once so many have come. */
  readonly until?: number;
  /** That may be busy with background work side by side. */
  readonly threads?: number;
  readonly resolve?: (signal: AbortSignal) => Promise<never>;
}

/** Packages over an edge of which only the answers are made up. */
function edge(world: World) {
  const fetched: string[] = [];
  const asked = { resolve: 0 };
  const rests: number[] = [];
  const read: number[] = [];
  const known = (sha256: string): string | undefined =>
    Object.keys(world.covered ?? {}).find((name) => resolved(name).sha256 === sha256);
  const packages = createPackages({
    mirrors: {
      resolve: async (_os: unknown, _packages: unknown, signal: AbortSignal) => {
        asked.resolve += 1;
        if (world.resolve !== undefined) return await world.resolve(signal);
        return { found: world.mirror.map(resolved), unknown: [], remarks: [] };
      },
    } as never,
    images: {
      has: async () => false,
      fetch: async (one, { onRead, onBusy }) => {
        onBusy(1);
        await onRead(one.sha256, one.sizeBytes);
        if (world.failing?.includes(one.name)) throw new VmdnError('corrupt', 'for the test');
        fetched.push(one.name);
        return { wireBytes: one.sizeBytes, unpackedBytes: one.installedBytes };
      },
    },
    guests: { packages: async () => new Set(world.installed?.map((n) => packageKey(resolved(n)))) },
    recipes: {
      find: async (sha256s) => new Map(sha256s.flatMap((s) => (known(s) ? [[s, known(s)!]] : []))),
      share: async () => undefined,
    },
    planner: {
      revision: 1,
      rates: () => ({ remoteBytesPerSecond: 10 * MB, compressedRatio: 0.5 }),
      coverage: async (_digest: Digest, _path: string, offered: readonly string[]) => ({
        missingBytes: world.missingBytes,
        coveredBytes: offered.map((name) => world.covered?.[name] ?? 0),
      }),
    } as never,
    uses: { releases: 0 },
    rates: measurePackageRates(),
    budget: {
      threads: world.threads ?? 4,
      isHeldBack: false,
      rest: async (busySeconds) => void rests.push(busySeconds),
    },
    events: createEdgeEvents(createLogger('test', { level: 'silent' })),
  });
  const guest = { os: OS, packages: world.mirror.map(resolved) };
  const goesOn = (): boolean => fetched.length < (world.until ?? Number.POSITIVE_INFINITY);
  const bring = (isAwaited = false, signal = new AbortController().signal) =>
    packages.bring({
      ...{ digest: DISK, recipePath: 'recipe', guest, isAwaited, goesOn, signal },
      onRead: async (_, wireBytes) => void read.push(wireBytes),
    });
  return { bring, fetched, asked, rests, read, packages };
}

describe('packages of a guest', () => {
  it('are brought when they cover what is missing, whether that is known or only likely', async () => {
    const world = edge({
      mirror: ['known', 'new'],
      missingBytes: 20 * MB,
      covered: { known: 9 * MB },
    });
    expect(await world.bring()).toMatchObject({ packages: 2, wireBytes: 6 * MB });
    expect(world.fetched.sort()).toEqual(['known', 'new']);
  });

  it('I2: stay where they are when their recipe shows that they cover nothing', async () => {
    const world = edge({ mirror: ['useless'], missingBytes: 20 * MB, covered: { useless: 0 } });
    await world.bring();
    expect(world.fetched).toEqual([]);
  });

  it('stay where they are when an image here has them installed', async () => {
    const world = edge({ mirror: ['old', 'new'], missingBytes: 9 * MB, installed: ['old'] });
    await world.bring();
    expect(world.fetched).toEqual(['new']);
  });

  it('are not looked for when hardly anything is missing', async () => {
    const world = edge({ mirror: ['new'], missingBytes: 1000 });
    await world.bring();
    expect(world.asked.resolve).toBe(0);
  });

  it('I1: that can’t be fetched hold up none of the others', async () => {
    const world = edge({ mirror: ['bad', 'good'], missingBytes: 20 * MB, failing: ['bad'] });
    expect(await world.bring()).toMatchObject({ packages: 1 });
    expect(world.fetched).toEqual(['good']);
  });

  it('I4: tell what crossed for each, also for one that failed', async () => {
    const world = edge({ mirror: ['bad', 'good'], missingBytes: 20 * MB, failing: ['bad'] });
    await world.bring();
    expect(world.read).toEqual([3 * MB, 3 * MB]);
  });

  it('I5: are followed by rest in proportion to the work, unless somebody waits', async () => {
    const world = edge({ mirror: ['bad', 'good'], missingBytes: 20 * MB, failing: ['bad'] });
    await world.bring();
    expect(world.rests).toEqual([1, 1]);
    await world.bring(true);
    expect(world.rests).toHaveLength(2);
  });

  it('tell when the last order has ended', async () => {
    const world = edge({ mirror: ['new'], missingBytes: 20 * MB });
    const active: number[] = [];
    world.packages.onIdle(() => active.push(world.packages.active, world.fetched.length));
    await world.bring();
    expect(active).toEqual([0, 1]);
  });

  it('I3: are looked at once while nothing here changes', async () => {
    const world = edge({ mirror: ['new'], missingBytes: 20 * MB });
    await world.bring();
    await world.bring();
    expect(world.asked.resolve).toBe(1);
  });

  it('I3: are looked at again when somebody else needed the edge before all had come', async () => {
    const mirror = Array.from({ length: 12 }, (_, i) => `package-${i}`);
    const world = edge({ mirror, missingBytes: 200 * MB, until: 2 });
    await world.bring();
    expect(world.fetched.length).toBeLessThan(mirror.length);
    await world.bring();
    expect(world.asked.resolve).toBe(2);
  });

  it('I1: of a mirror that does not answer cost no more time than the holders would take', async () => {
    const world = edge({
      mirror: ['new'],
      missingBytes: 3 * MB,
      resolve: (signal) =>
        new Promise((_, reject) => {
          const abort = () => reject(new VmdnError('cancelled', 'for the test'));
          signal.addEventListener('abort', abort, { once: true });
        }),
    });
    // 3 MB at 10 MB/s and half of it on the wire: 150 ms.
    expect(await world.bring(true)).toMatchObject({ packages: 0 });
  });

  it('end at once when the delivery is cancelled', async () => {
    const world = edge({ mirror: ['new'], missingBytes: 20 * MB });
    await expect(world.bring(true, AbortSignal.abort())).rejects.toThrow();
    expect(world.fetched).toEqual([]);
  });
});
