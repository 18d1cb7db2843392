/**
 * Room: edge, decisions (pure). What a receipt says, from what the edge has on record.
 *
 * I1: the same record gives the same receipt: written again after a kill it is the one that was sent.
 * I2: a functional copy has none: it is not what was described, and no digest vouches for it.
 */

import type { Description } from '@vmdn/core/domain/description.ts';
import { totalTierBytes } from '@vmdn/core/domain/tiers.ts';
import type { DesiredTeleport } from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import { RECEIPT_SCHEMA, type Receipt } from '@vmdn/core/http/contracts/receipts.ts';
import type { TeleportRecord } from '../services/teleport-record.ts';

/**
 * The receipt of a teleport whose VM is independent; null when something of it is not known: when it was
 * asked for (a coordinator of old does not say), or where all of a disk came from (an older edge's record).
 */
export function receiptOf(
  record: TeleportRecord,
  { disks }: Pick<Description, 'disks'>,
  wanted: Pick<DesiredTeleport, 'lazy' | 'skipFree' | 'method' | 'requestedAt'>,
): Omit<Receipt, 'edge'> | null {
  const { teleport, epoch, vm, version, boot } = record;
  const { lazy, skipFree, method, requestedAt } = wanted;
  const { verified, running, independent } = record.times;
  const delivered = disks.flatMap(({ digest }) => {
    const delivery = record.deliveries.find((one) => one.digest === digest);
    if (delivery === undefined) return [];
    const { virtualSizeBytes, diskBytes, wireBytes } = delivery;
    if (totalTierBytes(diskBytes) !== virtualSizeBytes) return [];
    return [{ digest, virtualSizeBytes, diskBytes, wireBytes }];
  });
  if (method === 'functional') return null;
  if (requestedAt === undefined || delivered.length !== disks.length) return null;
  if (verified === undefined || running === undefined || independent === undefined) return null;
  return {
    schema: RECEIPT_SCHEMA,
    ...{ teleport, epoch, vm, version, lazy, skipFree },
    disks: delivered,
    stallSeconds: boot?.stallSeconds ?? null,
    trace: boot?.trace ?? null,
    times: { requested: requestedAt, verified, running, independent },
  };
}
