/**
 * Room: edge, reconcilers. Packages, ahead of time: of each VM that origins offer those packages are brought
 * here that pay for themselves, so that a request finds their blocks local.
 *
 * I1: one disk after another, and only while nobody waits for anything else here; what was begun then is
 *     chosen anew afterwards, since an image that came may have what the packages would have brought.
 * I2: one that can't be looked at now (its recipe's holder is away) does not keep the others waiting.
 */

import { isVmdnError } from '@vmdn/core/domain/errors.ts';
import type { KnownVersion } from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import type { EdgeEvents } from '../events.ts';
import type { DesiredStates } from '../services/desired-states.ts';
import type { Foreground } from '../services/foreground.ts';
import {
  offeredDescription,
  offeredPlan,
  offeredVersions,
  type RecipeMeans,
} from '../services/offered-versions.ts';
import type { Packages } from '../services/packages.ts';
import type { Planner } from '../services/planner.ts';
import type { VerifiedVersions } from '../services/verified-versions.ts';

interface Deps extends RecipeMeans {
  readonly versions: VerifiedVersions;
  readonly packages: Packages;
  readonly planner: Planner;
  readonly foreground: Foreground;
  readonly desired: DesiredStates;
  readonly events: EdgeEvents;
}

export function createPackagesReconciler(deps: Deps): (signal: AbortSignal) => Promise<void> {
  return async (signal) => {
    let failure: unknown;
    for (const known of offeredVersions(deps)) {
      if (deps.foreground.isBusy) return;
      try {
        await bringFor(deps, known, signal);
      } catch (error) {
        signal.throwIfAborted();
        if (isVmdnError(error, 'unauthenticated')) deps.desired.refresh();
        failure = error;
      }
    }
    if (failure !== undefined) throw failure;
  };
}

async function bringFor(deps: Deps, known: KnownVersion, signal: AbortSignal): Promise<void> {
  const description = await offeredDescription(deps, known);
  if (description === null) return;
  for (const disk of description.disks) {
    const { digest } = disk;
    if (deps.packages.isSettled(digest)) continue;
    const { recipePath } = await offeredPlan(deps, known, disk, signal);
    const goesOn = (): boolean => !deps.foreground.isBusy;
    const guest = description;
    await deps.packages.bring({ digest, recipePath, guest, isAwaited: false, goesOn, signal });
  }
}
