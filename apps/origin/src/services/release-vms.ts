/**
 * Room: origin, services. What an operator asks on the origin's own machine: let go of a VM's disks so
 * that it can be started, describe one that runs, and how the VMs stand.
 */

import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Name } from '@vmdn/core/domain/names.ts';
import type { SourceLocks } from '../ports.ts';
import type { VersionBook, VersionStanding } from './version-book.ts';

export interface OperatorDesk {
  /** Lets go of one VM's disks, or of all; returns the VMs. Throws `not_found`. */
  release(vm: Name | undefined, seconds: number): Promise<readonly Name[]>;
  /** Has a VM that runs described at the next look. Throws `not_found`, `invalid_input`. */
  describe(vm: Name): void;
  status(): OriginStatus;
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
  readonly describeRunning: (vm: Name) => void;
  readonly problems: () => ReadonlyMap<string, string>;
  readonly now: () => number;
}): OperatorDesk {
  const { book, locks, now } = options;
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
    status() {
      const problems = options.problems();
      const newest = book.standings().filter((standing) => standing.isNewest);
      const names = new Set<string>(newest.map((standing) => standing.vm));
      return {
        vms: newest.map(({ vm, version, state, consistency }) => ({
          ...{ vm, version, state, consistency },
          locked: (book.source(vm)?.disks ?? []).some((disk) => locks.isLocked(disk)),
          problem: problems.get(vm) ?? null,
        })),
        problems: [...problems]
          .filter(([where]) => !names.has(where))
          .map(([where, problem]) => ({ where, problem })),
      };
    },
  };
}
