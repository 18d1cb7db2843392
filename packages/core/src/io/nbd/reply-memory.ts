/**
 * Room: io, nbd. Memory for the replies of an NBD server, used again: V8 counts what was thrown away as
 * external memory and searches its whole heap after every few megabytes of it.
 *
 * I1: a frame is with one user at a time; it comes back when nobody reads or writes it any more.
 * I2: what is kept is bounded; what does not fit a class is made for once.
 */

import { NBD_DATA_CHUNK_BYTES } from '../../formats/nbd-served.ts';

export interface Frame {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

const KIB = 2 ** 10;
/** A read of 4 KiB, of a segment, of what nbdcopy asks for; each with room for the headers of chunks. */
const CLASSES = [8 * KIB, 72 * KIB, 288 * KIB].map((size) => size + NBD_DATA_CHUNK_BYTES);
/** Frames kept of each class: 12 MiB in all. */
const KEPT_MAX = 32;

/** Where small replies are gathered; the largest class. */
export const GATHER_BYTES = CLASSES.at(-1)!;

export class ReplyMemory {
  readonly #kept = CLASSES.map((): Frame[] => []);

  /** A frame of at least so many bytes; they hold anything. */
  take(lengthBytes: number): Frame {
    const kind = CLASSES.findIndex((size) => size >= lengthBytes);
    if (kind === -1) return makeFrame(lengthBytes);
    return this.#kept[kind]!.pop() ?? makeFrame(CLASSES[kind]!);
  }

  give(frame: Frame): void {
    const kept = this.#kept[CLASSES.indexOf(frame.bytes.length)];
    if (kept !== undefined && kept.length < KEPT_MAX) kept.push(frame);
  }
}

function makeFrame(lengthBytes: number): Frame {
  const bytes = Buffer.allocUnsafeSlow(lengthBytes);
  return { bytes, view: new DataView(bytes.buffer) };
}
