import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Digest } from '../domain/digest.ts';
import {
  BITMAP_SLOT_BYTES,
  type BitmapHeader,
  bitmapFileBytes,
  decodeBitmapHeader,
  decodeBitmapPage,
  decodeWireNote,
  encodeBitmapHeader,
  encodeBitmapPage,
  encodeWireNote,
  headerSlotOffset,
  pageSlotOffset,
  ROWS_PER_PAGE,
  wireNoteOffset,
} from './staging-bitmap.ts';

const generation = '01234567-89ab-cdef-0123-456789abcdef';
const header: BitmapHeader = {
  digest: 'ab'.repeat(32) as Digest,
  generation,
  virtualSizeBytes: 8 * 2 ** 40,
  rowCount: 481,
  sequence: 12_345,
  isClean: true,
  mtimeNs: 1_700_000_000_123_456_789n,
  wireBytes: [0, 1, 2, 3, 2 ** 52],
};

describe('the bitmap of a staging directory', () => {
  it('gives a header back as it was written', () => {
    const bytes = encodeBitmapHeader(header);
    expect(bytes.length).toBe(BITMAP_SLOT_BYTES);
    expect(decodeBitmapHeader(bytes)).toEqual(header);
  });

  it('I2: a header with any byte changed does not count', () => {
    fc.assert(
      fc.property(
        fc.nat({ max: BITMAP_SLOT_BYTES - 1 }),
        fc.integer({ min: 1, max: 255 }),
        (at, flip) => {
          const bytes = encodeBitmapHeader(header);
          bytes[at]! ^= flip;
          expect(decodeBitmapHeader(bytes)).toBeUndefined();
        },
      ),
    );
  });

  it('I2: a page counts only whole, in its place and in its generation', () => {
    const records = Uint32Array.from({ length: 2 * 500 }, (_, i) => i + 1);
    const bytes = encodeBitmapPage(1, 7, generation, records);
    const read = new Uint32Array(records.length);
    const page = decodeBitmapPage(bytes, 1, generation);
    expect(page?.sequence).toBe(7);
    page?.copyInto(read);
    expect(read.subarray(2 * ROWS_PER_PAGE)).toEqual(records.subarray(2 * ROWS_PER_PAGE));
    expect(read.subarray(0, 2 * ROWS_PER_PAGE).every((word) => word === 0)).toBe(true);
    expect(decodeBitmapPage(bytes, 0, generation)).toBeUndefined();
    expect(decodeBitmapPage(bytes, 1, generation.replace('0', '1'))).toBeUndefined();
    expect(decodeBitmapPage(bytes.subarray(0, 4000), 1, generation)).toBeUndefined();
    bytes[100]! ^= 1;
    expect(decodeBitmapPage(bytes, 1, generation)).toBeUndefined();
  });

  it('decodes any bytes without throwing', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 5000 }), (bytes) => {
        expect(decodeBitmapHeader(bytes)).toBeUndefined();
        expect(decodeBitmapPage(bytes, 0, generation)).toBeUndefined();
        expect(decodeWireNote(bytes, generation)).toBeUndefined();
      }),
    );
  });

  it('I1: two writes in a row of one header or page go to different slots, and none overlap', () => {
    const offsets = [0, 1].flatMap((sequence) => [
      headerSlotOffset(sequence),
      pageSlotOffset(0, sequence),
      pageSlotOffset(1, sequence),
    ]);
    expect(new Set(offsets).size).toBe(6);
    expect(Math.max(...offsets) + BITMAP_SLOT_BYTES).toBe(wireNoteOffset(481));
    expect(wireNoteOffset(481) + BITMAP_SLOT_BYTES).toBe(bitmapFileBytes(481));
  });

  it('I4: a wire note is read back whole, and not when torn, foreign or of another generation', () => {
    const bytes = encodeWireNote(generation, [0, 1, 2, 2 ** 40, 4]);
    expect(bytes.length).toBe(BITMAP_SLOT_BYTES);
    expect(decodeWireNote(bytes, generation)).toEqual([0, 1, 2, 2 ** 40, 4]);
    expect(decodeWireNote(bytes, generation.replace('0', '1'))).toBeUndefined();
    expect(decodeWireNote(bytes.subarray(0, 4000), generation)).toBeUndefined();
    const page = encodeBitmapPage(0, 1, generation, new Uint32Array(8));
    expect(decodeWireNote(page, generation)).toBeUndefined();
    expect(decodeBitmapPage(bytes, 0, generation)).toBeUndefined();
    bytes[40]! ^= 1;
    expect(decodeWireNote(bytes, generation)).toBeUndefined();
  });
});
