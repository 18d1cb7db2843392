import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { OperatingSystem } from '../../domain/description.ts';
import type { PackageMirrors, ResolvedPackage } from '../ports/package-mirrors.ts';
import {
  type FakeMirror,
  makeDeb,
  makeKey,
  publishRpm,
  publishSuite,
  runner,
  type SigningKey,
  type SuiteOptions,
  startMirror,
} from './package-mirrors.fixture.ts';
import { openPackageMirrors } from './package-mirrors.ts';

const DEBIAN: OperatingSystem = {
  id: 'debian',
  versionId: '12',
  prettyName: 'Debian 12',
  architecture: 'amd64',
};
const ROCKY: OperatingSystem = {
  id: 'rocky',
  versionId: '9',
  prettyName: 'Rocky 9',
  architecture: 'x86_64',
};
const HELLO = { name: 'hello', version: '1:1.0-1', architecture: 'all' };
const GONE = { name: 'hello', version: '0.9-1', architecture: 'all' };
const NANO = { name: 'nano', version: '1-2', architecture: 'x86_64' };
const HOUR = 3_600_000;

let dir: string;
let key: SigningKey | undefined;
let other: SigningKey | undefined;
let debs: Record<string, Uint8Array>;
let mirror: FakeMirror;
let cacheDir: string;
const open: PackageMirrors[] = [];
let clock = Date.UTC(2026, 6, 12);

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmdn-mirrors-'));
  // One after the other: the first is known, and closed below, when the second fails.
  key = await makeKey(dir, 'archive');
  other = await makeKey(dir, 'stranger');
  debs = { 'hello_1:1.0-1': await makeDeb(dir, 'hello', '1:1.0-1') };
});

afterAll(async () => {
  const closing = Promise.all([key?.close(), other?.close()]);
  await closing.finally(() => rm(dir, { recursive: true }));
});

beforeEach(async () => {
  mirror = await startMirror();
  cacheDir = await mkdtemp(join(dir, 'cache-'));
});

afterEach(async () => {
  for (const mirrors of open.splice(0)) await mirrors[Symbol.asyncDispose]();
  await mirror[Symbol.asyncDispose]();
});

const publish = (options: Partial<SuiteOptions> = {}): Promise<void> =>
  publishSuite(mirror, { key: key!, debs, ...options });

/** Mirrors as the operator's file names them, with the test's clock. */
async function start(
  more = `Signed-By: ${key!.armouredPath}\nCheck-Valid-Until: yes`,
): Promise<PackageMirrors> {
  const path = join(dir, 'ours.sources');
  const base = `Types: deb\nURIs: ${mirror.url}/debian\nSuites: stable\nComponents: main\n`;
  await writeFile(path, `${base}${more}\n`);
  return await startWith(path);
}

async function startWith(path: string): Promise<PackageMirrors> {
  const config = { choice: [path], runner, cacheDir, now: () => clock };
  const { mirrors } = await openPackageMirrors(config);
  open.push(mirrors);
  return mirrors;
}

async function bytesOf(mirrors: PackageMirrors, resolved: ResolvedPackage): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of await mirrors.open(resolved)) pieces.push(piece);
  return Buffer.concat(pieces);
}

describe('an apt repository', () => {
  it.each([
    ['InRelease and gz', {}],
    ['Release.gpg and xz', { isDetached: true, variant: '.xz' as const }],
    ['InRelease and no compression', { variant: '' as const }],
  ])('by %s gives each package of the index, and says which it has not', async (_, options) => {
    await publish(options);
    const mirrors = await start();
    const { found, unknown, remarks } = await mirrors.resolve(DEBIAN, [HELLO, GONE]);
    expect(remarks).toEqual([]);
    expect(unknown).toEqual([GONE]);
    expect(found).toMatchObject([{ ...HELLO, format: 'deb', installedBytes: 7 * 1024 }]);
    expect(await bytesOf(mirrors, found[0]!)).toEqual(Buffer.from(debs['hello_1:1.0-1']!));
  });

  it.each([
    ['a binary file', () => `Signed-By: ${key!.binaryPath}`],
    ['a file of several', () => `Signed-By: ${other!.armouredPath} ${key!.armouredPath}`],
  ])('is trusted by keys in %s', async (_, more) => {
    await publish();
    expect((await (await start(more())).resolve(DEBIAN, [HELLO])).found).toHaveLength(1);
  });

  it('is asked again only when it may have changed, and its index is fetched once', async () => {
    await publish();
    const mirrors = await start();
    await mirrors.resolve(DEBIAN, [HELLO]);
    await mirrors.resolve(DEBIAN, [HELLO]);
    expect(mirror.log).toEqual([
      '200 /debian/dists/stable/InRelease',
      '200 /debian/dists/stable/main/binary-amd64/Packages.gz',
    ]);
    mirror.log.length = 0;
    clock += HOUR;
    await mirrors.resolve(DEBIAN, [HELLO]);
    expect((await (await start()).resolve(DEBIAN, [HELLO])).found).toHaveLength(1);
    const notModified = '304 /debian/dists/stable/InRelease';
    expect(mirror.log).toEqual([notModified, notModified]);
    expect((await readdir(cacheDir)).map((name) => name.replace(/.*\./, '')).sort()).toEqual([
      'index',
      'lookup',
    ]);
  });

  it('that is away is served from what is known, with a remark', async () => {
    await publish();
    await (await start()).resolve(DEBIAN, [HELLO]);
    mirror.files.clear();
    const { found, remarks } = await (await start()).resolve(DEBIAN, [HELLO]);
    expect(found).toHaveLength(1);
    expect(remarks.join()).toMatch(/the index of before is used/);
  });

  const refusals: [string, () => Promise<void>, RegExp][] = [
    ['is signed by a stranger', () => publish({ key: other! }), /by a trusted key \(.*NO_PUBKEY/],
    [
      'is not signed',
      async () => {
        await publish();
        mirror.files.set(
          '/debian/dists/stable/InRelease',
          Buffer.from('Origin: Debian\nSHA256:\n'),
        );
      },
      /not one clear-signed message/,
    ],
    [
      'was changed after it was signed',
      async () => {
        await publish();
        const path = '/debian/dists/stable/InRelease';
        const text = Buffer.from(mirror.files.get(path)!).toString().replace('12.9', '12.8');
        mirror.files.set(path, Buffer.from(text));
      },
      /its signature is wrong/,
    ],
    [
      'is expired',
      () => publish({ head: 'Valid-Until: Sun, 12 Jul 2026 00:00:00 UTC\n' }),
      /expired at/,
    ],
    [
      'has another index',
      () => publish({ swap: (index) => Buffer.alloc(index.length) }),
      /not what was promised/,
    ],
    [
      'has a longer index',
      () => publish({ swap: (index) => Buffer.concat([index, index]) }),
      /more than it should/,
    ],
    [
      'is of nobody',
      () =>
        publish({ isDetached: true }).then(
          () => void mirror.files.delete('/debian/dists/stable/Release.gpg'),
        ),
      /has no .*Release.gpg/,
    ],
  ];
  it.each(refusals)('that %s finds nothing and says so', async (_, prepare, words) => {
    clock = Date.UTC(2026, 6, 12, 1);
    await prepare();
    const { found, unknown, remarks } = await (await start()).resolve(DEBIAN, [HELLO]);
    expect([found, unknown]).toEqual([[], [HELLO]]);
    expect(remarks.join('\n')).toMatch(words);
  });

  it('that is expired is used where its operator switches the check off', async () => {
    await publish({ head: 'Valid-Until: Sat, 11 Jul 2026 10:00:00 UTC\n' });
    const mirrors = await start(`Signed-By: ${key!.armouredPath}\nCheck-Valid-Until: no`);
    expect((await mirrors.resolve(DEBIAN, [HELLO])).found).toHaveLength(1);
  });

  it('whose index names a file elsewhere has no such package', async () => {
    await publish({ filename: (file) => `../../${file}` });
    expect((await (await start()).resolve(DEBIAN, [HELLO])).unknown).toEqual([HELLO]);
  });

  it('of Debian serves no other distribution, unless its operator says so', async () => {
    await publish();
    const ubuntu = { ...DEBIAN, id: 'ubuntu', prettyName: 'Ubuntu' };
    const { unknown, remarks } = await (await start()).resolve(ubuntu, [HELLO]);
    expect(unknown).toEqual([HELLO]);
    expect(remarks).toEqual(['No mirror of this edge has packages of Ubuntu.']);
    const told = await start(`Signed-By: ${key!.armouredPath}\nX-Vmdn-Os: ubuntu`);
    expect((await told.resolve(ubuntu, [HELLO])).found).toHaveLength(1);
  });

  it('I3: a package that is not the one of the index is corrupt', async () => {
    await publish();
    const mirrors = await start();
    const { found } = await mirrors.resolve(DEBIAN, [HELLO]);
    const deb = Buffer.from(debs['hello_1:1.0-1']!);
    const path = '/debian/pool/h/hello_1:1.0-1_all.deb';
    const wrong = Buffer.from(deb);
    wrong[wrong.length - 1]! ^= 1;
    for (const bytes of [wrong, deb.subarray(1), Buffer.concat([deb, deb])]) {
      mirror.files.set(path, bytes);
      await expect(bytesOf(mirrors, found[0]!)).rejects.toMatchObject({ code: 'corrupt' });
    }
    mirror.files.delete(path);
    await expect(bytesOf(mirrors, found[0]!)).rejects.toMatchObject({ code: 'not_found' });
  });

  it('I2: what one caller cancels goes on for others', async () => {
    await publish();
    const mirrors = await start();
    const stop = new AbortController();
    const first = mirrors.resolve(DEBIAN, [HELLO], stop.signal);
    const second = mirrors.resolve(DEBIAN, [HELLO]);
    stop.abort();
    await expect(first).rejects.toMatchObject({ code: 'cancelled' });
    expect((await second).found).toHaveLength(1);
  });
});

describe('an rpm repository', () => {
  const startRpm = async (...lines: string[]): Promise<PackageMirrors> => {
    const path = join(dir, 'ours.repo');
    await writeFile(path, ['[ours]', `baseurl=${mirror.url}/rpm`, ...lines, ''].join('\n'));
    return await startWith(path);
  };

  it('that is signed gives its packages', async () => {
    await publishRpm(mirror, key!);
    const mirrors = await startRpm(`gpgkey=file://${key!.armouredPath}`);
    const { found, remarks } = await mirrors.resolve(ROCKY, [{ ...NANO, version: '0:1-2' }]);
    expect(remarks).toEqual([]);
    expect(found).toMatchObject([{ format: 'rpm', version: '0:1-2', mirror: 'ours' }]);
    expect((await bytesOf(mirrors, found[0]!)).toString()).toMatch(/^not a real rpm/);
    expect((await mirrors.resolve(DEBIAN, [NANO])).unknown).toEqual([NANO]);
  });

  it('that is not signed, or by a stranger, is refused', async () => {
    for (const signer of [null, other!]) {
      await publishRpm(mirror, signer);
      const mirrors = await startRpm(`gpgkey=file://${key!.armouredPath}`);
      const { unknown, remarks } = await mirrors.resolve(ROCKY, [NANO]);
      expect(unknown).toEqual([NANO]);
      expect(remarks.join('\n')).toMatch(/ours: not used now/);
    }
  });

  it('that may be unsigned, as its operator says, is used with a remark', async () => {
    await publishRpm(mirror, null);
    const { found, remarks } = await (await startRpm('repo_gpgcheck=0')).resolve(ROCKY, [NANO]);
    expect(found).toHaveLength(1);
    expect(remarks.join('\n')).toMatch(/not signed/);
  });
});

describe("the operator's choice", () => {
  it('none gives no mirrors; a file that is not there is an error', async () => {
    const none = await openPackageMirrors({ choice: 'none', runner, cacheDir });
    open.push(none.mirrors);
    expect(none.names).toEqual([]);
    expect((await none.mirrors.resolve(DEBIAN, [HELLO])).unknown).toEqual([HELLO]);
    await expect(startWith(join(dir, 'no.sources'))).rejects.toMatchObject({ code: 'not_found' });
    await expect(startWith(key!.armouredPath)).rejects.toMatchObject({ code: 'invalid_input' });
  });

  it('machine reads what its apt is told', async () => {
    const { mirrors, names } = await openPackageMirrors({ choice: 'machine', runner, cacheDir });
    open.push(mirrors);
    expect(names.length).toBeGreaterThan(0);
  });

  it('machine without apt has no mirrors, and says so', async () => {
    const lacking = {
      ...runner,
      run: () => runner.run('no-such-tool', [], { timeoutMs: 1000 }),
    };
    const opened = await openPackageMirrors({ choice: 'machine', runner: lacking, cacheDir });
    open.push(opened.mirrors);
    expect(opened.remarks).toEqual(['This machine has no apt: packages come from no mirror.']);
  });
});
