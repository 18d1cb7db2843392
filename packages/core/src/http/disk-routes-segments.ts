/**
 * Room: http. Which segments of a disk a node can serve: all, or those that it has so far.
 *
 * I1: what is not present is refused before anything is read.
 */

import { bitmapBytes, hasBit } from '../domain/bitmap.ts';
import { VmdnError } from '../domain/errors.ts';
import { BLOCKS_PER_SEGMENT, segmentCount } from '../domain/units.ts';
import type { BlockRuns } from '../formats/block-request.ts';
import type { ServedDisk } from '../io/ports/disk-library.ts';
import { acceptsCoding } from './conditional.ts';
import { SEGMENTS_MEDIA_TYPE } from './contracts/disks.ts';
import type { OutgoingBody } from './disk-routes-send.ts';
import { compressBody } from './disk-zstd.ts';
import type { AppContext } from './mount.ts';

/** A bitmap over all segments of the disk; of a whole disk every bit is set. */
export function segmentsBody(
  context: AppContext,
  disk: Pick<ServedDisk, 'virtualSizeBytes' | 'presentSegments'>,
  compressionLevel: number,
): OutgoingBody {
  const length = bitmapBytes(segmentCount(disk.virtualSizeBytes));
  const bitmap = disk.presentSegments ?? new Uint8Array(length).fill(0xff);
  const headers = { 'content-type': SEGMENTS_MEDIA_TYPE, 'cache-control': 'no-store' };
  if (!acceptsCoding(context.req.header('accept-encoding'), 'zstd')) {
    const whole = { ...headers, 'content-length': String(length) };
    return { status: 200, headers: whole, pieces: once(bitmap) };
  }
  const coded = { ...headers, 'content-encoding': 'zstd' };
  return { status: 200, headers: coded, pieces: compressBody(once(bitmap), compressionLevel) };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** A node that holds a disk in part says so before it sends anything. Throws `not_found`. */
export function requirePresent(disk: Pick<ServedDisk, 'presentSegments'>, runs: BlockRuns): void {
  const present = disk.presentSegments;
  if (present === undefined) return;
  for (let i = 0; i < runs.length; i += 2) {
    const last = Math.floor((runs[i]! + runs[i + 1]! - 1) / BLOCKS_PER_SEGMENT);
    for (let segment = Math.floor(runs[i]! / BLOCKS_PER_SEGMENT); segment <= last; segment += 1) {
      if (hasBit(present, segment)) continue;
      throw new VmdnError('not_found', 'This node holds the disk only in part; ask another one.', {
        data: { segment },
      });
    }
  }
}
