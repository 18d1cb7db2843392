/**
 * Room: edge, sync. A disk in the making as others may read it while it grows.
 *
 * I1: only segments that were verified and written are present; a zero segment never is: nobody asks for one,
 *     and a file that is in doubt may hold anything there.
 * I2: a reader that has opened it goes on reading when it is completed or given up: files stay while they are
 *     open, and a verified segment is not written again.
 */

import { bitmapBytes, setBit } from '@vmdn/core/domain/bitmap.ts';
import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { DiskLayer } from '@vmdn/core/domain/disk-format.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { ImageLayers } from '@vmdn/core/domain/layers.ts';
import { type DiskPlan, indexOf } from '@vmdn/core/domain/plan.ts';
import { ROW_DONE } from '@vmdn/core/domain/schedule.ts';
import { segmentCount } from '@vmdn/core/domain/units.ts';
import { openLayeredFile } from '@vmdn/core/io/files/layered-file.ts';
import type { StagingArea } from '@vmdn/core/io/ports/disk-assembly.ts';
import type { ServedDisk } from '@vmdn/core/io/ports/disk-library.ts';

export interface MakingDisk {
  readonly digest: Digest;
  readonly verifiedBytes: () => number;
  /** The files that it will lie in, its own first. */
  readonly files: readonly DiskLayer[];
  /** As it is now: what comes later is seen by who opens it later. */
  open(): Promise<ServedDisk>;
}

export function makingDisk(
  plan: DiskPlan,
  staging: Pick<StagingArea, 'layers' | 'recipePath'>,
  states: Uint8Array,
  verifiedBytes: () => number,
): MakingDisk {
  const { digest } = plan;
  return {
    digest,
    verifiedBytes,
    files: filesOf(staging.layers),
    async open() {
      const presentSegments = segmentsOf(plan, states);
      const file = await openLayeredFile(frozen(staging.layers));
      return {
        digest,
        virtualSizeBytes: plan.wanted.virtualSizeBytes,
        recipe: plan.wanted,
        recipePath: staging.recipePath,
        presentSegments,
        async readInto(target, offsetBytes) {
          if (await file.readInto(target, offsetBytes)) return;
          throw new VmdnError('unavailable', 'The disk in the making ends before its length.');
        },
        release: () => file.close(),
      };
    },
  };
}

/** A disk that is laid out by segments is a qcow2; all others are raw. */
function filesOf({ files, fileOfSegment }: ImageLayers): readonly DiskLayer[] {
  const own = fileOfSegment === null ? 'raw' : 'qcow2';
  return files.map(({ path }, depth) => ({ path, format: depth === 0 ? own : 'raw' }));
}

/** Where its segments lie now: for a verified one that does not change any more. */
function frozen({ files, fileOfSegment }: ImageLayers): ImageLayers {
  return { files, fileOfSegment: fileOfSegment === null ? null : fileOfSegment.slice() };
}

function segmentsOf(plan: DiskPlan, states: Uint8Array): Uint8Array {
  const { segmentOfRow } = indexOf(plan);
  const present = new Uint8Array(bitmapBytes(segmentCount(plan.wanted.virtualSizeBytes)));
  for (let row = 0; row < states.length; row += 1) {
    if (states[row] === ROW_DONE) setBit(present, segmentOfRow[row]!);
  }
  return present;
}
