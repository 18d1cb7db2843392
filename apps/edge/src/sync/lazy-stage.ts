/**
 * Room: edge, sync. What a running sync gives to a lazily read disk: its staging file, what of it is
 * verified, and the queue.
 *
 * I1: zero segments are read as zeros whatever the staging file holds there: it may be in doubt.
 */

import { ownSegments } from '@vmdn/core/domain/layers.ts';
import { ROW_DONE } from '@vmdn/core/domain/schedule.ts';
import { openImageDisk } from '@vmdn/core/io/files/image-disk.ts';
import type { StagingArea } from '@vmdn/core/io/ports/disk-assembly.ts';
import type { LazyStage } from './lazy-disk.ts';
import type { SyncRun } from './sync-run.ts';

export async function openLazyStage(
  run: SyncRun,
  { layers }: Pick<StagingArea, 'layers'>,
  states: Uint8Array,
): Promise<LazyStage> {
  const { index, plan } = run;
  // Shared with the workers: it says where a segment lies by the time that it is verified.
  const fileOfSegment = layers.fileOfSegment ?? ownSegments(plan.wanted);
  const file = await openImageDisk(
    { files: layers.files, fileOfSegment },
    plan.wanted.virtualSizeBytes,
  );
  return {
    file,
    isThere: (segment) => states[index.rowOf(segment)] === ROW_DONE,
    want(segments, priority) {
      const rows = segments.map((segment) => index.rowOf(segment)).filter((row) => row >= 0);
      if (rows.length > 0) run.want(rows, priority);
    },
  };
}
