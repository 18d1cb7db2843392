/**
 * Room: edge, services. Snapshots that go: the disks of a VM that is removed with them, and those that were
 * captured and that nobody may ask for any more.
 *
 * I1: only snapshots go: never what somebody gave a name, what another VM of this edge has, or what another
 *     image stands on. Nor what a VM has that this edge captured: nobody else may have it. Only a teleport of
 *     that VM itself takes its disks along.
 * I2: idempotent, and done before the record of the teleport goes: a kill in between repeats it.
 * I3: nobody's wish drops what a teleport of this edge has or should have, whatever else is said of it.
 *
 * What is on its way when it is called off nobody wants any more: reconcilers/leftovers.ts removes that.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import { isVmdnError } from '@vmdn/core/domain/errors.ts';
import type { Id, Name } from '@vmdn/core/domain/names.ts';
import { wantedDisks } from '@vmdn/core/domain/skip-free.ts';
import type { ImageStore } from '@vmdn/core/io/ports/image-store.ts';
import type { Records } from '@vmdn/core/io/ports/records.ts';
import type { EdgeEvents } from '../events.ts';
import type { DesiredStates } from './desired-states.ts';
import type { TeleportRecord } from './teleport-record.ts';
import { isRefusal, type VerifiedVersions } from './verified-versions.ts';

export interface DropDeps {
  readonly store: Pick<ImageStore, 'find' | 'remove'>;
  readonly records: Pick<Records<TeleportRecord>, 'keys' | 'read'>;
  readonly desired: Pick<DesiredStates, 'latest'>;
  readonly versions: VerifiedVersions;
  /** This edge. */
  readonly sources: { readonly self: Id };
  readonly events: Pick<EdgeEvents, 'snapshotKept' | 'snapshotDropped'>;
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

/**
 * Removes those of these snapshots that nothing here needs. Returns those that something only stands on, or
 * copies from: they can go later. Throws as `VerifiedVersions.verify`.
 */
export async function dropUnneeded(
  deps: DropDeps,
  digests: readonly Digest[],
): Promise<readonly Digest[]> {
  const here = digests.filter((digest) => deps.store.find(digest)?.kind === 'snapshot');
  if (here.length === 0) return [];
  const delivered = await neededByOthers(deps, null);
  const captured = await capturedDisks(deps, null);
  const wanted = await wantedByTeleports(deps);
  const needed = delivered.union(captured).union(wanted);
  const left: Digest[] = [];
  for (const digest of here.filter((one) => !needed.has(one))) {
    const obstacle = await remove(deps, digest);
    if (obstacle === null) deps.events.snapshotDropped(digest);
    else left.push(digest);
  }
  return left;
}

async function drop(deps: DropDeps, digest: Digest): Promise<void> {
  const { store, events } = deps;
  const image = store.find(digest);
  if (image === undefined) return;
  if (image.kind !== 'snapshot') return events.snapshotKept(digest, 'it is an image with a name');
  const obstacle = await remove(deps, digest);
  if (obstacle !== null) events.snapshotKept(digest, obstacle);
}

/** Null when it is gone; else why it is not. */
async function remove({ store }: DropDeps, digest: Digest): Promise<string | null> {
  try {
    await store.remove(digest);
  } catch (error) {
    if (isVmdnError(error, 'conflict')) return error.message;
    if (!isVmdnError(error, 'not_found')) throw error;
  }
  return null;
}

/** Disks that teleports of this edge have, complete or on their way, but one. */
async function neededByOthers(
  { records }: DropDeps,
  teleport: Id | null,
): Promise<ReadonlySet<Digest>> {
  const needed = new Set<Digest>();
  for (const key of await records.keys()) {
    if (key === teleport) continue;
    const record = await records.read(key);
    for (const { digest } of record?.deliveries ?? []) needed.add(digest);
  }
  return needed;
}

/** Disks of teleports that this edge should make true: one that was just begun has no record yet. */
async function wantedByTeleports({ desired, versions }: DropDeps): Promise<ReadonlySet<Digest>> {
  const wanted = new Set<Digest>();
  for (const { state, version, skipFree } of desired.latest()?.teleports ?? []) {
    if (state === 'cancelled' || state === 'failed') continue;
    const description = await versions
      .verify(version, { isTakenOn: true })
      .catch((error: unknown) => {
        // One that is refused is not delivered.
        if (isRefusal(error)) return null;
        throw error;
      });
    for (const { digest } of wantedDisks(description?.disks ?? [], skipFree)) wanted.add(digest);
  }
  return wanted;
}

/** Disks of the VMs that this edge describes, but of one. */
async function capturedDisks(
  { desired, versions, sources }: DropDeps,
  but: Name | null,
): Promise<ReadonlySet<Digest>> {
  const known = desired.latest()?.versions ?? [];
  const own = known.filter(({ vm, origin }) => origin.node === sources.self && vm !== but);
  const descriptions = await Promise.all(
    own.map((version) => versions.verify(version, { isTakenOn: true })),
  );
  return new Set(descriptions.flatMap(({ disks }) => disks.map(({ digest }) => digest)));
}
