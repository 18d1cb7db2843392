/** Room: coordinator, services. Recipes that edges read before anybody asked for the VM. */

import type { RecipeRead } from '../ports.ts';
import type { Context, NodeIdentity } from './context.ts';

/** Takes an edge's readings; those that it reported before change nothing. */
export async function reportRecipeReads(
  context: Context,
  { node }: NodeIdentity,
  reads: readonly RecipeRead[],
) {
  const unique = [...new Map(reads.map((read) => [read.read, read])).values()];
  await context.store.transaction((tables) => tables.ahead.putReads(node.id, unique));
  return { accepted: true as const };
}
