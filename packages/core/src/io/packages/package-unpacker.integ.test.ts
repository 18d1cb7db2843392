import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { debOf, tarOf } from '../../formats/package.fixture.ts';
import { seededBytes } from '../../formats/recipe.fixture.ts';
import { createCommandRunner } from '../command/command-runner.ts';
import { createPackageUnpacker } from './package-unpacker.ts';

const runner = createCommandRunner();
const content = seededBytes('content', 3 * 2 ** 20);
const control = tarOf([{ path: './md5sums', content: Buffer.from('sums\n') }]);
const xz = (bytes: Uint8Array): Buffer =>
  execFileSync('xz', ['-0', '-c'], { input: bytes, maxBuffer: 2 ** 28 });
const data = tarOf([{ path: './file', content }]);
const deb = debOf(['control.tar', control], ['data.tar.xz', xz(data)]);
const sha256 = createHash('sha256').update(deb).digest('hex');
/** Of old packages: the one kind that a process of its own decompresses. */
const oldDeb = debOf(
  ['control.tar', control],
  ['data.tar.bz2', execFileSync('bzip2', ['-c'], { input: data, maxBuffer: 2 ** 28 })],
);
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'vmdn-unpacker-'));
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

async function* pieces(bytes: Uint8Array = deb, length = 50_000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) {
    yield bytes.subarray(at, at + length);
  }
}

/** The start of the package, then nothing more, for ever. */
async function* stalled(bytes: Uint8Array, onHalf: () => void): AsyncGenerator<Uint8Array> {
  yield bytes.subarray(0, 2 ** 20);
  onHalf();
  await new Promise(() => {});
}

function order(name: string, bytes: AsyncIterable<Uint8Array> = pieces()) {
  return {
    format: 'deb' as const,
    name,
    bytes,
    expected: { sha256, sizeBytes: deb.length },
    stagingDir: join(directory, name),
    signal: new AbortController().signal,
  };
}

/** Ids of the children of a process, whichever of its threads started them. */
function childrenOf(pid: number): number[] {
  const lists = readdirSync(`/proc/${pid}/task`).map((task) => {
    const path = `/proc/${pid}/task/${task}/children`;
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  });
  return lists.join(' ').split(' ').filter(Boolean).map(Number);
}

describe('the unpacker and its threads', () => {
  test('many packages at once have the images that they have one by one', async () => {
    await using unpacker = createPackageUnpacker({ workerCount: 2 });
    const names = ['one', 'two', 'three', 'four', 'five'];
    const all = await Promise.all(names.map((name) => unpacker.unpack(order(name))));
    expect(new Set(all.map(({ digest }) => digest)).size).toBe(1);
    expect(all[0]).toMatchObject({ files: 3, virtualSizeBytes: 4096 + content.length + 4096 });
    // One large chunk, of memory that must stay the caller's own.
    const whole = Buffer.from(deb);
    const again = await unpacker.unpack(order('six', pieces(whole, whole.length)));
    expect(again).toEqual(all[0]);
    expect(whole.equals(deb)).toBe(true);
  });

  test('I3: a failure is told with its code, leaves no files, and the next package is unpacked', async () => {
    await using unpacker = createPackageUnpacker({ workerCount: 1 });
    const bad = Buffer.from(deb).fill(0, 2_000_000, 2_000_100);
    const damaged = unpacker.unpack(order('bad', pieces(bad)));
    await expect(damaged).rejects.toMatchObject({ code: 'corrupt' });
    expect(await readdir(join(directory, 'bad'))).toEqual([]);
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield deb.subarray(0, 1_000_000);
      throw new Error('the mirror hung up');
    }
    await expect(unpacker.unpack(order('broken', broken()))).rejects.toThrow('the mirror hung up');
    expect(await readdir(join(directory, 'broken'))).toEqual([]);
    expect((await unpacker.unpack(order('bad'))).files).toBe(3);
  });

  test('I3: a cancelled job ends at once, whatever its source does', async () => {
    await using unpacker = createPackageUnpacker({ workerCount: 1 });
    const aborter = new AbortController();
    const half = Promise.withResolvers<void>();
    const bytes = stalled(deb, half.resolve);
    const running = unpacker.unpack({ ...order('stalled', bytes), signal: aborter.signal });
    running.catch(() => {});
    await half.promise;
    aborter.abort();
    await expect(running).rejects.toMatchObject({ code: 'cancelled' });
    expect(await readdir(join(directory, 'stalled'))).toEqual([]);
    expect((await unpacker.unpack(order('stalled'))).files).toBe(3);
  });

  test('I3: the process that decompresses an old package ends with its job', async () => {
    await using unpacker = createPackageUnpacker({ workerCount: 1 });
    const aborter = new AbortController();
    const before = childrenOf(process.pid);
    let children: number[] = [];
    const bytes = stalled(oldDeb, () => {});
    const running = unpacker.unpack({ ...order('cancelled', bytes), signal: aborter.signal });
    running.catch(() => {});
    await vi.waitFor(
      () => {
        children = childrenOf(process.pid).filter((pid) => !before.includes(pid));
        expect(children.length).toBe(1);
      },
      { timeout: 60_000 },
    );
    aborter.abort();
    await expect(running).rejects.toMatchObject({ code: 'cancelled' });
    expect(await readdir(join(directory, 'cancelled'))).toEqual([]);
    for (const pid of children) expect(existsSync(`/proc/${pid}`)).toBe(false);
    const late = unpacker.unpack({ ...order('late'), signal: aborter.signal });
    await expect(late).rejects.toMatchObject({ code: 'cancelled' });
  });

  test('an edge that is killed leaves no bzip2 behind', async () => {
    const url = JSON.stringify(new URL('./package-unpacker.ts', import.meta.url).href);
    const path = join(directory, 'package.deb');
    await writeFile(path, oldDeb);
    const script = `
      const { createPackageUnpacker } = await import(${url});
      const { readFileSync } = await import('node:fs');
      const deb = readFileSync(${JSON.stringify(path)});
      async function* bytes() { yield deb.subarray(0, 2 ** 20); await new Promise(() => {}); }
      setInterval(() => {}, 1000);
      await createPackageUnpacker({ workerCount: 1 }).unpack({
        format: 'deb', name: 'killed', bytes: bytes(), signal: new AbortController().signal,
        expected: { sha256: ${JSON.stringify(sha256)}, sizeBytes: ${oldDeb.length} },
        stagingDir: ${JSON.stringify(join(directory, 'killed'))},
      });`;
    const scriptPath = join(directory, 'killed.mjs');
    await writeFile(scriptPath, script);
    const logPath = join(directory, 'killed.log');
    const parent = runner.start(process.execPath, [scriptPath], {
      lifetime: 'with-parent',
      logPath,
    });
    const children = await vi.waitFor(
      () => {
        const found = childrenOf(parent.pid);
        expect(found.length).toBe(1);
        expect(readFileSync(`/proc/${found[0]}/comm`, 'utf8')).toBe('bzip2\n');
        return found;
      },
      { timeout: 60_000 },
    );
    process.kill(parent.pid, 'SIGKILL');
    await parent.exited;
    const isGone = (): void => {
      const stat = `/proc/${children[0]}/stat`;
      expect(existsSync(stat) && !readFileSync(stat, 'utf8').includes(') Z ')).toBe(false);
    };
    await vi.waitFor(isGone, { timeout: 60_000 });
  });
});
