/**
 * Room: edge, services. One pass over one teleport: look, decide, act, until nothing is left to do.
 *
 * I1: every step may be repeated, and the pass may be broken off anywhere (kill -9): what is done is
 *     seen by the next pass's look.
 * I2: define and start follow only after the coordinator took this epoch's `verified` and `booting`
 *     (for a VM that should be running and is not: its `running`).
 * I3: the room of the overlays is reserved before the first word to the coordinator and before the first
 *     byte of a disk: what this edge calls free from then on no longer holds it.
 */

import type { Description } from '@vmdn/core/domain/description.ts';
import type { Digest } from '@vmdn/core/domain/digest.ts';
import { describeError, isVmdnError, VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import { overlayRoomBytes } from '@vmdn/core/domain/overlay-room.ts';
import { wantedDisks } from '@vmdn/core/domain/skip-free.ts';
import type { CoordinatorClient } from '@vmdn/core/http/clients/coordinator-client.ts';
import type { DesiredTeleport, DiskDelivery } from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import type { PublicKey } from '@vmdn/core/http/contracts/schemas.ts';
import type { Hypervisor, VmDefinition } from '@vmdn/core/io/ports/hypervisor.ts';
import type { ImageStore } from '@vmdn/core/io/ports/image-store.ts';
import type { Records } from '@vmdn/core/io/ports/records.ts';
import { emptyDelivery, localDelivery } from '../decisions/deliveries.ts';
import {
  leadsToNewVm,
  nextTeleportStep,
  type TeleportActual,
  type VmActual,
} from '../decisions/teleport-step.ts';
import type { EdgeEvents } from '../events.ts';
import { STEPS_MAX } from '../limits.ts';
import type { Capacity } from './capacity.ts';
import type { DiskDeliveries } from './deliver-disk.ts';
import { type GrantKeeper, keepGrant } from './grant-keeper.ts';
import { holdersOf, type SourcePolicy, tradeOf } from './remote-sources.ts';
import { reserveRoom } from './reserve-room.ts';
import {
  bareRecord,
  recordFor,
  type TeleportRecord,
  withDelivery,
  withSeconds,
} from './teleport-record.ts';
import {
  type CoordinatorView,
  createTeleportReports,
  type TeleportReports,
} from './teleport-reports.ts';
import type { VerifiedVersions } from './verified-versions.ts';

export interface PursuitDeps {
  readonly sources: SourcePolicy;
  readonly client: Pick<CoordinatorClient, 'call'>;
  readonly coordinatorKey: PublicKey;
  readonly store: ImageStore;
  readonly hypervisor: Hypervisor;
  readonly deliveries: DiskDeliveries;
  readonly versions: VerifiedVersions;
  readonly records: Records<TeleportRecord>;
  readonly capacity: Capacity;
  readonly events: EdgeEvents;
}

/** What this process knows of one epoch of a teleport; empty after a restart. */
export interface PursuitMemory extends CoordinatorView {
  /** In place of the desired state's, which is used up. */
  grant?: string;
  confirmed: boolean;
  ready: boolean;
  released: boolean;
}

export interface PursuitJob {
  /** What the coordinator wants, as last heard. */
  readonly desired: () => DesiredTeleport;
  readonly memory: PursuitMemory;
  readonly signal: AbortSignal;
  /** Ends the job because the coordinator gave the teleport to somebody else or took it back. */
  readonly lose: (error: VmdnError) => void;
}

interface Pass {
  readonly deps: PursuitDeps;
  readonly job: PursuitJob;
  readonly teleport: Id;
  readonly epoch: number;
  /** With the disks that this teleport delivers. */
  readonly description: Description;
  readonly grants: GrantKeeper;
  readonly reports: TeleportReports;
  record: TeleportRecord;
  /** Every disk is complete here, as last seen. */
  isIndependent: boolean;
  /** Numbers of disks under way. */
  readonly underWay: Map<Digest, DiskDelivery>;
}

/** Brings the teleport to where the coordinator wants it. Throws what stops it; the caller decides. */
export async function pursueTeleport(deps: PursuitDeps, job: PursuitJob): Promise<void> {
  const { teleport, epoch, state } = job.desired();
  if (state === 'cancelled' || state === 'failed') return await removeTeleport(deps, job);
  const pass = await beginPass(deps, job, teleport, epoch);
  using _grants = pass.grants;
  using _reports = pass.reports;
  for (let step = 0; step < STEPS_MAX; step += 1) {
    job.signal.throwIfAborted();
    const actual = await look(pass);
    const next = nextTeleportStep(job.desired().state, actual);
    if (next.do === 'nothing') return;
    if (leadsToNewVm(next, actual.vm)) await reserveOverlays(pass);
    deps.events.teleportStep(teleport, next.do);
    if (next.do === 'deliver') await deliver(pass, next.digest);
    else if (next.do === 'confirm') await confirm(pass);
    else if (next.do === 'define') await define(pass);
    else if (next.do === 'start') await start(pass);
    else if (next.do === 'await-ready') await awaitReady(pass);
    else if (next.do === 'announce') return await announce(pass);
    else if (next.do === 'discard') await deps.hypervisor.destroy(teleport);
    else return await removeTeleport(deps, job);
  }
  throw new VmdnError('internal', `The teleport is not done after ${STEPS_MAX} steps.`);
}

async function beginPass(
  deps: PursuitDeps,
  job: PursuitJob,
  teleport: Id,
  epoch: number,
): Promise<Pass> {
  const { version: known, skipFree, grant } = job.desired();
  const before = await deps.records.read(teleport);
  const verified = await deps.versions.verify(known, { isTakenOn: before !== null });
  const description = { ...verified, disks: wantedDisks(verified.disks, skipFree) };
  deps.capacity.take(teleport, description.hardware);
  const digests = description.disks.map(({ digest }) => digest);
  const { vm, version } = known;
  const record = recordFor({ teleport, epoch, vm, version }, digests, before);
  if (record !== before) await deps.records.write(teleport, record);
  const { client, coordinatorKey } = deps;
  const underWay = new Map<Digest, DiskDelivery>();
  const pass: Pass = {
    ...{ deps, job, teleport, epoch, description, record, underWay, isIndependent: false },
    grants: keepGrant({
      ...{ teleport, epoch, client, coordinatorKey },
      grant: job.memory.grant ?? grant,
    }),
    reports: createTeleportReports({
      ...{ client, teleport, epoch, view: job.memory, signal: job.signal, onLost: job.lose },
      record: () => pass.record,
      disks: () => diskNumbers(pass),
      isIndependent: () => pass.isIndependent,
    }),
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

async function look(pass: Pass): Promise<TeleportActual> {
  const { store, hypervisor } = pass.deps;
  const { memory } = pass.job;
  const missing: Digest[] = [];
  for (const digest of new Set(pass.description.disks.map((disk) => disk.digest))) {
    if (!(await isHeld(store, digest))) missing.push(digest);
  }
  const status = await hypervisor.status(pass.teleport);
  const isOther =
    status.state !== 'absent' &&
    status.definition.disks.map(({ digest }) => digest).join() !==
      pass.description.disks.map(({ digest }) => digest).join();
  const vm: VmActual = isOther ? 'other' : status.state;
  pass.isIndependent = missing.length === 0;
  const { confirmed, ready, released } = memory;
  return { missing, vm, confirmed, ready, released };
}

/** Whether the store has the image as it was adopted; one that was changed is quarantined and missing. */
async function isHeld(store: ImageStore, digest: Digest): Promise<boolean> {
  try {
    await store.intact(digest);
    return true;
  } catch (error) {
    if (isVmdnError(error, 'not_found') || isVmdnError(error, 'corrupt')) return false;
    throw error;
  }
}

async function save(pass: Pass, record: TeleportRecord): Promise<void> {
  pass.record = record;
  await pass.deps.records.write(pass.teleport, record);
}

/** Throws as `reserveRoom` does. Idempotent; `removeVm` gives it back. */
async function reserveOverlays({ deps, teleport, description }: Pass): Promise<void> {
  const bytes = overlayRoomBytes(description.disks.length);
  const digests = description.disks.map(({ digest }) => digest);
  await reserveRoom(deps.store, digests, { key: `vm-${teleport}`, bytes, paths: [] });
}

async function deliver(pass: Pass, digest: Digest): Promise<void> {
  const { deps, job } = pass;
  const disk = pass.description.disks.find((described) => described.digest === digest)!;
  const version = job.desired().version;
  // A VM that should be running is announced as such whatever its disk is doing.
  const isRunning = job.desired().state === 'running';
  // Progress goes on being reported while every source is away: it must not hide that.
  let waitsFor: string | null = null;
  const mention = (): void => {
    if (isRunning) return;
    if (waitsFor === null) pass.reports.mention('syncing');
    else pass.reports.mention('waiting', { message: waitsFor });
  };
  mention();
  const delivered = deps.deliveries.deliver({
    ...disk,
    name: null,
    kind: 'snapshot',
    guest: pass.description,
    holders: holdersOf(version, digest, deps.sources),
    trade: tradeOf(deps.sources, () => job.desired().version, digest),
    grant: () => pass.grants.current(),
    signal: job.signal,
    onProgress: (delivery) => {
      pass.underWay.set(digest, delivery);
      mention();
    },
    onWaiting: (message) => {
      waitsFor = message;
      mention();
    },
    onDelivered: (delivery) => save(pass, withDelivery(pass.record, delivery)),
  });
  try {
    const { seconds } = await delivered;
    await save(pass, withSeconds(pass.record, seconds));
  } catch (error) {
    if (isVmdnError(error, 'quota_exceeded')) await replaceGrant(pass);
    throw error;
  }
}

/** A grant that incomplete answers used up is replaced; the next try begins with the new one. */
async function replaceGrant({ grants, job }: Pass): Promise<void> {
  if (await grants.renew()) job.memory.grant = grants.current();
}

async function confirm(pass: Pass): Promise<void> {
  const { job } = pass;
  await recordHits(pass);
  if (job.desired().state === 'running') {
    await pass.reports.tell('running');
  } else {
    if (job.desired().state !== 'booting') await pass.reports.tell('verified');
    await pass.reports.tell('booting');
  }
  job.memory.confirmed = true;
}

/** Disks that were here before anybody asked: all of them local. */
async function recordHits(pass: Pass): Promise<void> {
  const { store } = pass.deps;
  const recorded = new Set(pass.record.deliveries.map(({ digest }) => digest));
  let record = pass.record;
  for (const { digest } of pass.description.disks) {
    if (recorded.has(digest)) continue;
    record = withDelivery(record, localDelivery(await store.intact(digest)));
  }
  if (record !== pass.record) await save(pass, record);
}

async function define(pass: Pass): Promise<void> {
  const { hypervisor } = pass.deps;
  const startedMs = performance.now();
  await hypervisor.define(await definitionOf(pass));
  await save(pass, withSeconds(pass.record, { define: secondsSince(startedMs) }));
}

/** The VM on the files that hold its disks now, each made sure of. */
async function definitionOf(pass: Pass): Promise<VmDefinition> {
  const { disks, hardware, vm } = pass.description;
  const onStore = disks.map(async ({ digest }) => {
    const { format, layers, virtualSizeBytes } = await pass.deps.store.intact(digest);
    const files = layers.files.map(({ path }, depth) => {
      return { path, format: depth === 0 ? format : ('raw' as const) };
    });
    return { digest, layers: files, virtualSizeBytes };
  });
  return { vm: pass.teleport, name: vm, hardware, disks: await Promise.all(onStore) };
}

async function start(pass: Pass): Promise<void> {
  const { hypervisor, events } = pass.deps;
  // Its disks may lie in other files than when it was defined.
  await hypervisor.define(await definitionOf(pass));
  const running = await hypervisor.start(pass.teleport);
  events.vmStarted(pass.teleport, running.accelerator);
  const { endpoints, accelerator } = running;
  await save(pass, { ...pass.record, endpoints: [...endpoints], accelerator });
  pass.job.memory.ready = false;
  // Its ports may be others than before.
  if (pass.job.desired().state === 'running') await pass.reports.tell('running');
}

async function awaitReady(pass: Pass): Promise<void> {
  const { job, deps, description } = pass;
  const startedMs = performance.now();
  const { ready } = description.hardware;
  if (ready !== null) {
    await deps.hypervisor.waitReady(pass.teleport, ready, { signal: job.signal });
  }
  job.memory.ready = true;
  await save(pass, withSeconds(pass.record, { boot: secondsSince(startedMs) }));
}

async function announce(pass: Pass): Promise<void> {
  const status = await pass.deps.hypervisor.status(pass.teleport);
  if (status.state !== 'running') return;
  const { endpoints, accelerator } = status;
  await recordHits(pass);
  await save(pass, { ...pass.record, endpoints: [...endpoints], accelerator });
  await pass.reports.tell('running');
}

/** Stops and removes the VM of a teleport that is over, keeps its images, and says so. */
async function removeTeleport(deps: PursuitDeps, job: PursuitJob): Promise<void> {
  const { teleport, epoch, state } = job.desired();
  if (job.memory.released) return;
  const record = bareRecord(job.desired());
  await removeVm(deps, teleport);
  using reports = createTeleportReports({
    ...{ client: deps.client, teleport, epoch, view: job.memory, signal: job.signal },
    record: () => record,
    disks: () => [],
    isIndependent: () => false,
    onLost: job.lose,
  });
  await reports.tell(state);
  job.memory.released = true;
}

/** Removes the VM and all that this edge remembers of its teleport. Idempotent. */
export async function removeVm(
  deps: Pick<PursuitDeps, 'hypervisor' | 'records' | 'capacity' | 'store' | 'events'>,
  teleport: Id,
): Promise<void> {
  await deps.hypervisor.destroy(teleport);
  await deps.records.remove(teleport);
  deps.capacity.release(teleport);
  deps.store.release(`vm-${teleport}`);
  deps.events.vmRemoved(teleport);
}

/** Reports that the teleport waits or failed. Best effort when it only informs. */
export async function reportTrouble(
  deps: PursuitDeps,
  job: PursuitJob,
  state: 'waiting' | 'failed',
  error: unknown,
): Promise<void> {
  const { teleport, epoch } = job.desired();
  const record = (await deps.records.read(teleport)) ?? bareRecord(job.desired());
  using reports = createTeleportReports({
    ...{ client: deps.client, teleport, epoch, view: job.memory, signal: job.signal },
    record: () => record,
    disks: () => record.deliveries,
    isIndependent: () => false,
    onLost: job.lose,
  });
  const console = consoleTail(error);
  const message = `${describeError(error)}${console === '' ? '' : `\nConsole:\n${console}`}`;
  const errorCode = error instanceof VmdnError ? error.code : 'internal';
  await reports.tell(state, { message, errorCode });
}

/** The end of the guest's console, where the error carries it. */
function consoleTail(error: unknown): string {
  const text = error instanceof VmdnError ? error.data.console : undefined;
  return typeof text === 'string' ? text.slice(-1000) : '';
}

function secondsSince(startedMs: number): number {
  return (performance.now() - startedMs) / 1000;
}
