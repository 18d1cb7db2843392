/**
 * Room: origin, services. The versions of all VMs: which there are, which is whose disk, what state each
 * is in. Kept in memory, written through to the ledger.
 *
 * I1: version numbers of a VM count up from 1 and are in the ledger before anybody hears of them; a new
 *     one is given only when the disks' digests (also those without free space), the hardware or the
 *     consistency differ from the newest one's.
 * I2: a source counts as matching only after it was seen off and unchanged by this very process; until it
 *     was looked at nothing is said of its versions: a restart withdraws nothing, and whoever asks for the
 *     newest one meanwhile hears that it can't be told yet.
 * I3: a source whose files get other names (a move's fence) is the same version before, meanwhile and after.
 */

import { isDeepStrictEqual } from 'node:util';
import {
  type Consistency,
  DESCRIPTION_SCHEMA,
  type Description,
  type VersionState,
} from '@vmdn/core/domain/description.ts';
import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { DiskLayer } from '@vmdn/core/domain/disk-format.ts';
import type { Name } from '@vmdn/core/domain/names.ts';
import { decideVersion, type PinPolicy } from '@vmdn/core/domain/version-policy.ts';
import type { DiskSource, VmSpecification } from '@vmdn/core/domain/vm-specification.ts';
import type { GuestInspection } from '@vmdn/core/io/ports/guest-inspector.ts';
import { OLD_VERSIONS_MAX } from '../limits.ts';
import type { DiskContent, Ledger, Pins, SourcePrint, VersionRecord, VmRecord } from '../ports.ts';

/** A source as it lies there. */
export interface LivePlace {
  readonly kind: 'live';
  /** Whether the digest is that of the disk without its free space. */
  readonly withoutFree: boolean;
  readonly vm: Name;
  readonly disk: DiskSource;
  readonly print: SourcePrint;
}

/** Where the bytes of a digest can be read. */
export type DiskPlace =
  | { readonly kind: 'pin'; readonly disk: DiskSource; readonly withoutFree: boolean }
  | LivePlace
  /** Nothing is known of its source since this process started. */
  | { readonly kind: 'unseen' }
  | { readonly kind: 'withdrawn' };

/** A version as it stands. */
export interface VersionStanding {
  readonly vm: Name;
  readonly version: number;
  readonly digests: readonly Digest[];
  readonly skipFreeDigests: readonly Digest[];
  readonly isNewest: boolean;
  readonly consistency: Consistency;
  /** Of the newest version only. */
  readonly description: Description | null;
  readonly state: VersionState;
  readonly pin: 'make' | 'keep' | 'remove' | 'none';
}

/** What was found in a VM's disks. */
export interface VmContent {
  readonly disks: readonly DiskContent[];
  readonly guest: GuestInspection;
  /** Other than `off`: the VM ran, and goes on; these bytes are in their copies only. */
  readonly consistency: Consistency;
}

export interface VersionBook {
  newest(vm: Name): VersionRecord | undefined;
  source(vm: Name): VmRecord['source'] | undefined;
  vmNames(): readonly Name[];
  /** Whether the source was seen off and unchanged, and nothing has been heard to the contrary. */
  isMatching(vm: Name): boolean;
  /**
   * Whether it is matching, or an earlier process described it while it was off and nothing is known to the
   * contrary yet. Whoever relies on it compares the prints again, under a lock where it must be off.
   */
  mayMatch(vm: Name): boolean;
  /** Says that the source is, or may no longer be, the newest version's. */
  setMatching(vm: Name, matches: boolean): void;
  /**
   * Notes where a VM's disks lie after `rename` gave their files other names: the same bytes, or it throws.
   * Nobody looks at sources meanwhile (`undisturbed`).
   */
  relocate(vm: Name, rename: () => Promise<VmRecord['source']>): Promise<void>;
  /** Runs a step in which no source gets another name. */
  undisturbed<T>(step: () => Promise<T>): Promise<T>;
  /** Whether a place that was given before is still where the disk lies; if not, ask for it anew. */
  stands(place: LivePlace): boolean;
  /** Whether anything is known of the source since this process started. */
  isLookedAt(vm: Name): boolean;
  /** Whether the newest version is served from copies. */
  isKept(vm: Name): boolean;
  /**
   * Writes down what a VM holds; its source matches from then on, unless it ran. Returns whether that is a
   * new version.
   */
  record(vm: VmSpecification, content: VmContent): Promise<boolean>;
  /** Gives the newest version a higher number, when the coordinator knows more than this ledger. */
  renumber(vm: Name, version: number): Promise<void>;
  /** A teleport may read the disk until then. Returns whether that is news. */
  noteTeleport(digest: Digest, untilMs: number): boolean;
  /** Undefined: no version of any VM has such a disk. */
  placeOf(digest: Digest): DiskPlace | undefined;
  /** All versions of VMs that were looked at, for each VM in ascending order. */
  standings(): readonly VersionStanding[];
}

export interface VersionBookOptions {
  readonly ledger: Ledger;
  readonly pins: Pick<Pins, 'list'>;
  readonly policy: PinPolicy;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** Loads the book from its ledger. */
export async function openVersionBook(options: VersionBookOptions): Promise<VersionBook> {
  const records = new Map<Name, VmRecord>();
  for (const record of await options.ledger.load()) records.set(record.vm, record);
  return new Book(options, records);
}

class Book implements VersionBook {
  readonly #options: VersionBookOptions;
  readonly #records: Map<Name, VmRecord>;
  readonly #matching = new Map<Name, boolean>();
  readonly #teleports = new Map<Digest, number>();
  readonly #relocating = new Set<Name>();
  #turns: Promise<unknown> = Promise.resolve();

  constructor(options: VersionBookOptions, records: Map<Name, VmRecord>) {
    this.#options = options;
    this.#records = records;
  }

  newest(vm: Name): VersionRecord | undefined {
    return this.#records.get(vm)?.versions.at(-1);
  }

  source(vm: Name): VmRecord['source'] | undefined {
    return this.#records.get(vm)?.source;
  }

  vmNames(): readonly Name[] {
    return [...this.#records.keys()];
  }

  isMatching(vm: Name): boolean {
    return this.#matching.get(vm) === true;
  }

  mayMatch(vm: Name): boolean {
    return this.#matching.get(vm) ?? this.newest(vm)?.consistency === 'off';
  }

  setMatching(vm: Name, matches: boolean): void {
    this.#matching.set(vm, matches);
  }

  isLookedAt(vm: Name): boolean {
    return this.#matching.has(vm);
  }

  relocate(vm: Name, rename: () => Promise<VmRecord['source']>): Promise<void> {
    return this.undisturbed(async () => {
      this.#relocating.add(vm);
      try {
        const source = await rename();
        await this.#save({ ...this.#records.get(vm)!, source });
      } finally {
        this.#relocating.delete(vm);
      }
    });
  }

  undisturbed<T>(step: () => Promise<T>): Promise<T> {
    const turn = this.#turns.then(step);
    this.#turns = turn.catch(() => undefined);
    return turn;
  }

  stands({ vm, disk, print }: LivePlace): boolean {
    const source = this.#records.get(vm)?.source;
    const at = source?.disks.findIndex((one) => isDeepStrictEqual(one, disk)) ?? -1;
    return !this.#relocating.has(vm) && source?.prints[at] === print;
  }

  isKept(vm: Name): boolean {
    return this.standings().some(
      (each) => each.vm === vm && each.isNewest && each.state === 'pinned',
    );
  }

  async record(vm: VmSpecification, content: VmContent): Promise<boolean> {
    const { consistency } = content;
    const isOff = consistency === 'off';
    const source = { disks: vm.disks, prints: content.disks.map((disk) => disk.print) };
    const digests = content.disks.map((disk) => disk.digest);
    const skipFreeDigests = content.disks.map((disk) => disk.skipFree?.digest ?? disk.digest);
    const known = this.#records.get(vm.name);
    const newest = known?.versions.at(-1);
    const isSame =
      newest !== undefined &&
      isDeepStrictEqual(newest.digests, digests) &&
      isDeepStrictEqual(newest.skipFreeDigests, skipFreeDigests) &&
      isDeepStrictEqual(newest.description?.hardware, vm.hardware) &&
      newest.consistency === consistency;
    if (isSame && isDeepStrictEqual(known!.source, source)) {
      this.setMatching(vm.name, isOff);
      return false;
    }
    const version = (newest?.version ?? 0) + 1;
    const old = (known?.versions ?? []).map((each) => ({ ...each, description: null }));
    const description = this.#describe(vm, version, content);
    const added = { version, digests, skipFreeDigests, consistency, description };
    const versions = isSame ? known!.versions : [...old.slice(-OLD_VERSIONS_MAX), added];
    await this.#save({ vm: vm.name, versions, source });
    this.setMatching(vm.name, isOff);
    return !isSame;
  }

  async renumber(vm: Name, version: number): Promise<void> {
    const record = this.#records.get(vm);
    const newest = record?.versions.at(-1);
    if (record === undefined || newest === undefined || newest.version >= version) return;
    const description = newest.description === null ? null : { ...newest.description, version };
    const versions = [...record.versions.slice(0, -1), { ...newest, version, description }];
    await this.#save({ ...record, versions });
  }

  noteTeleport(digest: Digest, untilMs: number): boolean {
    const now = this.#options.now();
    for (const [other, until] of this.#teleports) if (until <= now) this.#teleports.delete(other);
    const known = this.#teleports.get(digest);
    this.#teleports.set(digest, Math.max(untilMs, known ?? 0));
    return known === undefined;
  }

  placeOf(digest: Digest): DiskPlace | undefined {
    let none: DiskPlace | undefined;
    for (const withoutFree of [false, true]) {
      for (const place of this.#places(digest, withoutFree)) {
        if (place.kind === 'pin' || place.kind === 'live') return place;
        // Another VM may come to have what this one had once.
        if (none === undefined || place.kind === 'unseen') none = place;
      }
    }
    return none;
  }

  *#places(digest: Digest, withoutFree: boolean): Generator<DiskPlace> {
    const pins = this.#options.pins.list();
    const own = withoutFree ? undefined : pins.get(digest);
    if (own !== undefined) yield { kind: 'pin', disk: diskOf(own), withoutFree };
    for (const { vm, versions, source } of this.#records.values()) {
      for (const version of versions) {
        const i = (withoutFree ? version.skipFreeDigests : version.digests).indexOf(digest);
        if (i < 0) continue;
        const pin = pins.get(version.digests[i]!);
        const isNewest = version === versions.at(-1);
        const [disk, print] = [source.disks[i]!, source.prints[i]!];
        if (pin !== undefined) yield { kind: 'pin', disk: diskOf(pin), withoutFree };
        else if (isNewest && this.isMatching(vm)) {
          yield { kind: 'live', vm, disk, print, withoutFree };
        } else yield { kind: isNewest && !this.isLookedAt(vm) ? 'unseen' : 'withdrawn' };
      }
    }
  }

  standings(): readonly VersionStanding[] {
    const records = [...this.#records.values()].filter(({ vm }) => this.isLookedAt(vm));
    return records.flatMap((record) =>
      record.versions.map((version, i) =>
        this.#standing(record.vm, version, i === record.versions.length - 1),
      ),
    );
  }

  #standing(vm: Name, record: VersionRecord, isNewest: boolean): VersionStanding {
    const { version, digests, skipFreeDigests, consistency, description } = record;
    const pins = this.#options.pins.list();
    const now = this.#options.now();
    const { state, pin } = decideVersion(this.#options.policy, {
      isNewest,
      sourceMatches: this.isMatching(vm),
      teleporting: [...digests, ...skipFreeDigests].some(
        (digest) => (this.#teleports.get(digest) ?? 0) > now,
      ),
      ran: consistency !== 'off',
      pinIsThere: digests.every((digest) => pins.has(digest)),
    });
    return {
      vm,
      version,
      digests,
      skipFreeDigests,
      isNewest,
      consistency,
      description,
      state,
      pin,
    };
  }

  #describe(vm: VmSpecification, version: number, content: VmContent): Description {
    const { remarks: _, ...guest } = content.guest;
    return {
      schema: DESCRIPTION_SCHEMA,
      vm: vm.name,
      version,
      describedAt: new Date(this.#options.now()).toISOString(),
      consistency: content.consistency,
      ...guest,
      hardware: vm.hardware,
      disks: content.disks.map(({ print: _, ...disk }) => disk),
    };
  }

  async #save(record: VmRecord): Promise<void> {
    await this.#options.ledger.save(record);
    this.#records.set(record.vm, record);
  }
}

function diskOf(layer: DiskLayer): DiskSource {
  return { layers: [layer] };
}
