import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { BootTrace } from '../domain/boot-trace.ts';
import { isVmdnError } from '../domain/errors.ts';
import { MAX_DISK_BYTES, TRACE_BLOCKS_MAX, TRACE_DISKS_MAX } from '../domain/limits.ts';
import { decodeBootTrace, encodeBootTrace, TRACE_MAGIC } from './boot-trace.ts';

const LAST_BLOCK = MAX_DISK_BYTES / 4096 - 1;
const reads = fc.array(
  fc.record({
    disk: fc.integer({ min: 0, max: TRACE_DISKS_MAX - 1 }),
    first: fc.oneof(
      fc.integer({ min: 0, max: 40 }),
      fc.integer({ min: LAST_BLOCK - 3, max: LAST_BLOCK }),
    ),
    count: fc.integer({ min: 1, max: 4 }),
  }),
  { maxLength: 30 },
);

/** The blocks of these reads, each once. */
function traceOf(read: readonly { disk: number; first: number; count: number }[]): BootTrace {
  const seen = new Map<string, readonly [number, number]>();
  for (const { disk, first, count } of read) {
    for (let block = first; block < Math.min(first + count, LAST_BLOCK + 1); block += 1) {
      const name = `${disk} ${block}`;
      if (!seen.has(name)) seen.set(name, [disk, block]);
    }
  }
  const entries = [...seen.values()];
  return {
    disks: Uint8Array.from(entries, ([disk]) => disk),
    blocks: Uint32Array.from(entries, ([, block]) => block),
    keys: Uint32Array.from(entries.flatMap(([disk, block]) => [block ^ disk, 0xffffffff - block])),
  };
}

const SMALL = encodeBootTrace(
  traceOf([
    { disk: 0, first: 7, count: 3 },
    { disk: 1, first: 10, count: 1 },
    { disk: 0, first: 2, count: 2 },
  ]),
);

describe('a boot trace as bytes', () => {
  it('comes back as it was', () => {
    fc.assert(
      fc.property(reads, (read) => {
        const trace = traceOf(read);
        expect(decodeBootTrace(encodeBootTrace(trace))).toEqual(trace);
      }),
    );
  });

  it('is as docs/formats/boot-trace.md shows it', () => {
    const hex = Buffer.from(SMALL).toString('hex');
    expect(hex.slice(0, 80)).toBe(
      `${Buffer.from(TRACE_MAGIC).toString('hex')}0600000003000000` +
        '0700000003000000' +
        '0a00000001000001' +
        '0200000002000000',
    );
    expect(SMALL).toHaveLength(16 + 3 * 8 + 6 * 8);
  });

  it('I1, I2: whatever else is in the bytes is refused, or is the one encoding of what it says', () => {
    const mutations = fc.array(
      fc.tuple(fc.nat(SMALL.length - 1), fc.integer({ min: 0, max: 255 })),
      { minLength: 1, maxLength: 6 },
    );
    fc.assert(
      fc.property(mutations, fc.integer({ min: -9, max: 9 }), (changes, longer) => {
        const bytes = new Uint8Array(Math.max(0, SMALL.length + longer));
        bytes.set(SMALL.subarray(0, bytes.length));
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
        expectTotal(bytes);
      }),
      { numRuns: 3000 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (noise) => {
        expectTotal(noise);
        expectTotal(Uint8Array.of(...SMALL.subarray(0, 8), ...noise));
      }),
    );
  });

  it('I1: refuses a run in two pieces and a block that stands twice', () => {
    const split = SMALL.slice();
    // The second run: disk 0, block 10, right behind the first one.
    split[31] = 0;
    expect(() => decodeBootTrace(split)).toThrow(/two pieces/);
    const twice = SMALL.slice();
    // The third run begins at block 8.
    twice[32] = 8;
    expect(() => decodeBootTrace(twice)).toThrow(/repeated/);
  });

  it('I2: believes no number that its length does not pay for, and no more blocks than the limit', () => {
    const lying = SMALL.slice();
    new DataView(lying.buffer).setUint32(8, TRACE_BLOCKS_MAX, true);
    expect(() => decodeBootTrace(lying)).toThrow(/length/);
    new DataView(lying.buffer).setUint32(8, TRACE_BLOCKS_MAX + 1, true);
    expect(() => decodeBootTrace(lying)).toThrow(/at most/);
    const long = new Uint8Array(TRACE_BLOCKS_MAX + 1);
    const trace = { disks: long, blocks: new Uint32Array(long.length), keys: new Uint32Array(0) };
    expect(() => encodeBootTrace(trace)).toThrow(/at most/);
  });
});

function expectTotal(bytes: Uint8Array): void {
  let trace: BootTrace;
  try {
    trace = decodeBootTrace(bytes);
  } catch (error) {
    expect(isVmdnError(error, 'corrupt') || isVmdnError(error, 'too_large')).toBe(true);
    return;
  }
  expect(encodeBootTrace(trace)).toEqual(bytes);
}
