/**
 * Room: origin, services. The reconciler: what is found is described, what has changed is withdrawn and
 * described anew, pins are kept, the coordinator is told.
 *
 * I1: idempotent and without input: woken by any sign of change and by a timer, it looks at everything.
 * I2: a change is told before the new version is described, which takes time.
 * I3: one VM that can't be described does not hold up the others.
 * I4: what earlier runs left on VMs that run is merged first; until it is, nothing is said of such a VM's
 *     disks.
 * I5: what is seen of files that get other names meanwhile (a move's fence) says nothing of the VM: it is
 *     looked at again at once, under the names that it has then.
 */

import { isDeepStrictEqual } from 'node:util';
import { describeError, isVmdnError, VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Name } from '@vmdn/core/domain/names.ts';
import type { DiskSource, VmSpecification } from '@vmdn/core/domain/vm-specification.ts';
import type { Logger } from '@vmdn/core/process/logger.ts';
import { RESCAN_MS, RETRY_MS, SETTLE_MS } from '../limits.ts';
import type { VmDiscovery } from '../ports.ts';
import type { Announcer } from './announcer.ts';
import type { RunningVms } from './describe-running.ts';
import { type DescribeDeps, describeVm, printsOf } from './describe-vm.ts';
import type { PinKeeper } from './keep-pins.ts';
import type { VersionBook, VmContent } from './version-book.ts';

export interface VmWatcherOptions extends DescribeDeps {
  readonly discovery: VmDiscovery;
  readonly book: VersionBook;
  /** Undefined: no libvirt, whose VMs alone can be described while they run. */
  readonly running: RunningVms | undefined;
  readonly pinKeeper: PinKeeper;
  readonly announcer: Announcer;
  readonly logger: Logger;
  readonly now: () => number;
  readonly rescanMs?: number;
  readonly retryMs?: number;
}

/** A VM that is to be described, and where its disks lay by the book when it was looked at. */
interface Changed {
  readonly vm: VmSpecification;
  readonly lay: readonly DiskSource[] | undefined;
}

export interface VmWatcher extends AsyncDisposable {
  /** Something may have changed: look soon. */
  wake(): void;
  /** Describes a VM at the next look, if it runs. Throws `invalid_input`, `not_found`. */
  describeRunning(vm: Name): Promise<void>;
  /** A source turned out not to be what was described: withdraws it at once, and looks soon. */
  reportTrouble(vm: Name, error: unknown): void;
  /** Settles when every source was looked at: one that is not what was described is known; never rejects. */
  readonly firstLook: Promise<void>;
  /** What is wrong now, by VM or file. */
  problems(): ReadonlyMap<string, string>;
}

/** Starts to watch; disposing of it stops what is under way. */
export function startVmWatcher(options: VmWatcherOptions): VmWatcher {
  const watcher = new Watcher(options);
  watcher.start();
  return watcher;
}

class Watcher implements VmWatcher {
  readonly #options: VmWatcherOptions;
  readonly #stop = new AbortController();
  readonly #problems = new Map<string, string>();
  readonly #retryNotBefore = new Map<Name, number>();
  #found: ReadonlyMap<Name, readonly DiskSource[]> = new Map();
  readonly #looked = Promise.withResolvers<void>();
  #wakeUp: () => void = () => undefined;
  #isAwake = true;
  #loop: Promise<void> = Promise.resolve();

  constructor(options: VmWatcherOptions) {
    this.#options = options;
  }

  get firstLook(): Promise<void> {
    return this.#looked.promise;
  }

  start(): void {
    this.#loop = this.#run();
  }

  wake(): void {
    this.#isAwake = true;
    this.#wakeUp();
  }

  async describeRunning(vm: Name): Promise<void> {
    const { running } = this.#options;
    if (running === undefined) {
      const message = 'Only VMs of libvirt can be described while they run; set VMDN_LIBVIRT_URI.';
      throw new VmdnError('invalid_input', message, { data: { vm } });
    }
    // Before that nothing has been found yet.
    await this.#looked.promise;
    if (!this.#found.has(vm)) {
      throw new VmdnError('not_found', `This origin has no VM "${vm}".`, { data: { vm } });
    }
    running.ask(vm);
    this.#retryNotBefore.delete(vm);
    this.wake();
  }

  reportTrouble(vm: Name, error: unknown): void {
    if (!this.#options.book.isMatching(vm)) return;
    this.#options.book.setMatching(vm, false);
    this.#complain(vm, error);
    this.wake();
  }

  problems(): ReadonlyMap<string, string> {
    return this.#problems;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.wake();
    await this.#loop;
  }

  async #run(): Promise<void> {
    using _signs = this.#options.discovery.watch(() => this.wake());
    while (!this.#stop.signal.aborted) {
      this.#isAwake = false;
      try {
        await this.#pass();
      } catch (error) {
        if (!this.#stop.signal.aborted) {
          this.#options.logger.error({ err: error }, `a pass failed: ${describeError(error)}`);
        }
      }
      this.#looked.resolve();
      await this.#rest();
    }
  }

  /** Waits for a sign of change or the timer; after a sign a moment more, since signs come in swarms. */
  async #rest(): Promise<void> {
    const { rescanMs = RESCAN_MS } = this.#options;
    const longestMs = this.#retryNotBefore.size > 0 ? this.#retryMs() : rescanMs;
    if (!this.#isAwake) await this.#delay(longestMs, (wakeUp) => (this.#wakeUp = wakeUp));
    await this.#delay(SETTLE_MS, () => undefined);
  }

  /** Ends after the time, when it is stopped, or when whoever was given `wakeUp` calls it. */
  async #delay(durationMs: number, give: (wakeUp: () => void) => void): Promise<void> {
    if (this.#stop.signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const wakeUp = (): void => resolve();
    const timer = setTimeout(wakeUp, durationMs);
    this.#stop.signal.addEventListener('abort', wakeUp, { once: true });
    give(wakeUp);
    await promise;
    clearTimeout(timer);
    this.#stop.signal.removeEventListener('abort', wakeUp);
  }

  #retryMs(): number {
    return this.#options.retryMs ?? RETRY_MS;
  }

  async #pass(): Promise<void> {
    const { book, running } = this.#options;
    const unsettled = (await running?.settle()) ?? new Map<Name, unknown>();
    const { vms, changed } = await book.undisturbed(() => this.#look(unsettled));
    // Whoever waits for this must not wait for whole disks to be read.
    this.#looked.resolve();
    await this.#settle();
    for (const each of changed) {
      if (this.#stop.signal.aborted) return;
      if ((this.#retryNotBefore.get(each.vm.name) ?? 0) > this.#options.now()) continue;
      if (await this.#describe(each)) await this.#settle();
    }
    await this.#sweep(vms);
  }

  /** Everything that is there, and what of it is not as it was described. */
  async #look(unsettled: ReadonlyMap<Name, unknown>) {
    const { discovery, book } = this.#options;
    const found = await discovery.find();
    this.#forgetOldProblems(found.vms, found.problems);
    for (const { where, error } of found.problems) this.#complain(where, error);
    const present = new Map(found.vms.map((vm) => [vm.name, vm.disks]));
    for (const [name, disks] of present) {
      // What was wrong with it was so under other names.
      if (!isDeepStrictEqual(this.#found.get(name), disks)) this.#retryNotBefore.delete(name);
    }
    this.#found = present;
    const changed: Changed[] = [];
    for (const vm of found.vms) {
      if (unsettled.has(vm.name)) this.#holdBack(vm.name, unsettled.get(vm.name));
      else if (!(await this.#isUnchanged(vm))) {
        changed.push({ vm, lay: book.source(vm.name)?.disks });
      }
    }
    for (const name of book.vmNames()) if (!present.has(name)) book.setMatching(name, false);
    return { vms: found.vms, changed };
  }

  async #settle(): Promise<void> {
    await this.#options.announcer.push();
    await this.#options.pinKeeper.settle(this.#stop.signal);
    await this.#options.announcer.push();
  }

  /** Also says so to the book when it has changed. */
  async #isUnchanged(vm: VmSpecification): Promise<boolean> {
    const { book, locks } = this.#options;
    const source = book.source(vm.name);
    const prints = await printsOf(locks, vm.disks).catch(() => undefined);
    const isSame =
      prints !== undefined &&
      isDeepStrictEqual(source?.prints, prints) &&
      isDeepStrictEqual(book.newest(vm.name)?.description?.hardware, vm.hardware);
    if (!isSame) book.setMatching(vm.name, false);
    return isSame && book.isMatching(vm.name);
  }

  /** I4. */
  #holdBack(vm: Name, error: unknown): void {
    const { book, now } = this.#options;
    book.setMatching(vm, false);
    this.#retryNotBefore.set(vm, now() + this.#retryMs());
    this.#complain(vm, error);
  }

  /** What the VM holds; null: it runs, and it is not the time to describe it. */
  async #read(vm: VmSpecification): Promise<VmContent | null> {
    const { running } = this.#options;
    try {
      const content = await describeVm(this.#options, vm, this.#stop.signal);
      running?.forget(vm.name);
      return content;
    } catch (error) {
      if (!isVmdnError(error, 'source_running')) throw error;
      const content = await running?.describe(vm, this.#stop.signal);
      if (content === undefined) throw error;
      if (content !== null) return content;
      // A copy of what it was serves meanwhile; without one it is as any VM that runs.
      if (!this.#options.book.isKept(vm.name)) throw error;
      return null;
    }
  }

  /** Returns whether the VM is described now. */
  async #describe(changed: Changed): Promise<boolean> {
    const { book, logger } = this.#options;
    const { vm } = changed;
    try {
      const content = await this.#read(vm);
      if (await this.#isRelocated(changed)) return false;
      if (content === null) {
        this.#problems.delete(vm.name);
        this.#retryNotBefore.set(vm.name, this.#options.now() + this.#retryMs());
        return false;
      }
      const isNew = await book.record(vm, content);
      const version = book.newest(vm.name)?.version;
      if (isNew) logger.info({ event: 'version', vm: vm.name, version }, 'a new version');
      this.#problems.delete(vm.name);
      this.#retryNotBefore.delete(vm.name);
      return true;
    } catch (error) {
      if (this.#stop.signal.aborted || (await this.#isRelocated(changed))) return false;
      // Let go for its owner: until it is seen otherwise, nothing has changed.
      if (!isVmdnError(error, 'unavailable')) book.setMatching(vm.name, false);
      const { rescanMs = RESCAN_MS, now } = this.#options;
      this.#retryNotBefore.set(vm.name, now() + (isPassing(error) ? this.#retryMs() : rescanMs));
      this.#complain(vm.name, error);
      return false;
    }
  }

  /** I5. */
  async #isRelocated({ vm, lay }: Changed): Promise<boolean> {
    const { book } = this.#options;
    // Not in the middle of it.
    const lies = await book.undisturbed(async () => book.source(vm.name)?.disks);
    if (isDeepStrictEqual(lies, lay)) return false;
    this.wake();
    return true;
  }

  /** Logs a problem when it is new or another one. */
  #complain(where: string, error: unknown): void {
    const words = describeError(error);
    if (this.#problems.get(where) === words) return;
    this.#problems.set(where, words);
    const facts = { event: 'vm_not_served', where, err: error };
    if (isPassing(error)) this.#options.logger.info(facts, `${where}: ${words}`);
    else this.#options.logger.warn(facts, `${where}: ${words}`);
  }

  #forgetOldProblems(
    vms: readonly VmSpecification[],
    problems: readonly { readonly where: string }[],
  ): void {
    const present = new Set<string>([
      ...vms.map((vm) => vm.name),
      ...problems.map((problem) => problem.where),
    ]);
    for (const where of [...this.#problems.keys()]) {
      if (!present.has(where)) this.#problems.delete(where);
    }
    for (const name of [...this.#retryNotBefore.keys()]) {
      if (!present.has(name)) this.#retryNotBefore.delete(name);
    }
  }

  /** Lets the cache forget what belongs to no version that could be asked for. */
  async #sweep(vms: readonly VmSpecification[]): Promise<void> {
    const { book, cache } = this.#options;
    const names = vms.map((vm) => vm.name);
    const standings = book
      .standings()
      .filter((each) => each.isNewest || each.state !== 'withdrawn');
    await cache.sweep({
      prints: new Set(names.flatMap((name) => book.source(name)?.prints ?? [])),
      digests: new Set(standings.flatMap((each) => [...each.digests, ...each.skipFreeDigests])),
      guests: standings.map((each) => each.digests),
    });
  }
}

/** Part of a VM's life: it runs, it has just been stopped, its owner wants it for a while. */
function isPassing(error: unknown): boolean {
  return (['source_running', 'source_changed', 'withdrawn', 'unavailable'] as const).some((code) =>
    isVmdnError(error, code),
  );
}
