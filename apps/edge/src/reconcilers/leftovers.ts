/**
 * Room: edge, reconcilers. Leftovers: disks in the making and recipes that nobody wants any more.
 *
 * I1: nothing is removed before the coordinator has said what it wants, nor while anything is delivered:
 *     a disk in the making is a source for the version that replaces it.
 * I2: nothing is removed while the description of a wanted version can't be had: its disks are unknown.
 */

import { type Digest, isDigest } from '@vmdn/core/domain/digest.ts';
import { wantedDisks } from '@vmdn/core/domain/skip-free.ts';
import type { ImageStore } from '@vmdn/core/io/ports/image-store.ts';
import type { RecipeFolder } from '@vmdn/core/io/ports/records.ts';
import type { DiskDeliveries } from '../services/deliver-disk.ts';
import type { DesiredStates } from '../services/desired-states.ts';
import { isRefusal, type VerifiedVersions } from '../services/verified-versions.ts';

export function createLeftoversReconciler(deps: {
  readonly store: Pick<ImageStore, 'stagings' | 'removeStaging'>;
  readonly folder: RecipeFolder;
  readonly versions: VerifiedVersions;
  readonly deliveries: Pick<DiskDeliveries, 'active'>;
  readonly desired: DesiredStates;
}): () => Promise<void> {
  return async () => {
    const latest = deps.desired.latest();
    if (latest === null) return;
    const digests = new Set<Digest>(latest.seeds.map(({ image }) => image.digest));
    const isUnfinished = latest.teleports.some(({ state }) => state !== 'running');
    for (const known of [...latest.versions, ...latest.teleports.map(({ version }) => version)]) {
      const description = await deps.versions
        .verify(known, { isTakenOn: true })
        .catch((error: unknown) => {
          if (isRefusal(error)) return undefined;
          throw error;
        });
      const disks = description?.disks ?? [];
      for (const { digest } of [...disks, ...wantedDisks(disks, true)]) digests.add(digest);
    }
    if (deps.deliveries.active > 0 || isUnfinished) return;
    for (const key of await deps.store.stagings()) {
      if (isDigest(key) && !digests.has(key)) await deps.store.removeStaging(key);
    }
    await deps.folder.keepOnly(digests);
  };
}
