/**
 * Room: io, mirrors. The signed file at the top of a repository (InRelease, repomd.xml): fetched when it
 * may have changed, verified, kept for the next start.
 *
 * I1: what is used was verified by this process, whether it came from the mirror or from the cache.
 * I2: a mirror is asked at most every REFRESH_MS, and after a failure every RETRY_MS, with the validators
 *     of the kept copy; callers at the same time share one request.
 * I3: the kept copy goes on being used when the mirror is away, sends something wrong or something older,
 *     each with a remark; with neither a kept nor a fetched one, the error is thrown.
 */

import { join } from 'node:path';
import { describeError, isVmdnError, VmdnError } from '../../domain/errors.ts';
import type { SignedBytes } from '../command/gpgv.ts';
import { durableWrite } from '../files/durable-write.ts';
import { readBoundedFile } from '../files/files.ts';

/** Distributions publish a few times a day; security updates should not wait for hours. */
const REFRESH_MS = 15 * 60_000;
/** A mirror that is away is not asked for each VM. */
const RETRY_MS = 60_000;
/** Two base64 texts of at most 16 MiB, and a few words. */
const RECORD_BYTES_MAX = 48 * 2 ** 20;

/** Signed bytes, and how to ask whether they are still the newest. */
export interface FetchedIndex extends SignedBytes {
  readonly etag: string | null;
  readonly lastModified: string | null;
}

export interface SignedIndexOptions<Value> {
  readonly dir: string;
  /** A file name for the kept copy: hexadecimal. */
  readonly key: string;
  readonly label: string;
  /** Null when what is kept is still the newest. */
  readonly fetch: (kept: FetchedIndex | null) => Promise<FetchedIndex | null>;
  /** Verifies and parses. */
  readonly read: (fetched: FetchedIndex) => Promise<Value>;
  /** When it was published, for I3; null when it does not say. */
  readonly dateOf: (value: Value) => number | null;
  readonly now: () => number;
}

export interface CurrentIndex<Value> {
  readonly value: Value;
  readonly remarks: readonly string[];
}

export interface SignedIndex<Value> {
  /** Throws what fetching or verifying throws when there is nothing to use. */
  current(): Promise<CurrentIndex<Value>>;
}

interface Kept<Value> {
  readonly fetched: FetchedIndex;
  readonly value: Value;
}

export function createSignedIndex<Value>(options: SignedIndexOptions<Value>): SignedIndex<Value> {
  let kept: Kept<Value> | null = null;
  let isRead = false;
  let last: Promise<CurrentIndex<Value>> | undefined;
  let nextAt = 0;
  const refresh = async (): Promise<CurrentIndex<Value>> => {
    try {
      if (!isRead) kept = await readKept(options);
      isRead = true;
      const fetched = await options.fetch(kept?.fetched ?? null);
      const newest = fetched === null ? kept : await accept(options, fetched, kept);
      if (newest === null) throw new VmdnError('unavailable', 'The mirror said: not modified.');
      kept = newest;
      nextAt = options.now() + REFRESH_MS;
      return { value: kept.value, remarks: [] };
    } catch (error) {
      nextAt = options.now() + RETRY_MS;
      if (kept === null || isVmdnError(error, 'cancelled')) throw error;
      const remark = `${options.label}: the index of before is used; ${describeError(error)}`;
      return { value: kept.value, remarks: [remark] };
    }
  };
  return {
    current() {
      if (last === undefined || options.now() >= nextAt) {
        nextAt = Number.POSITIVE_INFINITY;
        last = refresh();
      }
      return last;
    },
  };
}

async function accept<Value>(
  options: SignedIndexOptions<Value>,
  fetched: FetchedIndex,
  kept: Kept<Value> | null,
): Promise<Kept<Value>> {
  const value = await options.read(fetched);
  const [date, before] = [options.dateOf(value), kept === null ? null : options.dateOf(kept.value)];
  if (before !== null && (date === null || date < before)) {
    throw new VmdnError('corrupt', 'The mirror sends an older index than the one known.');
  }
  const record = {
    etag: fetched.etag,
    lastModified: fetched.lastModified,
    bytes: Buffer.from(fetched.bytes).toString('base64'),
    signature: fetched.signature && Buffer.from(fetched.signature).toString('base64'),
  };
  await durableWrite(pathOf(options), Buffer.from(JSON.stringify(record)));
  return { fetched, value };
}

function pathOf(options: { readonly dir: string; readonly key: string }): string {
  return join(options.dir, `${options.key}.index`);
}

/** The copy from before; null when there is none that is still good. */
async function readKept<Value>(options: SignedIndexOptions<Value>): Promise<Kept<Value> | null> {
  try {
    const text = Buffer.from(await readBoundedFile(pathOf(options), RECORD_BYTES_MAX)).toString();
    const record = JSON.parse(text) as Record<string, unknown>;
    const word = (name: string): string | null =>
      typeof record[name] === 'string' ? (record[name] as string) : null;
    const signature = word('signature');
    const fetched: FetchedIndex = {
      bytes: Buffer.from(word('bytes') ?? '', 'base64'),
      signature: signature === null ? null : Buffer.from(signature, 'base64'),
      etag: word('etag'),
      lastModified: word('lastModified'),
    };
    return { fetched, value: await options.read(fetched) };
  } catch (error) {
    if (isVmdnError(error, 'cancelled')) throw error;
    // Not there, damaged, or of a key that is no longer trusted: as if it were not there.
    return null;
  }
}
