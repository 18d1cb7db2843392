import { constants, zstdCompressSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { seededBytes } from './recipe.fixture.ts';
import { frameHeaderBytes, isIncompressible } from './zstd-stored.ts';

const KIB = 1024;
const random = seededBytes('stored', 256 * KIB);

test('random bytes are incompressible', () => {
  expect(isIncompressible(random)).toBe(true);
  expect(isIncompressible(random.subarray(0, 65 * KIB + 1))).toBe(true);
});

test('I2: one stretch of 64 KiB that is not random is enough', () => {
  for (const from of [0, 64 * KIB, 192 * KIB]) {
    const bytes = random.slice();
    for (let at = from; at < from + 64 * KIB; at += 1) bytes[at]! &= 0x7f;
    expect(isIncompressible(bytes)).toBe(false);
  }
  expect(isIncompressible(new Uint8Array(256 * KIB))).toBe(false);
});

test('of fewer bytes nothing is said', () => {
  expect(isIncompressible(random.subarray(0, 64 * KIB - 1))).toBe(false);
});

test('the header of a frame ends where its first block begins', () => {
  // One stored block: its header says how long the rest is.
  for (const pledged of [undefined, 200, 300, 70_000]) {
    const bytes = random.subarray(0, pledged ?? 100);
    const params = { [constants.ZSTD_c_contentSizeFlag]: pledged === undefined ? 0 : 1 };
    const frame = zstdCompressSync(bytes, {
      params,
      ...(pledged === undefined ? {} : { pledgedSrcSize: pledged }),
    });
    const at = frameHeaderBytes(frame);
    expect(frame.readUIntLE(at, 3) >>> 3).toBe(bytes.length);
    expect(frame.subarray(at + 3, at + 3 + bytes.length).equals(bytes)).toBe(true);
  }
});
