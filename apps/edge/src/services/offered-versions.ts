/**
 * Room: edge, services. The versions that origins offer now, as background work goes through them.
 */

import type { DescribedDisk, Description } from '@vmdn/core/domain/description.ts';
import type { DiskPlan } from '@vmdn/core/domain/plan.ts';
import type { PlanSummary } from '@vmdn/core/domain/plan-estimate.ts';
import type { KnownVersion } from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import type { EdgeEvents } from '../events.ts';
import type { BackgroundBudget } from './background-budget.ts';
import type { DesiredStates } from './desired-states.ts';
import type { Planner } from './planner.ts';
import type { ReadsAhead } from './reads-ahead.ts';
import type { Recipes } from './recipes.ts';
import { holdersOf, type SourcePolicy, tierOf } from './remote-sources.ts';
import { isRefusal, type VerifiedVersions } from './verified-versions.ts';

interface Deps {
  readonly desired: Pick<DesiredStates, 'latest'>;
  readonly versions: VerifiedVersions;
  readonly events: EdgeEvents;
}

/** What it takes to read ahead. */
export interface RecipeMeans {
  readonly sources: SourcePolicy;
  readonly recipes: Recipes;
  readonly reads: ReadsAhead;
  readonly budget: BackgroundBudget;
}

/** The newest version of each VM that its origin still has: nobody asks for an older one. */
export function offeredVersions({ desired }: Pick<Deps, 'desired'>): readonly KnownVersion[] {
  const newest = new Map<string, KnownVersion>();
  for (const known of desired.latest()?.versions ?? []) {
    if (known.state === 'withdrawn') continue;
    if ((newest.get(known.vm)?.version ?? 0) < known.version) newest.set(known.vm, known);
  }
  return [...newest.values()];
}

/** The path of the recipe of a disk of a version, fetched ahead of any request when it is not here. */
async function offeredRecipe(
  deps: Pick<Deps, 'desired'> & RecipeMeans,
  known: KnownVersion,
  disk: DescribedDisk,
  signal: AbortSignal,
): Promise<string> {
  const { digest } = disk;
  let wireBytes = 0;
  try {
    return await deps.recipes.find({
      ...disk,
      holders: holdersOf(known, digest, deps.sources),
      grant: () => recipeGrantOf(deps, known),
      signal,
      onRead: async (cost) => {
        wireBytes += cost.wireBytes;
        await deps.reads.note(digest, cost);
      },
    });
  } finally {
    // Paid afterwards, when nobody else waits for the recipe any more.
    await deps.budget.spend(wireBytes, signal);
  }
}

/** A disk of a version, planned ahead of any request; how well what would travel compresses is known then. */
export async function offeredPlan(
  deps: Pick<Deps, 'desired'> & RecipeMeans & { readonly planner: Planner },
  known: KnownVersion,
  disk: DescribedDisk,
  signal: AbortSignal,
): Promise<{
  readonly recipePath: string;
  readonly plan: DiskPlan;
  readonly summary: PlanSummary;
}> {
  const { planner, sources, budget } = deps;
  const recipePath = await offeredRecipe(deps, known, disk, signal);
  const startedMs = performance.now();
  const plan = await planner.plan(disk.digest, recipePath, signal);
  await budget.rest((performance.now() - startedMs) / 1000, signal);
  const holders = holdersOf(known, disk.digest, sources);
  await planner.measure(plan, { holders, grant: () => recipeGrantOf(deps, known), signal });
  return { recipePath, plan, summary: planner.estimate(plan, tierOf(holders)) };
}

/** The newest grant for a version: the one that came with an earlier answer may have ended meanwhile. */
function recipeGrantOf({ desired }: Pick<Deps, 'desired'>, known: KnownVersion): string {
  const { vm, version } = known;
  const newest = desired.latest()?.versions.find((one) => one.vm === vm && one.version === version);
  return (newest ?? known).recipeGrant;
}

/** The description, or null when it is refused: asking again would not help. */
export async function offeredDescription(
  { versions, events }: Deps,
  known: KnownVersion,
): Promise<Description | null> {
  try {
    return await versions.verify(known, { isTakenOn: false });
  } catch (error) {
    if (!isRefusal(error)) throw error;
    events.descriptionRefused(known.vm, known.version, error);
    return null;
  }
}
