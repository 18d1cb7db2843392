/**
 * Room: edge, reconcilers. Packages, ahead of time: of each VM that origins offer those packages are brought
 * here that pay for themselves, so that a request finds their blocks local.
 *
 * I1: one disk after another, and only while nobody waits for anything else here; what was begun then is
 *     chosen anew afterwards, since an image that came may have what the packages would have brought.
 * I2: one that can't be looked at now (its recipe's holder is away) does not keep the others waiting.
 * I3: packages of what is not offered any more make room, unless it is not known what is offered.
 */

import type { Description } from '@vmdn/core/domain/description.ts';
import type { Digest } from '@vmdn/core/domain/digest.ts';
import { isVmdnError } from '@vmdn/core/domain/errors.ts';
import type { KnownVersion } from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import type { EdgeEvents } from '../events.ts';
import type { DesiredStates } from '../services/desired-states.ts';
import type { Foreground } from '../services/foreground.ts';
import type { ImageUses } from '../services/image-uses.ts';
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
  readonly uses: Pick<ImageUses, 'keepOnly'>;
  readonly planner: Planner;
  readonly foreground: Foreground;
  readonly desired: DesiredStates;
  readonly events: EdgeEvents;
}

export function createPackagesReconciler(deps: Deps): (signal: AbortSignal) => Promise<void> {
  return async (signal) => {
    let failure: unknown;
    const attempt = async (step: () => Promise<void>): Promise<void> => {
      try {
        await step();
      } catch (error) {
        signal.throwIfAborted();
        if (isVmdnError(error, 'unauthenticated')) deps.desired.refresh();
        failure = error;
      }
    };
    const offered = new Map<KnownVersion, Description>();
    for (const known of offeredVersions(deps)) {
      await attempt(async () => {
        const description = await offeredDescription(deps, known);
        if (description !== null) offered.set(known, description);
      });
    }
    if (failure === undefined) deps.uses.keepOnly(disksOf(offered.values()));
    for (const [known, description] of offered) {
      if (deps.foreground.isBusy) return;
      await attempt(() => bringFor(deps, known, description, signal));
    }
    if (failure !== undefined) throw failure;
  };
}

function disksOf(descriptions: Iterable<Description>): ReadonlySet<Digest> {
  return new Set([...descriptions].flatMap(({ disks }) => disks.map(({ digest }) => digest)));
}

async function bringFor(
  deps: Deps,
  known: KnownVersion,
  description: Description,
  signal: AbortSignal,
): Promise<void> {
  for (const disk of description.disks) {
    const { digest } = disk;
    if (deps.packages.isSettled(digest)) continue;
    const { recipePath } = await offeredPlan(deps, known, disk, signal);
    const goesOn = (): boolean => !deps.foreground.isBusy;
    const guest = description;
    const onRead = (sha256: Digest, wireBytes: number): Promise<void> =>
      deps.reads.note(sha256, { tier: 'package', wireBytes });
    const order = { digest, recipePath, guest, isAwaited: false, onRead, goesOn, signal };
    await deps.packages.bring(order);
    await deps.reads.report(signal);
  }
}
