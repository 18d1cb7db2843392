import type { Digest } from '@vmdn/core/domain/digest.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import { describe, expect, it } from 'vitest';
import { dropSnapshots, dropUnneeded } from './drop-snapshots.ts';

const VM = '0b8c1f0e-6a53-4d8f-9a3e-5d1c2b7a9e10' as Id;
const OTHER = '1b8c1f0e-6a53-4d8f-9a3e-5d1c2b7a9e10' as Id;
const [SYSTEM, DATA] = ['a', 'b'].map((digit) => digit.repeat(64) as Digest) as [Digest, Digest];

interface Facts {
  /** Stands below another image. */
  readonly kept?: Digest;
  readonly named?: Digest;
  readonly shared?: Digest;
  /** Is a disk of a VM that this edge describes. */
  readonly captured?: { readonly vm: string; readonly digest: Digest };
  /** Is a disk of a teleport that this edge should make true, in this state; it has no record yet. */
  readonly wanted?: { readonly state: string; readonly digest: Digest };
}

/** An edge with two snapshots, both of the VM. */
function edge(facts: Facts = {}) {
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
      read: async (key: Id) => {
        return { vm: 'web', deliveries: records.get(key)!.map((digest) => ({ digest })) };
      },
    },
    sources: { self: 'me' },
    desired: {
      latest: () => ({
        versions: [
          { vm: 'elsewhere', origin: { node: 'somebody' } },
          ...(facts.captured ? [{ vm: facts.captured.vm, origin: { node: 'me' } }] : []),
        ],
        teleports: [
          { state: 'running', version: { vm: 'refused' }, skipFree: false },
          ...(facts.wanted
            ? [{ state: facts.wanted.state, version: { vm: 'wanted' }, skipFree: false }]
            : []),
        ],
      }),
    },
    versions: {
      verify: async ({ vm }: { vm: string }) => {
        if (vm === 'elsewhere') throw new VmdnError('internal', 'It was not captured here.');
        if (vm === 'refused') throw new VmdnError('forbidden', 'Its key is another.');
        return { disks: [{ digest: (vm === 'wanted' ? facts.wanted : facts.captured)!.digest }] };
      },
    },
    events: {
      snapshotKept: (digest: string, why: string) => void told.push(`${digest[0]}: ${why}`),
      snapshotDropped: (digest: string) => void told.push(`${digest[0]} is gone`),
    },
  };
  const drop = () => dropUnneeded(deps as never, [SYSTEM, DATA]);
  return { run: () => dropSnapshots(deps as never, VM), drop, images, told, records };
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
      [{ captured: { vm: 'used', digest: SYSTEM } }, 'a: a VM captured here has it'],
    ] as const;
    for (const [facts, words] of cases) {
      const { run, images, told } = edge(facts);
      await run();
      expect([...images]).toEqual([SYSTEM]);
      expect(told).toEqual([words]);
    }
  });

  it('takes the disks of a captured VM along where it is that VM itself (I1)', async () => {
    const { run, images } = edge({ captured: { vm: 'web', digest: SYSTEM } });
    await run();
    expect([...images]).toEqual([]);
  });

  it('fails as the store does, to be tried again', async () => {
    const { images } = edge();
    const broken = new VmdnError('disk_full', 'It failed.');
    const deps = {
      store: { find: () => ({ kind: 'snapshot' }), remove: () => Promise.reject(broken) },
      records: { keys: async () => [], read: async () => ({ deliveries: [{ digest: SYSTEM }] }) },
      events: { snapshotKept: () => undefined },
      ...{ desired: { latest: () => null }, sources: { self: 'me' } },
    };
    await expect(dropSnapshots(deps as never, VM)).rejects.toBe(broken);
    expect(images.size).toBe(2);
  });
});

describe('snapshots that nobody may ask for any more', () => {
  it('go, and once more is no error (I2)', async () => {
    const { drop, images, told, records } = edge();
    records.clear();
    expect(await drop()).toEqual([]);
    expect(await drop()).toEqual([]);
    expect([...images]).toEqual([]);
    expect(told).toEqual(['a is gone', 'b is gone']);
  });

  it('stay while a VM of this edge has them, or is to have them (I3)', async () => {
    const delivered = edge();
    await delivered.drop();
    expect([...delivered.images]).toEqual([SYSTEM, DATA]);
    const cases = [
      { captured: { vm: 'used', digest: SYSTEM } },
      { wanted: { state: 'syncing', digest: SYSTEM } },
      { named: SYSTEM },
    ];
    for (const facts of cases) {
      const { drop, images, records } = edge(facts);
      records.clear();
      expect(await drop()).toEqual([]);
      expect([...images]).toEqual([SYSTEM]);
    }
    const over = edge({ wanted: { state: 'cancelled', digest: SYSTEM } });
    over.records.clear();
    await over.drop();
    expect([...over.images]).toEqual([]);
  });

  it('that another image stands on go later', async () => {
    const { drop, images, told, records } = edge({ kept: SYSTEM });
    records.clear();
    expect(await drop()).toEqual([SYSTEM]);
    expect([...images]).toEqual([SYSTEM]);
    expect(told).toEqual(['b is gone']);
  });
});
