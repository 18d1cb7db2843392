import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isVmdnError } from '../domain/errors.ts';
import { MAX_BLOCKS_PER_REQUEST } from '../domain/limits.ts';
import { decodeBlockRequest, encodeBlockRequest, runBytes } from './block-request.ts';
import {
  type BlockStreamStatus,
  createBlockStreamDecoder,
  encodeBlockStreamEnd,
  encodeBlockStreamHeader,
  encodeRunHeader,
} from './block-stream.ts';
import { seededBytes } from './recipe.fixture.ts';

const disk = seededBytes('disk', 200 * 4096 + 1536);
const virtualSizeBytes = disk.length;
const blocks = 201;

/** Ascending runs that do not overlap: cut points in pairs. */
const runsOfDisk = fc
  .uniqueArray(fc.integer({ min: 0, max: blocks }), { minLength: 2, maxLength: 20 })
  .map((points) => {
    const sorted = [...points].sort((a, b) => a - b);
    const runs: number[] = [];
    for (let i = 0; i + 1 < sorted.length; i += 2)
      runs.push(sorted[i]!, sorted[i + 1]! - sorted[i]!);
    return Uint32Array.from(runs);
  });

interface Splits {
  readonly recordMax: number;
  readonly status: BlockStreamStatus;
}

function streamOf(runs: Uint32Array, { recordMax, status }: Splits): Uint8Array {
  const parts: Uint8Array[] = [encodeBlockStreamHeader()];
  for (let i = 0; i < runs.length; i += 2) {
    for (let done = 0; done < runs[i + 1]!; done += recordMax) {
      const start = runs[i]! + done;
      const count = Math.min(recordMax, runs[i + 1]! - done);
      parts.push(encodeRunHeader(start, count));
      const at = start * 4096;
      parts.push(disk.subarray(at, at + runBytes(virtualSizeBytes, start, count)));
    }
  }
  parts.push(encodeBlockStreamEnd(status));
  return new Uint8Array(Buffer.concat(parts));
}

/** Decodes `bytes` cut into chunks of the given sizes, over and over. */
function decode(bytes: Uint8Array, runs: Uint32Array, sizes: readonly number[]) {
  const found = new Uint8Array(disk.length);
  const seen: number[] = [];
  const decoder = createBlockStreamDecoder({
    virtualSizeBytes,
    runs,
    onBlocks: (start, count, view) => {
      expect(view.length).toBe(runBytes(virtualSizeBytes, start, count));
      found.set(view, start * 4096);
      for (let i = 0; i < count; i += 1) seen.push(start + i);
    },
  });
  for (let at = 0, i = 0; at < bytes.length; i += 1) {
    const size = sizes[i % sizes.length]!;
    decoder.push(bytes.subarray(at, at + size));
    at += size;
  }
  return { status: decoder.end(), found, seen, delivered: decoder.deliveredBlocks() };
}

const chunkSizes = fc.array(fc.integer({ min: 1, max: 20_000 }), { minLength: 1, maxLength: 5 });

describe('streams of blocks', () => {
  test('I2, I3: whatever the cuts and records, the asked blocks arrive in order with their bytes', () => {
    const splits = fc.integer({ min: 1, max: 40 });
    fc.assert(
      fc.property(runsOfDisk, splits, chunkSizes, (runs, recordMax, sizes) => {
        const bytes = streamOf(runs, { recordMax, status: 'complete' });
        const { status, found, seen } = decode(bytes, runs, sizes);
        expect(status).toBe('complete');
        const wanted: number[] = [];
        for (let i = 0; i < runs.length; i += 2) {
          for (let b = 0; b < runs[i + 1]!; b += 1) wanted.push(runs[i]! + b);
        }
        expect(seen).toEqual(wanted);
        for (const block of wanted) {
          const part = disk.subarray(block * 4096, block * 4096 + 4096);
          expect(
            Buffer.compare(found.subarray(block * 4096, block * 4096 + part.length), part),
          ).toBe(0);
        }
      }),
      { numRuns: 60 },
    );
  });

  test('I1: a stream cut anywhere is corrupt, even after its last block', () => {
    const runs = Uint32Array.of(3, 2, 200, 1);
    const bytes = streamOf(runs, { recordMax: 9, status: 'complete' });
    for (let length = 0; length < bytes.length; length += 7) {
      expect(() => decode(bytes.subarray(0, length), runs, [1000])).toThrow(/truncated/);
    }
    expect(() => decode(bytes.subarray(0, -8), runs, [1000])).toThrow(/truncated/);
  });

  test('a source may end early with a reason, but not call that complete', () => {
    const asked = Uint32Array.of(3, 2, 100, 5);
    const given = Uint32Array.of(3, 2);
    for (const status of ['withdrawn', 'read_failed'] as const) {
      const bytes = streamOf(given, { recordMax: 9, status });
      expect(decode(bytes, asked, [4096])).toMatchObject({ status, delivered: 2 });
    }
    const bytes = streamOf(given, { recordMax: 9, status: 'complete' });
    expect(() => decode(bytes, asked, [4096])).toThrow(/blocks are missing/);
  });

  test('I2: unwanted, reordered, repeated and over-long runs are corrupt', () => {
    const asked = Uint32Array.of(3, 2, 100, 5);
    const bad = [
      Uint32Array.of(4, 1),
      Uint32Array.of(100, 5, 3, 2),
      Uint32Array.of(3, 2, 3, 2),
      Uint32Array.of(3, 3),
      Uint32Array.of(3, 2, 100, 6),
      Uint32Array.of(3, 2, 100, 5, 110, 1),
    ];
    for (const runs of bad) {
      const bytes = streamOf(runs, { recordMax: 99, status: 'complete' });
      expect(() => decode(bytes, asked, [5000]), String(runs)).toThrow(/unwanted|wrong length/);
    }
    const empty = Buffer.concat([encodeBlockStreamHeader(), encodeRunHeader(3, 0)]);
    expect(() => decode(empty, asked, [99])).toThrow(/wrong length/);
  });

  test('bytes after the end are corrupt, and a broken decoder stays broken', () => {
    const runs = Uint32Array.of(3, 2);
    const bytes = streamOf(runs, { recordMax: 9, status: 'complete' });
    expect(() => decode(new Uint8Array([...bytes, 0]), runs, [777])).toThrow(/after its end/);
    const decoder = createBlockStreamDecoder({ virtualSizeBytes, runs, onBlocks: () => {} });
    expect(() => decoder.push(new Uint8Array(8))).toThrow(/magic/);
    expect(() => decoder.push(bytes)).toThrow(/broken before/);
    expect(() => decoder.end()).toThrow(/truncated/);
  });

  test('I4: random bytes after the header deliver nothing unasked and end in corrupt', () => {
    const runs = Uint32Array.of(3, 2);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 9000 }), (tail) => {
        try {
          decode(new Uint8Array([...encodeBlockStreamHeader(), ...tail]), runs, [999]);
          expect.unreachable();
        } catch (error) {
          expect(isVmdnError(error, 'corrupt')).toBe(true);
        }
      }),
    );
  });

  test('an error of the receiver comes out of push and breaks the decoder', () => {
    const runs = Uint32Array.of(3, 2);
    const onBlocks = () => {
      throw new Error('disk full');
    };
    const decoder = createBlockStreamDecoder({ virtualSizeBytes, runs, onBlocks });
    const bytes = streamOf(runs, { recordMax: 9, status: 'complete' });
    expect(() => decoder.push(bytes)).toThrow('disk full');
    expect(() => decoder.push(bytes)).toThrow(/broken before/);
  });
});

describe('blocks requests', () => {
  test('I1: runs come back as they went in', () => {
    fc.assert(
      fc.property(runsOfDisk, (runs) => {
        const bytes = encodeBlockRequest(runs, virtualSizeBytes);
        expect(decodeBlockRequest(bytes, virtualSizeBytes)).toEqual(runs);
      }),
    );
  });

  test('I2: malformed bodies are invalid_input, too much is too_large', () => {
    const good = encodeBlockRequest(Uint32Array.of(1, 2, 5, 6), virtualSizeBytes);
    for (let length = 0; length < good.length; length += 1) {
      expect(() => decodeBlockRequest(good.subarray(0, length), virtualSizeBytes)).toThrow(
        /malformed/,
      );
    }
    const bad = [[], [1], [1, 0], [5, 2, 1, 1], [5, 2, 6, 1], [200, 2], [0xffff_ffff, 0xffff_ffff]];
    for (const runs of bad) {
      expect(() => encodeBlockRequest(Uint32Array.from(runs), virtualSizeBytes)).toThrow(
        /malformed/,
      );
    }
    const many = Uint32Array.of(0, MAX_BLOCKS_PER_REQUEST + 1);
    expect(() => encodeBlockRequest(many, 2 ** 40)).toThrow(/at most/);
    const view = new DataView(good.buffer);
    view.setUint32(8, 0xffff_ffff, true);
    expect(() => decodeBlockRequest(good, virtualSizeBytes)).toThrow(/at most/);
  });
});
