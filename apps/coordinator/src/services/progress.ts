/**
 * Room: coordinator, services. What edges report about teleports, and the grants they hold for them.
 *
 * I1: a report counts only from the edge and under the epoch that the row names; any other is
 *     `stale_epoch` and changes nothing.
 * I2: states move as domain/teleport.ts allows; a report under a cancelled row changes nothing and is
 *     told so, until it confirms the cancellation.
 * I3: counters are absolute, belong to disks of the version, and never add up to more than the disk.
 * I4: a moved VM boots only once its source is kept from starting (moves.ts); who asks waits a while for it.
 */

import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import type { Power } from '@vmdn/core/domain/power.ts';
import { isFinal, isStranded, mayMove, type TeleportState } from '@vmdn/core/domain/teleport.ts';
import { totalTierBytes } from '@vmdn/core/domain/tiers.ts';
import { FENCE_WAIT_MS } from '../limits.ts';
import type {
  DeliveryValue,
  DiskRow,
  EndpointValue,
  FunctionalCopyValue,
  Tables,
  TeleportRow,
  TraceUseValue,
} from '../ports.ts';
import type { Context, NodeIdentity } from './context.ts';
import type { GrantIssuer } from './grants.ts';
import { askToBoot, callOff, vmIsGone } from './moves.ts';
import { randomId } from './secrets.ts';
import { unknownTeleport } from './teleport-view.ts';
import { awaitedSource, isSourceGone, nextVersion } from './withdrawn.ts';

export interface ProgressReport {
  readonly epoch: number;
  readonly state: TeleportState;
  readonly message?: string | undefined;
  readonly errorCode?: string | undefined;
  readonly disks: readonly DeliveryValue[];
  readonly endpoints: readonly EndpointValue[];
  readonly phases?: Readonly<Record<string, number>> | undefined;
  readonly accelerator?: 'kvm' | 'tcg' | undefined;
  readonly independent?: boolean | undefined;
  readonly stallSeconds?: number | undefined;
  readonly trace?: TraceUseValue | undefined;
  readonly functional?: FunctionalCopyValue | undefined;
  readonly power?: Power | undefined;
  readonly gone?: boolean | undefined;
}

/** Locks a teleport for the edge that holds it under `epoch`. Throws `not_found`, `stale_epoch`. */
export async function lockHeld(
  tables: Tables,
  { node, project }: NodeIdentity,
  teleport: Id,
  epoch: number,
): Promise<TeleportRow> {
  const row = await tables.teleports.lock(project, teleport);
  if (row === undefined) throw unknownTeleport(teleport);
  if (row.edgeId === node.id && row.epoch === epoch) return row;
  throw new VmdnError(
    'stale_epoch',
    'This teleport has moved on: drop it, and read the desired state.',
    { data: { teleport, epoch, present: row.epoch, isHolder: row.edgeId === node.id } },
  );
}

/**
 * Takes a report; one that asks for what must wait, after a while, or not at all: then it says what it
 * awaits. Throws `not_found`, `stale_epoch`, `conflict`, `invalid_input`.
 */
export async function reportProgress(
  context: Context,
  identity: NodeIdentity,
  teleport: Id,
  report: ProgressReport,
  signal: AbortSignal = context.closing,
) {
  using watch = context.wakes.watch([`teleport:${teleport}`]);
  const stop = AbortSignal.any([signal, context.closing]);
  const deadline = Date.now() + FENCE_WAIT_MS;
  for (;;) {
    const reply = await takeReport(context, identity, teleport, report);
    const remainingMs = deadline - Date.now();
    if (reply.awaits === undefined || remainingMs <= 0 || stop.aborted) return reply;
    await watch.next(Math.min(context.timing.watchMs, remainingMs), stop);
  }
}

async function takeReport(
  context: Context,
  identity: NodeIdentity,
  teleport: Id,
  report: ProgressReport,
) {
  const { row, state, awaits } = await context.store.transaction(async (tables) => {
    const held = await lockHeld(tables, identity, teleport, report.epoch);
    return { row: held, ...(await applyReport(context, tables, identity, held, report)) };
  });
  if (row.state !== state) {
    context.events('teleport_state', { teleport, from: row.state, to: state, edge: row.edge });
  }
  return { state, epoch: row.epoch, awaits };
}

interface Applied {
  readonly state: TeleportState;
  readonly awaits?: string;
}

async function applyReport(
  context: Context,
  tables: Tables,
  { node }: NodeIdentity,
  row: TeleportRow,
  report: ProgressReport,
): Promise<Applied> {
  if (isOver(row.state, report)) {
    await confirmGone(tables, node.id, row, report);
    return { state: row.state };
  }
  requireMove(row, report.state);
  const awaits = report.state === 'booting' ? await askToBoot(tables, row) : null;
  if (awaits !== null) {
    const isNews = await tables.teleports.explain(row.id, awaits, null);
    if (isNews) await tables.notify(`teleport:${row.id}`);
    return { state: row.state, awaits };
  }
  const disks = await tables.vms.disks(row.vmId, row.version, row.skipFree);
  for (const delivery of report.disks) requirePlausible(delivery, disks);
  const key = { teleport: row.id, epoch: row.epoch, edge: node.id, version: row.version };
  await tables.deliveries.put(key, report.disks);
  await tables.teleports.progress(row.id, {
    state: report.state,
    final: isFinal(report.state),
    // One that is not lazy runs on complete disks only.
    independent: report.state === 'running' && (report.independent === true || !row.lazy),
    ...(await wordsOf(context, tables, row, report)),
    endpoints: report.endpoints,
    phases: report.phases,
    accelerator: report.accelerator,
    stallSeconds: report.stallSeconds,
    trace: report.trace,
    functional: report.functional,
    leaseSeconds: context.timing.leaseSeconds,
  });
  if (report.state === 'failed') await callOff(tables, row);
  if (report.power !== undefined) await tables.teleports.notePower(row.id, report.power);
  await tables.notify(`teleport:${row.id}`);
  if (row.state !== report.state) await tables.notify(`edge:${node.id}`);
  return { state: report.state };
}

/** Whether the report says what is left of a teleport that is over. */
function isOver(state: TeleportState, report: ProgressReport): boolean {
  return state === 'cancelled' || (state === 'failed' && report.gone === true);
}

/** The edge has nothing of it any more, if that is what it says. */
async function confirmGone(
  tables: Tables,
  edge: Id,
  row: TeleportRow,
  report: ProgressReport,
): Promise<void> {
  if (report.state !== row.state || row.released) return;
  await tables.teleports.release(row.id, report.message ?? null);
  await vmIsGone(tables, row);
  await tables.notify(`teleport:${row.id}`, `edge:${edge}`);
}

/** That nobody has the rest of its disk is the coordinator's word, until it takes it back. */
async function wordsOf(context: Context, tables: Tables, row: TeleportRow, report: ProgressReport) {
  if (isStranded(row) && report.independent !== true) {
    return { message: row.message, errorCode: row.errorCode };
  }
  // What a moved VM waits for stays said while its disk comes, and when all of it is there.
  const mayAwait = row.isMove && (row.lazy || report.state === 'verified');
  if (mayAwait && row.state === report.state && report.message === undefined) {
    return { message: row.message, errorCode: row.errorCode };
  }
  const errorCode = report.errorCode ?? null;
  // The edge sees only that nobody gives it the bytes.
  const lacksSource = errorCode === 'unavailable' || errorCode === 'withdrawn';
  if (report.state === 'waiting' && lacksSource && (await isSourceGone(context, tables, row))) {
    const isNextThere = (await nextVersion(tables, row)) !== undefined;
    // Why it can't start over on that was said before.
    const message = isNextThere ? row.message : await awaitedSource(tables, row);
    return { message, errorCode };
  }
  return { message: report.message ?? null, errorCode };
}

function requireMove(row: TeleportRow, to: TeleportState): void {
  // Cancelling is the user's; an edge only confirms it.
  if (to !== 'cancelled' && mayMove(row.state, to, row.lazy)) return;
  throw new VmdnError('conflict', `A teleport that is ${row.state} can't become ${to}.`, {
    data: { teleport: row.id, from: row.state, to },
  });
}

function requirePlausible(delivery: DeliveryValue, disks: readonly DiskRow[]): void {
  const disk = disks.find((one) => one.digest === delivery.digest);
  const isPlausible =
    disk !== undefined &&
    delivery.virtualSizeBytes === disk.virtualSizeBytes &&
    delivery.verifiedBytes <= disk.virtualSizeBytes &&
    totalTierBytes(delivery.diskBytes) <= disk.virtualSizeBytes;
  if (isPlausible) return;
  throw new VmdnError(
    'invalid_input',
    'The report names a disk that is not of this version, or more bytes than the disk has.',
    { data: { digest: delivery.digest } },
  );
}

/** A fresh grant for a teleport that this edge holds. Throws `not_found`, `stale_epoch`, `cancelled`. */
export async function renewGrant(
  context: Context,
  grants: GrantIssuer,
  identity: NodeIdentity,
  teleport: Id,
  epoch: number,
) {
  const disks = await context.store.transaction(async (tables) => {
    const row = await lockHeld(tables, identity, teleport, epoch);
    if (row.state === 'cancelled' || row.state === 'failed') {
      throw new VmdnError(
        'cancelled',
        `This teleport is ${row.state}; it needs no bytes any more.`,
      );
    }
    await tables.teleports.renewLeases(identity.node.id, context.timing.leaseSeconds);
    return await tables.vms.disks(row.vmId, row.version, row.skipFree);
  });
  const purpose = { purpose: 'teleport', teleport, epoch } as const;
  return { grant: await grants.issue(identity.node, purpose, disks, randomId()) };
}
