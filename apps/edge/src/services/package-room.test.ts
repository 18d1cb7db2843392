import type { Digest } from '@vmdn/core/domain/digest.ts';
import { describe, expect, it } from 'vitest';
import { createPackageRoom } from './package-room.ts';

const digest = (letter: string): Digest => letter.repeat(64) as Digest;
const QUOTA = 100;

/** A store with images of so many bytes, by letter; `lastUses` and `inUse` by letter too. */
function storeWith(world: {
  readonly images: Readonly<Record<string, number>>;
  readonly lastUses?: Readonly<Record<string, number>>;
  readonly inUse?: string;
}) {
  const images = new Map(Object.entries(world.images));
  const evicted: string[] = [];
  const room = createPackageRoom({
    store: {
      list: () =>
        [...images].map(([letter, allocatedBytes]) => ({
          ...{ digest: digest(letter), allocatedBytes },
          // A disk in the store is nobody's package.
          kind: letter === 'd' ? 'base' : 'package',
        })) as never,
      remove: async (gone) => void images.delete(gone[0]!),
    },
    uses: {
      isInUse: (image) => world.inUse?.includes(image[0]!) ?? false,
      lastUse: (image) => world.lastUses?.[image[0]!] ?? 0,
      forget: () => undefined,
    },
    quotaBytes: QUOTA,
    events: { packageEvicted: (gone) => void evicted.push(gone[0]!) },
  });
  return { room, evicted, images };
}

describe('the room of packages', () => {
  it('is given while there is some, disks not counted', async () => {
    const { room, evicted } = storeWith({ images: { a: 60, d: 1000 } });
    await room.take(digest('1'), 40);
    expect(evicted).toEqual([]);
  });

  it('is made by those that were of no use for longest, and no more of them than it takes', async () => {
    const { room, evicted } = storeWith({
      images: { a: 30, b: 30, c: 30 },
      lastUses: { a: 3, b: 1, c: 2 },
    });
    await room.take(digest('1'), 50);
    expect(evicted).toEqual(['b', 'c']);
  });

  it('I2: is not made by what is in use, and nothing goes for one that does not fit even so', async () => {
    const world = storeWith({ images: { a: 50, b: 40 }, inUse: 'a' });
    const refused = world.room.take(digest('1'), 60);
    await expect(refused).rejects.toMatchObject({ code: 'quota_exceeded' });
    expect(world.evicted).toEqual([]);
    await world.room.take(digest('1'), 50);
    expect(world.evicted).toEqual(['b']);
  });

  it('I1, I3: is promised once to all that are on their way, until they are here', async () => {
    const { room, images } = storeWith({ images: {} });
    const both = await Promise.allSettled([room.take(digest('1'), 60), room.take(digest('2'), 60)]);
    expect(both.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
    // It turned out larger than its index said.
    await room.take(digest('1'), 90);
    await expect(room.take(digest('1'), 101)).rejects.toMatchObject({ code: 'quota_exceeded' });
    images.set('e', 90);
    room.release(digest('1'));
    await room.take(digest('2'), 60);
    expect([...images.keys()]).toEqual([]);
  });
});
