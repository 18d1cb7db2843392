import type { Digest } from '@vmdn/core/domain/digest.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import { describe, expect, it } from 'vitest';
import { createCapturedImages } from './captured-images.ts';

const [FIRST, SECOND] = ['a', 'b'].map((digit) => digit.repeat(64) as Digest) as [Digest, Digest];
const CAPTURE = '22222222-2222-4222-8222-222222222222' as Id;

interface Said {
  readonly captures?: readonly Id[];
  readonly dropSnapshots?: readonly Digest[];
  /** Disks of the VM that this edge describes. */
  readonly version?: readonly Digest[];
}

/** An edge that holds both images, and what its coordinator said last. */
function edgeWithImages() {
  const records = new Map<string, { made: Digest[] }>();
  const edge = {
    said: {} as Said | null,
    images: new Set([FIRST, SECOND]),
    below: null as unknown,
  };
  const captures = {
    read: async (key: string) => records.get(key) ?? null,
    write: async (key: string, value: { made: Digest[] }) => void records.set(key, value),
    remove: async (key: string) => void records.delete(key),
    keys: async () => [...records.keys()],
  };
  const latest = () => {
    if (edge.said === null) return null;
    const { captures: named = [], dropSnapshots = [], version = [] } = edge.said;
    return {
      ...{ dropSnapshots, captures: named.map((capture) => ({ capture })), teleports: [] },
      versions: version.length === 0 ? [] : [{ vm: 'used', origin: { node: 'me' } }],
    };
  };
  const deps = {
    ...{ captures, desired: { latest }, sources: { self: 'me' } },
    store: {
      find: (digest: Digest) => (edge.images.has(digest) ? { kind: 'snapshot' } : undefined),
      async remove(digest: Digest) {
        if (digest === edge.below) throw new VmdnError('conflict', 'Another image stands on it.');
        edge.images.delete(digest);
      },
    },
    records: { keys: async () => [] },
    versions: {
      verify: async () => ({ disks: edge.said!.version!.map((digest) => ({ digest })) }),
    },
    events: { snapshotDropped: () => undefined, snapshotKept: () => undefined },
  };
  return { edge, records, ...createCapturedImages(deps as never) };
}

describe('what a capture made', () => {
  it('I1: stays while it is ordered, and goes when it came to nothing', async () => {
    const { edge, records, willMake, settle } = edgeWithImages();
    await willMake(CAPTURE, FIRST);
    await willMake(CAPTURE, SECOND);
    edge.said = null;
    await settle();
    edge.said = { captures: [CAPTURE] };
    await settle();
    expect([...edge.images]).toEqual([FIRST, SECOND]);
    edge.said = {};
    await settle();
    expect([...edge.images]).toEqual([]);
    expect(records.size).toBe(0);
  });

  it('I1: stays when it is a version, whether this edge has heard that or not', async () => {
    const { edge, records, willMake, keep, settle } = edgeWithImages();
    await willMake(CAPTURE, FIRST);
    edge.said = { version: [FIRST, SECOND] };
    await settle();
    expect(edge.images.has(FIRST)).toBe(true);
    expect(records.size).toBe(0);
    await willMake(CAPTURE, FIRST);
    await keep(CAPTURE);
    edge.said = {};
    await settle();
    expect(edge.images.has(FIRST)).toBe(true);
  });

  it('I1: is tried again while another image stands on it', async () => {
    const { edge, records, willMake, settle } = edgeWithImages();
    await willMake(CAPTURE, FIRST);
    edge.below = FIRST;
    await settle();
    expect(records.size).toBe(1);
    edge.below = null;
    await settle();
    expect(edge.images.has(FIRST)).toBe(false);
    expect(records.size).toBe(0);
  });
});

describe('what is to be dropped', () => {
  it('I2, I3: goes once no capture is ordered that may find it again', async () => {
    const { edge, settle } = edgeWithImages();
    edge.said = { dropSnapshots: [FIRST], captures: [CAPTURE] };
    await settle();
    expect([...edge.images]).toEqual([FIRST, SECOND]);
    edge.said = { dropSnapshots: [FIRST] };
    await settle();
    expect([...edge.images]).toEqual([SECOND]);
  });
});
