import { chmod, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readClientFile, writeClientFile } from './client-file.ts';

const CONTENT = { url: 'http://127.0.0.1:7070', token: 'a-token-of-some-length' };
let folder = '';
let path = '';

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vmdn-client-file-'));
  path = join(folder, 'client.json');
});
afterEach(async () => rm(folder, { recursive: true, force: true }));

describe('the client file', () => {
  it('comes back as it was written, and only its owner can read it', async () => {
    await writeClientFile(path, CONTENT);
    expect(await readClientFile(path)).toEqual(CONTENT);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(JSON.parse(await readFile(path, 'utf8'))).toEqual(CONTENT);
  });

  it.each([0o644, 0o640, 0o602, 0o666])('I1: is refused with mode %o', async (mode) => {
    await writeClientFile(path, CONTENT);
    await chmod(path, mode);
    await expect(readClientFile(path)).rejects.toMatchObject({
      code: 'forbidden',
      message: expect.stringContaining('chmod 600'),
    });
  });

  it('I2: is refused as a symbolic link', async () => {
    await writeClientFile(path, CONTENT);
    const link = join(folder, 'link.json');
    await symlink(path, link);
    await expect(readClientFile(link)).rejects.toMatchObject({ code: 'forbidden' });
  });

  it('that is not there is not found', async () => {
    await expect(readClientFile(path)).rejects.toMatchObject({ code: 'not_found' });
  });

  it.each([
    '',
    'words',
    '[]',
    '{"url":"http://a"}',
    '{"url":"file:///etc","token":"0123456789abcdef"}',
  ])('says what it should hold instead of %j', async (text) => {
    await writeFile(path, text, { mode: 0o600 });
    await expect(readClientFile(path)).rejects.toMatchObject({ code: 'invalid_input' });
  });
});
