/**
 * Room: coordinator, services. Captures: a delivered VM with all that it has written, as a VM of its own that
 * its edge describes and every edge can have.
 *
 * I1: only a VM that was delivered and needs nobody is captured, one order for it at a time.
 * I2: an edge describes a VM only to end an order of its own, under the order's name and version, and only
 *     with disks that it holds. Order and version become one in one transaction.
 * I3: an order is done, failed or cancelled for good; a report for a finished one changes nothing, and one
 *     for an order that its user ended is told so.
 * I4: a VM is not removed while it is being captured, unless it is said that what it wrote may be lost.
 * I5: a user can end an order at any time, whether its edge ever comes back or not: from then on its VM and
 *     its name are free.
 */

import { captureName, isCaptureOver } from '@vmdn/core/domain/capture.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Id, Name } from '@vmdn/core/domain/names.ts';
import type { CaptureRow, Tables, TeleportRow } from '../ports.ts';
import type { ClientIdentity, Context, NodeIdentity } from './context.ts';
import { requireWhole } from './power.ts';
import { unknownTeleport } from './teleport-view.ts';
import { requireFreeName, type SignedVersion, takeVersion, verifyDescription } from './versions.ts';

/** Orders a capture. Throws `not_found`, `conflict` (not delivered, under way, a name that is taken). */
export async function requestCapture(
  context: Context,
  { project }: ClientIdentity,
  wish: {
    readonly teleport: Id;
    readonly vm?: Name | undefined;
    readonly keepStopped?: boolean | undefined;
  },
) {
  const view = await context.store.transaction(async (tables) => {
    const teleport = await tables.teleports.lock(project, wish.teleport);
    if (teleport === undefined) throw unknownTeleport(wish.teleport);
    requireWhole(teleport, 'captured');
    const vm = wish.vm ?? captureName(teleport.vm, teleport.id);
    const version = await nextVersion(tables, project, teleport, vm);
    const { id, edgeId: edge } = teleport;
    const keepStopped = wish.keepStopped ?? false;
    const added = await tables.captures.add({
      ...{ project, edge, teleport: id, vm, version, keepStopped },
    });
    await tables.notify(`edge:${edge}`);
    return await viewCapture(tables, project, added);
  });
  const { capture, vm, version, edge } = view;
  context.events('capture_requested', { capture, vm, version, edge });
  return view;
}

/** The version that a capture becomes. Throws `conflict`. */
async function nextVersion(
  tables: Tables,
  project: Id,
  { id, edgeId, edge }: TeleportRow,
  name: Name,
): Promise<number> {
  const open = await tables.captures.openFor(project, id, name);
  if (open !== undefined) {
    const words = `A capture as ${open.vm} is under way; wait until it is over, or end it: ${endWords(open)}`;
    throw new VmdnError('conflict', words, { data: { capture: open.id } });
  }
  const vm = await tables.vms.find(project, name);
  if (vm !== undefined && vm.originId !== edgeId) {
    const words = `There is a VM "${name}" that ${edge} does not describe; give another name.`;
    throw new VmdnError('conflict', words, { data: { vm: name } });
  }
  await requireFreeName(tables, project, name, edgeId);
  // Edges refuse a number that this edge used for the name before, also for a VM that was forgotten.
  return (await tables.vms.lastVersion(project, name, edgeId)) + 1;
}

/** How a capture is ended by its user. */
export function endWords({ teleport }: Pick<CaptureRow, 'teleport'>): string {
  return `vmdn capture ${teleport} --cancel`;
}

/** I4, for a locked teleport. Throws `conflict`. */
export async function requireNoCapture(tables: Tables, { id, edgeId }: TeleportRow): Promise<void> {
  const open = (await tables.captures.open(edgeId)).find(({ teleport }) => teleport === id);
  if (open === undefined) return;
  const words =
    `It is being captured as ${open.vm}, which would fail, and what it wrote be lost: wait until that is ` +
    `over, end it (${endWords(open)}), or say that its writes may be discarded.`;
  throw new VmdnError('conflict', words, { data: { teleport: id, capture: open.id } });
}

function viewOf({ id, createdAt, ...row }: CaptureRow) {
  return { capture: id, ...row, createdAt: createdAt.toISOString() };
}

async function viewCapture(tables: Tables, project: Id, id: Id) {
  const row = await tables.captures.find(project, id);
  if (row !== undefined) return viewOf(row);
  throw new VmdnError('not_found', 'There is no such capture.', { data: { capture: id } });
}

/** How far a capture is. Throws `not_found`. */
export async function getCapture(context: Context, { project }: ClientIdentity, id: Id) {
  return await context.store.read((tables) => viewCapture(tables, project, id));
}

/** Ends the capture of a VM that is not over (I5). Throws `not_found`. */
export async function cancelCapture(context: Context, { project }: ClientIdentity, teleport: Id) {
  const view = await context.store.transaction(async (tables) => {
    const row = await tables.teleports.find(project, teleport);
    if (row === undefined) throw unknownTeleport(teleport);
    const open = await tables.captures.lockOpen(project, teleport);
    if (open === undefined) {
      const words = 'No capture of this VM is under way: it is over, or none was ordered.';
      throw new VmdnError('not_found', words, { data: { teleport } });
    }
    const message = "Ended at the user's wish.";
    await tables.captures.put(open.id, { state: 'cancelled', message, errorCode: 'cancelled' });
    await tables.notify(`edge:${row.edgeId}`, `teleport:${teleport}`);
    return await viewCapture(tables, project, open.id);
  });
  const { capture, vm, version, edge, state } = view;
  context.events('capture_state', { capture, vm, version, edge, state });
  return view;
}

interface CaptureReport {
  readonly state: 'running' | 'done' | 'failed';
  readonly message?: string | undefined;
  readonly errorCode?: string | undefined;
  readonly description?: string | undefined;
}

/**
 * Takes an edge's word on its capture. Throws `not_found`, `cancelled` (its user ended it), and for one that
 * is done: `invalid_input`, `forbidden`, `corrupt` (its description), `conflict` (the name is taken, a disk
 * that it does not hold).
 */
export async function reportCapture(
  context: Context,
  identity: NodeIdentity,
  id: Id,
  report: CaptureReport,
) {
  const { node } = identity;
  const { state, message = null, errorCode = null } = report;
  const found = await context.store.read((tables) => tables.captures.find(identity.project, id));
  if (found === undefined || found.edge !== node.name) throw notOfThisEdge();
  const signed = state === 'done' ? await signedIn(context, identity, found, report) : null;
  const isNews = await context.store.transaction(async (tables) => {
    const before = await tables.captures.lock(node.id, id);
    if (before === undefined) throw notOfThisEdge();
    if (before.state === 'cancelled') {
      throw new VmdnError('cancelled', 'The user ended this capture; nothing of it is wanted.');
    }
    if (isCaptureOver(before.state)) return false;
    if (signed !== null) await takeCaptured(tables, identity, before, signed);
    await tables.captures.put(id, { state, message, errorCode });
    if (state !== 'running') await tables.notify(`edge:${node.id}`, `teleport:${before.teleport}`);
    return before.state !== state;
  });
  const { vm, version } = found;
  if (isNews) context.events('capture_state', { capture: id, vm, version, edge: node.name, state });
  return { accepted: true as const };
}

function notOfThisEdge(): VmdnError {
  return new VmdnError('not_found', 'There is no such capture for this edge.');
}

/** The order's description, by the edge's key. Throws `invalid_input`, `forbidden`, `corrupt`. */
async function signedIn(
  context: Context,
  identity: NodeIdentity,
  { vm, version }: CaptureRow,
  { description }: CaptureReport,
): Promise<SignedVersion> {
  if (description === undefined) {
    throw new VmdnError('invalid_input', 'A capture that is done has a description.');
  }
  return await verifyDescription(context, identity, { vm, version }, description);
}

/** I2. Throws `conflict`. */
async function takeCaptured(
  tables: Tables,
  identity: NodeIdentity,
  { teleport, keepStopped }: CaptureRow,
  signed: SignedVersion,
): Promise<void> {
  const { node, project } = identity;
  const digests = signed.description.disks.map(({ digest }) => digest);
  const held = await tables.images.heldBy(project, digests);
  const lacks = digests.find(
    (digest) => !held.some((one) => one.node === node.id && one.digest === digest),
  );
  if (lacks !== undefined) {
    const words = 'The edge does not hold a disk that it describes; report the holdings first.';
    throw new VmdnError('conflict', words, { data: { digest: lacks } });
  }
  await takeVersion(tables, identity, signed, 'pinned');
  if (keepStopped) await tables.teleports.setPower(teleport, 'off');
}
