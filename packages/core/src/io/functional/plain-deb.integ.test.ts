import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { arOf, tarOf } from '../../formats/package.fixture.ts';
import { seededBytes } from '../../formats/recipe.fixture.ts';
import { createCommandRunner } from '../command/command-runner.ts';
import { storePlain } from './plain-deb.ts';

const runner = createCommandRunner();
const signal = undefined;
const timeoutMs = 60_000;
let dir: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmdn-plain-'));
});
afterAll(() => rm(dir, { recursive: true }));

/** A package that dpkg-deb made of a folder with one file, by `options`. */
async function built(name: string, ...options: readonly string[]): Promise<string> {
  const path = join(dir, `${name}.deb`);
  const script = `
    mkdir -p "$1/tree/DEBIAN" "$1/tree/usr/share/doc" && cd "$1"
    printf '%s: a\\n' Package Maintainer Description >tree/DEBIAN/control
    printf 'Version: 1\\nArchitecture: all\\n' >>tree/DEBIAN/control
    seq 1 100001 >tree/usr/share/doc/numbers && shift && exec dpkg-deb "$@"`;
  const args = ['-c', script, 'sh', dir, '--root-owner-group', ...options, '--build', 'tree', path];
  await runner.run('sh', args, { timeoutMs });
  return path;
}

/** What dpkg-deb finds in a package: its control file, its files as a tar archive. */
async function contentOf(path: string) {
  const { stdout } = await runner.run('dpkg-deb', ['-f', path], { timeoutMs });
  const tar = join(dir, 'found.tar');
  await runner.run('sh', ['-c', 'dpkg-deb --fsys-tarfile "$1" >"$2"', 'sh', path, tar], {
    timeoutMs,
  });
  return {
    control: stdout,
    tar: createHash('sha256')
      .update(await readFile(tar))
      .digest('hex'),
  };
}

async function members(path: string): Promise<string[]> {
  const { stdout } = await runner.run('sh', ['-c', 'ar t "$1"', 'sh', path], { timeoutMs });
  return stdout.trim().split('\n');
}

describe('a package for the appliance', () => {
  it('I1: has the same files and fields for dpkg, and nothing to decompress', async () => {
    const path = await built('xz', '-Zxz');
    const before = await contentOf(path);
    expect((await members(path)).at(-1)).toBe('data.tar.xz');
    await storePlain(path, { runner, signal });
    expect(await contentOf(path)).toEqual(before);
    expect(await members(path)).toEqual(['debian-binary', 'control.tar.xz', 'data.tar']);
  });

  it('I1: stays as it is where something else compressed it', async () => {
    const path = await built('gzip', '-Zgzip');
    const before = await readFile(path);
    await storePlain(path, { runner, signal });
    expect(await readFile(path)).toEqual(before);
  });

  it.each([
    ['is no package', Buffer.from('not a package at all'), 'corrupt'],
    ['has no files', arOf([['debian-binary', Buffer.from('2.0\n')]]), 'corrupt'],
    [
      'is broken',
      arOf([
        ['debian-binary', Buffer.from('2.0\n')],
        ['data.tar.xz', seededBytes('broken', 9000)],
      ]),
      'tool_failed',
    ],
  ])('I2: what %s is told so, and left as it was', async (_, bytes, code) => {
    const path = join(dir, 'bad.deb');
    await writeFile(path, bytes);
    await expect(storePlain(path, { runner, signal })).rejects.toMatchObject({ code });
    expect(await readFile(path)).toEqual(Buffer.from(bytes));
    expect((await readdir(dir)).filter((name) => name.endsWith('.vmdn-tmp'))).toEqual([]);
  });

  it('I2: what unpacks to more than a package may is too large', async () => {
    const zeros = tarOf([{ path: 'zeros', content: new Uint8Array(64 * 2 ** 20) }]);
    const file = join(dir, 'zeros');
    await writeFile(file, zeros);
    await runner.run('xz', ['--', file], { timeoutMs });
    const path = join(dir, 'bomb.deb');
    const bytes = await readFile(`${file}.xz`);
    await writeFile(path, arOf([['data.tar.xz', bytes]]));
    await expect(storePlain(path, { runner, signal })).rejects.toMatchObject({ code: 'too_large' });
  });
});
