/**
 * Room: edge, services. The disks of one teleport: which are here, which are on their way, and on which
 * files a VM stands.
 *
 * I1: the room of a disk is the delivery's to reserve; what was delivered is on record before it counts.
 * I2: a guest reads a disk that is on its way only after its files are there, and from its export alone.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import { isVmdnError } from '@vmdn/core/domain/errors.ts';
import type { DiskDelivery } from '@vmdn/core/http/contracts/coordinator-teleports.ts';
import type { VmDisk } from '@vmdn/core/io/ports/hypervisor.ts';
import type { ImageStore } from '@vmdn/core/io/ports/image-store.ts';
import { localDelivery } from '../decisions/deliveries.ts';
import type { MakingDisk } from '../sync/making-disk.ts';
import { knownTraces } from './boot-traces.ts';
import type { KeptCopy } from './functional-copies.ts';
import { layersOf } from './image-layers.ts';
import { holdersOf, tradeOf } from './remote-sources.ts';
import { type Pass, save } from './teleport-pass.ts';
import { withDelivery, withSeconds } from './teleport-record.ts';

/** The disks that the store does not hold, each once, in the version's order. */
export async function missingDisks(pass: Pass): Promise<readonly Digest[]> {
  const { deps, description } = pass;
  const digests = new Set(description.disks.map((disk) => disk.digest));
  if (pass.isFunctional) return copyOf(pass) === null ? [...digests] : [];
  const missing: Digest[] = [];
  for (const digest of digests) {
    if (!(await isHeld(deps.store, digest))) missing.push(digest);
  }
  return missing;
}

/** Whether the store has the image as it was adopted; one that was changed is quarantined and missing. */
async function isHeld(store: ImageStore, digest: Digest): Promise<boolean> {
  try {
    await store.intact(digest);
    return true;
  } catch (error) {
    if (isVmdnError(error, 'not_found') || isVmdnError(error, 'corrupt')) return false;
    throw error;
  }
}

/** The functional copy that stands in for the version's disk, once it is made. */
function copyOf({ record }: Pass): KeptCopy | null {
  return record.functional?.copy ?? null;
}

/** The disks that the VM has when it stands on what this teleport makes. */
export function vmDigests(pass: Pass): readonly Digest[] {
  const copy = copyOf(pass);
  if (pass.isFunctional && copy !== null) return [copy.report.digest];
  return pass.description.disks.map(({ digest }) => digest);
}

/** What all ways of bringing a disk are told. */
export function diskOrder(pass: Pass, digest: Digest) {
  const { deps, job } = pass;
  const disk = pass.description.disks.find((described) => described.digest === digest)!;
  // Progress goes on being reported while every source is away: it must not hide that.
  let waitsFor: string | null = null;
  const mention = (): void => mentionProgress(pass, waitsFor);
  mention();
  return {
    ...disk,
    holders: holdersOf(job.desired().version, digest, deps.sources),
    grant: () => pass.grants.current(),
    signal: pass.signal,
    onProgress: (delivery: DiskDelivery) => {
      pass.underWay.set(digest, delivery);
      mention();
    },
    onWaiting: (message: string | null) => {
      waitsFor = message;
      mention();
    },
  };
}

/** Makes a disk. Throws as deliveries do. */
export async function deliverDisk(pass: Pass, digest: Digest): Promise<void> {
  const { deps, job } = pass;
  const delivered = deps.deliveries.deliver({
    ...diskOrder(pass, digest),
    name: null,
    kind: 'snapshot',
    guest: pass.description,
    trade: tradeOf(deps.sources, () => job.desired().version, digest),
    onDelivered: (delivery) => save(pass, withDelivery(pass.record, delivery)),
  });
  const { seconds } = await withGrant(pass, delivered);
  await save(pass, withSeconds(pass.record, seconds));
}

function mentionProgress({ job, reports }: Pass, waitsFor: string | null): void {
  const { state, lazy } = job.desired();
  // A VM that should be running is announced as such whatever its disk is doing.
  if (state === 'running' && !lazy) return;
  if (waitsFor === null) reports.mention('syncing');
  else reports.mention('waiting', { message: waitsFor });
}

/** A grant that incomplete answers used up is replaced; the next try begins with the new one. */
export async function withGrant<Value>(
  { grants, job }: Pass,
  work: Promise<Value>,
): Promise<Value> {
  try {
    return await work;
  } catch (error) {
    if (isVmdnError(error, 'quota_exceeded') && (await grants.renew())) {
      job.memory.grant = grants.current();
    }
    throw error;
  }
}

/** Begins to make the missing disks; resolves when a guest can read them. Throws as deliveries do. */
export async function openDisks(pass: Pass): Promise<void> {
  const { deps, teleport, description } = pass;
  await deps.lazyDisks.serve(teleport, description.disks);
  const missing = await missingDisks(pass);
  deps.lazyDisks.expect(teleport, knownTraces(deps, pass));
  for (const digest of missing) {
    if (pass.opened.has(digest)) continue;
    const made = deliverDisk(pass, digest);
    made.catch((error: unknown) => pass.broken.abort(error));
    pass.opened.set(digest, made);
  }
  await Promise.all(missing.map((digest) => readable(pass, digest)));
}

/** Resolves when the disk is being made, or is here. */
async function readable({ deps, opened }: Pass, digest: Digest): Promise<void> {
  const begun = Promise.withResolvers<void>();
  const look = (): void => {
    if (makingOf(deps.engine, digest) !== undefined) begun.resolve();
  };
  const stop = deps.engine.onMaking(look);
  try {
    look();
    await Promise.race([begun.promise, opened.get(digest)]);
  } finally {
    stop();
  }
}

/** Whether a guest can read the missing disks now. */
export function areOpen({ deps, opened }: Pass, missing: readonly Digest[]): boolean {
  return missing.every(
    (digest) => opened.has(digest) && makingOf(deps.engine, digest) !== undefined,
  );
}

/** Waits until all opened disks are complete. Throws as deliveries do. */
export async function completeDisks({ opened }: Pass): Promise<void> {
  await Promise.all(opened.values());
}

/** Disks that were here before anybody asked: all of them local. */
export async function recordHits(pass: Pass): Promise<void> {
  const { store } = pass.deps;
  if (pass.isFunctional) return;
  const missing = await missingDisks(pass);
  const recorded = new Set(pass.record.deliveries.map(({ digest }) => digest));
  let record = pass.record;
  for (const { digest } of pass.description.disks) {
    if (recorded.has(digest) || missing.includes(digest)) continue;
    record = withDelivery(record, localDelivery(await store.intact(digest)));
  }
  if (record !== pass.record) await save(pass, record);
}

/** The files that hold the disks now, each made sure of, and the exports of those that are on their way. */
export async function vmDisks(pass: Pass): Promise<readonly VmDisk[]> {
  const { deps, teleport, description } = pass;
  const { store, engine, lazyDisks, copies } = deps;
  const copy = copyOf(pass);
  if (pass.isFunctional && copy !== null) return [await copies.diskOf(teleport, copy)];
  return await Promise.all(
    description.disks.map(async ({ digest, virtualSizeBytes }) => {
      const making = makingOf(engine, digest);
      if (store.find(digest) === undefined && making !== undefined) {
        const { socket } = await lazyDisks.serve(teleport, description.disks);
        const paths = making.files.map(({ path }) => path);
        const layers = making.files.map(({ path, format }, depth) => {
          return { path: depth === 0 ? store.placeOf(digest, path) : path, format };
        });
        const filling = { paths, socket, exportName: digest };
        return { digest, layers, virtualSizeBytes, filling };
      }
      const image = await store.intact(digest);
      return { digest, layers: layersOf(image), virtualSizeBytes };
    }),
  );
}

function makingOf(engine: Pass['deps']['engine'], digest: Digest): MakingDisk | undefined {
  return engine.making().find((disk) => disk.digest === digest);
}
