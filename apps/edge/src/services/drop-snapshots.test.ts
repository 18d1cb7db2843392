import type { Digest } from '@vmdn/core/domain/digest.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import { describe, expect, it } from 'vitest';
import { dropSnapshots } from './drop-snapshots.ts';

const VM = '0b8c1f0e-6a53-4d8f-9a3e-5d1c2b7a9e10' as Id;
const OTHER = '1b8c1f0e-6a53-4d8f-9a3e-5d1c2b7a9e10' as Id;
const [SYSTEM, DATA] = ['a', 'b'].map((digit) => digit.repeat(64) as Digest) as [Digest, Digest];

/** An edge with two snapshots, both of the VM; what is `kept` stands below another image. */
function edge(
  facts: { readonly kept?: Digest; readonly named?: Digest; readonly shared?: Digest } = {},
) {
  const images = new Set([SYSTEM, DATA]);
  const told: string[] = [];
  const records = new Map([[VM, [SYSTEM, DATA]]]);
  if (facts.shared !== undefined) records.set(OTHER, [facts.shared]);
  const deps = {
    store: {
      find: (digest: Digest) => {
        const kind = digest === facts.named ? 'base' : 'snapshot';
        return images.has(digest) ? { kind } : undefined;
      },
      remove: async (digest: Digest) => {
        if (digest === facts.kept) throw new VmdnError('conflict', 'Another image stands on it.');
        images.delete(digest);
      },
    },
    records: {
      keys: async () => [...records.keys()],
      read: async (key: Id) => ({ deliveries: records.get(key)!.map((digest) => ({ digest })) }),
    },
    events: {
      snapshotKept: (digest: string, why: string) => void told.push(`${digest[0]}: ${why}`),
    },
  };
  return { run: () => dropSnapshots(deps as never, VM), images, told };
}

describe('a VM that is removed with its disks', () => {
  it('leaves none of them; once more is no error (I2)', async () => {
    const { run, images, told } = edge();
    await run();
    await run();
    expect([...images]).toEqual([]);
    expect(told).toEqual([]);
  });

  it('leaves what somebody else needs, and says why (I1)', async () => {
    const cases = [
      [{ shared: SYSTEM }, 'a: another VM of this edge has it'],
      [{ kept: SYSTEM }, 'a: Another image stands on it.'],
      [{ named: SYSTEM }, 'a: it is an image with a name'],
    ] as const;
    for (const [facts, words] of cases) {
      const { run, images, told } = edge(facts);
      await run();
      expect([...images]).toEqual([SYSTEM]);
      expect(told).toEqual([words]);
    }
  });

  it('fails as the store does, to be tried again', async () => {
    const { images } = edge();
    const broken = new VmdnError('disk_full', 'It failed.');
    const deps = {
      store: { find: () => ({ kind: 'snapshot' }), remove: () => Promise.reject(broken) },
      records: { keys: async () => [], read: async () => ({ deliveries: [{ digest: SYSTEM }] }) },
      events: { snapshotKept: () => undefined },
    };
    await expect(dropSnapshots(deps as never, VM)).rejects.toBe(broken);
    expect(images.size).toBe(2);
  });
});
