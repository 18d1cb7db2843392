import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import {
  createZstdCompress,
  gzipSync,
  constants as zlibConstants,
  zstdCompressSync,
} from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { seededBytes } from '../../formats/recipe.fixture.ts';
import { createCommandRunner } from '../command/command-runner.ts';
import { type Compression, decompress, UnpackBudget } from './decompress.ts';

const runner = createCommandRunner();
const signal = new AbortController().signal;

async function* cut(bytes: Uint8Array, length: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

async function unpacked(
  compression: Compression,
  bytes: Uint8Array,
  options: { pieceBytes?: number; packageBytes?: number } = {},
): Promise<Buffer> {
  const budget = new UnpackBudget(options.packageBytes ?? 2 ** 30);
  const input = cut(bytes, options.pieceBytes ?? 65_536);
  return Buffer.concat(
    await Array.fromAsync(decompress(compression, input, { runner, budget, signal })),
  );
}

function byTool(tool: string, args: string[], input: Uint8Array): Buffer {
  return execFileSync(tool, args, { input, maxBuffer: 2 ** 28 });
}

/** Every kind, made by what makes real packages. */
const packers: Readonly<Record<Exclude<Compression, 'none'>, (bytes: Uint8Array) => Buffer>> = {
  gzip: (bytes) => gzipSync(bytes),
  zstd: (bytes) => zstdCompressSync(bytes, { params: { [zlibConstants.ZSTD_c_checksumFlag]: 1 } }),
  xz: (bytes) => byTool('xz', ['-c'], bytes),
  lzma: (bytes) => byTool('xz', ['-c', '--format=lzma'], bytes),
  bzip2: (bytes) => byTool('bzip2', ['-c'], bytes),
};
const kinds = Object.keys(packers) as (keyof typeof packers)[];

describe('decompression', () => {
  test('every kind gives back what was packed, however it is cut', async () => {
    const content = Buffer.concat([seededBytes('content', 300_001), Buffer.alloc(500_000)]);
    for (const kind of kinds) {
      const packed = packers[kind](content);
      for (const pieceBytes of [1000, 2 ** 20]) {
        expect(Buffer.compare(await unpacked(kind, packed, { pieceBytes }), content), kind).toBe(0);
      }
    }
    expect(await unpacked('none', content)).toEqual(content);
  });

  test('I3: several streams in a row are one, wherever a chunk ends', async () => {
    const parts = [seededBytes('a', 1000), seededBytes('b', 200_000), seededBytes('c', 5)];
    for (const kind of ['gzip', 'zstd', 'xz', 'bzip2'] as const) {
      const packed = Buffer.concat(parts.map(packers[kind]));
      for (const pieceBytes of [700, 2 ** 20]) {
        expect(await unpacked(kind, packed, { pieceBytes }), kind).toEqual(Buffer.concat(parts));
      }
    }
  });

  test('I3: a stream that is cut, damaged or of another kind is corrupt', async () => {
    const content = seededBytes('content', 100_000);
    for (const kind of kinds) {
      const packed = packers[kind](content);
      const damaged = Buffer.from(packed);
      damaged.fill(0x55, 50_000, 50_100);
      const bad = [packed.subarray(0, 60_000), damaged, seededBytes('noise', 5000)];
      // lzma has no checksum: damage may go unseen, and the package's SHA-256 finds it.
      for (const bytes of kind === 'lzma' ? bad.slice(0, 1) : bad) {
        await expect(unpacked(kind, bytes), kind).rejects.toMatchObject({ code: 'corrupt' });
      }
    }
  });

  test('I3: any damage gives bytes or one of our errors', async () => {
    const inThread = ['gzip', 'zstd', 'xz', 'lzma'] as const;
    const packed = new Map(inThread.map((kind) => [kind, packers[kind](seededBytes('x', 3000))]));
    const damage = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(damage, fc.constantFrom(...inThread), async (changes, kind) => {
        const bytes = Buffer.from(packed.get(kind)!);
        for (const [at, value] of changes) bytes[at % bytes.length] = value;
        const result = await unpacked(kind, bytes).catch((error) => error);
        if (!Buffer.isBuffer(result)) expect(['corrupt', 'too_large']).toContain(result.code);
      }),
      { numRuns: 200 },
    );
  });

  test('I1: a bomb of each kind is stopped at the limit', async () => {
    const zeros = Buffer.alloc(16 * 2 ** 20);
    for (const kind of kinds) {
      // 5 MB may come out; the bombs hold 16.
      const bomb = packers[kind](zeros);
      let bytes = 0;
      const budget = new UnpackBudget(2500);
      const output = decompress(kind, cut(bomb, 65_536), { runner, budget, signal });
      const drained = (async () => {
        for await (const chunk of output) bytes += chunk.length;
      })();
      await expect(drained, kind).rejects.toMatchObject({ code: 'too_large' });
      expect(bytes).toBeLessThanOrEqual(5_000_000);
    }
  });

  test('I2: windows and dictionaries beyond the limit are too_large', async () => {
    // In a stream of unknown length the frame names its window.
    const packer = createZstdCompress({ params: { [zlibConstants.ZSTD_c_windowLog]: 28 } });
    packer.write(seededBytes('x', 1000));
    packer.flush(() => packer.end(seededBytes('y', 1000)));
    const wide = Buffer.concat(await Array.fromAsync(packer));
    await expect(unpacked('zstd', wide)).rejects.toMatchObject({ code: 'too_large' });
    const large = {
      xz: byTool('xz', ['-c', '--lzma2=preset=0,dict=512MiB'], seededBytes('x', 1000)),
      lzma: byTool('xz', ['-c', '-Flzma', '--lzma1=preset=0,dict=512MiB'], seededBytes('x', 1000)),
    };
    for (const kind of ['xz', 'lzma'] as const) {
      await expect(unpacked(kind, large[kind])).rejects.toMatchObject({ code: 'too_large' });
    }
  });

  test('I2: the largest preset passes, also several at once and one after the other', async () => {
    const content = seededBytes('x', 300_000);
    const packed = byTool('xz', ['-c', '-9'], content);
    const many = await Promise.all([1, 2, 3].map(() => unpacked('xz', packed)));
    for (let i = 0; i < 5; i += 1) many.push(await unpacked('xz', packed));
    for (const one of many) expect(Buffer.compare(one, content)).toBe(0);
  });

  test('every filter and checksum that xz writes is read', async () => {
    const content = readFileSync(process.execPath).subarray(0, 300_000);
    const filters = ['--x86', '--arm64', '--delta=dist=4'].map((filter) => [filter, '--lzma2']);
    const checks = ['none', 'crc32', 'crc64', 'sha256'].map((check) => [`--check=${check}`]);
    for (const args of [...filters, ...checks, ['--block-size=100000'], ['-T2']]) {
      const packed = byTool('xz', ['-c', ...args], content);
      expect(Buffer.compare(await unpacked('xz', packed), content), args.join(' ')).toBe(0);
    }
  });

  test('I3: a stream of xz is no lzma, and the other way round', async () => {
    const content = seededBytes('x', 1000);
    const lzip = Buffer.concat([Buffer.from('LZIP\u0001\u000c'), content]);
    for (const bytes of [packers.xz(content), lzip]) {
      await expect(unpacked('lzma', bytes)).rejects.toMatchObject({ code: 'corrupt' });
    }
    await expect(unpacked('xz', packers.lzma(content))).rejects.toMatchObject({ code: 'corrupt' });
  });

  test('I3: what follows a stream, or nothing at all, is corrupt', async () => {
    for (const kind of ['xz', 'lzma', 'zstd'] as const) {
      const packed = packers[kind](seededBytes('x', 1000));
      const longer = Buffer.concat([packed, Buffer.from('more bytes')]);
      await expect(unpacked(kind, longer), kind).rejects.toMatchObject({ code: 'corrupt' });
    }
    for (const kind of ['xz', 'lzma'] as const) {
      const nothing = Buffer.alloc(0);
      await expect(unpacked(kind, nothing), kind).rejects.toMatchObject({ code: 'corrupt' });
    }
  });

  test('a bomb does not keep its thread from hearing who cancels', async () => {
    const bomb = packers.xz(Buffer.alloc(64 * 2 ** 20));
    let turns = 0;
    const count = setInterval(() => {
      turns += 1;
    }, 1);
    expect((await unpacked('xz', bomb)).length).toBe(64 * 2 ** 20);
    clearInterval(count);
    expect(turns).toBeGreaterThan(5);
  });

  test('what the input throws is thrown', async () => {
    async function* broken(kind: keyof typeof packers): AsyncGenerator<Uint8Array> {
      yield packers[kind](seededBytes('x', 1000)).subarray(0, 500);
      throw new Error('the mirror hung up');
    }
    for (const kind of kinds) {
      const budget = new UnpackBudget(1000);
      const output = decompress(kind, broken(kind), { runner, budget, signal });
      await expect(Array.fromAsync(output)).rejects.toThrow('the mirror hung up');
    }
  });
});
