/**
 * Room: edge, services. One pass over one teleport: look, decide, act, until nothing is left to do.
 *
 * I1: every step may be repeated, and the pass may be broken off anywhere (kill -9): what is done is
 *     seen by the next pass's look.
 * I2: define and start follow only after the coordinator took this epoch's `verified` and `booting`
 *     (for a lazy VM its `booting`, for a VM that should be running and is not its `running`); that of a
 *     move it takes once the VM's source can't start any more.
 * I3: the room of the overlays is reserved before the first word to the coordinator and before the first
 *     byte of a disk: what this edge calls free from then on no longer holds it.
 * I4: a VM that is cancelled while it is being captured is removed when that is over: what it wrote was
 *     asked for first.
 */

import { describeError, isVmdnError, VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import { overlayRoomBytes } from '@vmdn/core/domain/overlay-room.ts';
import type { VmDefinition } from '@vmdn/core/io/ports/hypervisor.ts';
import {
  leadsToNewVm,
  nextTeleportStep,
  type TeleportActual,
  type TeleportStep,
  type VmActual,
} from '../decisions/teleport-step.ts';
import { STEPS_MAX } from '../limits.ts';
import { type DropDeps, dropSnapshots } from './drop-snapshots.ts';
import { freshOverlays } from './fresh-identity.ts';
import { reserveRoom } from './reserve-room.ts';
import { makeCopy } from './teleport-copy.ts';
import {
  areOpen,
  completeDisks,
  deliverDisk,
  missingDisks,
  openDisks,
  recordHits,
  vmDigests,
  vmDisks,
} from './teleport-disks.ts';
import {
  beginPass,
  type Pass,
  type PursuitDeps,
  type PursuitJob,
  save,
  stamp,
} from './teleport-pass.ts';
import {
  announce,
  saveEndpoints,
  stopGuest,
  tellOff,
  tellOn,
  unlessWished,
  wishOf,
} from './teleport-power.ts';
import { bareRecord, type TeleportRecord, withSeconds } from './teleport-record.ts';
import { createTeleportReports } from './teleport-reports.ts';

/** Brings the teleport to where the coordinator wants it. Throws what stops it; the caller decides. */
export async function pursueTeleport(deps: PursuitDeps, job: PursuitJob): Promise<void> {
  const { teleport, epoch, state } = job.desired();
  if (state === 'cancelled' || state === 'failed') {
    // I4
    if (deps.holds.isAwaited(teleport)) return;
    return await removeTeleport(deps, job);
  }
  await using pass = await beginPass(deps, job, teleport, epoch);
  const copy = pass.record.functional?.copy;
  if (copy != null) deps.copies.keep(teleport, copy);
  for (let step = 0; step < STEPS_MAX; step += 1) {
    job.signal.throwIfAborted();
    const actual = await look(pass);
    const next = nextTeleportStep(wishOf(pass), actual);
    if (next.do === 'nothing') return;
    if (leadsToNewVm(next, actual.vm)) await reserveOverlays(pass);
    deps.events.teleportStep(teleport, next.do);
    await act(pass, next, actual.vm);
    if (next.do === 'announce' && pass.isIndependent) return;
  }
  throw new VmdnError('internal', `The teleport is not done after ${STEPS_MAX} steps.`);
}

async function act(pass: Pass, step: TeleportStep, vm: VmActual): Promise<void> {
  switch (step.do) {
    case 'deliver':
      return await (pass.isFunctional ? makeCopy : deliverDisk)(pass, step.digest);
    case 'open':
      await unlessWished(pass, vm, openDisks(pass));
      return;
    case 'complete':
      if (await unlessWished(pass, vm, completeDisks(pass))) await stamp(pass, 'verified');
      return;
    case 'settle':
      return await settle(pass);
    case 'confirm':
      return await confirm(pass);
    case 'define':
      return await define(pass);
    case 'start':
      return await start(pass);
    case 'stop':
      return await stopGuest(pass);
    case 'tell-off':
      return await tellOff(pass);
    case 'tell-on':
      return await tellOn(pass);
    case 'await-ready':
      return await awaitReady(pass);
    case 'announce':
      return await announce(pass);
    case 'discard':
      return await pass.deps.hypervisor.destroy(pass.teleport);
    case 'remove':
      return await removeTeleport(pass.deps, pass.job);
    case 'nothing':
  }
}

async function look(pass: Pass): Promise<TeleportActual> {
  const { hypervisor } = pass.deps;
  const { memory } = pass.job;
  const missing = await missingDisks(pass);
  const status = await hypervisor.status(pass.teleport);
  const disks = status.state === 'absent' ? [] : status.definition.disks;
  const isOther =
    status.state !== 'absent' &&
    disks.map(({ digest }) => digest).join() !== vmDigests(pass).join();
  const vm: VmActual = isOther ? 'other' : status.state;
  const reads = disks.some(({ filling }) => filling !== undefined);
  const isDelivered = wishOf(pass).state === 'running';
  pass.isIndependent = missing.length === 0 && !(reads && (vm === 'running' || isDelivered));
  const filling = reads && !memory.unsettled;
  const { confirmed, ready, released, toldPower } = memory;
  const independent = memory.independent || memory.unsettled;
  const opened = areOpen(pass, missing);
  return { missing, opened, vm, filling, confirmed, ready, independent, released, toldPower };
}

/** Throws as `reserveRoom` does. Idempotent; `removeVm` gives it back. */
async function reserveOverlays({ deps, teleport, description }: Pass): Promise<void> {
  const bytes = overlayRoomBytes(description.disks.length);
  const digests = description.disks.map(({ digest }) => digest);
  await reserveRoom(deps.store, digests, { key: `vm-${teleport}`, bytes, paths: [] });
}

async function confirm(pass: Pass): Promise<void> {
  const { job } = pass;
  await recordHits(pass);
  if (pass.isIndependent) await stamp(pass, 'verified');
  if (job.desired().state === 'running') {
    // It is off as yet, whatever the coordinator heard last.
    await pass.reports.tell('running', { power: 'off' });
  } else {
    if (pass.isIndependent && job.desired().state !== 'booting')
      await pass.reports.tell('verified');
    await askToBoot(pass);
  }
  job.memory.confirmed = true;
}

/**
 * Of a moved VM the coordinator answers when its source is kept from starting, or that it is not yet; the
 * rest of a lazy VM's disk comes meanwhile.
 */
async function askToBoot({ job, deps, teleport, reports, broken }: Pass): Promise<void> {
  let said: string | null = null;
  for (;;) {
    const awaits = await reports.tell('booting');
    if (awaits === null) return;
    job.signal.throwIfAborted();
    broken.signal.throwIfAborted();
    if (awaits !== said) deps.events.teleportAwaits(teleport, awaits);
    said = awaits;
  }
}

async function define(pass: Pass): Promise<void> {
  const { hypervisor } = pass.deps;
  const startedMs = performance.now();
  await hypervisor.define(await definitionOf(pass), freshOverlays(pass));
  await save(pass, withSeconds(pass.record, { define: secondsSince(startedMs) }));
}

/** Lets the VM read its complete disks from their files; from then on it needs nobody. */
async function settle(pass: Pass): Promise<void> {
  const { deps, job, teleport, description } = pass;
  // What QEMU has asked the export for must be answered before it lets go of it.
  await deps.lazyDisks.serve(teleport, description.disks);
  try {
    await deps.hypervisor.settle(await definitionOf(pass));
    // Nobody knows when the export has ended, and no read waits any more.
    await save(pass, { ...pass.record, boot: pass.record.boot ?? bootOf(pass) });
    await deps.lazyDisks.end(teleport);
  } catch (error) {
    if (!isVmdnError(error, 'conflict')) throw error;
    job.memory.unsettled = true;
    deps.events.vmUnsettled(teleport, error);
  }
}

/** The VM on the files that hold its disks now. */
async function definitionOf(pass: Pass): Promise<VmDefinition> {
  const { hardware, vm } = pass.description;
  return { vm: pass.teleport, name: vm, hardware, disks: await vmDisks(pass) };
}

async function start(pass: Pass): Promise<void> {
  const { hypervisor, events } = pass.deps;
  // Its disks may lie in other files than when it was defined.
  const definition = await definitionOf(pass);
  await hypervisor.define(definition);
  if (definition.disks.every(({ filling }) => filling === undefined)) {
    await pass.deps.lazyDisks.end(pass.teleport);
    pass.job.memory.unsettled = false;
  }
  pass.deps.lazyDisks.record(pass.teleport);
  const running = await hypervisor.start(pass.teleport);
  events.vmStarted(pass.teleport, running.accelerator);
  pass.job.memory.ready = false;
  pass.job.memory.toldPower = null;
  // Its ports may be others than before.
  await saveEndpoints(pass, running);
}

async function awaitReady(pass: Pass): Promise<void> {
  const { job, deps, description } = pass;
  const startedMs = performance.now();
  const { ready } = description.hardware;
  if (ready !== null) {
    const signal = AbortSignal.any([job.signal, pass.broken.signal]);
    try {
      const heldUpSeconds = (): number => deps.lazyDisks.stallSeconds(pass.teleport);
      await deps.hypervisor.waitReady(pass.teleport, ready, { signal, heldUpSeconds });
    } catch (error) {
      // Why the guest's disk does not come says more than that the guest does not answer.
      pass.broken.signal.throwIfAborted();
      throw error;
    }
  }
  job.memory.ready = true;
  // Without a check nobody knows when the boot was over.
  if (ready !== null) job.memory.trace = deps.lazyDisks.recorded(pass.teleport) ?? undefined;
  const booted = withSeconds(pass.record, { boot: secondsSince(startedMs) });
  await save(pass, { ...booted, boot: booted.boot ?? bootOf(pass) });
}

/** How the boot of a lazy VM went. */
function bootOf({ deps, job, teleport }: Pass): TeleportRecord['boot'] {
  if (!job.desired().lazy) return null;
  const { lazyDisks } = deps;
  return { stallSeconds: lazyDisks.stallSeconds(teleport), trace: lazyDisks.ahead(teleport) };
}

/** Stops and removes the VM of a teleport that is over, with its disks where that is wished, and says so. */
async function removeTeleport(deps: PursuitDeps, job: PursuitJob): Promise<void> {
  const { teleport, epoch, state, dropSnapshot } = job.desired();
  if (job.memory.released) return;
  const record = bareRecord(job.desired());
  await removeVm(deps, teleport, { dropSnapshot });
  using reports = createTeleportReports({
    ...{ client: deps.client, teleport, epoch, view: job.memory, signal: job.signal },
    record: () => record,
    disks: () => [],
    isLazy: job.desired().lazy,
    isIndependent: () => false,
    // Who lists one that failed wants to know that; an older coordinator does not.
    isGone: state === 'failed',
    onLost: job.lose,
  });
  await reports.tell(state);
  job.memory.released = true;
}

/** Removes the VM and all that this edge remembers of its teleport; its images stay. Idempotent. */
export async function removeVm(
  deps: DropDeps &
    Pick<
      PursuitDeps,
      'hypervisor' | 'lazyDisks' | 'copies' | 'records' | 'capacity' | 'store' | 'events'
    >,
  teleport: Id,
  { dropSnapshot }: { readonly dropSnapshot: boolean } = { dropSnapshot: false },
): Promise<void> {
  await deps.hypervisor.destroy(teleport);
  await deps.lazyDisks.end(teleport);
  const record = await deps.records.read(teleport);
  await deps.copies.remove(teleport, record?.functional?.source ?? null);
  if (dropSnapshot) await dropSnapshots(deps, teleport);
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
    isLazy: job.desired().lazy,
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
