import { createHash } from 'node:crypto';
import {
  chmod,
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
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { durableWrite } from './durable-write.ts';
import { ensurePrivateDir, readBoundedFile, sweepTemps, TEMP_SUFFIX } from './files.ts';

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'vmdn-files-'));
});

afterEach(async () => {
  await rm(directory, { recursive: true });
});

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const sha256 = (value: string): string => createHash('sha256').update(value).digest('hex');

async function* chunks(...values: string[]): AsyncGenerator<Uint8Array> {
  for (const value of values) yield text(value);
}

describe('durableWrite', () => {
  test('writes bytes or chunks, replaces what was there, says what it wrote', async () => {
    const path = join(directory, 'file');
    await durableWrite(path, text('old'));
    const result = await durableWrite(path, chunks('new ', '', 'content'), { mode: 0o640 });
    expect(result).toEqual({ sizeBytes: 11, sha256: sha256('new content') });
    expect(await readFile(path, 'utf8')).toBe('new content');
    expect((await stat(path)).mode & 0o777).toBe(0o640);
    expect(await readdir(directory)).toEqual(['file']);
  });

  test('I2: wrong length, wrong digest, too much, a failing source: the old file stays alone', async () => {
    const path = join(directory, 'file');
    await durableWrite(path, text('old'));
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield text('half');
      throw new Error('the source broke');
    }
    const bad: [() => Promise<unknown>, object][] = [
      [() => durableWrite(path, text('new'), { sizeBytes: 4 }), { code: 'corrupt' }],
      [() => durableWrite(path, text('new'), { sha256: sha256('old') }), { code: 'corrupt' }],
      [() => durableWrite(path, chunks('ab', 'cd'), { maxBytes: 3 }), { code: 'too_large' }],
      [() => durableWrite(path, failing()), { message: 'the source broke' }],
    ];
    for (const [write, error] of bad) await expect(write()).rejects.toMatchObject(error);
    expect(await readFile(path, 'utf8')).toBe('old');
    expect(await readdir(directory)).toEqual(['file']);
  });

  test('I2: a full disk is disk_full, a missing directory not_found', async () => {
    await expect(durableWrite(join(directory, 'no/file'), text('x'))).rejects.toMatchObject({
      code: 'not_found',
    });
    await expect(durableWrite('/dev/full/file', text('x'))).rejects.toMatchObject({
      code: 'not_found',
    });
  });

  test('I3: sweeping removes what a crash left and nothing else', async () => {
    await writeFile(join(directory, `.abc${TEMP_SUFFIX}`), 'half');
    await writeFile(join(directory, 'image'), 'whole');
    await mkdir(join(directory, `dir${TEMP_SUFFIX}`));
    expect(await sweepTemps(directory)).toBe(1);
    expect((await readdir(directory)).sort()).toEqual([`dir${TEMP_SUFFIX}`, 'image']);
  });
});

describe('files', () => {
  test('I1: a bounded read refuses what is larger, devices without end too', async () => {
    const path = join(directory, 'file');
    await writeFile(path, 'hello');
    expect(new TextDecoder().decode(await readBoundedFile(path, 5))).toBe('hello');
    await expect(readBoundedFile(path, 4)).rejects.toMatchObject({ code: 'too_large' });
    await expect(readBoundedFile('/dev/zero', 9999)).rejects.toMatchObject({ code: 'too_large' });
    await expect(readBoundedFile(join(directory, 'no'), 9)).rejects.toMatchObject({
      code: 'not_found',
    });
    expect((await readBoundedFile('/proc/self/status', 65_536)).length).toBeGreaterThan(100);
  });

  test('I2: a private directory is 0700, also when it was there before; a link is refused', async () => {
    const path = join(directory, 'a/b');
    await ensurePrivateDir(path);
    await chmod(path, 0o755);
    await ensurePrivateDir(path);
    expect((await stat(path)).mode & 0o777).toBe(0o700);
    await symlink(path, join(directory, 'link'));
    await expect(ensurePrivateDir(join(directory, 'link'))).rejects.toMatchObject({
      code: expect.stringMatching(/not_found|forbidden/),
    });
  });

  test('I3: others may pass what was made on the way to a private directory, and list nothing', async () => {
    const path = join(directory, 'shared/of/a-node');
    await ensurePrivateDir(path);
    const modes = ['shared', 'shared/of', 'shared/of/a-node'].map(async (name) => {
      return (await stat(join(directory, name))).mode & 0o777;
    });
    expect(await Promise.all(modes)).toEqual([0o711, 0o711, 0o700]);
  });
});
