import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readOrMakeClientToken } from './client-token.ts';
import { readOrMakeSecretFile } from './small-files.ts';

const STARTERS = [...'abcd'];
let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmdn-test-small-files-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

describe('a secret in a file', () => {
  it('is made once by all who start together, and nobody reads a part of it', async () => {
    const path = join(dir, 'secret');
    // So long that writing it takes a while, in which somebody looks all the time.
    const secrets = STARTERS.map((letter) => readOrMakeSecretFile(path, () => letter.repeat(1e7)));
    const sizes = new Set<number>();
    let isMade = false;
    const made = Promise.all(secrets).finally(() => {
      isMade = true;
    });
    while (!isMade) {
      const found = await stat(path).catch(() => undefined);
      if (found !== undefined) sizes.add(found.size);
    }
    const texts = new Set(await made);
    expect(texts.size).toBe(1);
    expect([...sizes]).toEqual([1e7]);
    expect(await readOrMakeSecretFile(path, () => 'another')).toBe([...texts][0]);
    expect(await readdir(dir)).toEqual(['secret']);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it('I2: is one token for all coordinators that start together', async () => {
    const tokens = await Promise.all(STARTERS.map((one) => readOrMakeClientToken(dir, () => one)));
    expect(new Set(tokens).size).toBe(1);
    expect(await readOrMakeClientToken(dir, () => 'another')).toBe(tokens[0]);
  });

  it('is not guessed where the file is empty', async () => {
    await writeFile(join(dir, 'client-token'), '\n');
    const token = readOrMakeClientToken(dir, () => 'another');
    await expect(token).rejects.toMatchObject({ code: 'corrupt' });
  });
});
