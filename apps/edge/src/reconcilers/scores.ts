/**
 * Room: edge, reconcilers. Scores: recipes of known versions, plans against all that this edge holds, and
 * their numbers for the coordinator: before anybody asks.
 *
 * I1: a version whose plan would be the same is not planned again; one that cannot be planned now (its
 *     recipe's holder is away) does not keep the others waiting.
 * I2: deliveries go first, and packages on their way: planning waits for them, though not for ever.
 * I3: a score is reported after what its recipes cost: who sees the score sees those bytes counted.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { isVmdnError } from '@vmdn/core/domain/errors.ts';
import type { PlanSummary } from '@vmdn/core/domain/plan-estimate.ts';
import { totalPlan } from '@vmdn/core/domain/routing-estimate.ts';
import type { CoordinatorClient } from '@vmdn/core/http/clients/coordinator-client.ts';
import { type KnownVersion, reportScores } from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import type { EdgeEvents } from '../events.ts';
import { BACKGROUND_PATIENCE_MS, RETRY_MIN_MS } from '../limits.ts';
import type { DiskDeliveries } from '../services/deliver-disk.ts';
import type { DesiredStates } from '../services/desired-states.ts';
import type { FunctionalCosts } from '../services/functional-costs.ts';
import {
  offeredDescription,
  offeredPlan,
  offeredVersions,
  type RecipeMeans,
} from '../services/offered-versions.ts';
import type { Packages } from '../services/packages.ts';
import { contractSummary, type Planner } from '../services/planner.ts';
import type { VerifiedVersions } from '../services/verified-versions.ts';

interface Deps extends RecipeMeans {
  readonly client: Pick<CoordinatorClient, 'call'>;
  readonly versions: VerifiedVersions;
  readonly planner: Planner;
  readonly costs: FunctionalCosts;
  readonly packages: Pick<Packages, 'active'>;
  readonly deliveries: Pick<DiskDeliveries, 'active'>;
  readonly desired: DesiredStates;
  readonly events: EdgeEvents;
}

export function createScoresReconciler(deps: Deps): (signal: AbortSignal) => Promise<void> {
  /** What was reported last, by VM: version and library. */
  const reported = new Map<string, string>();
  return async (signal) => {
    let failure: unknown;
    // What a kill, or a coordinator that was away, left unreported.
    await deps.reads.report(signal);
    for (const known of offeredVersions(deps)) {
      const fresh = `${known.version} ${deps.planner.revision} ${deps.costs.revision}`;
      if (reported.get(known.vm) === fresh) continue;
      try {
        await score(deps, known, signal);
        reported.set(known.vm, fresh);
      } catch (error) {
        signal.throwIfAborted();
        if (isVmdnError(error, 'unauthenticated')) deps.desired.refresh();
        failure = error;
      }
    }
    if (failure !== undefined) throw failure;
  };
}

async function score(deps: Deps, known: KnownVersion, signal: AbortSignal): Promise<void> {
  const description = await offeredDescription(deps, known);
  if (description === null) return;
  await waitForQuiet(deps, signal);
  const startedMs = performance.now();
  const disks = [];
  const plans: PlanSummary[] = [];
  for (const disk of description.disks) {
    const { digest } = disk;
    const { summary } = await offeredPlan(deps, known, disk, signal);
    disks.push({ digest, plan: contractSummary(summary) });
    plans.push(summary);
  }
  const functional = await deps.costs.estimate(description, totalPlan(plans), signal);
  const { vm, version } = known;
  const computedAt = new Date().toISOString();
  await deps.reads.report(signal);
  const body = { disks, functional, computedAt };
  await deps.client.call(reportScores, { params: { vm, version }, body });
  deps.events.scored(vm, version, (performance.now() - startedMs) / 1000);
}

/** Each package that comes changes what plans say: they are made once all are there. */
async function waitForQuiet(deps: Deps, signal: AbortSignal): Promise<void> {
  const { deliveries, packages } = deps;
  const deadline = performance.now() + BACKGROUND_PATIENCE_MS;
  while (deliveries.active + packages.active > 0 && performance.now() < deadline) {
    await delay(RETRY_MIN_MS, undefined, { signal });
  }
}
