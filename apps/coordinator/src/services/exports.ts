/**
 * Room: coordinator, services. Exports: a delivered VM as files for another hypervisor, on its
 * edge's machine.
 *
 * I1: only what was delivered whole is exported: a VM that runs and needs nobody any more, and is no
 *     functional copy.
 * I2: an order is done or failed for good; a report for a finished one changes nothing.
 */

import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { type Id, type Name, parseName } from '@vmdn/core/domain/names.ts';
import { type ExportFormat, exportFormat, type Hypervisor } from '@vmdn/core/domain/vm-export.ts';
import type { ExportRow, Tables, TeleportRow } from '../ports.ts';
import type { ClientIdentity, Context, NodeIdentity } from './context.ts';
import { requireWhole } from './power.ts';
import { unknownTeleport } from './teleport-view.ts';

/** A name has 63 characters; the longest version has 16 digits. */
const VM_CHARACTERS_MAX = 46;

/** Orders an export. Throws `not_found`, `conflict` (not delivered yet, or no more), `invalid_input`. */
export async function requestExport(
  context: Context,
  { project }: ClientIdentity,
  wish: {
    readonly teleport: Id;
    readonly hypervisor: Hypervisor;
    readonly format?: ExportFormat | undefined;
    readonly name?: Name | undefined;
  },
) {
  const { hypervisor } = wish;
  const format = exportFormat(hypervisor, wish.format ?? null);
  const view = await context.store.transaction(async (tables) => {
    const teleport = await tables.teleports.find(project, wish.teleport);
    if (teleport === undefined) throw unknownTeleport(wish.teleport);
    requireDelivered(teleport);
    const { id, edgeId: edge } = teleport;
    const name = wish.name ?? usualName(teleport);
    const order = { project, edge, teleport: id, name, format, hypervisor };
    const added = await tables.exports.add(order);
    await tables.notify(`edge:${edge}`);
    return await viewExport(tables, project, added);
  });
  context.events('export_requested', { export: view.export, edge: view.edge });
  return view;
}

function requireDelivered(teleport: TeleportRow): void {
  if (teleport.method === 'functional') {
    throw new VmdnError(
      'conflict',
      'A functional copy is no disk that was described, and is not exported; teleport the VM exactly.',
    );
  }
  requireWhole(teleport, 'exported');
}

function usualName({ vm, version }: TeleportRow): Name {
  return parseName(`${vm.slice(0, VM_CHARACTERS_MAX)}-${version}`, 'name');
}

function viewOf({ id, createdAt, ...row }: ExportRow) {
  return { export: id, ...row, createdAt: createdAt.toISOString() };
}

async function viewExport(tables: Tables, project: Id, id: Id) {
  const row = await tables.exports.find(project, id);
  if (row !== undefined) return viewOf(row);
  throw new VmdnError('not_found', 'There is no such export.', { data: { export: id } });
}

/** How far an export is. Throws `not_found`. */
export async function getExport(context: Context, { project }: ClientIdentity, id: Id) {
  return await context.store.read((tables) => viewExport(tables, project, id));
}

/** Takes an edge's word on its export. Throws `not_found`, `invalid_input`. */
export async function reportExport(
  context: Context,
  { node }: NodeIdentity,
  id: Id,
  report: {
    readonly state: 'running' | 'done' | 'failed';
    readonly message?: string | undefined;
    readonly errorCode?: string | undefined;
    readonly folder?: string | undefined;
  },
) {
  const { state, message = null, errorCode = null, folder = null } = report;
  if (state === 'done' && folder === null) {
    throw new VmdnError('invalid_input', 'An export that is done names its folder.');
  }
  const isNews = await context.store.transaction(async (tables) => {
    const before = await tables.exports.lock(node.id, id);
    if (before === undefined) {
      throw new VmdnError('not_found', 'There is no such export for this edge.');
    }
    if (before === 'done' || before === 'failed') return false;
    await tables.exports.put(id, { state, message, errorCode, folder });
    if (state !== 'running') await tables.notify(`edge:${node.id}`);
    return before !== state;
  });
  if (isNews) context.events('export_state', { export: id, edge: node.name, state });
  return { accepted: true as const };
}
