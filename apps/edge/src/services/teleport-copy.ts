/**
 * Room: edge, services. A teleport whose disk is a functional copy: what stands in for its version's disk.
 *
 * I1: a copy that was made is never made again for the same version: its guest may have written above it.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { ReadyCheck } from '@vmdn/core/domain/vm-specification.ts';
import { diskOrder, withGrant } from './teleport-disks.ts';
import { type Pass, save } from './teleport-pass.ts';
import { type TeleportRecord, withDelivery, withSeconds } from './teleport-record.ts';

/** Makes the copy. Throws as `FunctionalCopies.make`. */
export async function makeCopy(pass: Pass, source: Digest): Promise<void> {
  const { deps, teleport, description } = pass;
  await save(pass, { ...pass.record, functional: { source, copy: null } });
  const order = diskOrder(pass, source);
  const { databases } = pass.job.desired();
  const made = await withGrant(pass, deps.copies.make(teleport, description, order, databases));
  const { report, seal, delivery, seconds } = made;
  const record = { ...pass.record, functional: { source, copy: { report, seal } } };
  await save(pass, withSeconds(withDelivery(record, delivery), seconds));
  await deps.copies.forget(source);
}

/** The record of a VM that runs and answers, where it is a copy: what that shows. */
export function withChecks(record: TeleportRecord, ready: ReadyCheck | null): TeleportRecord {
  const { functional } = record;
  if (functional?.copy == null) return record;
  const answers =
    ready === null ? [] : [`${ready.kind} answers at ${ready.port}${ready.path ?? ''}`];
  const report = { ...functional.copy.report, checkedBy: ['it boots', ...answers] };
  return { ...record, functional: { ...functional, copy: { ...functional.copy, report } } };
}
