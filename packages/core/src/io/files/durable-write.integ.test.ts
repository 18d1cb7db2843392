import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createCommandRunner } from '../command/command-runner.ts';
import { TEMP_SUFFIX } from './files.ts';

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'vmdn-files-'));
});

afterEach(async () => {
  await rm(directory, { recursive: true });
});

describe('durableWrite', () => {
  test.skipIf(!existsSync('/usr/bin/strace'))(
    'I1: data, then fsync, then rename, then fsync of the directory',
    async () => {
      const url = JSON.stringify(new URL('./durable-write.ts', import.meta.url).href);
      const path = join(directory, 'traced');
      const script = `const { durableWrite } = await import(${url});
      await durableWrite(${JSON.stringify(path)}, new Uint8Array(10));`;
      const trace = join(directory, 'trace');
      const calls = 'trace=openat,pwrite64,fsync,rename,renameat,renameat2';
      await createCommandRunner().run(
        'strace',
        [
          '-f',
          '-y',
          '-o',
          trace,
          '-e',
          calls,
          process.execPath,
          '--input-type=module',
          '-e',
          script,
        ],
        { timeoutMs: 60_000 },
      );
      const lines = (await readFile(trace, 'utf8'))
        .split('\n')
        .filter((l) => l.includes(directory));
      const steps = lines
        .map((line) => /(pwrite64|fsync|rename\w*)\([^)]*/.exec(line)?.[0] ?? '')
        .filter((step) => step !== '')
        .map((step) => step.replace(directory, 'DIR').replace(/\.[0-9a-f]{24}/, 'TEMP'));
      expect(steps.map((step) => /^\w+/.exec(step)![0].slice(0, 6))).toEqual([
        'pwrite',
        'fsync',
        'rename',
        'fsync',
      ]);
      expect(steps[1]).toContain(`TEMP${TEMP_SUFFIX}`);
      expect(steps[3]).toContain('<DIR>');
    },
  );
});
