/**
 * Room: io, nbd. The reply to one read, in memory of its own: headers where they belong, data between them,
 * zeros of which the disk knows as holes.
 *
 * I1: the reply covers what was asked for exactly once, in order.
 * I2: the frame may be given back when `fill` has settled.
 */

import * as served from '../../formats/nbd-served.ts';
import type { DiskExtent } from '../ports/exported-disk.ts';
import type { ServedAgreement } from './nbd-negotiation.ts';
import type { Frame, ReplyMemory } from './reply-memory.ts';

/** The longest header of data. */
export const DATA_HEADER_BYTES = served.NBD_DATA_CHUNK_BYTES;

interface Piece {
  readonly at: number;
  readonly lengthBytes: number;
  readonly offsetBytes: number;
}

export class ReadReply {
  readonly request: served.Request;
  readonly frame: Frame;
  /** Of the frame, when it is filled. */
  readonly lengthBytes: number;
  readonly #agreement: ServedAgreement;
  readonly #pieces: Piece[] = [];

  /** `hasHoles`: zeros may be sent as holes. */
  constructor(
    request: served.Request,
    agreement: ServedAgreement,
    memory: ReplyMemory,
    hasHoles: boolean,
  ) {
    this.request = request;
    this.#agreement = agreement;
    const { offsetBytes } = request;
    const end = offsetBytes + request.lengthBytes;
    const extents = hasHoles
      ? [...extentsOf(agreement, offsetBytes, end)]
      : [{ endBytes: end, isZero: false }];
    this.frame = memory.take(replyBytes(offsetBytes, extents));
    const { view } = this.frame;
    let [at, from] = [0, offsetBytes];
    for (const { endBytes, isZero } of extents) {
      const piece = { ...request, offsetBytes: from, lengthBytes: endBytes - from };
      const isLast = endBytes === end;
      from = endBytes;
      if (isZero) {
        at = served.writeHoleChunk(view, at, piece, isLast);
        continue;
      }
      at = agreement.isStructured
        ? served.writeDataChunk(view, at, piece, isLast)
        : served.writeSimpleReply(view, at, 0, piece);
      this.#pieces.push({ ...piece, at });
      at += piece.lengthBytes;
    }
    this.lengthBytes = at;
  }

  /** Reads what is not a hole. */
  async fill(signal: AbortSignal): Promise<void> {
    const { disk } = this.#agreement;
    const { bytes } = this.frame;
    for (const { at, lengthBytes, offsetBytes } of this.#pieces) {
      if (disk.readNow(bytes, at, lengthBytes, offsetBytes)) continue;
      await disk.read(bytes, at, lengthBytes, offsetBytes, signal);
    }
  }
}

/** Bytes of the reply, or a few more. */
function replyBytes(offsetBytes: number, extents: readonly DiskExtent[]): number {
  let [total, from] = [0, offsetBytes];
  for (const { endBytes, isZero } of extents) {
    total += served.NBD_HOLE_CHUNK_BYTES + (isZero ? 0 : endBytes - from);
    from = endBytes;
  }
  return total;
}

function* extentsOf(
  { disk }: ServedAgreement,
  offsetBytes: number,
  endBytes: number,
): Generator<DiskExtent> {
  for (let at = offsetBytes; at < endBytes; ) {
    const extent = disk.extent(at, endBytes);
    yield extent;
    at = extent.endBytes;
  }
}
