/**
 * Room: io, hashing. The worker thread that describes pages: its own NBD connection, a few lanes that each
 * claim a page, read it piece by piece and hash every piece while the others' reads are on their way.
 *
 * I1: a page is described from the bytes that were read for it and from ZERO extents, nothing else.
 * I2: memory is fixed: one piece and one page of columns for each lane.
 */

import { parentPort, workerData } from 'node:worker_threads';
import { HASH_BYTES } from '../../domain/digest.ts';
import { describeError, VmdnError } from '../../domain/errors.ts';
import { SEGMENTS_PER_PAGE } from '../../domain/limits.ts';
import { BLOCKS_PER_SEGMENT, SEGMENT_BYTES, segmentCount } from '../../domain/units.ts';
import { pageCount } from '../../formats/key-pages.ts';
import { describeSegmentInto } from '../../formats/segment-hash.ts';
import { connectNbd, type NbdClient } from '../nbd/nbd-client.ts';
import {
  CONTROL_DONE_PAGES,
  CONTROL_NEXT_PAGE,
  CONTROL_STOP,
  type HashWorkerData,
  type HashWorkerMessage,
  type HashWorkerStart,
} from './hash-protocol.ts';
import { mustRead } from './read-map.ts';

/** Reads in flight, and bytes of each: measured, see docs/formats/digest.md. */
const LANES = 4;
const PIECE_BYTES = 4 * SEGMENT_BYTES;

const { socketPath, virtualSizeBytes, control } = workerData as HashWorkerData;
const port = parentPort!;
const segments = segmentCount(virtualSizeBytes);
let readBytes = 0;

/** One lane's memory. `rows` and `keyCount` say how much of the columns the page in hand has filled. */
class Lane {
  readonly #client: NbdClient;
  readonly #map: Uint8Array;
  readonly #piece = new Uint8Array(PIECE_BYTES);
  readonly #masks = new Uint16Array(SEGMENTS_PER_PAGE);
  readonly #hashes = new Uint8Array(SEGMENTS_PER_PAGE * HASH_BYTES);
  readonly #keys = new Uint32Array(SEGMENTS_PER_PAGE * BLOCKS_PER_SEGMENT * 2);
  readonly #rowMasks = new Uint16Array(SEGMENTS_PER_PAGE);
  #rows = 0;
  #keyCount = 0;

  constructor(client: NbdClient, map: Uint8Array) {
    this.#client = client;
    this.#map = map;
  }

  /** Claims and describes pages until none is left. */
  async run(): Promise<void> {
    const pages = pageCount(virtualSizeBytes);
    while (Atomics.load(control, CONTROL_STOP) === 0) {
      const page = Atomics.add(control, CONTROL_NEXT_PAGE, 1);
      if (page >= pages) return;
      await this.#describePage(page);
      Atomics.add(control, CONTROL_DONE_PAGES, 1);
      if (this.#rows > 0) this.#post(page);
    }
  }

  async #describePage(page: number): Promise<void> {
    const end = Math.min(segments, (page + 1) * SEGMENTS_PER_PAGE);
    this.#rows = 0;
    this.#keyCount = 0;
    let segment = page * SEGMENTS_PER_PAGE;
    while (segment < end) {
      if (!mustRead(this.#map, segment)) {
        segment += 1;
        continue;
      }
      let next = segment + 1;
      const most = Math.min(end, segment + PIECE_BYTES / SEGMENT_BYTES);
      while (next < most && mustRead(this.#map, next)) next += 1;
      await this.#describePiece(page, segment, next);
      segment = next;
    }
  }

  /** Reads and describes segments [from, to), which lie in one page. */
  async #describePiece(page: number, from: number, to: number): Promise<void> {
    const offset = from * SEGMENT_BYTES;
    const bytes = Math.min(to * SEGMENT_BYTES, virtualSizeBytes) - offset;
    const piece = this.#piece.subarray(0, bytes);
    await this.#client.read(piece, offset);
    readBytes += bytes;
    if (this.#rows === 0) this.#masks.fill(0);
    const columns = { hashes: this.#hashes, masks: this.#rowMasks, keys: this.#keys };
    for (let segment = from; segment < to; segment += 1) {
      const at = (segment - from) * SEGMENT_BYTES;
      const view = piece.subarray(at, Math.min(at + SEGMENT_BYTES, bytes));
      const keys = describeSegmentInto(view, columns, this.#rows, this.#keyCount);
      if (keys === 0) continue;
      this.#masks[segment - page * SEGMENTS_PER_PAGE] = this.#rowMasks[this.#rows]!;
      this.#rows += 1;
      this.#keyCount += keys;
    }
  }

  #post(page: number): void {
    const description = {
      page,
      masks: this.#masks.slice(),
      hashes: this.#hashes.slice(0, this.#rows * HASH_BYTES),
      keys: this.#keys.slice(0, this.#keyCount * 2),
    };
    const { masks, hashes, keys } = description;
    send({ kind: 'page', description }, [masks.buffer, hashes.buffer, keys.buffer]);
  }
}

function send(message: HashWorkerMessage, transfer: readonly ArrayBuffer[] = []): void {
  port.postMessage(message, [...transfer]);
}

async function work(): Promise<void> {
  const started = new Promise<HashWorkerStart>((resolve) => {
    port.once('message', resolve);
  });
  const client = await connectNbd({ socketPath });
  try {
    if (client.sizeBytes !== virtualSizeBytes) {
      throw new VmdnError('source_changed', 'The disk changed its size while it was read.', {
        data: { before: virtualSizeBytes, now: client.sizeBytes },
      });
    }
    const { map } = await started;
    await Promise.all(Array.from({ length: LANES }, () => new Lane(client, map).run()));
  } finally {
    await client.close();
  }
  send({ kind: 'done', readBytes });
}

work().catch((error: unknown) => {
  Atomics.store(control, CONTROL_STOP, 1);
  const isOurs = error instanceof VmdnError;
  const [code, data] = isOurs ? ([error.code, error.data] as const) : (['internal', {}] as const);
  send({ kind: 'failed', code, message: describeError(error), data });
});
