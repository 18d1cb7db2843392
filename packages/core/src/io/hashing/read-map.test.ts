import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DEPTH_TOP, EXTENT_HOLE, EXTENT_ZERO } from '../../formats/nbd.ts';
import type { NbdClient } from '../nbd/nbd-client.ts';
import { mustRead, readMap, readTopMap } from './read-map.ts';

const SEGMENT = 65_536;

/** A server's answers about a disk that consists of `extents`, at most `most` of them at a time. */
function clientOf(extents: readonly [number, number][], most: number): NbdClient {
  const sizeBytes = extents.reduce((sum, [length]) => sum + length, 0);
  const unused = (): never => {
    throw new Error('only block status is asked for');
  };
  return {
    sizeBytes,
    canMultiConn: true,
    hasBlockStatus: true,
    maxReadBytes: 0,
    read: unused,
    close: unused,
    blockStatus: async (offset, length) => {
      const words: number[] = [];
      let at = 0;
      for (const [size, flags] of extents) {
        const start = Math.max(at, offset);
        const end = Math.min(at + size, offset + length);
        if (end > start && words.length < 2 * most) words.push(end - start, flags);
        at += size;
      }
      return Uint32Array.from(words);
    },
  };
}

const flagged = async (...extents: [number, number][]): Promise<boolean[]> => {
  const client = clientOf(extents, 100);
  const map = await readMap(client);
  return Array.from({ length: Math.ceil(client.sizeBytes / SEGMENT) }, (_, i) => mustRead(map, i));
};

describe('the map of what must be read', () => {
  test('I3: what the top layer holds, in part too, is told apart, where the server can', async () => {
    const layers: [number, number][] = [
      [SEGMENT, 2],
      [SEGMENT, 0],
      [SEGMENT / 2, 2],
      [SEGMENT / 2, DEPTH_TOP],
      [SEGMENT, DEPTH_TOP],
    ];
    const client = clientOf(layers, 2);
    const top = await readTopMap(client);
    expect([0, 1, 2, 3].map((segment) => mustRead(top!, segment))).toEqual([
      false,
      false,
      true,
      true,
    ]);
    expect(await readTopMap({ ...client, hasBlockStatus: false })).toBeNull();
  });

  test('I1: ZERO is left out, data and a mere HOLE are read', async () => {
    expect(
      await flagged(
        [SEGMENT, EXTENT_ZERO],
        [SEGMENT, EXTENT_HOLE],
        [SEGMENT, EXTENT_HOLE | EXTENT_ZERO],
        [SEGMENT, 0],
      ),
    ).toEqual([false, true, false, true]);
  });

  test('I1: a segment that is ZERO only in part is read', async () => {
    expect(await flagged([SEGMENT + 512, EXTENT_ZERO], [SEGMENT, 0])).toEqual([false, true, true]);
    expect(await flagged([SEGMENT, 0], [512, EXTENT_ZERO])).toEqual([true, false]);
    expect(await flagged([512, 0], [SEGMENT - 512, EXTENT_ZERO])).toEqual([true]);
  });

  test('I1: however the extents are told, exactly the right segments are read', async () => {
    const extent = fc.tuple(fc.integer({ min: 1, max: 900 }), fc.constantFrom(0, 1, 2, 3));
    await fc.assert(
      fc.asyncProperty(
        fc.array(extent, { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 1, max: 3 }),
        async (sectors, most) => {
          const extents = sectors.map(([count, flags]): [number, number] => [count * 512, flags]);
          const client = clientOf(extents, most);
          const map = await readMap(client);
          let at = 0;
          const needed = new Set<number>();
          for (const [length, flags] of extents) {
            for (let byte = at; byte < at + length; byte += 512) {
              if ((flags & EXTENT_ZERO) === 0) needed.add(Math.floor(byte / SEGMENT));
            }
            at += length;
          }
          for (let i = 0; i < Math.ceil(at / SEGMENT); i += 1) {
            expect(mustRead(map, i)).toBe(needed.has(i));
          }
        },
      ),
    );
  });
});
