import { createHash } from 'node:crypto';
import { mkdir, open, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseName } from '@vmdn/core/domain/names.ts';
import { cacheStatistics, describeVm } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import { bootSector } from '@vmdn/core/io/hypervisor/boot-sector.fixture.ts';
import {
  type FakeMirror,
  makeKey,
  publishSuite,
  runner,
  type SigningKey,
  startMirror,
} from '@vmdn/core/io/mirrors/package-mirrors.fixture.ts';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  edgeSettings,
  HANG_MS,
  HARDWARE,
  sha256OfFile,
  startEdge,
  startNetwork,
  startOrigin,
  type TestNetwork,
  type TestOrigin,
  writeDisk,
} from './edge.fixture.ts';

const MEBIBYTE = 1024 * 1024;
const FILE_BYTES = 8 * MEBIBYTE;
const OWN_BYTES = MEBIBYTE;
const DEBIAN = { id: 'debian', versionId: '12', prettyName: 'Debian 12', architecture: 'amd64' };

/** Bytes that do not compress. */
function noise(seed: string, sizeBytes: number): Buffer {
  const blocks = Array.from({ length: sizeBytes / 32 }, (_, i) =>
    createHash('sha256').update(`${seed} ${i}`).digest(),
  );
  return Buffer.concat(blocks);
}

/** Blocks that differ, each of which compresses well: a package of them travels in a moment. */
function pattern(seed: string, sizeBytes: number): Buffer {
  const blocks = Array.from({ length: sizeBytes / 4096 }, (_, i) =>
    Buffer.alloc(4096, createHash('sha256').update(`${seed} ${i}`).digest()),
  );
  return Buffer.concat(blocks);
}

/** A .deb that installs one large file. */
async function makeLargeDeb(dir: string, name: string, content: Buffer): Promise<Uint8Array> {
  const root = join(dir, name);
  const control = `Package: ${name}\nVersion: 1.0\nArchitecture: all\nMaintainer: A <a@example.test>
Description: a test\n`;
  for (const [path, bytes] of [
    ['DEBIAN/control', control],
    [`usr/lib/${name}/payload.so`, content],
  ] as const) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), bytes);
  }
  const args = ['--root-owner-group', '--build', root, `${root}.deb`];
  await runner.run('dpkg-deb', args, { timeoutMs: 60_000, env: { SOURCE_DATE_EPOCH: '0' } });
  return await readFile(`${root}.deb`);
}

describe('an edge with a mirror near', { timeout: 600_000 }, () => {
  let network: TestNetwork;
  let origin: TestOrigin;
  let mirror: FakeMirror;
  let key: SigningKey;
  let sources: string;

  beforeAll(async () => {
    network = await startNetwork();
    origin = await startOrigin(network);
    mirror = network.stack.use(await startMirror());
    key = await makeKey(network.dir, 'archive');
    network.stack.defer(() => key.close());
    sources = join(network.dir, 'own.sources');
    const lines = [
      ...['Types: deb', `URIs: ${mirror.url}/debian`, 'Suites: stable', 'Components: main'],
      ...['Architectures: amd64', `Signed-By: ${key.binaryPath}`, ''],
    ];
    await writeFile(sources, lines.join('\n'));
  }, 600_000);
  afterAll(() => network?.[Symbol.asyncDispose](), 600_000);
  beforeEach(() => mirror.log.splice(0));

  /** A VM that has a package installed, and 1 MiB that nobody else has. */
  const announce = async (
    vm: string,
    name: string,
    { version = 1, content = noise } = {},
  ): Promise<string> => {
    const file = join(network.dir, `${vm}-${version}.raw`);
    const sizes = { dataBytes: OWN_BYTES, sizeBytes: 32 * MEBIBYTE };
    await writeDisk(file, { firstSector: bootSector(), seed: vm, ...sizes });
    await using disk = await open(file, 'r+');
    await disk.write(content(name, FILE_BYTES), 0, FILE_BYTES, 8 * MEBIBYTE);
    const packages = [{ name, version: '1.0', architecture: 'all' }];
    await origin.announce(vm, version, file, HARDWARE, { os: DEBIAN, packages });
    return file;
  };
  const publish = async (
    ...packages: readonly (readonly [string, Uint8Array])[]
  ): Promise<void> => {
    const debs = Object.fromEntries(packages.map(([name, deb]) => [`${name}_1.0`, deb]));
    await publishSuite(mirror, { key, debs, installedKiB: FILE_BYTES / 1024 });
  };
  const settingsOf = (name: string, more: Readonly<Record<string, string>> = {}) =>
    edgeSettings(network, name, { VMDN_MIRRORS: sources, ...more });
  const largeDeb = async (name: string, content = noise) =>
    [name, await makeLargeDeb(network.dir, name, content(name, FILE_BYTES))] as const;
  const planOf = async (vm: string) => {
    const { scores } = await network.client.call(describeVm, {
      params: { vm: parseName(vm, 'VM') },
    });
    return scores[0]?.disks[0]?.diskBytes;
  };
  const bodiesOf = (name: string): number =>
    mirror.log.filter((line) => line.startsWith('200') && line.includes(`/${name}_`)).length;

  it('brings a package before anybody asks, and the origin sends only what is in none', async () => {
    await publish(await largeDeb('payload'));
    const file = await announce('has-payload', 'payload');
    await using _edge = await startEdge(await settingsOf('edge-one'));
    await vi.waitFor(async () => expect((await planOf('has-payload'))?.package).toBe(FILE_BYTES), {
      timeout: HANG_MS,
      interval: 100,
    });
    const teleport = await network.teleport('has-payload');
    const { disks } = await network.waitFor(teleport, ({ state }) => state === 'running');
    expect(disks[0]?.diskBytes).toMatchObject({ package: FILE_BYTES, local: 0, peer: 0 });
    expect(disks[0]?.diskBytes.origin).toBeLessThan(OWN_BYTES + MEBIBYTE);
    // It was here before the request: nothing of it crossed for the teleport.
    expect(disks[0]?.wireBytes.package).toBe(0);
    expect(bodiesOf('payload')).toBe(1);
    // It is on record as what crossed ahead of any request, by edge.
    const debBytes = (await readFile(join(network.dir, 'payload.deb'))).length;
    const { ahead } = await network.client.call(cacheStatistics, {});
    expect(ahead.byEdge.map(({ edge, packages }) => [edge, packages.package])).toEqual([
      ['edge-one', debBytes],
    ]);
    expect(ahead.total.packages.package).toBe(debBytes);
    const image = join(network.dir, 'edge-one', 'store', 'images', disks[0]!.digest, 'disk.raw');
    expect(await sha256OfFile(image)).toBe(await sha256OfFile(file));
    await network.remove(teleport);
  });

  it('goes on without a package that is not what its index says', async () => {
    const [name, deb] = await largeDeb('rotten');
    await publish([name, deb]);
    const path = [...mirror.files.keys()].find((name) => name.includes('/rotten_'))!;
    const damaged = Buffer.from(deb);
    damaged[damaged.length >> 1]! ^= 1;
    mirror.files.set(path, damaged);
    await announce('has-rotten', 'rotten');
    await using _edge = await startEdge(await settingsOf('edge-one'));
    await vi.waitFor(() => expect(bodiesOf('rotten')).toBeGreaterThan(0), { timeout: HANG_MS });
    const teleport = await network.teleport('has-rotten');
    const { disks } = await network.waitFor(teleport, ({ state }) => state === 'running');
    expect(disks[0]?.diskBytes.package).toBe(0);
    expect(disks[0]?.diskBytes.origin).toBeGreaterThan(FILE_BYTES);
    await network.remove(teleport);
  });

  it('makes room for packages of what is offered now, never by one that is in use', async () => {
    const content = pattern;
    const names = ['early', 'late', 'third'];
    await publish(...(await Promise.all(names.map((name) => largeDeb(name, content)))));
    await announce('changing', 'early', { content });
    const more = { VMDN_PACKAGES_QUOTA_BYTES: '20MiB' };
    await using _edge = await startEdge(await settingsOf('edge-two', more));
    const planned = (vm: string, bytes: number) =>
      vi.waitFor(async () => expect((await planOf(vm))?.package).toBe(bytes), {
        timeout: HANG_MS,
        interval: 100,
      });
    await planned('changing', FILE_BYTES);
    await announce('lasting', 'late', { content });
    await planned('lasting', FILE_BYTES);
    // There is room for two: both are in use, and the third stays away.
    await announce('waiting', 'third', { content });
    await planned('waiting', 0);
    expect(bodiesOf('third')).toBe(0);
    // Nobody offers what the first was for any more.
    await announce('changing', 'none-of-the-mirror', { version: 2 });
    await planned('waiting', FILE_BYTES);
    await planned('lasting', FILE_BYTES);
    const images = await readdir(join(network.dir, 'edge-two', 'store', 'images'));
    expect(images).toHaveLength(2);
  });
});
