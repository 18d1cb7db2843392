/**
 * Room: coordinator, services. Moves, as far as their teleports go: that there is one of a VM at a time,
 * when the VM may boot, and what becomes of its source when it is over. The origin's part is in fences.ts.
 *
 * I1: an edge is allowed to boot in the very transaction that sees the origin's word for this epoch.
 * I2: once an edge was allowed to boot, the source is let go only after that edge said that nothing of the VM
 *     is left there; while it is away a failed or cancelled move keeps its source as it is. A move that is
 *     over before that waits for no edge: none may boot it any more.
 * I3: every change of a move happens under its teleport's lock.
 */

import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { fenceAfter, mayBoot } from '@vmdn/core/domain/fence.ts';
import type { Id, Name } from '@vmdn/core/domain/names.ts';
import { isFinal } from '@vmdn/core/domain/teleport.ts';
import type { MoveRow, Tables, TeleportRow } from '../ports.ts';

/** Throws `conflict` when the VM has left its source, is about to, or has none that could start. */
export async function requireMovable(
  tables: Tables,
  project: Id,
  vmId: Id,
  vm: Name,
): Promise<void> {
  const found = await tables.vms.find(project, vm);
  const origin = found && (await tables.nodes.find(found.originId));
  if (origin?.kind === 'edge') {
    const words = `"${vm}" was captured on ${origin.name}: there is no source that could start. Copy it.`;
    throw new VmdnError('conflict', words, { data: { vm, edge: origin.name } });
  }
  const [move] = await tables.moves.standing([vmId]);
  if (move === undefined) return;
  const { teleport, edge, state } = move;
  const words =
    state === 'running'
      ? `"${vm}" was moved to ${edge} by teleport ${teleport}, and runs there. Cancel that first.`
      : isFinal(state)
        ? `"${vm}" was moved by teleport ${teleport}, which is ${state}. Its source is free again ` +
          `when ${edge} said that nothing is left there, and its origin that it let it go.`
        : `"${vm}" is being moved to ${edge} by teleport ${teleport}. Wait, or cancel that first.`;
  throw new VmdnError('conflict', words, { data: { vm, teleport, edge, state } });
}

/** Notes that the VM of a new teleport leaves its source. */
export async function addMove(tables: Tables, teleport: Id, vmId: Id): Promise<void> {
  await tables.moves.add(teleport, vmId);
}

/** The move that a locked teleport is. */
async function moveOf(tables: Tables, { id }: Pick<TeleportRow, 'id'>): Promise<MoveRow> {
  const move = await tables.moves.find(id);
  if (move === undefined) throw new VmdnError('internal', 'A move has no row.');
  return move;
}

/** Lets the VM of a locked teleport boot, or says what must come first (I1). */
export async function askToBoot(tables: Tables, row: TeleportRow): Promise<string | null> {
  if (!row.isMove) return null;
  const move = await moveOf(tables, row);
  if (mayBoot({ state: move.fence, epoch: move.epoch }, row.epoch)) {
    if (move.grantedEpoch !== row.epoch) {
      const { fence, problem } = move;
      await tables.moves.put(row.id, { fence, problem, grantedEpoch: row.epoch });
    }
    return null;
  }
  const fence = fenceAfter(move.fence, 'ask');
  if (fence !== move.fence) {
    await tables.moves.put(row.id, { fence, problem: move.problem });
    await tables.notify(`origin:${move.originId}`);
  }
  return waitWords(row, { ...move, fence });
}

function waitWords({ vm }: TeleportRow, { fence, origin, problem }: MoveRow): string {
  if (fence === 'forced') {
    return `${origin}'s operator took the source of ${vm} back. Cancel this teleport.`;
  }
  const why = problem === null ? '' : `: ${problem}`;
  return `Waiting for ${origin} to keep the source of ${vm} from starting${why}`;
}

/**
 * Whether the edge was allowed to boot under this epoch: its VM may run, whatever it says or does not say.
 */
export async function isGranted(tables: Tables, row: TeleportRow): Promise<boolean> {
  return row.isMove && (await moveOf(tables, row)).grantedEpoch === row.epoch;
}

/** A locked teleport failed or was cancelled: where no edge was ever allowed to boot there is no VM (I2). */
export async function callOff(tables: Tables, row: TeleportRow): Promise<void> {
  if (row.isMove && (await moveOf(tables, row)).grantedEpoch === null) await vmIsGone(tables, row);
}

/** Nothing of a locked teleport's VM is left at its edge, or ever was (I2). */
export async function vmIsGone(tables: Tables, row: TeleportRow): Promise<void> {
  if (!row.isMove) return;
  const move = await moveOf(tables, row);
  const fence = fenceAfter(move.fence, 'gone');
  if (fence === move.fence) return;
  await tables.moves.put(row.id, { fence, problem: null });
  await tables.notify(`origin:${move.originId}`);
}

/** Throws `conflict` when cancelling would lose what a moved VM wrote, and nobody said that it may. */
export function requireDiscard(row: TeleportRow, writes: 'keep' | 'discard'): void {
  if (!row.isMove || row.state !== 'running' || writes === 'discard') return;
  const words =
    `${row.vm} was moved to ${row.edge}: all that it wrote there is lost when it is removed, and ` +
    'its source comes back as it was. If that is to stay, capture it first and wait until that is done ' +
    '(vmdn capture TELEPORT --wait); then say that its writes may be discarded.';
  throw new VmdnError('conflict', words, { data: { teleport: row.id, edge: row.edge } });
}
