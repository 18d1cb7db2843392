/**
 * Room: coordinator, services. Stopping a delivered VM without removing it, and starting it again.
 *
 * I1: it is a wish, as cancelling is: the edge reads it from its desired state and says what came of it.
 * I2: only a VM that needs nobody any more is stopped: a lazy one first has all of its disk.
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
    requireWhole(found, power === 'on' ? 'started' : 'stopped');
    await tables.teleports.setPower(teleport, power);
    await tables.notify(`edge:${found.edgeId}`, `teleport:${teleport}`);
    return found;
  });
  context.events('power_requested', { teleport, edge: row.edge, power });
  const { vm, edge, actualPower } = row;
  return { teleport, vm, edge, power: powerStanding(power, actualPower) };
}

/** I2. `what` is done to it. Throws `conflict`. */
export function requireWhole({ state, independentAt }: TeleportRow, what: string): void {
  if (state === 'running' && independentAt !== null) return;
  const words =
    state === 'running'
      ? `The VM runs before its disk is there; it can be ${what} when that is complete.`
      : `Only a VM that was delivered can be ${what}; see: vmdn status TELEPORT.`;
  throw new VmdnError('conflict', words, { data: { state } });
}
