import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FreeRangeBuilder } from '../domain/free-ranges.ts';
import { EXT_GROUPS_MAX } from '../domain/limits.ts';
import { CRC_START, crc16, crc32c } from './crc.ts';
import { addFreeOfGroup, parseExtGroups } from './ext-groups.ts';
import { parseExtVolume } from './ext-volume.ts';
import { parseSwapHeader } from './swap.ts';
import { otherSignatures, VOLUME_HEAD_BYTES } from './volume-signatures.ts';

/** A superblock of an ext2 volume with these numbers; everything else of it is zero. */
function superblock(numbers: {
  readonly blocks: number;
  readonly blocksPerGroup: number;
  readonly logBlockBytes: number;
  readonly inodesPerGroup: number;
  readonly incompat?: number;
  readonly roCompat?: number;
}): Uint8Array {
  const bytes = new Uint8Array(1024);
  const view = new DataView(bytes.buffer);
  view.setUint32(0x4, numbers.blocks, true);
  view.setUint32(0x14, numbers.logBlockBytes === 0 ? 1 : 0, true);
  view.setUint32(0x18, numbers.logBlockBytes, true);
  view.setUint32(0x1c, numbers.logBlockBytes, true);
  view.setUint32(0x20, numbers.blocksPerGroup, true);
  view.setUint32(0x24, numbers.blocksPerGroup, true);
  view.setUint32(0x28, numbers.inodesPerGroup, true);
  view.setUint16(0x38, 0xef53, true);
  view.setUint16(0x3a, 1, true);
  view.setUint32(0x4c, 1, true);
  view.setUint16(0x58, 256, true);
  view.setUint32(0x60, numbers.incompat ?? 0, true);
  view.setUint32(0x64, numbers.roCompat ?? 0, true);
  return bytes;
}

const numbers = fc.record({
  blocks: fc.oneof(fc.nat({ max: 5000 }), fc.nat({ max: 2 ** 32 - 1 })),
  blocksPerGroup: fc.oneof(fc.constantFrom(256, 1024, 8192, 32_768), fc.nat()),
  logBlockBytes: fc.nat({ max: 7 }),
  inodesPerGroup: fc.oneof(fc.constantFrom(16, 32, 1024), fc.nat()),
});

describe('checksums', () => {
  it('are those that everybody knows', () => {
    const words = new TextEncoder().encode('123456789');
    expect(~crc32c(CRC_START, words) >>> 0).toBe(0xe3069283);
    expect(crc16(0, words)).toBe(0xbb3d);
  });
});

describe('an ext volume', () => {
  it('I1, I3: of any numbers is null, words, or within its volume', () => {
    fc.assert(
      fc.property(numbers, fc.nat({ max: 2 ** 40 }), (found, volumeBytes) => {
        const answer = parseExtVolume(superblock(found), volumeBytes);
        if (answer === null || 'why' in answer) return;
        const { blocks, blockBytes, groups, firstDataBlock, blocksPerGroup } = answer.volume;
        expect(blocks * blockBytes).toBeLessThanOrEqual(volumeBytes);
        expect(groups).toBeLessThanOrEqual(EXT_GROUPS_MAX);
        expect(firstDataBlock + (groups - 1) * blocksPerGroup).toBeLessThan(blocks);
      }),
      { numRuns: 1000 },
    );
  });

  it('I1: of any bytes is null or words', () => {
    const bytes = fc.uint8Array({ maxLength: 2048 });
    fc.assert(
      fc.property(bytes, (found) => {
        const answer = parseExtVolume(found, 2 ** 30);
        expect(answer === null || 'why' in answer).toBe(true);
        expect(Array.isArray(otherSignatures(found))).toBe(true);
        expect(parseSwapHeader(found, 2 ** 20)).toBeNull();
      }),
    );
  });

  it.each([
    [0x4, 0, 'journal'],
    [0x10, 0, 'meta_bg'],
    [0x2000_0000, 0, 'not understood'],
    [0, 0x200, 'bigalloc'],
    [0, 0x1_0000, 'deleted files'],
    [0, 0x4000, 'not understood'],
    [0, 0x400, 'checksum'],
  ])('I2: with the features %i and %i says why nothing is free', (incompat, roCompat, why) => {
    const sane = { blocks: 8192, blocksPerGroup: 8192, logBlockBytes: 0, inodesPerGroup: 32 };
    expect(parseExtVolume(superblock(sane), 2 ** 30)).toHaveProperty('volume');
    const answer = parseExtVolume(superblock({ ...sane, incompat, roCompat }), 2 ** 30);
    expect(answer).toMatchObject({ why: expect.stringContaining(why) });
    expect(parseExtVolume(superblock(sane), 2 ** 20)).toMatchObject({
      why: expect.stringContaining('larger'),
    });
  });

  it('I1: with any table and bitmap frees only blocks of its groups', () => {
    const sane = { blocks: 2000, blocksPerGroup: 256, logBlockBytes: 0, inodesPerGroup: 16 };
    const answer = parseExtVolume(superblock(sane), 2 ** 30);
    if (answer === null || 'why' in answer) throw new Error('the volume is sound');
    const { volume } = answer;
    const low = fc.oneof(fc.nat({ max: 2100 }), fc.nat({ max: 2 ** 32 - 1 }));
    const descriptor = fc.tuple(low, low, low, fc.nat({ max: 300 }));
    const descriptors = fc.array(descriptor, {
      minLength: volume.groups,
      maxLength: volume.groups,
    });
    const bitmap = fc.uint8Array({ minLength: 1024, maxLength: 1024 });
    fc.assert(
      fc.property(descriptors, bitmap, (rows, block) => {
        const table = new Uint8Array(volume.groups * 32);
        const view = new DataView(table.buffer);
        rows.forEach((words, i) => {
          for (const k of [0, 1, 2]) view.setUint32(i * 32 + k * 4, words[k]!, true);
          view.setUint16(i * 32 + 0xc, words[3], true);
        });
        for (const group of parseExtGroups(volume, table)) {
          const ranges = new FreeRangeBuilder();
          const isSound = addFreeOfGroup(volume, group, block, ranges);
          const found = ranges.build();
          expect(found.length > 0 ? isSound : true).toBe(true);
          for (let i = 0; i < found.length; i += 2) {
            expect(found[i]).toBeGreaterThanOrEqual(group.firstBlock * 1024);
            const end = (group.firstBlock + group.blocks) * 1024;
            expect(found[i]! + found[i + 1]!).toBeLessThanOrEqual(end);
          }
        }
      }),
    );
  });
});

describe('a swap header', () => {
  it('I1: of any bytes around its signature is an area of the volume, or words', () => {
    const bytes = fc.uint8Array({ minLength: 65_536, maxLength: 65_536 });
    fc.assert(
      fc.property(bytes, fc.nat({ max: 2 ** 20 }), (found, volumeBytes) => {
        found.set(new TextEncoder().encode('SWAPSPACE2'), 4086);
        const answer = parseSwapHeader(found, volumeBytes);
        if (answer === null) throw new Error('there is a signature');
        if ('area' in answer) expect(answer.area.sizeBytes).toBeLessThanOrEqual(volumeBytes);
      }),
      { numRuns: 20 },
    );
    expect(VOLUME_HEAD_BYTES).toBeGreaterThanOrEqual(65_536);
  });
});
