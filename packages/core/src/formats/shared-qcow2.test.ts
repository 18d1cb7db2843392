import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Digest } from '../domain/digest.ts';
import { BASE_FILE, OWN_FILE, ZERO_FILE } from '../domain/layers.ts';
import { MAX_DISK_BYTES } from '../domain/limits.ts';
import {
  checkSharedL1,
  decodeSharedHeader,
  decodeSharedL2,
  encodeSharedTables,
  type SharedDisk,
  sharedLayout,
} from './shared-qcow2.ts';

const BASE = 'ab'.repeat(32) as Digest;
const CLUSTER = 65_536;

/** The tables as they would lie in a file. */
function fileOf(disk: SharedDisk): Uint8Array {
  const file = new Uint8Array(sharedLayout(disk.virtualSizeBytes).dataAt);
  for (const { offset, bytes } of encodeSharedTables(disk)) file.set(bytes, offset);
  return file;
}

function decode(file: Uint8Array, virtualSizeBytes: number): SharedDisk {
  const layout = sharedLayout(virtualSizeBytes);
  const base = decodeSharedHeader(file.slice(0, CLUSTER), virtualSizeBytes);
  checkSharedL1(file.slice(layout.l1At, layout.l2At), layout);
  const fileOfSegment = new Uint8Array(layout.segments);
  for (let i = 0; i < layout.l2Clusters; i += 1) {
    const at = layout.l2At + i * CLUSTER;
    decodeSharedL2(file.slice(at, at + CLUSTER), i, layout, fileOfSegment);
  }
  return { virtualSizeBytes, base, fileOfSegment };
}

describe('the tables of a shared disk', () => {
  const files = fc.constantFrom(OWN_FILE, BASE_FILE, ZERO_FILE);

  it('come back as they were written, for any size and any places', () => {
    fc.assert(
      fc.property(
        fc.array(files, { minLength: 1, maxLength: 200 }),
        fc.integer({ min: 1, max: 128 }),
        fc.constantFrom(BASE, null),
        (column, lastSectors, base) => {
          const virtualSizeBytes = (column.length - 1) * CLUSTER + lastSectors * 512;
          const disk = { virtualSizeBytes, base, fileOfSegment: Uint8Array.from(column) };
          expect(decode(fileOf(disk), virtualSizeBytes)).toEqual(disk);
        },
      ),
      { numRuns: 50 },
    );
  });

  it('span several clusters: the second one begins at 512 MiB', () => {
    const column = new Uint8Array(8192 + 3).fill(BASE_FILE);
    column.set([OWN_FILE, ZERO_FILE, OWN_FILE], 8192);
    const virtualSizeBytes = column.length * CLUSTER;
    expect(
      decode(fileOf({ virtualSizeBytes, base: BASE, fileOfSegment: column }), virtualSizeBytes),
    ).toEqual({ virtualSizeBytes, base: BASE, fileOfSegment: column });
  });

  it('I2: are refused when any bit of them is another', () => {
    const virtualSizeBytes = 5 * CLUSTER + 512;
    const fileOfSegment = Uint8Array.from([0, 1, 1, ZERO_FILE, 0, 1]);
    const whole = fileOf({ virtualSizeBytes, base: BASE, fileOfSegment });
    const { countTableAt, l1At, l2At, dataAt } = sharedLayout(virtualSizeBytes);
    // The counts are for people's tools; nobody of ours reads them.
    const read = [
      [0, countTableAt],
      [l1At, l2At],
      [l2At, dataAt],
    ] as const;
    const place = fc.oneof(
      ...read.map(([from, to]) => fc.integer({ min: from, max: Math.min(from + 300, to - 1) })),
      ...read.map(([from, to]) => fc.integer({ min: from, max: to - 1 })),
    );
    fc.assert(
      fc.property(place, fc.integer({ min: 0, max: 7 }), (at, bit) => {
        const damaged = whole.slice();
        damaged[at]! ^= 1 << bit;
        let result: SharedDisk;
        try {
          result = decode(damaged, virtualSizeBytes);
        } catch (error) {
          expect(error).toMatchObject({ code: 'corrupt' });
          return;
        }
        // One bit makes a base's segment zero, a zero one the base's, another digest another digest:
        // each is a right file of another disk, which the recipe and the record tell apart.
        const again = fileOf(result);
        again.set(damaged.subarray(countTableAt, l1At), countTableAt);
        expect(Buffer.compare(again, damaged)).toBe(0);
      }),
      { numRuns: 300 },
    );
  });

  it('have a layout for the largest disk, with tables of a fiftieth of a percent', () => {
    const layout = sharedLayout(MAX_DISK_BYTES);
    expect(layout.dataAt / MAX_DISK_BYTES).toBeLessThan(0.0002);
    const clusters = layout.fileBytes / CLUSTER;
    expect(layout.countClusters * (CLUSTER / 2)).toBeGreaterThanOrEqual(clusters);
    expect(layout.countTableClusters * (CLUSTER / 8)).toBeGreaterThanOrEqual(layout.countClusters);
  });
});
