/**
 * Room: origin, ports. What the services need from the world; the adapters are in io/ and the core.
 */

import type {
  Consistency,
  DescribedDisk,
  Description,
  VersionState,
} from '@vmdn/core/domain/description.ts';
import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { DiskLayer } from '@vmdn/core/domain/disk-format.ts';
import type { FreeRanges } from '@vmdn/core/domain/free-ranges.ts';
import type { Name } from '@vmdn/core/domain/names.ts';
import type { Recipe } from '@vmdn/core/domain/recipe.ts';
import type { DiskSource, VmSpecification } from '@vmdn/core/domain/vm-specification.ts';
import type { GuestInspection } from '@vmdn/core/io/ports/guest-inspector.ts';

/** A VM that was found, and a file that should have been one. */
export interface Discovery {
  /** Paths are absolute and within the places that the operator named. */
  readonly vms: readonly VmSpecification[];
  readonly problems: readonly { readonly where: string; readonly error: unknown }[];
}

/** Finds an origin's VMs: in a folder of specifications; other places can stand beside it. */
export interface VmDiscovery {
  find(): Promise<Discovery>;
  /** Calls `onSign` when something may have changed; more often than needed, and not always. */
  watch(onSign: () => void): Disposable;
}

/**
 * Everything by which a source's bytes are known to be the same: path, format, inode, size and times of
 * each layer, as one text. Equal prints: nothing was written in between.
 */
export type SourcePrint = string & { readonly __brand: 'SourcePrint' };

/** A disk that is locked against writers and can be read. */
export interface LockedDisk {
  readonly virtualSizeBytes: number;
  readonly print: SourcePrint;
  /** For tools of ours that speak NBD. */
  readonly socketPath: string;
  /**
   * Fills `target`. Throws `withdrawn` when the source has changed since it was locked, `unavailable`
   * when the lock was let go or the export died.
   */
  readInto(target: Uint8Array, offsetBytes: number): Promise<void>;
  /**
   * Once per lock. The lock itself is let go when nobody has used it for LOCK_IDLE_MS, or at once where no
   * reader is expected to follow.
   */
  release(options?: { readonly atOnce: boolean }): void;
}

/** Locks sources against writers, for as short a time as can be. */
export interface SourceLocks extends AsyncDisposable {
  /** Throws `not_found`, `forbidden`. */
  print(disk: DiskSource): Promise<SourcePrint>;
  /**
   * Locks a disk, or joins whoever has it locked. Throws `source_running`, `unavailable` (let go on request
   * a short while ago), `busy` (too many locks), `not_found`, `hostile_format`, `unsupported_format`, …
   */
  lock(disk: DiskSource): Promise<LockedDisk>;
  /** Lets go at once, and refuses to lock again before `untilMs`. Resolves when nothing is held. */
  letGo(disk: DiskSource, untilMs: number): Promise<void>;
  /**
   * Lets go at once, and refuses to lock again until the answer is disposed of; what `letGo` was asked stays
   * as it is. Resolves when nothing is held.
   */
  keepAway(disk: DiskSource): Promise<Disposable>;
  /** Whether the disk is locked now. */
  isLocked(disk: DiskSource): boolean;
}

/** What is known of a disk's content. */
export interface DiskContent extends DescribedDisk {
  readonly print: SourcePrint;
}

interface DescribedBytes {
  readonly recipe: Recipe;
  readonly digest: Digest;
  readonly keysRoot: Digest;
}

/** Reads whole disks: recipes and guests. */
export interface DiskReaders {
  /** The disk as it is, and without its free space. Throws `source_changed`, `unavailable`, `cancelled`. */
  describeDisk(
    locked: LockedDisk,
    signal: AbortSignal,
  ): Promise<
    DescribedBytes & {
      readonly withoutFree: DescribedBytes;
      readonly free: { readonly ranges: FreeRanges; readonly kept: readonly string[] };
    }
  >;
  /** Throws only `cancelled`. */
  inspectGuest(locked: readonly LockedDisk[], signal: AbortSignal): Promise<GuestInspection>;
}

/** What was computed once and need not be computed again; all of it can be made anew. */
export interface ContentCache {
  contentOf(print: SourcePrint): Promise<DiskContent | undefined>;
  putContent(content: DiskContent): Promise<void>;
  guestOf(digests: readonly Digest[]): Promise<GuestInspection | undefined>;
  putGuest(digests: readonly Digest[], facts: GuestInspection): Promise<void>;
  /** The verified recipe. Throws `not_found` when it is not here or is damaged. */
  recipe(digest: Digest): Promise<{ readonly recipe: Recipe; readonly path: string }>;
  /** Stores a recipe durably; returns the length of its file. */
  putRecipe(digest: Digest, recipe: Recipe): Promise<number>;
  /** What is free of the disk that has this digest without it. Throws as `recipe`. */
  freeRanges(digest: Digest): Promise<FreeRanges>;
  putFreeRanges(digest: Digest, ranges: FreeRanges, virtualSizeBytes: number): Promise<void>;
  /** Removes what belongs to none of these. */
  sweep(keep: {
    readonly prints: ReadonlySet<SourcePrint>;
    readonly digests: ReadonlySet<Digest>;
    readonly guests: readonly (readonly Digest[])[];
  }): Promise<void>;
}

/** One version of a VM as its origin remembers it. */
export interface VersionRecord {
  readonly version: number;
  readonly digests: readonly Digest[];
  /** Of the same disks without their free space; none from before it was looked for. */
  readonly skipFreeDigests: readonly Digest[];
  /** Other than `off`: the VM ran when it was described, and its bytes are in its copy only. */
  readonly consistency: Consistency;
  /** Null for old versions: nobody asks for them again. */
  readonly description: Description | null;
}

/** What an origin remembers of one VM across restarts. */
export interface VmRecord {
  readonly vm: Name;
  /** Ascending. */
  readonly versions: readonly VersionRecord[];
  /** Where the newest version came from, and how its source looked. */
  readonly source: {
    readonly disks: readonly DiskSource[];
    readonly prints: readonly SourcePrint[];
  };
}

/** The durable memory of versions. */
export interface Ledger {
  load(): Promise<readonly VmRecord[]>;
  /** Durable when it resolves. */
  save(record: VmRecord): Promise<void>;
}

/** Copies of disks that outlive their source. */
export interface Pins {
  /** Digests of the copies that are here, with the file that serves them. */
  list(): ReadonlyMap<Digest, DiskLayer>;
  /** Copies a locked disk, every segment verified. Throws `disk_full`, `withdrawn`, `cancelled`, … */
  make(
    wanted: { readonly digest: Digest; readonly recipe: Recipe; readonly disk: DiskSource },
    locked: LockedDisk,
    signal: AbortSignal,
  ): Promise<void>;
  remove(digest: Digest): Promise<void>;
}

/**
 * VMs that run, whose disks are made to stand still for a while: their guests write into overlays, which are
 * merged back afterwards, whatever happens in between.
 */
export interface RunningDisks {
  /** VMs with overlays that are not merged yet: their disks are not all of what they hold. */
  unmerged(): readonly Pick<VmSpecification, 'name' | 'disks'>[];
  /**
   * Puts overlays on all disks of a VM at one moment. Throws `source_running` with the reason why it can't be
   * done for this VM, `disk_full` when there is no room for it, `unavailable`, `tool_failed`. Whatever it
   * threw, `merge` is to be called after it.
   */
  takeOverlays(vm: VmSpecification): Promise<{ readonly consistency: 'agent' | 'crash' }>;
  /**
   * Merges a VM's overlays into its disks; nothing is left of them when it resolves, and where there are none
   * it does nothing. Nobody may have the disks locked. Throws `conflict` when somebody changed the VM's disks
   * meanwhile, `unavailable`, `tool_failed`; then all is as it was and it can be called again.
   */
  merge(vm: Name): Promise<void>;
}

/** Tells the coordinator. Throws `unavailable`, `timeout`, `busy` when it is away; else its own codes. */
export interface Announcements {
  announce(description: Description, state: VersionState): Promise<void>;
  setState(vm: Name, version: number, state: VersionState): Promise<void>;
}
