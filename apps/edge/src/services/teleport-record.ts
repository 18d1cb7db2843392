/**
 * Room: edge, services. What an edge must still know of a teleport after a restart.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { DesiredTeleport } from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import {
  type DiskDelivery,
  diskDelivery,
  endpoint,
} from '@vmdn/core/http/contracts/coordinator-teleports.ts';
import { traceUse } from '@vmdn/core/http/contracts/receipts.ts';
import {
  digest,
  functionalCopy,
  id,
  name,
  seconds,
  timestamp,
} from '@vmdn/core/http/contracts/schemas.ts';
import { z } from 'zod';

export const teleportRecord = z.object({
  teleport: id,
  epoch: z.number().int().min(1),
  vm: name,
  version: z.number().int().min(1),
  /** Of the disks that are complete; numbers of one under way are only reported. */
  deliveries: z.array(diskDelivery),
  /** Seconds by phase. */
  phases: z.record(z.string(), z.number()),
  endpoints: z.array(endpoint),
  accelerator: z.enum(['kvm', 'tcg']).nullable(),
  /** Of a lazy VM that was ready: how long its reads had waited, and what was asked for ahead. */
  boot: z.object({ stallSeconds: seconds, trace: traceUse.nullable() }).nullable().default(null),
  /** By this machine's clock. */
  times: z
    .object({
      verified: timestamp.optional(),
      running: timestamp.optional(),
      independent: timestamp.optional(),
    })
    .default({}),
  /** Of a functional teleport: the version's disk, and what was made in its place, once it is. */
  functional: z
    .object({
      source: digest,
      copy: z.object({ report: functionalCopy, seal: z.record(z.string(), z.string()) }).nullable(),
    })
    .nullable()
    .default(null),
});
export type TeleportRecord = z.infer<typeof teleportRecord>;

/** Which epoch of which teleport, and of what. */
export type TeleportEpoch = Pick<TeleportRecord, 'teleport' | 'epoch' | 'vm' | 'version'>;

/** The record of a teleport of which nothing was done here. */
export function bareRecord(desired: DesiredTeleport): TeleportRecord {
  const { teleport, epoch, version } = desired;
  return recordFor({ teleport, epoch, vm: version.vm, version: version.version }, [], null);
}

/**
 * The record of a teleport that the edge takes on, or takes on again with another epoch or version.
 * A disk that both versions have was delivered for this teleport all the same.
 */
export function recordFor(
  wanted: TeleportEpoch,
  digests: readonly Digest[],
  before: TeleportRecord | null,
): TeleportRecord {
  if (before?.epoch === wanted.epoch && before.version === wanted.version) return before;
  const isWanted = ({ digest }: DiskDelivery): boolean => digests.includes(digest);
  const functional = before?.version === wanted.version ? before.functional : null;
  const deliveries = (before?.deliveries ?? []).filter(isWanted);
  const nothing = { phases: {}, endpoints: [], accelerator: null, boot: null, times: {} };
  return { ...wanted, deliveries, ...nothing, functional };
}

/** The record with the numbers of one disk. */
export function withDelivery(record: TeleportRecord, delivery: DiskDelivery): TeleportRecord {
  const others = record.deliveries.filter(({ digest }) => digest !== delivery.digest);
  return { ...record, deliveries: [...others, delivery] };
}

/** The record with seconds added to phases. */
export function withSeconds(
  record: TeleportRecord,
  more: Readonly<Record<string, number>>,
): TeleportRecord {
  const phases = { ...record.phases };
  for (const [phase, spent] of Object.entries(more)) phases[phase] = (phases[phase] ?? 0) + spent;
  return { ...record, phases };
}

/** The record with the time at which something was first true. */
export function withTime(
  record: TeleportRecord,
  what: keyof TeleportRecord['times'],
  nowMs: number,
): TeleportRecord {
  if (record.times[what] !== undefined) return record;
  return { ...record, times: { ...record.times, [what]: new Date(nowMs).toISOString() } };
}
