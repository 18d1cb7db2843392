/**
 * Room: text (pure). What the plans of a teleport's disks said, beside what came of them.
 *
 * I1: both rows are about the same disks, and count the same things: bytes that were near, bytes that other
 *     nodes sent and what they took on the wire, the time until all was verified.
 */

import type { TierBytes } from '@vmdn/core/domain/tiers.ts';
import type { Teleport } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import { DASH, formatBytesOrDash, formatSeconds } from './sizes.ts';
import { renderTable } from './table.ts';

type Disk = Teleport['disks'][number];
type PlannedDisk = Disk & { readonly planned: NonNullable<Disk['planned']> };

/** The comparison; null where nothing was planned, because all was here. */
export function plannedTable(disks: readonly Disk[]): string | null {
  const planned = disks.filter((disk): disk is PlannedDisk => disk.planned !== undefined);
  if (planned.length === 0) return null;
  const sum = (of: (disk: PlannedDisk) => number): number =>
    planned.reduce((total, disk) => total + of(disk), 0);
  const row = (title: string, bytes: readonly number[], seconds: number): string[] => [
    title,
    ...bytes.map(formatBytesOrDash),
    formatSeconds(seconds),
  ];
  return renderTable(
    [
      { title: '' },
      { title: 'near', align: 'right' },
      { title: 'from others', align: 'right' },
      { title: 'transferred', align: 'right' },
      { title: 'time', align: 'right' },
    ],
    [
      row(
        'planned',
        [
          sum((disk) => near(disk.planned.diskBytes)),
          sum((disk) => remote(disk.planned.diskBytes)),
          sum((disk) => disk.planned.wireBytes),
        ],
        sum((disk) => disk.planned.estimatedSeconds),
      ),
      row(
        'came',
        [
          sum((disk) => near(disk.diskBytes)),
          sum((disk) => remote(disk.diskBytes)),
          sum((disk) => remote(disk.wireBytes)),
        ],
        sum((disk) => disk.seconds ?? 0),
      ),
      [
        'a plain copy',
        ...[DASH, DASH, formatBytesOrDash(sum((disk) => disk.planned.copy.wireBytes))],
        formatSeconds(sum((disk) => disk.planned.copy.estimatedSeconds)),
      ],
    ],
    'nothing',
  );
}

const near = (bytes: TierBytes): number => bytes.local + bytes.package;
const remote = (bytes: TierBytes): number => bytes.peer + bytes.origin;
