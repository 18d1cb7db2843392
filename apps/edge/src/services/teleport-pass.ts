/**
 * Room: edge, services. One pass over one teleport: what it works with, and what it remembers.
 */

import type { BootTrace } from '@vmdn/core/domain/boot-trace.ts';
import type { Description } from '@vmdn/core/domain/description.ts';
import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import { wantedDisks } from '@vmdn/core/domain/skip-free.ts';
import type { VmHardware } from '@vmdn/core/domain/vm-specification.ts';
import { deliveredHardware } from '@vmdn/core/formats/delivered-hardware.ts';
import type { CoordinatorClient } from '@vmdn/core/http/clients/coordinator-client.ts';
import type { DesiredTeleport } from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import type { DiskDelivery } from '@vmdn/core/http/contracts/coordinator-teleports.ts';
import type { PublicKey } from '@vmdn/core/http/contracts/schemas.ts';
import type { FreshIdentity } from '@vmdn/core/io/ports/fresh-identity.ts';
import type { Hypervisor } from '@vmdn/core/io/ports/hypervisor.ts';
import type { ImageStore } from '@vmdn/core/io/ports/image-store.ts';
import type { Records } from '@vmdn/core/io/ports/records.ts';
import { emptyDelivery } from '../decisions/deliveries.ts';
import type { EdgeEvents } from '../events.ts';
import type { SyncEngine } from '../sync/create-sync-engine.ts';
import type { Capacity } from './capacity.ts';
import type { DiskDeliveries } from './deliver-disk.ts';
import type { DesiredStates } from './desired-states.ts';
import type { FunctionalCopies } from './functional-copies.ts';
import { type GrantKeeper, keepGrant } from './grant-keeper.ts';
import type { LazyDisks } from './lazy-disks.ts';
import type { Receipts } from './receipts.ts';
import type { SourcePolicy } from './remote-sources.ts';
import { recordFor, type TeleportRecord, withTime } from './teleport-record.ts';
import {
  type CoordinatorView,
  createTeleportReports,
  type TeleportReports,
} from './teleport-reports.ts';
import type { VerifiedVersions } from './verified-versions.ts';
import type { VmHolds } from './vm-holds.ts';

export interface PursuitDeps {
  readonly sources: SourcePolicy;
  readonly client: Pick<CoordinatorClient, 'call'>;
  readonly coordinatorKey: PublicKey;
  readonly store: ImageStore;
  readonly hypervisor: Hypervisor;
  readonly freshIdentity: FreshIdentity;
  readonly engine: Pick<SyncEngine, 'making' | 'onMaking'>;
  readonly deliveries: DiskDeliveries;
  readonly lazyDisks: LazyDisks;
  readonly copies: FunctionalCopies;
  readonly versions: VerifiedVersions;
  readonly desired: Pick<DesiredStates, 'latest'>;
  readonly records: Records<TeleportRecord>;
  readonly capacity: Capacity;
  /** VMs that are being captured: neither started nor stopped, or not removed. */
  readonly holds: Pick<VmHolds, 'isHeld' | 'isAwaited'>;
  /** How long a guest may take to shut down. */
  readonly shutdownGraceMs: number;
  readonly receipts: Pick<Receipts, 'write'>;
  readonly events: EdgeEvents;
}

/** What this process knows of one epoch of a teleport; empty after a restart. */
export interface PursuitMemory extends CoordinatorView {
  /** In place of the desired state's, which is used up. */
  grant?: string;
  confirmed: boolean;
  ready: boolean;
  /** The coordinator was told that the VM needs nobody any more. */
  independent: boolean;
  /** The VM goes on with its export until its next start: the files that it has open are others. */
  unsettled: boolean;
  released: boolean;
  /** What the guest read until it was ready, and nobody else knows yet. */
  trace?: BootTrace | undefined;
}

export interface PursuitJob {
  /** What the coordinator wants, as last heard. */
  readonly desired: () => DesiredTeleport;
  readonly memory: PursuitMemory;
  readonly signal: AbortSignal;
  /** Resolves when there may be something new in what is wanted. */
  readonly stirred: () => Promise<void>;
  /** Ends the job because the coordinator gave the teleport to somebody else or took it back. */
  readonly lose: (error: VmdnError) => void;
}

export interface Pass extends AsyncDisposable {
  readonly deps: PursuitDeps;
  readonly job: PursuitJob;
  readonly teleport: Id;
  readonly epoch: number;
  /** With the disks and the hardware that this teleport delivers. */
  readonly description: Description;
  /** As its origin described it. */
  readonly sourceHardware: VmHardware;
  /** Its disk is made anew, in place of the version's. */
  readonly isFunctional: boolean;
  readonly grants: GrantKeeper;
  readonly reports: TeleportReports;
  record: TeleportRecord;
  /** The last write of the record. */
  saved: Promise<unknown>;
  /** The VM reads complete disks of this edge, as last seen. */
  isIndependent: boolean;
  /** Numbers of disks under way. */
  readonly underWay: Map<Digest, DiskDelivery>;
  /** Disks that are made while the VM runs. */
  readonly opened: Map<Digest, Promise<void>>;
  /** Aborts when one of those failed. */
  readonly broken: AbortController;
  /** Aborts when the pass is over, or the job: nothing goes on behind it. */
  readonly signal: AbortSignal;
}

export async function beginPass(
  deps: PursuitDeps,
  job: PursuitJob,
  teleport: Id,
  epoch: number,
): Promise<Pass> {
  const { version: known, skipFree, lazy, method, grant } = job.desired();
  const before = await deps.records.read(teleport);
  const verified = await deps.versions.verify(known, { isTakenOn: before !== null });
  const { hardware: sourceHardware } = verified;
  const hardware = deliveredHardware(sourceHardware, teleport, job.desired());
  const description = { ...verified, hardware, disks: wantedDisks(verified.disks, skipFree) };
  deps.capacity.take(teleport, description.hardware);
  const digests = description.disks.map(({ digest }) => digest);
  const { vm, version } = known;
  const record = recordFor({ teleport, epoch, vm, version }, digests, before);
  if (record !== before) await deps.records.write(teleport, record);
  const { client, coordinatorKey } = deps;
  const over = new AbortController();
  const grants = keepGrant({
    ...{ teleport, epoch, client, coordinatorKey },
    grant: job.memory.grant ?? grant,
  });
  const reports = createTeleportReports({
    ...{ client, teleport, epoch, view: job.memory, signal: job.signal, onLost: job.lose },
    isLazy: lazy,
    record: () => pass.record,
    disks: () => diskNumbers(pass),
    isIndependent: () => pass.isIndependent,
  });
  const pass: Pass = {
    ...{
      deps,
      job,
      teleport,
      epoch,
      ...{ description, sourceHardware },
      isFunctional: method === 'functional',
      record,
      grants,
      reports,
      saved: Promise.resolve(),
    },
    ...{ isIndependent: false, underWay: new Map(), opened: new Map() },
    broken: new AbortController(),
    signal: AbortSignal.any([job.signal, over.signal]),
    async [Symbol.asyncDispose]() {
      over.abort();
      await Promise.allSettled(pass.opened.values());
      grants[Symbol.dispose]();
      reports[Symbol.dispose]();
    },
  };
  return pass;
}

/** The numbers of all disks, in the version's order. */
function diskNumbers(pass: Pass): readonly DiskDelivery[] {
  const done = new Map(pass.record.deliveries.map((delivery) => [delivery.digest, delivery]));
  return pass.description.disks.map(
    (disk) => done.get(disk.digest) ?? pass.underWay.get(disk.digest) ?? emptyDelivery(disk),
  );
}

/** Several disks may be done at once: writes come one after the other, each with all that is known. */
export async function save(pass: Pass, record: TeleportRecord): Promise<void> {
  pass.record = record;
  const write = pass.saved.then(() => pass.deps.records.write(pass.teleport, pass.record));
  pass.saved = write.catch(() => undefined);
  await write;
}

/** Notes when something was first true. */
export async function stamp(pass: Pass, what: keyof TeleportRecord['times']): Promise<void> {
  const stamped = withTime(pass.record, what, Date.now());
  if (stamped !== pass.record) await save(pass, stamped);
}
