import { createHash } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import {
  chmod,
  link,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { PackageFormat } from '../../domain/package-origin.ts';
import { debOf, rpmOf, tarOf } from '../../formats/package.fixture.ts';
import { seededBytes } from '../../formats/recipe.fixture.ts';
import { encodeRecipe } from '../../formats/recipe.ts';
import { cacheDir } from '../../process/paths.ts';
import { createCommandRunner } from '../command/command-runner.ts';
import { openDiskExport } from '../disk-export/disk-export.ts';
import { describeDisk } from '../hashing/describe-disk.ts';
import { unpackPackage } from './unpack-package.ts';

const runner = createCommandRunner();
const timeoutMs = 60_000;
let directory: string;
let count = 0;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'vmdn-unpack-'));
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

async function* cut(bytes: Uint8Array, length: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

async function unpacked(
  bytes: Uint8Array,
  options: { format?: PackageFormat; pieceBytes?: number; expected?: object } = {},
) {
  count += 1;
  const stagingDir = join(directory, `stage-${count}`);
  const order = {
    format: options.format ?? 'deb',
    name: 'a-package',
    bytes: cut(bytes, options.pieceBytes ?? 65_536),
    expected: { sha256: sha256(bytes), sizeBytes: bytes.length, ...options.expected },
    stagingDir,
    signal: new AbortController().signal,
  };
  return {
    stagingDir,
    path: join(stagingDir, 'disk.raw'),
    ...(await unpackPackage(order, runner)),
  };
}

/** Content padded to whole blocks. */
function laid(contents: readonly Uint8Array[]): Buffer {
  const parts = contents.map((bytes) =>
    Buffer.concat([bytes, Buffer.alloc((4096 - (bytes.length % 4096)) % 4096)]),
  );
  return Buffer.concat(parts);
}

/** What a package made here holds; see `buildTree`. */
const CONTENT: Readonly<Record<string, Uint8Array>> = {
  'usr/share/a/large': seededBytes('large', 5_000_001),
  'usr/share/a/small': Buffer.from('hello\n'),
  'usr/share/a/zeros': Buffer.alloc(300_000),
  'usr/share/a/empty': Buffer.alloc(0),
  [`usr/share/${'long/'.repeat(30)}name`]: Buffer.from('a name over 100 bytes\n'),
};

/** Builds a .deb with the distribution's own tool. Returns its path. */
async function buildDeb(compression: string): Promise<string> {
  const tree = join(directory, 'tree');
  if (!existsSync(tree)) await buildTree(tree);
  const path = join(directory, `built-${compression}.deb`);
  const args = ['--root-owner-group', `-Z${compression}`, '--build', tree, path];
  await runner.run('dpkg-deb', args, { timeoutMs });
  return path;
}

async function buildTree(tree: string): Promise<void> {
  for (const [path, bytes] of Object.entries(CONTENT)) {
    await mkdir(join(tree, path, '..'), { recursive: true });
    await writeFile(join(tree, path), bytes);
  }
  await symlink('small', join(tree, 'usr/share/a/symbolic'));
  await link(join(tree, 'usr/share/a/large'), join(tree, 'usr/share/a/hard'));
  const control = join(tree, 'DEBIAN');
  await mkdir(control);
  const fields = 'Package: built\nVersion: 1\nArchitecture: all\nMaintainer: n <n@example.org>\n';
  await writeFile(join(control, 'control'), `${fields}Description: built by a test\n`);
  await writeFile(
    join(control, 'md5sums'),
    'd41d8cd98f00b204e9800998ecf8427e  usr/share/a/empty\n',
  );
  await writeFile(join(control, 'postinst'), '#!/bin/sh\nexit 1\n');
  await chmod(join(control, 'postinst'), 0o755);
}

/** What tar(1) says of one of a .deb's archives: the paths of all members, the contents of regular files. */
async function listed(deb: string, part: '--fsys-tarfile' | '--ctrl-tarfile') {
  const tarPath = join(directory, 'part.tar');
  const script = 'dpkg-deb "$1" "$2" >"$3"';
  await runner.run('sh', ['-c', script, 'sh', part, deb, tarPath], { timeoutMs });
  const args = ['--quoting-style=literal', '-f', tarPath];
  const { stdout: names } = await runner.run('tar', ['-t', ...args], { timeoutMs });
  const { stdout: details } = await runner.run('tar', ['-tv', ...args], { timeoutMs });
  const paths = names.trimEnd().split('\n');
  const isFile = details
    .trimEnd()
    .split('\n')
    .map((line) => line.startsWith('-'));
  const out = join(directory, 'extracted');
  await rm(out, { recursive: true, force: true });
  await mkdir(out);
  await runner.run('tar', ['-x', '-C', out, '--no-same-owner', '-f', tarPath], { timeoutMs });
  const files = new Map<string, Buffer>();
  for (const [i, path] of paths.entries()) {
    if (isFile[i] === true) files.set(path, await readFile(join(out, path)));
  }
  return { paths, files };
}

async function expectedImage(deb: string): Promise<Buffer> {
  const control = await listed(deb, '--ctrl-tarfile');
  control.files.delete('./control');
  const data = await listed(deb, '--fsys-tarfile');
  const list = data.paths.map((path) => path.replace(/^\./, '').replace(/(.)\/$/, '$1'));
  const lines = list.map((path) => (path === '/' ? '/.\n' : `${path}\n`)).join('');
  return laid([...control.files.values(), ...data.files.values(), Buffer.from(lines)]);
}

/** Real packages, where this machine has built guests from some. */
function realDebs(): string[] {
  const cache = join(cacheDir(process.env), 'guests', 'debs');
  if (!existsSync(cache)) return [];
  const wanted = /^(base-files|dpkg|perl-base)_.*\.deb$/;
  return readdirSync(cache)
    .filter((name) => wanted.test(name))
    .map((name) => join(cache, name));
}

describe('unpacking a .deb', () => {
  test('every regular file lies at a block boundary, in order; then dpkg’s list; nothing else', async () => {
    for (const deb of [await buildDeb('xz'), ...realDebs()]) {
      const { path, virtualSizeBytes, nonZeroBytes } = await unpacked(await readFile(deb));
      const image = await readFile(path);
      expect(Buffer.compare(image, await expectedImage(deb)), deb).toBe(0);
      expect(virtualSizeBytes).toBe(image.length);
      expect(nonZeroBytes).toBeLessThanOrEqual(virtualSizeBytes);
    }
  });

  test('digest, recipe and roots are those of the same file described as a disk', async () => {
    const { path, stagingDir, ...found } = await unpacked(await readFile(await buildDeb('xz')));
    const socketDir = join(directory, 'run');
    const disk = await openDiskExport({ layers: [{ path, format: 'raw' }], socketDir, runner });
    const { digest, keysRoot, recipe } = await describeDisk(disk);
    await disk.close();
    expect(found).toMatchObject({ digest, keysRoot });
    expect(await readFile(join(stagingDir, 'recipe'))).toEqual(Buffer.from(encodeRecipe(recipe)));
    expect((await readdir(stagingDir)).sort()).toEqual(['disk.raw', 'recipe']);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  test('I1: compression and chunks make no difference to the image', async () => {
    const digests = new Set<string>();
    for (const compression of ['none', 'gzip', 'xz', 'zstd']) {
      const bytes = await readFile(await buildDeb(compression));
      for (const pieceBytes of [997, 2 ** 22]) {
        digests.add((await unpacked(bytes, { pieceBytes })).digest);
      }
    }
    expect(digests.size).toBe(1);
  });
});

describe('unpacking an .rpm', () => {
  test('a package made by rpmbuild has its two files, hard links once', async () => {
    const golden = new URL('./golden/vmdn-test.rpm', import.meta.url);
    const { path, files } = await unpacked(await readFile(golden), { format: 'rpm' });
    expect(files).toBe(2);
    const expected = [Buffer.from('hello\n'), Buffer.alloc(100_000, 'x')];
    expect(Buffer.compare(await readFile(path), laid(expected))).toBe(0);
  });

  test('a package without files is one block of zeros, another payload is unsupported', async () => {
    const trailer = Buffer.from(`070701${'0'.repeat(88)}0000000b00000000TRAILER!!!\0\0\0\0`);
    const empty = rpmOf([[1125, 'gzip']], gzipSync(trailer));
    expect(await unpacked(empty, { format: 'rpm' })).toMatchObject({
      virtualSizeBytes: 4096,
      files: 0,
    });
    for (const tag of [
      [1125, 'brotli'],
      [1124, 'drpm'],
    ] as const) {
      const other = rpmOf([tag], gzipSync(trailer));
      await expect(unpacked(other, { format: 'rpm' })).rejects.toMatchObject({
        code: 'unsupported_format',
      });
    }
  });
});

describe('hostile packages', () => {
  const plain = tarOf([
    { path: './', type: '5' },
    { path: './a', content: Buffer.from('a') },
  ]);
  const good = debOf(['control.tar', plain], ['data.tar.gz', gzipSync(plain)]);

  async function expectRefused(bytes: Uint8Array, code: string, options = {}): Promise<void> {
    await expect(unpacked(bytes, options)).rejects.toMatchObject({ code });
    expect(await readdir(join(directory, `stage-${count}`))).toEqual([]);
  }

  test('I1, I2: another length or SHA-256 than expected is corrupt, and leaves nothing', async () => {
    expect((await unpacked(good)).files).toBe(3);
    await expectRefused(good, 'corrupt', { expected: { sha256: sha256(Buffer.from('other')) } });
    await expectRefused(good, 'corrupt', { expected: { sizeBytes: good.length + 1 } });
    await expectRefused(good, 'corrupt', { expected: { sizeBytes: good.length - 1 } });
    // What follows the last part counts too.
    const longer = Buffer.concat([good, Buffer.from('more')]);
    expect((await unpacked(longer)).files).toBe(3);
    await expectRefused(longer, 'corrupt', { expected: { sha256: sha256(good) } });
  });

  test('names that lead out, links and devices touch nothing: they are names in a list', async () => {
    const evil = tarOf([
      { path: '../../../outside', content: Buffer.from('x') },
      { path: '/etc/absolute', content: Buffer.from('y') },
      { path: './link', type: '2' },
      { path: './link/through', content: Buffer.from('z') },
      { path: './device', type: '3' },
      { path: './new\nline', content: Buffer.from('n') },
    ]);
    const deb = debOf(['control.tar', plain], ['data.tar.zst', zstdCompressSync(evil)]);
    const { stagingDir, path } = await unpacked(deb);
    expect((await readdir(stagingDir)).sort()).toEqual(['disk.raw', 'recipe']);
    expect(existsSync(join(directory, 'outside'))).toBe(false);
    const list = '/../../../outside\n/etc/absolute\n/link\n/link/through\n/device\n/new\nline\n';
    const contents = ['a', 'x', 'y', 'z', 'n', list].map((text) => Buffer.from(text));
    expect(Buffer.compare(await readFile(path), laid(contents))).toBe(0);
  });

  test('a package that is none, or lacks a part, is corrupt', async () => {
    const part = ['control.tar', plain] as const;
    await expectRefused(Buffer.from('!<arch>\n'), 'corrupt');
    await expectRefused(seededBytes('noise', 5000), 'corrupt');
    await expectRefused(debOf(part, part), 'corrupt');
    await expectRefused(debOf(part, ['data.tar.lz', plain]), 'corrupt');
    await expectRefused(debOf(part, ['data.tar', plain.subarray(0, 700)]), 'corrupt');
    await expectRefused(good, 'corrupt', { format: 'rpm' });
  });

  test('a bomb is stopped at the limit, and what it wrote is gone', async () => {
    const header = plain.subarray(0, 512);
    const zeros = Buffer.alloc(24 * 2 ** 20);
    const bomb = tarOf([{ path: './zeros', content: zeros }]);
    for (const [suffix, packed] of [
      ['gz', gzipSync(Buffer.concat([header, bomb]))],
      ['zst', zstdCompressSync(Buffer.concat([header, bomb]))],
    ] as const) {
      // Some 2,000 times the package are allowed: so much that gzip cannot pass it alone, zstd can.
      const deb = debOf(['control.tar', plain], [`data.tar.${suffix}`, packed]);
      if (suffix === 'zst') await expectRefused(deb, 'too_large');
      else expect((await unpacked(deb)).nonZeroBytes).toBeLessThan(2 ** 16);
    }
  });
});
