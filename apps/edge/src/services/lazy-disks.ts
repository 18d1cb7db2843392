/**
 * Room: edge, services. The exports by which VMs read disks that are still on their way.
 *
 * I1: an export is there before its disk: whoever reads early waits (waiting-disk.ts).
 * I2: a disk is read from the sync that makes it, and from the store as long as that has it.
 * I3: an export's place follows from the VM alone, so that a restarted edge brings it back where QEMU looks
 *     for it. It ends only when the VM reads files, or is removed.
 * I4: what a boot is thought to read changes the order in which a sync brings it, and nothing else: not
 *     knowing it, or knowing it wrongly, is no failure.
 */

import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import {
  type BootTrace,
  chooseTrace,
  type KnownTrace,
  type TracedDisk,
  traceDisk,
} from '@vmdn/core/domain/boot-trace.ts';
import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import { type DiskPlan, indexOf } from '@vmdn/core/domain/plan.ts';
import type { Recipe } from '@vmdn/core/domain/recipe.ts';
import { createTurns } from '@vmdn/core/domain/turns.ts';
import type { TraceUse } from '@vmdn/core/http/contracts/receipts.ts';
import type { ExportServer, ServeExports } from '@vmdn/core/io/ports/export-server.ts';
import type { ClosableDisk, ExportedDisk } from '@vmdn/core/io/ports/exported-disk.ts';
import type { Hypervisor } from '@vmdn/core/io/ports/hypervisor.ts';
import type { ImageStore, StoredImage } from '@vmdn/core/io/ports/image-store.ts';
import type { GuestReads } from '../sync/guest-reads.ts';
import type { LazyDisk } from '../sync/lazy-disk.ts';
import type { LazyReading } from '../sync/sync-disk.ts';
import { WaitingDisk } from './waiting-disk.ts';

export interface DiskOfVm {
  readonly digest: Digest;
  readonly virtualSizeBytes: number;
}

export interface LazyDisks extends AsyncDisposable {
  /**
   * Serves disks to a VM, each under its digest. Idempotent. Throws as `ServeExports` does, and as opening an
   * image does.
   */
  serve(vm: Id, disks: readonly DiskOfVm[]): Promise<{ readonly socket: string }>;
  /** What boots like this VM's read, once that is known: for the syncs of its disks. Must not reject. */
  expect(vm: Id, traces: Promise<readonly KnownTrace[]>): void;
  /** What a sync of a disk that a VM reads is to be given; undefined when none reads it. */
  reading(plan: DiskPlan): Promise<LazyReading | undefined>;
  /** The guest is about to start: what it reads from now on is recorded. */
  record(vm: Id): void;
  /** The guest is ready: what it read until now; null when that is not known as a whole. */
  recorded(vm: Id): BootTrace | null;
  /** Seconds since the export began in which a read of the VM waited; 0 without one. */
  stallSeconds(vm: Id): number;
  /** What of its disks was asked for ahead because a boot reads it; null: nothing. */
  ahead(vm: Id): TraceUse | null;
  /** Ends a VM's export. Idempotent. */
  end(vm: Id): Promise<void>;
}

interface Deps {
  /** Where sockets lie: a short path that other users may pass through. */
  readonly dir: string;
  readonly store: Pick<ImageStore, 'find' | 'onChange'>;
  readonly hypervisor: Pick<Hypervisor, 'exportUser'>;
  readonly serveExports: ServeExports;
  /** Takes away what a server left that was killed. */
  readonly clearExports: (socketPath: string) => Promise<void>;
  /** A disk as it is read from its syncs, one after another. */
  readonly lazyDisk: (recipe: Recipe) => LazyDisk;
  /** The reads of one VM. */
  readonly guestReads: () => GuestReads;
  readonly openImage: (image: StoredImage) => Promise<ClosableDisk>;
  /** Told of a disk that could not be opened: whoever reads it waits. */
  readonly onTrouble: (digest: Digest, error: unknown) => void;
}

/** A disk that at least one VM reads. */
interface Shared {
  readonly disk: WaitingDisk;
  readonly vms: Set<Id>;
  /** What its syncs are given, one after another. */
  lazy?: LazyDisk;
  recipe?: Recipe;
  traced?: TracedDisk | null;
  image?: OpenedImage;
}

/** A VM that reads disks. */
interface Guest {
  readonly reads: GuestReads;
  readonly disks: readonly Digest[];
  traces: Promise<readonly KnownTrace[]>;
}

/** Opened, or on the way to it; null: it could not be. */
interface OpenedImage {
  readonly disk: Promise<ClosableDisk | null>;
  /** Nobody reads from it any more. */
  detach(): void;
}

export function createLazyDisks(deps: Deps): LazyDisks {
  const shared = new Map<Digest, Shared>();
  const guests = new Map<Id, Guest>();
  const exports = createExports(deps, shared, guests);
  const sharedBy = (vm: Id): (Shared | undefined)[] =>
    (guests.get(vm)?.disks ?? []).map((digest) => shared.get(digest));
  return {
    ...exports,
    expect(vm, traces) {
      const guest = guests.get(vm);
      if (guest !== undefined) guest.traces = traces;
    },
    async reading(plan) {
      const one = shared.get(plan.digest);
      if (one === undefined) return undefined;
      one.lazy ??= deps.lazyDisk(plan.wanted);
      one.recipe = plan.wanted;
      one.disk.attach(one.lazy);
      one.traced ??= await traceOf(plan, [...guests.values()]);
      return { disk: one.lazy, bootTrace: one.traced?.segments ?? [] };
    },
    record: (vm) => guests.get(vm)?.reads.record(),
    recorded(vm) {
      return guests.get(vm)?.reads.recorded(sharedBy(vm).map((one) => one?.recipe)) ?? null;
    },
    stallSeconds: (vm) => guests.get(vm)?.reads.stalls.seconds(performance.now()) ?? 0,
    ahead(vm) {
      const traced = [...new Set(sharedBy(vm))].flatMap((one) => one?.traced ?? []);
      const segments = traced.reduce((sum, disk) => sum + disk.segments.length, 0);
      const bytes = traced.reduce((sum, disk) => sum + disk.bytes, 0);
      return segments === 0 ? null : { segments, bytes };
    },
  };
}

/** What the guests that read a disk are thought to read of it. */
async function traceOf(plan: DiskPlan, guests: readonly Guest[]): Promise<TracedDisk | null> {
  for (const { disks, traces } of guests) {
    const disk = disks.indexOf(plan.digest);
    if (disk < 0) continue;
    const known = await traces;
    if (known.length === 0) continue;
    const wanted = { disk, recipe: plan.wanted, index: indexOf(plan) };
    const seed = randomInt(2 ** 31);
    const traced = known.map((trace) => traceDisk(trace, wanted, seed));
    const looks = traced.map((one, at) => ({ ...one, kinship: known[at]!.kinship }));
    return traced[chooseTrace(looks)] ?? null;
  }
  return null;
}

function createExports(
  deps: Deps,
  shared: Map<Digest, Shared>,
  guests: Map<Id, Guest>,
): Pick<LazyDisks, 'serve' | 'end' | typeof Symbol.asyncDispose> {
  const servers = new Map<Id, ExportServer>();
  const turns = createTurns<string>();
  const refresh = (): void => {
    for (const [digest, one] of shared) fromStore(deps, digest, one);
  };
  const stop = deps.store.onChange(refresh);
  const socketOf = (vm: Id): string => join(deps.dir, vm, 'nbd');

  const begin = async (vm: Id, disks: readonly DiskOfVm[]): Promise<void> => {
    if (servers.has(vm)) return;
    const named = new Map<string, ExportedDisk>();
    const reads = deps.guestReads();
    const digests = disks.map(({ digest }) => digest);
    guests.set(vm, { reads, disks: digests, traces: Promise.resolve([]) });
    for (const { digest, virtualSizeBytes } of disks) {
      const one = shared.get(digest) ?? { disk: new WaitingDisk(virtualSizeBytes), vms: new Set() };
      shared.set(digest, one);
      one.vms.add(vm);
      // A disk that the VM has twice is read as the first of them.
      named.set(digest, reads.watch(one.disk, digests.indexOf(digest)));
    }
    refresh();
    const user = await deps.hypervisor.exportUser(vm);
    servers.set(vm, await deps.serveExports({ socketPath: socketOf(vm), user, disks: named }));
  };
  const finish = async (vm: Id): Promise<void> => {
    await servers.get(vm)?.close();
    servers.delete(vm);
    guests.delete(vm);
    await deps.clearExports(socketOf(vm));
    for (const [digest, { vms, image, lazy }] of shared) {
      vms.delete(vm);
      if (vms.size > 0) continue;
      shared.delete(digest);
      await lazy?.close();
      await (await image?.disk)?.close();
    }
  };
  return {
    async serve(vm, disks) {
      await turns.inTurn(vm, () => begin(vm, disks));
      return { socket: socketOf(vm) };
    },
    end: (vm) => turns.inTurn(vm, () => finish(vm)),
    async [Symbol.asyncDispose]() {
      stop();
      await Promise.all([...servers.keys()].map((vm) => turns.inTurn(vm, () => finish(vm))));
    },
  };
}

/** I2. */
function fromStore(deps: Deps, digest: Digest, one: Shared): void {
  const held = deps.store.find(digest);
  const { image } = one;
  if (held !== undefined && image === undefined) {
    one.image = openImage(deps, held, one);
  } else if (held === undefined && image !== undefined) {
    delete one.image;
    image.detach();
    image.disk.then((disk) => disk?.close()).catch((error) => deps.onTrouble(digest, error));
  }
}

function openImage(deps: Deps, held: StoredImage, one: Shared): OpenedImage {
  let isWanted = true;
  let end = (): void => undefined;
  const open = async (): Promise<ClosableDisk | null> => {
    try {
      const disk = await deps.openImage(held);
      if (isWanted) end = one.disk.attach(disk);
      return disk;
    } catch (error) {
      // The next change of the store tries again.
      if (isWanted) delete one.image;
      deps.onTrouble(held.digest, error);
      return null;
    }
  };
  const detach = (): void => {
    isWanted = false;
    end();
  };
  return { disk: open(), detach };
}
