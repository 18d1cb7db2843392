import { parseDigest } from '@vmdn/core/domain/digest.ts';
import type { Name } from '@vmdn/core/domain/names.ts';
import { describe, expect, it } from 'vitest';
import type { SourcePrint, VmRecord } from '../ports.ts';
import { createServedDisks } from './served-disks.ts';
import { openVersionBook, type VersionBook } from './version-book.ts';

const WEB = 'web' as Name;
const OTHER = 'other' as Name;
const [OLD, NEW, NEW_WITHOUT_FREE, NOWHERE] = ['a', 'b', 'c', 'd'].map((digit) =>
  parseDigest(digit.repeat(64)),
) as [never, never, never, never];
const disk = { layers: [{ path: '/vms/web.raw', format: 'raw' as const }] };
const print = 'as it was described' as SourcePrint;

function version(number: number, digest: never, skipFree = digest) {
  const digests = { digests: [digest], skipFreeDigests: [skipFree] };
  return { ...digests, version: number, consistency: 'off' as const, description: null };
}

/** The book of an origin that has just started, and what those who ask for disks by it are told. */
async function bookOf(...records: VmRecord[]) {
  const book = await openVersionBook({
    ledger: { load: async () => records, save: async () => undefined },
    pins: { list: () => new Map() },
    policy: 'never',
    now: () => 0,
  });
  const served = createServedDisks({ book, onTrouble: () => undefined } as never);
  return { book, served };
}

const web: VmRecord = {
  ...{ vm: WEB, source: { disks: [disk], prints: [print] } },
  versions: [version(1, OLD), version(2, NEW, NEW_WITHOUT_FREE)],
};

function kinds(book: VersionBook): unknown[] {
  return [OLD, NEW, NEW_WITHOUT_FREE, NOWHERE].map((digest) => book.placeOf(digest)?.kind);
}

describe('where a disk lies', () => {
  it('I2: is not known until its source was looked at, and it is not withdrawn before', async () => {
    const { book, served } = await bookOf(web);
    expect(kinds(book)).toEqual(['withdrawn', 'unseen', 'unseen', undefined]);
    await expect(served.open(NEW)).rejects.toMatchObject({ code: 'unavailable' });
    await expect(served.open(OLD)).rejects.toMatchObject({ code: 'withdrawn' });
    book.setMatching(WEB, true);
    expect(kinds(book)).toEqual(['withdrawn', 'live', 'live', undefined]);
    book.setMatching(WEB, false);
    expect(kinds(book)).toEqual(['withdrawn', 'withdrawn', 'withdrawn', undefined]);
    await expect(served.open(NEW)).rejects.toMatchObject({ code: 'withdrawn' });
  });

  it('I2: is not known while one of the VMs that may have it was not looked at', async () => {
    const { book } = await bookOf(web, { ...web, vm: OTHER, versions: [version(1, OLD)] });
    expect(book.placeOf(OLD)?.kind).toBe('unseen');
    book.setMatching(WEB, false);
    expect(book.placeOf(OLD)?.kind).toBe('unseen');
    book.setMatching(OTHER, true);
    expect(book.placeOf(OLD)).toMatchObject({ kind: 'live', vm: OTHER });
  });
});
