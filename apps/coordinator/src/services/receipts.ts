/**
 * Room: coordinator, services. Receipts of teleports: taken from the edge that delivered, shown to users.
 *
 * I1: a receipt is kept only when the enrolled key of the edge that holds the teleport signed it, and when it
 *     speaks of this teleport, its version and its disks. Any other is refused and counted.
 * I2: the first one stays; the same again is taken again, another one is refused.
 */

import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import { totalTierBytes } from '@vmdn/core/domain/tiers.ts';
import type { DiskRow, ReceiptValue, TeleportRow } from '../ports.ts';
import type { ClientIdentity, Context, NodeIdentity } from './context.ts';
import { unknownTeleport } from './teleport-view.ts';

/** Takes a receipt. Throws `not_found`, `forbidden`, `corrupt`, `invalid_input`, `conflict`. */
export async function putReceipt(
  context: Context,
  identity: NodeIdentity,
  teleport: Id,
  jws: string,
) {
  const { node } = identity;
  try {
    const receipt = await context.keys.verifyReceipt(jws, node.publicKey);
    const isNew = await keep(context, identity, teleport, { receipt, jws });
    if (isNew) context.events('receipt_kept', { teleport, edge: node.name });
    return { accepted: true as const };
  } catch (error) {
    if (!(error instanceof VmdnError) || !REFUSALS.has(error.code)) throw error;
    await context.store.read((tables) => tables.nodes.countRefusedReceipt(node.id));
    context.events('receipt_refused', { teleport, edge: node.name, code: error.code });
    throw error;
  }
}

const REFUSALS: ReadonlySet<string> = new Set([
  ...['forbidden', 'corrupt', 'invalid_input', 'conflict'],
]);

async function keep(
  { store }: Context,
  { node, project }: NodeIdentity,
  teleport: Id,
  sent: { readonly receipt: ReceiptValue; readonly jws: string },
): Promise<boolean> {
  return await store.transaction(async (tables) => {
    const row = await tables.teleports.lock(project, teleport);
    if (row === undefined) throw unknownTeleport(teleport);
    const disks = await tables.vms.disks(row.vmId, row.version, row.skipFree);
    requireAbout(sent.receipt, row, node.id, disks);
    const isNew = await tables.receipts.add({ teleport, edge: node.id, ...sent });
    const present = await tables.receipts.find(project, teleport);
    if (present?.jws === sent.jws) return isNew;
    throw new VmdnError('conflict', 'This teleport has another receipt already; it stays.', {
      data: { teleport },
    });
  });
}

/** I1. */
function requireAbout(
  receipt: ReceiptValue,
  row: TeleportRow,
  edge: Id,
  disks: readonly DiskRow[],
): void {
  const said = [receipt.teleport, receipt.edge, receipt.epoch, receipt.vm, receipt.version];
  const meant = [row.id, row.edgeId, row.epoch, row.vm, row.version];
  const isAbout =
    row.edgeId === edge &&
    said.join() === meant.join() &&
    receipt.lazy === row.lazy &&
    receipt.skipFree === row.skipFree;
  const areDisks =
    receipt.disks.length === disks.length &&
    receipt.disks.every(({ digest, virtualSizeBytes, diskBytes }, at) => {
      const isSame =
        digest === disks[at]!.digest && virtualSizeBytes === disks[at]!.virtualSizeBytes;
      return isSame && totalTierBytes(diskBytes) === virtualSizeBytes;
    });
  if (isAbout && areDisks) return;
  throw new VmdnError(
    'invalid_input',
    'The receipt is not of this teleport as the coordinator knows it.',
    { data: { teleport: row.id, epoch: row.epoch, version: row.version } },
  );
}

/** The receipt of a teleport. Throws `not_found`. */
export async function getReceipt(context: Context, { project }: ClientIdentity, teleport: Id) {
  return await context.store.read(async (tables) => {
    const row = await tables.receipts.find(project, teleport);
    if (row !== undefined) {
      const edge = { node: row.edgeId, name: row.edge, publicKey: row.publicKey };
      const { receipt, jws } = row;
      return { receipt, jws, edge, receivedAt: row.receivedAt.toISOString() };
    }
    if ((await tables.teleports.find(project, teleport)) === undefined) {
      throw unknownTeleport(teleport);
    }
    throw new VmdnError(
      'not_found',
      'There is no receipt yet: an edge signs it when the VM reads nothing but complete files there.',
      { data: { teleport } },
    );
  });
}
