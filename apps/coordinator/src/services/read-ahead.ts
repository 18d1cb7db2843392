/** Room: coordinator, services. Recipes and packages that edges read before anybody asked for the VM. */

import type { ReadAhead } from '../ports.ts';
import type { Context, NodeIdentity } from './context.ts';

/** Takes an edge's readings; those that it reported before change nothing. */
export async function reportReadsAhead(
  context: Context,
  { node }: NodeIdentity,
  reads: readonly ReadAhead[],
) {
  const unique = [...new Map(reads.map((read) => [read.read, read])).values()];
  await context.store.transaction((tables) => tables.ahead.putReads(node.id, unique));
  return { accepted: true as const };
}
