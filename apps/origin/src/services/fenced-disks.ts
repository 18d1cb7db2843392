/** Room: origin, services (pure). The disks of a moved VM under the names that its files have meanwhile. */

import type { Id } from '@vmdn/core/domain/names.ts';
import type { DiskSource } from '@vmdn/core/domain/vm-specification.ts';
import type { FencedFile } from '../fence-ports.ts';

/** The name that a disk's top file has while its VM is moved. */
export function fencedFile(disk: DiskSource, teleport: Id): FencedFile {
  const from = disk.layers[0]!.path;
  return { from, to: `${from}.moved-${teleport}` };
}

function withTops(disks: readonly DiskSource[], tops: readonly string[]): DiskSource[] {
  return disks.map(({ layers: [top, ...below] }, i) => ({
    layers: [{ ...top!, path: tops[i]! }, ...below],
  }));
}

/** The disks while their files have those names. */
export function movedDisks(
  disks: readonly DiskSource[],
  files: readonly FencedFile[],
): DiskSource[] {
  return withTops(
    disks,
    files.map(({ to }) => to),
  );
}

/** The disks under their own names again. */
export function restoredDisks(
  disks: readonly DiskSource[],
  files: readonly FencedFile[],
): DiskSource[] {
  return withTops(
    disks,
    files.map(({ from }) => from),
  );
}
