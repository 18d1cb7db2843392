import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Digest, parseDigest } from '../../domain/digest.ts';
import { createCommandRunner } from '../command/command-runner.ts';
import type { FunctionalCopyJob } from '../ports/functional-copy.ts';
import type { ReservationRequest } from '../ports/image-store.ts';
import type { ResolvedPackage } from '../ports/package-mirrors.ts';
import { createStoreLedger } from '../store/store-space.ts';
import { fetchPackages } from './fetch-packages.ts';

const runner = createCommandRunner();
const timeoutMs = 60_000;
const job = { source: { os: {} } } as unknown as FunctionalCopyJob;
const MIB = 1024 * 1024;
let dir: string;
let debs: { path: string; bytes: Uint8Array }[];
let reserved: ReservationRequest[];
let opened: number;
let work: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmdn-fetch-'));
  debs = [];
  for (const name of ['one', 'two']) {
    const path = join(dir, `${name}.deb`);
    const script = `
      mkdir -p "$1/$2/DEBIAN" "$1/$2/usr/share" && cd "$1"
      printf '%s: a\\n' Package Maintainer Description >"$2/DEBIAN/control"
      printf 'Version: 1\\nArchitecture: all\\n' >>"$2/DEBIAN/control"
      seq 1 1000000 >"$2/usr/share/$2" && exec dpkg-deb -Zxz -z1 --build "$2" "$3"`;
    await runner.run('sh', ['-c', script, 'sh', dir, name, path], { timeoutMs });
    debs.push({ path, bytes: await readFile(path) });
  }
});
afterAll(() => rm(dir, { recursive: true }));
beforeEach(async () => {
  work = await mkdtemp(join(dir, 'work-'));
  reserved = [];
  opened = 0;
});

/** The packages of a mirror, which says that they take so much when they are installed. */
function mirrorOf(installedBytes: number) {
  const found = debs.map(
    ({ bytes }, i): ResolvedPackage => ({
      ...{ name: `p${i}`, version: '1', architecture: 'all', format: 'deb', mirror: 'test' },
      ...{ url: `http://mirror/${i}`, sizeBytes: bytes.length, installedBytes },
      sha256: parseDigest(createHash('sha256').update(bytes).digest('hex')) as Digest,
    }),
  );
  return {
    resolve: async () => ({ found, unknown: [], remarks: [] }),
    async open({ url }: ResolvedPackage) {
      opened += 1;
      const { bytes } = debs[Number(url.at(-1))]!;
      return (async function* () {
        yield bytes;
      })();
    },
  };
}

/** The room of a store with so much of it, which is all that it may take. */
function storeOf(quotaBytes: number) {
  const ledger = createStoreLedger({ root: dir, quotaBytes, usedBytes: () => 0 });
  const reserve = async (request: ReservationRequest): Promise<void> => {
    reserved.push(request);
    await ledger.reserve(request);
  };
  return { ...ledger, reserve };
}

async function fetched(store: ReturnType<typeof storeOf>, installedBytes: number) {
  const means = { mirrors: mirrorOf(installedBytes), runner, store };
  const packages = debs.map((_, i) => ({ name: `p${i}`, version: '1', architecture: 'all' }));
  return await fetchPackages(means, job, packages, work);
}

describe('the room of packages on their way', () => {
  it('I3: is promised before the first is fetched, and is enough for all of them decompressed', async () => {
    const store = storeOf(200 * MIB);
    const plainBytes = (await stat(join(dir, 'one/usr/share/one'))).size;
    const packages = await fetched(store, plainBytes);
    const [first, last] = [reserved[0]!, reserved.at(-1)!];
    const disk = (await stat(packages.diskPath!)).size;
    // The disk, and beside it the files that it was made of.
    expect(disk).toBeGreaterThan(2 * plainBytes);
    expect(last.bytes).toBeGreaterThanOrEqual(disk + 2 * plainBytes);
    expect(first.bytes).toBeGreaterThan(0.99 * last.bytes);
    expect((await store.space()).reservedBytes).toBeGreaterThan(0);
    packages[Symbol.dispose]();
    expect((await store.space()).reservedBytes).toBe(0);
  });

  it('I3: that is not there is said in words before a byte moves', async () => {
    const store = storeOf(45 * MIB);
    const plainBytes = (await stat(join(dir, 'one/usr/share/one'))).size;
    await expect(fetched(store, plainBytes)).rejects.toMatchObject({
      code: 'no_room',
      message: expect.stringMatching(/needs \d+ more bytes of store/),
    });
    expect(opened).toBe(0);
    expect(await readdir(join(work, 'packages'))).toEqual([]);
    expect((await store.space()).reservedBytes).toBe(0);
  });

  it('I3: is asked for anew by what the packages turned out to be, before their disk is made', async () => {
    const store = storeOf(45 * MIB);
    await expect(fetched(store, 0)).rejects.toMatchObject({ code: 'no_room' });
    expect(opened).toBe(debs.length);
    expect(await readdir(work)).toEqual(['packages']);
    expect((await store.space()).reservedBytes).toBe(0);
  });
});
