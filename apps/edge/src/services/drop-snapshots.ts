/**
 * Room: edge, services. The disks of a VM that is removed with them.
 *
 * I1: only snapshots go: never what somebody gave a name, what another VM of this edge has, or what another
 *     image stands on. Nor what a VM has that this edge captured: nobody else may have it. Only a teleport of
 *     that VM itself takes its disks along.
 * I2: idempotent, and done before the record of the teleport goes: a kill in between repeats it.
 *
 * What is on its way when it is called off nobody wants any more: reconcilers/leftovers.ts removes that.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import { isVmdnError } from '@vmdn/core/domain/errors.ts';
import type { Id, Name } from '@vmdn/core/domain/names.ts';
import type { ImageStore } from '@vmdn/core/io/ports/image-store.ts';
import type { Records } from '@vmdn/core/io/ports/records.ts';
import type { EdgeEvents } from '../events.ts';
import type { DesiredStates } from './desired-states.ts';
import type { TeleportRecord } from './teleport-record.ts';
import type { VerifiedVersions } from './verified-versions.ts';

export interface DropDeps {
  readonly store: Pick<ImageStore, 'find' | 'remove'>;
  readonly records: Pick<Records<TeleportRecord>, 'keys' | 'read'>;
  readonly desired: Pick<DesiredStates, 'latest'>;
  readonly versions: VerifiedVersions;
  /** This edge. */
  readonly sources: { readonly self: Id };
  readonly events: Pick<EdgeEvents, 'snapshotKept'>;
}

/** Removes what was delivered for a teleport whose VM is gone. Throws as `VerifiedVersions.verify`. */
export async function dropSnapshots(deps: DropDeps, teleport: Id): Promise<void> {
  const record = await deps.records.read(teleport);
  if (record === null) return;
  const needed = await neededByOthers(deps, teleport);
  const captured = await capturedDisks(deps, record.vm);
  for (const { digest } of record.deliveries) {
    if (needed.has(digest)) deps.events.snapshotKept(digest, 'another VM of this edge has it');
    else if (captured.has(digest)) deps.events.snapshotKept(digest, 'a VM captured here has it');
    else await drop(deps, digest);
  }
}

async function drop({ store, events }: DropDeps, digest: Digest): Promise<void> {
  const image = store.find(digest);
  if (image === undefined) return;
  if (image.kind !== 'snapshot') return events.snapshotKept(digest, 'it is an image with a name');
  try {
    await store.remove(digest);
  } catch (error) {
    if (isVmdnError(error, 'not_found')) return;
    if (!isVmdnError(error, 'conflict')) throw error;
    events.snapshotKept(digest, error.message);
  }
}

/** Disks that other teleports of this edge have, complete or on their way. */
async function neededByOthers({ records }: DropDeps, teleport: Id): Promise<ReadonlySet<Digest>> {
  const needed = new Set<Digest>();
  for (const key of await records.keys()) {
    if (key === teleport) continue;
    const record = await records.read(key);
    for (const { digest } of record?.deliveries ?? []) needed.add(digest);
  }
  return needed;
}

/** Disks of the VMs that this edge describes, but of one. */
async function capturedDisks(
  { desired, versions, sources }: DropDeps,
  but: Name,
): Promise<ReadonlySet<Digest>> {
  const known = desired.latest()?.versions ?? [];
  const own = known.filter(({ vm, origin }) => origin.node === sources.self && vm !== but);
  const descriptions = await Promise.all(
    own.map((version) => versions.verify(version, { isTakenOn: true })),
  );
  return new Set(descriptions.flatMap(({ disks }) => disks.map(({ digest }) => digest)));
}
