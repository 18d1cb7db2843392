/**
 * Room: coordinator, services. A teleport as users see it: its row and what was delivered.
 */

import type { Consistency } from '@vmdn/core/domain/description.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import { powerStanding } from '@vmdn/core/domain/power.ts';
import { skippedFree } from '@vmdn/core/domain/skip-free.ts';
import type { DeliveryValue, FreeSpaceRow, MoveRow, Tables, TeleportRow } from '../ports.ts';
import { hostnameOf } from './teleport-identity.ts';

/** What is skipped of a version's disks. */
export function skippedValue(disks: readonly FreeSpaceRow[]) {
  const { skippedBytes, kept } = skippedFree(disks);
  return { skippedBytes, kept: [...kept] };
}

interface VersionFacts {
  readonly freeSpace: readonly FreeSpaceRow[];
  readonly consistency: Consistency;
}

/** How the sources of rows stand, for those that are moves and for those whose VM was moved. */
interface Moves {
  readonly own: ReadonlyMap<Id, MoveRow>;
  readonly standing: ReadonlyMap<Id, Id>;
}

async function movesOf(tables: Tables, rows: readonly TeleportRow[]): Promise<Moves> {
  const own = await tables.moves.of(rows.filter(({ isMove }) => isMove).map(({ id }) => id));
  const standing = await tables.moves.standing([...new Set(rows.map(({ vmId }) => vmId))]);
  return {
    own: new Map(own.map((move) => [move.teleport, move])),
    standing: new Map(standing.map((move) => [move.vmId, move.teleport])),
  };
}

function moveView({ fence, fencedAt, problem }: MoveRow) {
  return { fence, fencedAt: fencedAt?.toISOString() ?? null, problem };
}

function viewOf(
  row: TeleportRow,
  disks: readonly DeliveryValue[],
  { freeSpace, consistency }: VersionFacts,
  moves: Moves,
) {
  const move = moves.own.get(row.id);
  return {
    teleport: row.id,
    vm: row.vm,
    version: row.version,
    consistency,
    near: row.near,
    method: row.method,
    skipFree: row.skipFree ? skippedValue(freeSpace) : null,
    lazy: row.lazy,
    identity: row.identity,
    hostname: hostnameOf(row),
    networks: { ...row.networks },
    move: move === undefined ? null : moveView(move),
    movedBy: row.isMove ? null : (moves.standing.get(row.vmId) ?? null),
    power: powerStanding(row.power, row.actualPower),
    functional: row.functional,
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
    stallSeconds: row.stallSeconds,
    trace: row.trace,
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
    finishedAt: row.finishedAt?.toISOString() ?? null,
    independentAt: row.independentAt?.toISOString() ?? null,
    released: row.state === 'cancelled' && row.released,
  };
}

export type TeleportView = ReturnType<typeof viewOf>;

/** Views of rows, with one query each for all deliveries, all versions and all that skip free space. */
export async function viewTeleports(
  tables: Tables,
  rows: readonly TeleportRow[],
): Promise<TeleportView[]> {
  const delivered = await tables.deliveries.present(rows.map((row) => row.id));
  const moves = await movesOf(tables, rows);
  const skipping = rows.filter((row) => row.skipFree);
  const freeSpace = skipping.length === 0 ? [] : await tables.vms.freeSpaceOf(skipping);
  const versions = rows.length === 0 ? [] : await tables.vms.consistencyOf(rows);
  return rows.map((row) => {
    const isOfIt = ({ vmId, version }: { readonly vmId: Id; readonly version: number }): boolean =>
      vmId === row.vmId && version === row.version;
    const { consistency } = versions.find(isOfIt)!;
    const facts = { freeSpace: freeSpace.filter(isOfIt), consistency };
    return viewOf(row, delivered.get(row.id) ?? [], facts, moves);
  });
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
