/**
 * Room: io, hashing. Which segments of an export must be read: all but those that block status calls ZERO.
 *
 * I1: a segment is left out only when ZERO extents cover all of it. A mere HOLE is read: its content is
 *     whatever the format says (DESIGN decision 2).
 * I2: a server without block status has every segment read.
 * I3: what the top layer holds, zeros too, is told apart from what it leaves to those below.
 */

import { divCeil, SEGMENT_BYTES, segmentCount } from '../../domain/units.ts';
import { DEPTH_TOP, EXTENT_ZERO } from '../../formats/nbd.ts';
import type { NbdClient } from '../nbd/nbd-client.ts';

/** How much of the disk one block status request asks about. */
const STEP_BYTES = 2 ** 31;

/** A bit for each segment, in shared memory: bit i of byte i >> 3 says that segment i must be read. */
export async function readMap(client: NbdClient): Promise<Uint8Array<SharedArrayBuffer>> {
  return await mapOf(client, (flags) => (flags & EXTENT_ZERO) === 0);
}

/** The same of what the top layer holds any part of; null when the server, asked for depth, can't tell. */
export async function readTopMap(client: NbdClient): Promise<Uint8Array<SharedArrayBuffer> | null> {
  if (!client.hasBlockStatus) return null;
  return await mapOf(client, (depth) => depth === DEPTH_TOP);
}

async function mapOf(
  client: NbdClient,
  isMarked: (flags: number) => boolean,
): Promise<Uint8Array<SharedArrayBuffer>> {
  const { sizeBytes } = client;
  const map = new Uint8Array(new SharedArrayBuffer(divCeil(segmentCount(sizeBytes), 8)));
  for (let offset = 0; offset < sizeBytes; ) {
    const extents = await client.blockStatus(offset, Math.min(STEP_BYTES, sizeBytes - offset));
    for (let i = 0; i < extents.length; i += 2) {
      const length = extents[i]!;
      if (isMarked(extents[i + 1]!)) markRange(map, offset, length);
      offset += length;
    }
  }
  return map;
}

/** True when segment `segment` must be read. */
export function mustRead(map: Uint8Array, segment: number): boolean {
  return (map[segment >>> 3]! & (1 << (segment & 7))) !== 0;
}

/** Marks every segment that [offset, offset + length) touches. */
function markRange(map: Uint8Array, offsetBytes: number, lengthBytes: number): void {
  const last = Math.floor((offsetBytes + lengthBytes - 1) / SEGMENT_BYTES);
  let segment = Math.floor(offsetBytes / SEGMENT_BYTES);
  while (segment <= last) {
    if ((segment & 7) === 0 && segment + 7 <= last) {
      map[segment >>> 3] = 255;
      segment += 8;
    } else {
      map[segment >>> 3]! |= 1 << (segment & 7);
      segment += 1;
    }
  }
}
