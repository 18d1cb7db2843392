/**
 * Room: origin, services. What an operator asks on the origin's own machine: let go of a VM's disks so
 * that it can be started, describe one that runs, take a moved one back, and how the VMs stand.
 */

import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Id, Name } from '@vmdn/core/domain/names.ts';
import type { FenceFiles, FenceRecord } from '../fence-ports.ts';
import type { SourceLocks } from '../ports.ts';
import type { FenceFollower } from './follow-fences.ts';
import type { FenceKeeper } from './keep-fences.ts';
import type { VersionBook, VersionStanding } from './version-book.ts';

export interface OperatorDesk {
  /** Lets go of one VM's disks, or of all; returns the VMs. Throws `not_found`. */
  release(vm: Name | undefined, seconds: number): Promise<readonly Name[]>;
  /** Has a VM that runs described at the next look. Throws `not_found`, `invalid_input`. */
  describe(vm: Name): Promise<void>;
  /** Takes a moved VM back, by force only. Throws `conflict`, `not_found`. */
  takeBack(
    vm: Name,
    force: boolean,
  ): Promise<{ readonly vm: Name; readonly teleport: Id; readonly files: string[] }>;
  status(): Promise<OriginStatus>;
}

interface VmStatus {
  readonly vm: Name;
  readonly version: number;
  readonly state: VersionStanding['state'];
  /** Whether it was off when this version was described, or what of it the disks hold. */
  readonly consistency: VersionStanding['consistency'];
  /** Whether its disks are locked against writers at this moment. */
  readonly locked: boolean;
  readonly problem: string | null;
  readonly fence: FenceStatus | null;
}

interface FenceStatus {
  readonly teleport: Id;
  readonly epoch: number;
  readonly since: string;
  readonly settled: boolean;
  readonly files: string[];
}

export interface OriginStatus {
  readonly vms: VmStatus[];
  /** What is wrong besides: files that are no VM specifications, VMs that were never described. */
  readonly problems: { readonly where: string; readonly problem: string }[];
}

/** Answers an operator. */
export function createOperatorDesk(options: {
  readonly book: VersionBook;
  readonly locks: SourceLocks;
  readonly describeRunning: (vm: Name) => Promise<void>;
  readonly keeper: Pick<FenceKeeper, 'fences' | 'takeBack'>;
  readonly follower: Pick<FenceFollower, 'wake'>;
  readonly files: Pick<FenceFiles, 'hidden'>;
  readonly problems: () => ReadonlyMap<string, string>;
  readonly now: () => number;
}): OperatorDesk {
  const { book, locks, keeper, now } = options;
  return {
    async release(vm, seconds) {
      if (vm !== undefined && !book.vmNames().includes(vm)) {
        throw new VmdnError('not_found', `This origin has no VM "${vm}".`, { data: { vm } });
      }
      const names = vm === undefined ? book.vmNames() : [vm];
      const untilMs = now() + seconds * 1000;
      for (const name of names) {
        for (const disk of book.source(name)?.disks ?? []) await locks.letGo(disk, untilMs);
      }
      return names;
    },
    describe: options.describeRunning,
    async takeBack(vm, force) {
      if (!force) throw needsForce(vm, keeper.fences());
      const { teleport, files } = await keeper.takeBack(vm);
      options.follower.wake();
      return { vm, teleport, files: files.map(({ from }) => from) };
    },
    async status() {
      const fences = new Map<Name, FenceStatus>();
      for (const record of keeper.fences()) {
        if (record.state === 'forced') continue;
        const { vm, teleport, epoch, since, settled } = record;
        const hidden = await options.files.hidden(record.files);
        fences.set(vm, { teleport, epoch, since, settled, files: hidden.map(({ to }) => to) });
      }
      const problems = options.problems();
      const newest = book.standings().filter((standing) => standing.isNewest);
      const names = new Set<string>(newest.map((standing) => standing.vm));
      return {
        vms: newest.map(({ vm, version, state, consistency }) => ({
          ...{ vm, version, state, consistency },
          locked: (book.source(vm)?.disks ?? []).some((disk) => locks.isLocked(disk)),
          problem: problems.get(vm) ?? null,
          fence: fences.get(vm) ?? null,
        })),
        problems: [...problems]
          .filter(([where]) => !names.has(where))
          .map(([where, problem]) => ({ where, problem })),
      };
    },
  };
}

function needsForce(vm: Name, fences: readonly FenceRecord[]): VmdnError {
  const teleport = fences.find((record) => record.vm === vm)?.teleport ?? null;
  if (teleport === null) {
    return new VmdnError('not_found', `No move keeps "${vm}" from starting here.`, {
      data: { vm },
    });
  }
  const words =
    `Teleport ${teleport} moved "${vm}" away, and nobody is asked whether it runs there: if both start, ` +
    'two VMs write to two disks. Cancel the teleport instead (vmdn cancel); or, when you know that it ' +
    'runs nowhere else, say --force.';
  return new VmdnError('conflict', words, { data: { vm, teleport } });
}
