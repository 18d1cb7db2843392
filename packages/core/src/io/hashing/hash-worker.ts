/**
 * Room: io, hashing. The thread that describes pages, job after job: for each its own NBD connection and a
 * few lanes, which claim a page, read it piece by piece and hash every piece while the others' reads are on
 * their way.
 *
 * I1: a page is described from the bytes that were read for it and from ZERO extents, nothing else.
 * I2: memory is fixed: one piece and two pages of columns for each lane, kept from job to job.
 * I3: every job ends in `done` or `failed`.
 * I4: without its free ranges the disk is described from the same bytes, read once: a segment without free
 *     bytes is taken over, one that is all free is zero, only what holds both is hashed again.
 */

import { parentPort } from 'node:worker_threads';
import { describeError, VmdnError } from '../../domain/errors.ts';
import { eachFreePart } from '../../domain/free-ranges.ts';
import { SEGMENTS_PER_PAGE } from '../../domain/limits.ts';
import { SEGMENT_BYTES, segmentCount } from '../../domain/units.ts';
import { pageCount } from '../../formats/key-pages.ts';
import { PageDescriber, type TakenPage } from '../../formats/page-describer.ts';
import { isZero } from '../../formats/segment-hash.ts';
import { connectNbd, type NbdClient } from '../nbd/nbd-client.ts';
import {
  CONTROL_DONE_PAGES,
  CONTROL_NEXT_PAGE,
  CONTROL_STOP,
  type HashJob,
  type HashWorkerMessage,
} from './hash-protocol.ts';
import { mustRead } from './read-map.ts';

/** Reads in flight, and bytes of each: measured, see docs/formats/digest.md. */
const LANES = 4;
const PIECE_BYTES = 4 * SEGMENT_BYTES;

const port = parentPort!;

/** One lane's memory. */
class Lane {
  readonly #piece = new Uint8Array(PIECE_BYTES);
  readonly #describer = new PageDescriber();
  readonly #withoutFree = new PageDescriber();
  /** Whether the page in hand differs without what is free of it. */
  #differs = false;

  /** Claims and describes pages until none is left. Returns how many bytes were read. */
  async run(job: HashJob, client: NbdClient): Promise<number> {
    const { control } = job;
    const pages = pageCount(job.virtualSizeBytes);
    let readBytes = 0;
    for (;;) {
      if (Atomics.load(control, CONTROL_STOP) !== 0) return readBytes;
      const page = Atomics.add(control, CONTROL_NEXT_PAGE, 1);
      if (page >= pages) return readBytes;
      readBytes += await this.#describePage(job, client, page);
      Atomics.add(control, CONTROL_DONE_PAGES, 1);
      if (!this.#describer.isZero) this.#post(job, page);
    }
  }

  async #describePage(job: HashJob, client: NbdClient, page: number): Promise<number> {
    const { map, virtualSizeBytes } = job;
    const end = Math.min(segmentCount(virtualSizeBytes), (page + 1) * SEGMENTS_PER_PAGE);
    let readBytes = 0;
    this.#describer.clear();
    this.#withoutFree.clear();
    this.#differs = false;
    let segment = page * SEGMENTS_PER_PAGE;
    while (segment < end) {
      if (!mustRead(map, segment)) {
        segment += 1;
        continue;
      }
      let next = segment + 1;
      const most = Math.min(end, segment + PIECE_BYTES / SEGMENT_BYTES);
      while (next < most && mustRead(map, next)) next += 1;
      const offset = segment * SEGMENT_BYTES;
      const bytes = Math.min(next * SEGMENT_BYTES, virtualSizeBytes) - offset;
      await client.read(this.#piece.subarray(0, bytes), offset);
      this.#describePiece(job, page, segment, bytes);
      readBytes += bytes;
      segment = next;
    }
    return readBytes;
  }

  /** Describes the segments in the first `bytes` of the piece; the first is segment `first` of the disk. */
  #describePiece({ free }: HashJob, page: number, first: number, bytes: number): void {
    for (let at = 0, segment = first; at < bytes; at += SEGMENT_BYTES, segment += 1) {
      const piece = this.#piece.subarray(at, Math.min(at + SEGMENT_BYTES, bytes));
      const index = segment - page * SEGMENTS_PER_PAGE;
      if (this.#describer.add(index, piece) === 0 || free.length === 0) continue;
      this.#describeWithoutFree(free, segment, index, piece);
    }
  }

  /** Overwrites the piece. */
  #describeWithoutFree(
    free: HashJob['free'],
    segment: number,
    index: number,
    piece: Uint8Array,
  ): void {
    let freeBytes = 0;
    let isSame = true;
    eachFreePart(free, piece, segment * SEGMENT_BYTES, (part) => {
      freeBytes += part.length;
      isSame &&= isZero(part);
      part.fill(0);
    });
    if (isSame) {
      this.#withoutFree.addFrom(this.#describer, index);
      return;
    }
    this.#differs = true;
    if (freeBytes < piece.length) this.#withoutFree.add(index, piece);
  }

  #post(job: HashJob, page: number): void {
    const description = this.#describer.take(page, job.virtualSizeBytes);
    const withoutFree = this.#takeWithoutFree(page, job.virtualSizeBytes);
    const own = withoutFree === 'same' || withoutFree === null ? [] : [withoutFree];
    const buffers = [description, ...own].flatMap(({ masks, hashes, keys }) => [
      masks.buffer,
      hashes.buffer,
      keys.buffer,
    ]);
    send({ kind: 'page', description, withoutFree }, buffers);
  }

  #takeWithoutFree(page: number, virtualSizeBytes: number): TakenPage | 'same' | null {
    if (!this.#differs) return 'same';
    return this.#withoutFree.isZero ? null : this.#withoutFree.take(page, virtualSizeBytes);
  }
}

function send(message: HashWorkerMessage, transfer: readonly ArrayBuffer[] = []): void {
  port.postMessage(message, [...transfer]);
}

const lanes = Array.from({ length: LANES }, () => new Lane());

async function work(job: HashJob): Promise<void> {
  const client = await connectNbd({ socketPath: job.socketPath });
  try {
    if (client.sizeBytes !== job.virtualSizeBytes) {
      throw new VmdnError('source_changed', 'The disk changed its size while it was read.', {
        data: { before: job.virtualSizeBytes, now: client.sizeBytes },
      });
    }
    const read = await Promise.all(lanes.map((lane) => lane.run(job, client)));
    send({ kind: 'done', readBytes: read.reduce((sum, bytes) => sum + bytes, 0) });
  } finally {
    await client.close();
  }
}

port.on('message', (job: HashJob) => {
  work(job).catch((error: unknown) => {
    Atomics.store(job.control, CONTROL_STOP, 1);
    const isOurs = error instanceof VmdnError;
    const [code, data] = isOurs ? ([error.code, error.data] as const) : (['internal', {}] as const);
    send({ kind: 'failed', code, message: describeError(error), data });
  });
});
