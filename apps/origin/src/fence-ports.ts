/**
 * Room: origin, ports. What the fences of moved VMs need from the world; the adapters are in io/ and the
 * composition root.
 */

import type { Id, Name } from '@vmdn/core/domain/names.ts';
import type { VmSpecification } from '@vmdn/core/domain/vm-specification.ts';
import type { FenceWishValue } from '@vmdn/core/http/contracts/coordinator-moves.ts';

/** A moved VM as it is offered while it is fenced; undefined: it is not. */
export type FencedAs = (vm: Name) => VmSpecification | undefined;

/** A disk's top file: the name by which VMs are started, and the one that it has while it is fenced. */
export interface FencedFile {
  /** Absolute paths in one folder. */
  readonly from: string;
  readonly to: string;
}

/** What an origin remembers of a VM's fence across restarts. */
export interface FenceRecord {
  readonly vm: Name;
  readonly teleport: Id;
  readonly epoch: number;
  readonly version: number;
  /**
   * `fencing`: files are being renamed, and nobody was told yet; `releasing`: they are being renamed back;
   * `forcing`: so they are because the operator wants it; `forced`: they are, and the coordinator does not
   * know yet.
   */
  readonly state: 'fencing' | 'fenced' | 'releasing' | 'forcing' | 'forced';
  readonly files: readonly FencedFile[];
  /** The VM as it is offered while it is fenced. */
  readonly specification: VmSpecification;
  /** ISO 8601, by this machine's clock. */
  readonly since: string;
  /** The moved VM runs and needs nobody: nobody needs the files any more. */
  readonly settled: boolean;
}

/** The durable memory of fences: one for each VM. */
export interface FenceJournal {
  load(): Promise<readonly FenceRecord[]>;
  /** Durable when it resolves. */
  save(record: FenceRecord): Promise<void>;
  remove(vm: Name): Promise<void>;
}

/** Gives disks' files their names; durable when it resolves. */
export interface FenceFiles {
  /** Throws `conflict` for a file that has another name too, or when the fenced name is taken. */
  check(file: FencedFile): Promise<void>;
  hide(file: FencedFile): Promise<void>;
  /** Nothing to do is fine. Throws `conflict` when another file has the name meanwhile. */
  restore(file: FencedFile): Promise<void>;
  /** Those that have their fenced names now. */
  hidden(files: readonly FencedFile[]): Promise<readonly FencedFile[]>;
}

/**
 * The coordinator, as far as fences go. Throws `unavailable`, `timeout`, `busy` when it is away; else its
 * codes.
 */
export interface FenceWishes {
  /** Waits until they differ from `revision`, or `waitSeconds`. */
  read(
    revision: string | undefined,
    waitSeconds: number,
    signal: AbortSignal,
  ): Promise<{ readonly revision: string; readonly fences: readonly FenceWishValue[] }>;
  say(
    move: Pick<FenceRecord, 'teleport' | 'epoch'>,
    state: 'fenced' | 'refused' | 'released' | 'forced',
    message?: string,
  ): Promise<void>;
}
