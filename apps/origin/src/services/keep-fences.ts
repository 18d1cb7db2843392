/**
 * Room: origin, services. The fences of moved VMs: their disks' files have other names until they may start
 * here again. Which fences there should be is the coordinator's word (follow-fences.ts).
 *
 * I1: the journal says what will happen before a file gets another name. What a killed origin left is put
 *     right at the next start: a fence that was not finished, and so never told, is undone, a release is
 *     completed, the operator's too. What can't be yet stays known, with its files' names, until it can.
 * I2: only a source that is off and still the move's version is fenced: its disks are locked against writers
 *     before and while their files are renamed, and their prints are compared under the lock. That it was
 *     seen so before is not needed: after a start a wish may come before the watcher's turn to describe it.
 * I3: fenced or not, it is the same version with the same bytes: only where they lie changes.
 * I4: an epoch or a move that is not the one held releases nothing; the operator may (`takeBack`), and is
 *     remembered.
 */

import { isDeepStrictEqual } from 'node:util';
import { isVmdnError, VmdnError } from '@vmdn/core/domain/errors.ts';
import { decideFence } from '@vmdn/core/domain/fence.ts';
import type { Name } from '@vmdn/core/domain/names.ts';
import type { DiskSource, VmSpecification } from '@vmdn/core/domain/vm-specification.ts';
import type { FenceWishValue } from '@vmdn/core/http/contracts/coordinator-moves.ts';
import type { Logger } from '@vmdn/core/process/logger.ts';
import type {
  FencedAs,
  FencedFile,
  FenceFiles,
  FenceJournal,
  FenceRecord,
} from '../fence-ports.ts';
import type { ContentCache, LockedDisk, SourceLocks, VmRecord } from '../ports.ts';
import { printsOf } from './describe-vm.ts';
import { fencedFile, movedDisks, restoredDisks } from './fenced-disks.ts';
import type { VersionBook } from './version-book.ts';

export interface FenceKeeper {
  readonly fencedAs: FencedAs;
  fences(): readonly FenceRecord[];
  /**
   * Does what is wished, and says what is true then. Throws `source_running`, `source_changed`,
   * `unavailable`, `stale_epoch`, `conflict`, …: nothing was changed.
   */
  fulfil(wish: FenceWishValue): Promise<'fenced' | 'released'>;
  /**
   * Gives a VM's files their names again whatever the coordinator wants. Throws `not_found`, `conflict`; may
   * be tried again.
   */
  takeBack(vm: Name): Promise<FenceRecord>;
  /** The coordinator knows that the operator took the VM back. */
  forget(vm: Name): Promise<void>;
}

export interface FenceKeeperOptions {
  readonly journal: FenceJournal;
  readonly files: FenceFiles;
  readonly book: VersionBook;
  readonly locks: SourceLocks;
  readonly cache: Pick<ContentCache, 'contentOf' | 'putContent'>;
  readonly logger: Logger;
  readonly now: () => number;
}

/** Loads the fences, and puts right what was left half done (I1). */
export async function openFences(options: FenceKeeperOptions): Promise<FenceKeeper> {
  const { journal, files, logger } = options;
  const records = new Map<Name, FenceRecord>();
  for (const record of await journal.load()) {
    records.set(record.vm, record);
    if (record.state === 'fenced') continue;
    const isForced = record.state === 'forced' || record.state === 'forcing';
    try {
      for (const file of record.files) await files.restore(file);
      if (isForced) {
        await journal.save({ ...record, state: 'forced' });
        records.set(record.vm, { ...record, state: 'forced' });
        continue;
      }
      await journal.remove(record.vm);
      records.delete(record.vm);
    } catch (error) {
      if (!isVmdnError(error)) throw error;
      if (isForced) records.set(record.vm, { ...record, state: 'forcing' });
      logger.warn({ event: 'fence_left', vm: record.vm, err: error }, error.message);
    }
  }
  return new Keeper(options, records);
}

class Keeper implements FenceKeeper {
  readonly #options: FenceKeeperOptions;
  readonly #records: Map<Name, FenceRecord>;
  #turns: Promise<unknown> = Promise.resolve();

  constructor(options: FenceKeeperOptions, records: Map<Name, FenceRecord>) {
    this.#options = options;
    this.#records = records;
  }

  readonly fencedAs: FencedAs = (vm) => {
    const record = this.#records.get(vm);
    return record === undefined || record.state === 'forced' ? undefined : record.specification;
  };

  fences(): readonly FenceRecord[] {
    return [...this.#records.values()];
  }

  fulfil(wish: FenceWishValue): Promise<'fenced' | 'released'> {
    return this.#inTurn(() => this.#fulfil(wish));
  }

  takeBack(vm: Name): Promise<FenceRecord> {
    return this.#inTurn(() => this.#takeBack(vm));
  }

  /** One thing at a time: a wish and the operator may meet. */
  #inTurn<T>(step: () => Promise<T>): Promise<T> {
    const turn = this.#turns.then(step);
    this.#turns = turn.catch(() => undefined);
    return turn;
  }

  async #fulfil(wish: FenceWishValue): Promise<'fenced' | 'released'> {
    const record = await this.#finished(wish.vm);
    const decision = decideFence(wish, record === undefined ? null : heldOf(record));
    if (typeof decision === 'object') throw refusal(decision.refuse, wish, record);
    if (decision === 'released') return 'released';
    if (decision === 'release') {
      await this.#release(record!);
      return 'released';
    }
    if (decision === 'fence') await this.#fence(wish);
    else await this.#renew(record!, wish, decision === 'raise');
    return 'fenced';
  }

  /** The VM's fence, once what was left half done of an earlier one is undone. Throws `conflict`. */
  async #finished(vm: Name): Promise<FenceRecord | undefined> {
    const record = this.#records.get(vm);
    if (record?.state === 'forcing') return await this.#force(record);
    if (record?.state !== 'fencing' && record?.state !== 'releasing') return record;
    await this.#undo(record);
    return undefined;
  }

  /** Gives a half-done fence's files their names; where that fails it stays known, for the next wish. */
  async #undo(record: FenceRecord): Promise<void> {
    try {
      await this.#giveBack(record, null);
    } catch (error) {
      this.#records.set(record.vm, record);
      throw error;
    }
    await this.#forget(record.vm);
  }

  async #takeBack(vm: Name): Promise<FenceRecord> {
    const record = this.#records.get(vm);
    if (record === undefined || record.state === 'forced') {
      throw new VmdnError('not_found', `No move keeps "${vm}" from starting here.`, {
        data: { vm },
      });
    }
    const forced = await this.#force(record);
    const { teleport, epoch } = record;
    this.#options.logger.warn(
      { event: 'fence_forced', vm, teleport, epoch },
      'taken back by force',
    );
    return forced;
  }

  /** The operator's word stands before a file has its name again, and counts as done when all have (I1). */
  async #force(record: FenceRecord): Promise<FenceRecord> {
    const forced: FenceRecord = { ...record, state: 'forced' };
    await this.#save({ ...record, state: 'forcing' });
    await this.#giveBack(record, forced);
    await this.#save(forced);
    return forced;
  }

  forget(vm: Name): Promise<void> {
    return this.#inTurn(() => this.#forget(vm));
  }

  async #forget(vm: Name): Promise<void> {
    await this.#options.journal.remove(vm);
    this.#records.delete(vm);
  }

  async #save(record: FenceRecord): Promise<void> {
    await this.#options.journal.save(record);
    this.#records.set(record.vm, record);
  }

  async #fence(wish: FenceWishValue): Promise<void> {
    const { files, logger, now } = this.#options;
    const { vm, version, teleport, epoch } = wish;
    const source = this.#presentSource(wish);
    const fenced = source.disks.map((disk) => fencedFile(disk, teleport));
    this.#requireAlone(vm, fenced);
    const locked = await this.#lock(source);
    try {
      for (const file of fenced) await files.check(file);
      const record: FenceRecord = {
        ...{ vm, teleport, epoch, version, state: 'fencing', files: fenced },
        specification: this.#specification(vm, movedDisks(source.disks, fenced)),
        since: new Date(now()).toISOString(),
        settled: false,
      };
      await this.#options.journal.save(record);
      try {
        await this.#rename(vm, record.specification.disks, async () => {
          this.#presentSource(wish);
          for (const file of fenced) await files.hide(file);
          this.#records.set(vm, record);
        });
        await this.#save({ ...record, state: 'fenced' });
      } catch (error) {
        await this.#undo(record);
        throw error;
      }
      logger.info(
        { event: 'fenced', vm, version, teleport, epoch },
        'a moved VM can start no more',
      );
    } finally {
      for (const disk of locked) disk.release();
    }
  }

  /** Throws `source_changed`, `unavailable` unless the VM's source is what the wish's move delivers (I2). */
  #presentSource({ vm, version }: FenceWishValue): VmRecord['source'] {
    const { book } = this.#options;
    const source = book.source(vm);
    const newest = book.newest(vm)?.version;
    if (source === undefined || newest === undefined) {
      throw new VmdnError('unavailable', `This origin offers no VM "${vm}" at present.`);
    }
    if (newest === version && book.mayMatch(vm)) return source;
    const words =
      newest === version
        ? `The source of ${vm} runs, or has changed since version ${version}; shut it down unchanged.`
        : `The source of ${vm} is version ${newest} by now, and ${version} is being moved.`;
    throw new VmdnError('source_changed', words, { data: { vm, version, newest } });
  }

  /** Throws `conflict` when another VM here stands on one of the files. */
  #requireAlone(vm: Name, files: readonly FencedFile[]): void {
    const { book } = this.#options;
    const paths = new Set(files.map(({ from }) => from));
    for (const other of book.vmNames()) {
      if (other === vm) continue;
      const layers = (book.source(other)?.disks ?? []).flatMap((disk) => disk.layers);
      if (!layers.some(({ path }) => paths.has(path))) continue;
      const words = `The disk of ${vm} is part of ${other}'s too, which could not start any more.`;
      throw new VmdnError('conflict', words, { data: { vm, other } });
    }
  }

  /** Throws what locking throws, and `source_changed`. */
  async #lock(source: VmRecord['source']): Promise<LockedDisk[]> {
    const locked: LockedDisk[] = [];
    try {
      for (const [i, disk] of source.disks.entries()) {
        const one = await this.#options.locks.lock(disk);
        locked.push(one);
        if (one.print === source.prints[i]) continue;
        throw new VmdnError('source_changed', 'A disk has changed since it was described.');
      }
      return locked;
    } catch (error) {
      for (const disk of locked) disk.release();
      throw error;
    }
  }

  #specification(name: Name, disks: readonly DiskSource[]): VmSpecification {
    const { hardware } = this.#options.book.newest(name)!.description!;
    return { name, disks, hardware };
  }

  /** The same source under other names: what is known of its bytes stays known (I3). */
  async #rename(
    vm: Name,
    disks: readonly DiskSource[],
    rename: () => Promise<void>,
  ): Promise<void> {
    const { book, locks, cache } = this.#options;
    await book.relocate(vm, async () => {
      const { prints: before } = book.source(vm)!;
      await rename();
      const prints = await printsOf(locks, disks);
      for (const [i, print] of prints.entries()) {
        const content = await cache.contentOf(before[i]!);
        if (content !== undefined) await cache.putContent({ ...content, print });
      }
      return { disks, prints };
    });
  }

  async #renew(record: FenceRecord, wish: FenceWishValue, isRaised: boolean): Promise<void> {
    if (!wish.confirmed) await this.#requireHidden(record, wish);
    const { epoch, version, settled } = isRaised ? wish : { ...record, settled: wish.settled };
    if (isRaised || settled !== record.settled) {
      await this.#save({ ...record, epoch, version, settled });
    }
  }

  /** Before the coordinator hears that it is fenced: nobody else gave the files their names again. */
  async #requireHidden(record: FenceRecord, wish: FenceWishValue): Promise<void> {
    const hidden = await this.#options.files.hidden(record.files);
    if (hidden.length < record.files.length) {
      const missing = record.files.filter((file) => !hidden.includes(file)).map(({ to }) => to);
      const words = `Not by this origin, ${missing.join(', ')} got another name or was removed.`;
      throw new VmdnError('conflict', words, { data: { missing } });
    }
    const source = this.#presentSource(wish);
    if (this.#options.book.isMatching(wish.vm)) return;
    for (const disk of await this.#lock(source)) disk.release();
  }

  async #release(record: FenceRecord): Promise<void> {
    const { vm, teleport, epoch } = record;
    const releasing: FenceRecord = { ...record, state: 'releasing' };
    await this.#save(releasing);
    await this.#undo(releasing);
    this.#options.logger.info({ event: 'fence_released', vm, teleport, epoch }, 'may start again');
  }

  /**
   * Its files have their names again, and nobody holds them; `after` is known of it from then on. Throws
   * `conflict`.
   */
  async #giveBack(
    { vm, files: fenced, specification }: FenceRecord,
    after: FenceRecord | null,
  ): Promise<void> {
    const { book, locks, files, now } = this.#options;
    // While nobody looks: what the VM is offered as changes with its files' names.
    const restore = async (): Promise<void> => {
      for (const file of fenced) await files.restore(file);
      if (after === null) this.#records.delete(vm);
      else this.#records.set(vm, after);
    };
    const source = book.source(vm);
    const isFenced = isDeepStrictEqual(source?.disks, specification.disks);
    const isSame = isFenced && (await this.#isUnchanged(vm));
    if (isSame) {
      await this.#rename(vm, restoredDisks(specification.disks, fenced), restore);
    } else {
      await book.undisturbed(restore);
      book.setMatching(vm, false);
    }
    // Also the lock under which it was fenced, which outlives that for a while.
    const own = restoredDisks(specification.disks, fenced);
    for (const disk of [...own, ...specification.disks]) await locks.letGo(disk, now());
  }

  async #isUnchanged(vm: Name): Promise<boolean> {
    const { book, locks } = this.#options;
    const { disks, prints } = book.source(vm)!;
    const found = await printsOf(locks, disks).catch(() => undefined);
    return book.mayMatch(vm) && isDeepStrictEqual(found, prints);
  }
}

function heldOf({ teleport, epoch, state }: FenceRecord) {
  return { teleport, epoch, state: state === 'forced' ? state : ('fenced' as const) };
}

function refusal(
  why: 'stale_epoch' | 'conflict' | 'forced',
  { teleport, epoch }: FenceWishValue,
  record: FenceRecord | undefined,
): VmdnError {
  const data = { teleport, epoch, held: record?.teleport, heldEpoch: record?.epoch };
  if (why === 'stale_epoch') {
    const words = `Epoch ${epoch} is over: the source is kept for epoch ${record?.epoch} of this move.`;
    return new VmdnError('stale_epoch', words, { data });
  }
  const words =
    why === 'conflict'
      ? `The source is kept from starting by teleport ${record?.teleport}, which moved it.`
      : 'The operator of this origin took the source back from this move.';
  return new VmdnError('conflict', words, { data });
}
