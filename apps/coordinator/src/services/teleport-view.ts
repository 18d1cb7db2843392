/**
 * Room: coordinator, services. A teleport as users see it: its row and what was delivered.
 */

import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import type { DeliveryValue, Tables, TeleportRow } from '../ports.ts';

function viewOf(row: TeleportRow, disks: readonly DeliveryValue[]) {
  return {
    teleport: row.id,
    vm: row.vm,
    version: row.version,
    near: row.near,
    state: row.state,
    epoch: row.epoch,
    edge: row.edge,
    spilled: row.spilled,
    chosen: row.chosen,
    others: [...row.others],
    disks: [...disks],
    endpoints: [...row.endpoints],
    message: row.message,
    errorCode: row.errorCode,
    phases: { ...row.phases },
    accelerator: row.accelerator,
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
    finishedAt: row.finishedAt?.toISOString() ?? null,
  };
}

export type TeleportView = ReturnType<typeof viewOf>;

/** Views of rows, with one query for all deliveries. */
export async function viewTeleports(
  tables: Tables,
  rows: readonly TeleportRow[],
): Promise<TeleportView[]> {
  const delivered = await tables.deliveries.present(rows.map((row) => row.id));
  return rows.map((row) => viewOf(row, delivered.get(row.id) ?? []));
}

/** One view. Throws `not_found`. */
export async function viewTeleport(
  tables: Tables,
  project: Id,
  teleport: Id,
): Promise<TeleportView> {
  const row = await tables.teleports.find(project, teleport);
  if (row === undefined) throw unknownTeleport(teleport);
  return (await viewTeleports(tables, [row]))[0]!;
}

export function unknownTeleport(teleport: Id): VmdnError {
  return new VmdnError('not_found', 'There is no such teleport; GET /v1/teleports lists them.', {
    data: { teleport },
  });
}
