/**
 * Room: coordinator, reconcilers. Moves whose VM has a newer version: what leaves a source is what the
 * source is.
 *
 * I1: a move that may not boot yet starts over on the newest version, whoever holds the one before; one that
 *     may boot goes on: its source can't change any more.
 */

import type { Context } from '../services/context.ts';
import { isGranted } from '../services/moves.ts';
import type { Reconciler } from './reconciler.ts';
import { eachOf, startOver } from './teleports.ts';

/** Starts moves over that a newer version has overtaken. */
export function reconcileOvertaken(context: Context): Reconciler {
  return {
    name: 'overtaken',
    async run(signal) {
      const found = await context.store.read((tables) => tables.moves.overtaken());
      await eachOf(context, found, signal, async (tables, row) => {
        if (!row.isMove || (await isGranted(tables, row))) return;
        await startOver(context, tables, row);
      });
    },
  };
}
