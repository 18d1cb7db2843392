import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createCommandRunner } from '@vmdn/core/io/command/command-runner.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { run } from './describe.ts';

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vmdn-bench-describe-'));
});

afterAll(async () => {
  await rm(folder, { recursive: true });
});

test('three times for one disk come back, and nothing is left behind', async () => {
  const image = join(folder, 'disk.raw');
  await writeFile(image, Buffer.alloc(9 * 2 ** 20 + 512, 'content'));
  const report = await run({
    json: true,
    image,
    rateBytesPerSecond: null,
    signal: new AbortController().signal,
    runner: createCommandRunner(),
    cacheDir: folder,
    progress: () => {},
  });
  const figures = report.json as Record<string, number>;
  expect(Object.keys(figures).sort()).toEqual(['openssl', 'qemuImg', 'recipe']);
  for (const seconds of Object.values(figures)) expect(seconds).toBeGreaterThan(0);
  expect(report.table).toContain('virtual size 9.4 MB, non-zero segments 9.5 MB');
  expect(report.promised).toHaveLength(1);
  expect(await readdir(join(folder, 'bench', 'runs'))).toEqual([]);
}, 120_000);

test('an image of an unknown ending is refused with the endings there are', async () => {
  const options = {
    json: true,
    image: join(folder, 'disk.iso'),
    rateBytesPerSecond: null,
    signal: new AbortController().signal,
    runner: createCommandRunner(),
    cacheDir: folder,
    progress: () => {},
  };
  await expect(run(options)).rejects.toMatchObject({ code: 'unsupported_format' });
});
