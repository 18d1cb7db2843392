import { mkdir, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CommandRunner, createCommandRunner } from './command-runner.ts';
import { createDebugfs } from './debugfs.ts';

const real = createCommandRunner();
let dir: string;
let starts = 0;
/** The real one, counted. */
const runner: CommandRunner = {
  ...real,
  run: (...run) => {
    starts += 1;
    return real.run(...run);
  },
};

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmdn-debugfs-'));
  const tree = join(dir, 'tree');
  await mkdir(join(tree, 'etc', 'a.wants'), { recursive: true });
  await mkdir(join(tree, 'etc', 'debugfs: stat '), { recursive: true });
  await writeFile(join(tree, 'etc', 'os-release'), 'ID=debian\n');
  await writeFile(join(tree, 'etc', 'a.wants', 'b.service'), '');
  // What would be the end of an answer, were the mark known.
  await writeFile(join(tree, 'etc', 'a\ndebugfs: stat '), '');
  const image = join(dir, 'image');
  await (await open(image, 'w')).close();
  const args = ['-q', '-F', '-t', 'ext4', '-d', tree, image, '8M'];
  await real.run('mke2fs', args, { timeoutMs: 60_000 });
});
afterAll(() => rm(dir, { recursive: true, force: true }));

describe('files of an ext volume', () => {
  it('I3: that were looked up are known, by few starts of the tool, as if each was asked for', async () => {
    const volume = { dir, name: 'image', offsetBytes: 0 };
    const files = createDebugfs(runner, volume);
    starts = 0;
    await files.lookUp([
      { path: '/', depth: 0 },
      { path: '/etc', depth: 2 },
      { path: '/none', depth: 3 },
      { path: '/etc/os-release', depth: 0 },
    ]);
    expect(starts).toBe(2);
    const ask = async (from: typeof files) => [
      await from.stat('/'),
      await from.stat('/none'),
      await from.stat('/etc/os-release'),
      await from.list('/etc'),
      await from.list('/etc/a.wants'),
      await from.list('/none'),
    ];
    const known = await ask(files);
    expect(starts).toBe(2);
    expect(await files.read('/etc/os-release', 100)).toBe('ID=debian\n');
    expect(await files.read('/etc/os-release', 100)).toBe('ID=debian\n');
    expect(starts).toBe(3);
    expect(known[1]).toBeNull();
    expect(known[4]).toEqual([{ name: 'b.service', isDirectory: false }]);
    expect(known).toEqual(await ask(createDebugfs(runner, volume)));
    expect(starts).toBe(9);
  });
});
