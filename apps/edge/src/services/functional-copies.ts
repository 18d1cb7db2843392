/**
 * Room: edge, services. Disks of VMs that are functional copies: made of an image of this edge or from
 * scratch, packages from its mirrors, and what differs in the source, which is lent and not kept.
 *
 * I1: an image that a copy stands on stays as long as the copy does, over restarts.
 * I2: a copy counts once its record is written; what a process that was killed left of one is gone before
 *     the next is made, and a copy is never made anew below a guest that has written.
 * I3: what can be known to be in vain is known before a byte moves; what fails by what it is, not by chance,
 *     fails for good and names the way out.
 */

import type { DatabaseWay } from '@vmdn/core/domain/databases.ts';
import type { Description } from '@vmdn/core/domain/description.ts';
import type { Digest } from '@vmdn/core/domain/digest.ts';
import { isVmdnError, VmdnError } from '@vmdn/core/domain/errors.ts';
import {
  type FunctionalCopy,
  functionalObstacle,
  listStarts,
  OTHER_METHODS,
} from '@vmdn/core/domain/functional.ts';
import type { FunctionalSample } from '@vmdn/core/domain/functional-estimate.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import type { DiskDelivery } from '@vmdn/core/http/contracts/coordinator-teleports.ts';
import type {
  FileSeal,
  FunctionalCopier,
  FunctionalCopyResult,
  FunctionalFiles,
  FunctionalImage,
} from '@vmdn/core/io/ports/functional-copy.ts';
import type { VmDisk } from '@vmdn/core/io/ports/hypervisor.ts';
import type { ImageStore, StoredImage } from '@vmdn/core/io/ports/image-store.ts';
import { HopelessError } from '../decisions/failure.ts';
import type { EdgeEvents } from '../events.ts';
import type { DiskDeliveries, LoanOrder } from './deliver-disk.ts';
import type { FunctionalCosts } from './functional-costs.ts';
import { layersOf } from './image-layers.ts';
import type { KnownGuests } from './known-guests.ts';
import { reserveRoom } from './reserve-room.ts';

/** What must be known of a copy after a restart. */
export interface KeptCopy {
  readonly report: FunctionalCopy;
  readonly seal: FileSeal;
}

export interface MadeCopy extends KeptCopy {
  /** What was read of the source, and what that and the packages cost. */
  readonly delivery: DiskDelivery;
  /** Seconds by phase. */
  readonly seconds: Readonly<Record<string, number>>;
}

export interface FunctionalCopies {
  /**
   * Makes the disk of a VM. Throws `HopelessError` for what waiting does not mend, and as `lend` does.
   * On any error nothing of it is left but what was read of the source.
   */
  make(
    vm: Id,
    guest: Description,
    order: Omit<LoanOrder, 'reader'>,
    databases: DatabaseWay,
  ): Promise<MadeCopy>;
  /** A copy that was made before: what it stands on stays. */
  keep(vm: Id, copy: KeptCopy): void;
  /** The disk to boot from, made sure of. Throws `corrupt`. */
  diskOf(vm: Id, copy: KeptCopy): Promise<VmDisk>;
  /** The copy of a VM is gone with what is left of its source. Idempotent. */
  remove(vm: Id, source: Digest | null): Promise<void>;
  /** Forgets what was read of a source whose copy is complete. */
  forget(source: Digest): Promise<void>;
}

interface Deps {
  readonly store: Pick<
    ImageStore,
    'find' | 'intact' | 'retain' | 'reserve' | 'release' | 'stagings'
  >;
  readonly guests: Pick<KnownGuests, 'images'>;
  readonly deliveries: Pick<DiskDeliveries, 'lend' | 'discard'>;
  readonly copy: FunctionalCopier;
  readonly files: FunctionalFiles;
  readonly costs: Pick<FunctionalCosts, 'observe'>;
  readonly events: Pick<EdgeEvents, 'functionalCopied'>;
}

export function createFunctionalCopies(deps: Deps): FunctionalCopies {
  const retained = new Map<Id, Disposable>();
  const { store, files, deliveries } = deps;
  /** I1: from the first look at a copy on. */
  const retain = (vm: Id, { image }: FunctionalCopy): void => {
    if (image === null || retained.has(vm)) return;
    // One that is gone is missed when the VM is started.
    const isHeld = store.find(image.digest) !== undefined;
    if (isHeld) retained.set(vm, store.retain(image.digest));
  };
  return {
    async make(vm, guest, order, databases) {
      const made = await make(deps, vm, guest, { ...order, databases });
      retain(vm, made.report);
      return made;
    },
    keep: (vm, { report }) => retain(vm, report),
    async diskOf(vm, { report, seal }) {
      const { digest, virtualSizeBytes } = report;
      const image = report.image && (await intactImage(store, report.image.digest));
      retain(vm, report);
      if (!(await files.isSealed(vm, seal))) {
        throw new VmdnError('corrupt', `The disk of this VM, a functional copy, was changed.`, {
          data: { vm, path: files.path(vm) },
        });
      }
      const below = image === null ? [] : layersOf(image);
      const layers = [{ path: files.path(vm), format: 'qcow2' as const }, ...below];
      return { digest, layers, virtualSizeBytes };
    },
    async remove(vm, source) {
      retained.get(vm)?.[Symbol.dispose]();
      retained.delete(vm);
      await files.remove(vm);
      if (source !== null) await deliveries.discard(source);
    },
    forget: (source) => deliveries.discard(source),
  };
}

/** The image that a copy stands on. Throws `corrupt`: without it the copy is lost for good. */
async function intactImage(store: Deps['store'], digest: Digest): Promise<StoredImage> {
  try {
    return await store.intact(digest);
  } catch (cause) {
    if (!isVmdnError(cause, 'not_found') && !isVmdnError(cause, 'corrupt')) throw cause;
    const words =
      'The image that this functional copy stands on is not what it was; teleport the VM anew.';
    throw new VmdnError('corrupt', words, { data: { image: digest }, cause });
  }
}

async function make(
  deps: Deps,
  vm: Id,
  guest: Description,
  { databases, ...order }: Omit<LoanOrder, 'reader'> & { readonly databases: DatabaseWay },
): Promise<MadeCopy> {
  const { store, files } = deps;
  const { os, packages } = guest;
  const obstacle = functionalObstacle(guest);
  if (os === null || obstacle !== null) {
    const words = `The VM can't be copied functionally: ${obstacle}; ${OTHER_METHODS}.`;
    throw new HopelessError('unsupported_format', words);
  }
  const known = await deps.guests.images(order.signal);
  const images = known.map(functionalImage);
  hopelessly(() => listStarts(os, packages, images));
  using held = new DisposableStack();
  for (const { image } of known) held.use(store.retain(image.digest));
  const reservation = `functional-${vm}`;
  const targetPath = files.path(vm);
  await reserveRoom(store, [], {
    key: reservation,
    bytes: guest.disks[0]!.nonZeroBytes,
    paths: [targetPath],
  });
  try {
    await files.prepare(vm);
    const { virtualSizeBytes } = order;
    const { value, delivery, seconds } = await deps.deliveries.lend(
      { ...order, reader: vm },
      async (socketPath, signal) => {
        const { firmware } = guest.hardware;
        const known = { os, packages, firmware, databases: guest.databases ?? [] };
        const source = { disks: [{ socketPath }], virtualSizeBytes, ...known };
        const copied = deps.copy({ source, databases, images, targetPath, signal });
        return await copied.catch((error: unknown) => {
          throw signal.aborted ? error : final(error);
        });
      },
    );
    const startedMs = performance.now();
    const sealed = await files.seal(value.layers, order.signal);
    const check = (performance.now() - startedMs) / 1000;
    const read = deliveryOf(delivery, value);
    deps.costs.observe(order.digest, sampleOf(value, delivery));
    deps.events.functionalCopied(vm, { ...value, ...sealed, wireBytes: read.wireBytes });
    return made(value, sealed, read, { ...seconds, check }, store);
  } catch (error) {
    await files.remove(vm);
    throw error;
  } finally {
    store.release(reservation);
  }
}

function functionalImage({
  image,
  ...guest
}: Awaited<ReturnType<KnownGuests['images']>>[number]): FunctionalImage {
  const { digest, virtualSizeBytes } = image;
  return { ...guest, name: digest, layers: layersOf(image), virtualSizeBytes };
}

function made(
  result: FunctionalCopyResult,
  { digest, seal }: { readonly digest: Digest; readonly seal: FileSeal },
  delivery: DiskDelivery,
  more: Readonly<Record<string, number>>,
  store: Deps['store'],
): MadeCopy {
  const { image: cloned, layers: _, steps: __, seconds, ...facts } = result;
  const image = cloned as Digest | null;
  const report: FunctionalCopy = {
    ...facts,
    image: image && { digest: image, name: store.find(image)?.name ?? null },
    ...{ digest, seconds, checkedBy: [] },
  };
  return { report, seal, delivery, seconds: { ...more, ...seconds } };
}

/** With the packages that were fetched for it. */
function deliveryOf(delivery: DiskDelivery, { packageBytes }: FunctionalCopyResult): DiskDelivery {
  const { wireBytes } = delivery;
  return { ...delivery, wireBytes: { ...wireBytes, package: wireBytes.package + packageBytes } };
}

/** What a copy showed of what copies cost. */
function sampleOf(
  { installed, removed, seconds, steps }: FunctionalCopyResult,
  { wireBytes }: DiskDelivery,
): Omit<FunctionalSample, 'exact'> {
  return {
    wireBytes: wireBytes.origin + wireBytes.peer,
    changedPackages: installed + removed,
    applianceSeconds: seconds.appliance,
    // From scratch, most packages come with the bootstrap.
    packageSeconds: (steps.bootstrap ?? 0) + (steps.packages ?? 0),
  };
}

function hopelessly<Value>(work: () => Value): Value {
  try {
    return work();
  } catch (error) {
    throw final(error);
  }
}

/** What of a copier's errors waiting does not mend (I3). An appliance that did not start may do so later. */
function final(error: unknown): unknown {
  if (!isVmdnError(error)) return error;
  // A job that ran to an end left a log; a tool of this machine that failed did not.
  const isChance = error.code === 'tool_failed' && error.data.log === undefined;
  const passes = ['unavailable', 'busy', 'disk_full', 'cancelled', 'internal'];
  if (isChance || passes.includes(error.code)) return error;
  const isNamed = error.message.includes('method exact');
  const words = isNamed ? error.message : `${error.message} Or ${OTHER_METHODS}.`;
  return new HopelessError(error.code, words, { data: error.data });
}
