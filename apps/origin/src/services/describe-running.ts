/**
 * Room: origin, services. VMs that run, described all the same: overlays taken, disks read and copied,
 * overlays merged; and when that is due.
 *
 * I1: the overlays are merged whatever happens: a failure, a stop of the origin, and, by `settle`, a kill.
 * I2: a version of a VM that runs is announced only with copies of all its disks: the disks themselves go on.
 * I3: a merge finds the disks unlocked, and nobody locks them while it lasts.
 * I4: nothing is done to a VM that runs unless the operator switched that on, or an earlier run left
 *     overlays.
 */

import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Name } from '@vmdn/core/domain/names.ts';
import type { VmSpecification } from '@vmdn/core/domain/vm-specification.ts';
import { RUNNING_FIRST_MS, RUNNING_RETRY_MS } from '../limits.ts';
import type { Pins, RunningDisks } from '../ports.ts';
import { type DescribeDeps, describeVm } from './describe-vm.ts';
import type { VmContent } from './version-book.ts';

/** How VMs that run are described. */
export interface RunningPolicy {
  /** Null: only when the operator asks for it. */
  readonly everyMs: number | null;
}

export interface RunningVmsOptions extends DescribeDeps {
  readonly running: RunningDisks;
  readonly pins: Pins;
  /** Null: VMs that run are left alone (I4). */
  readonly policy: RunningPolicy | null;
  readonly now: () => number;
}

export interface RunningVms {
  /** Merges what is left of earlier runs; returns what is wrong with those that could not be merged. */
  settle(): Promise<ReadonlyMap<Name, unknown>>;
  /** The next look at this VM describes it, if it runs. Throws `invalid_input` when that is switched off. */
  ask(vm: Name): void;
  /** The VM was seen off. */
  forget(vm: Name): void;
  /**
   * Describes a VM that runs, when that is due, and copies its disks; null when it is not due. Throws why it
   * could not be done, and again until it is tried again.
   */
  describe(vm: VmSpecification, signal: AbortSignal): Promise<VmContent | null>;
}

/** When a VM is next described, and why it was not. */
interface Turn {
  readonly atMs: number;
  readonly refusal?: unknown;
}

/** Describes the VMs of one origin while they run. */
export function createRunningVms(options: RunningVmsOptions): RunningVms {
  const { running, policy, now, logger } = options;
  const turns = new Map<Name, Turn>();
  const everyMs = policy?.everyMs ?? Number.POSITIVE_INFINITY;

  const describeNow = async (vm: VmSpecification, signal: AbortSignal): Promise<VmContent> => {
    const started = performance.now();
    const seconds = secondsSince(started);
    let content: VmContent;
    const facts: Record<string, unknown> = { event: 'running_described', vm: vm.name };
    try {
      const { consistency } = await running.takeOverlays(vm);
      facts.takenSeconds = seconds();
      content = { ...(await describeVm(options, vm, signal)), consistency };
      await copyDisks(options, vm, content, signal);
      facts.readSeconds = seconds();
    } finally {
      await mergeDisks(options, vm).catch((error: unknown) => {
        // Each pass settles what is left, and complains until it is.
        logger.warn({ vm: vm.name, err: error }, 'the overlays could not be merged yet');
      });
    }
    const { consistency } = content;
    logger.info({ ...facts, consistency, mergedSeconds: seconds() }, 'described a VM that runs');
    return content;
  };
  return {
    async settle() {
      const problems = new Map<Name, unknown>();
      for (const vm of running.unmerged()) {
        try {
          await mergeDisks(options, vm);
        } catch (error) {
          problems.set(vm.name, error);
        }
      }
      return problems;
    },
    ask(vm) {
      if (policy === null) {
        const message =
          'This origin leaves VMs that run alone; start it with VMDN_RUNNING_SOURCES=snapshot.';
        throw new VmdnError('invalid_input', message, { data: { vm } });
      }
      turns.set(vm, { atMs: now() });
    },
    forget: (vm) => void turns.delete(vm),
    async describe(vm, signal) {
      if (policy === null) return null;
      const firstMs = policy.everyMs === null ? everyMs : Math.min(everyMs, RUNNING_FIRST_MS);
      const turn = turns.get(vm.name) ?? { atMs: now() + firstMs };
      turns.set(vm.name, turn);
      if (turn.atMs > now()) {
        if (turn.refusal !== undefined) throw turn.refusal;
        return null;
      }
      try {
        const content = await describeNow(vm, signal);
        turns.set(vm.name, { atMs: now() + everyMs });
        return content;
      } catch (error) {
        turns.set(vm.name, { atMs: now() + RUNNING_RETRY_MS, refusal: error });
        throw error;
      }
    },
  };
}

/** I2. */
async function copyDisks(
  { locks, cache, pins }: RunningVmsOptions,
  vm: VmSpecification,
  content: VmContent,
  signal: AbortSignal,
): Promise<void> {
  for (const [i, { digest }] of content.disks.entries()) {
    const disk = vm.disks[i]!;
    const { recipe } = await cache.recipe(digest);
    const locked = await locks.lock(disk);
    try {
      await pins.make({ digest, recipe, disk }, locked, signal);
    } finally {
      locked.release();
    }
  }
}

/** I3. */
async function mergeDisks(
  { running, locks }: Pick<RunningVmsOptions, 'running' | 'locks'>,
  vm: Pick<VmSpecification, 'name' | 'disks'>,
): Promise<void> {
  using keptAway = new DisposableStack();
  for (const disk of vm.disks) keptAway.use(await locks.keepAway(disk));
  await running.merge(vm.name);
}

function secondsSince(started: number): () => number {
  return () => Number(((performance.now() - started) / 1000).toFixed(3));
}
