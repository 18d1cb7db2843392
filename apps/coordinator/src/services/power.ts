/**
 * Room: coordinator, services. Stopping a delivered VM without removing it, and starting it again.
 *
 * I1: it is a wish, as cancelling is: the edge reads it from its desired state and says what came of it.
 * I2: every VM that was delivered is stopped and started, a lazy one also before it has all of its disk: that
 *     comes meanwhile, or never. What reads whole disks waits for them.
 */

import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import { type Power, powerStanding } from '@vmdn/core/domain/power.ts';
import type { TeleportRow } from '../ports.ts';
import type { ClientIdentity, Context } from './context.ts';
import { unknownTeleport } from './teleport-view.ts';

/** Throws `not_found`, and `conflict` for a VM that was not delivered yet, or is no more. */
export async function setPower(
  context: Context,
  { project }: ClientIdentity,
  teleport: Id,
  power: Power,
) {
  const row = await context.store.transaction(async (tables) => {
    const found = await tables.teleports.lock(project, teleport);
    if (found === undefined) throw unknownTeleport(teleport);
    requireDelivered(found, power === 'on' ? 'started' : 'stopped');
    await tables.teleports.setPower(teleport, power);
    await tables.notify(`edge:${found.edgeId}`, `teleport:${teleport}`);
    return found;
  });
  context.events('power_requested', { teleport, edge: row.edge, power });
  const { vm, edge, actualPower } = row;
  return { teleport, vm, edge, power: powerStanding(power, actualPower) };
}

/** `what` is done to it. Throws `conflict`. */
function requireDelivered({ state }: TeleportRow, what: string): void {
  if (state === 'running') return;
  const words = `Only a VM that was delivered can be ${what}; see: vmdn status TELEPORT.`;
  throw new VmdnError('conflict', words, { data: { state } });
}

/** I2. Throws `conflict`. */
export function requireWhole(row: TeleportRow, what: string): void {
  requireDelivered(row, what);
  const { state, independentAt } = row;
  if (independentAt !== null) return;
  const words = `The VM's disk is not complete yet; it can be ${what} when it is: vmdn status TELEPORT.`;
  throw new VmdnError('conflict', words, { data: { state } });
}
