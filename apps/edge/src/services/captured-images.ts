/**
 * Room: edge, services. The images that captures made, and which of them go again.
 *
 * I1: what a capture makes is on record before it is made, and until the coordinator took the version: of a
 *     capture that failed or that its user ended nothing stays, whatever was killed in between.
 * I2: what the coordinator says nobody may ask for goes too, once nothing here needs it (drop-snapshots.ts).
 * I3: that waits while captures are ordered: one may just find again what is to go.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import { digest } from '@vmdn/core/http/contracts/schemas.ts';
import type { Records } from '@vmdn/core/io/ports/records.ts';
import { z } from 'zod';
import { type DropDeps, dropUnneeded } from './drop-snapshots.ts';

/** What must be known of a capture after a restart: the images that were not there before it. */
export const captureRecord = z.object({ made: z.array(digest) });
type CaptureRecord = z.output<typeof captureRecord>;

export interface CapturedImages {
  /** I1, before an image is made. Durable when it resolves. */
  willMake(capture: Id, image: Digest): Promise<void>;
  /** What the capture made is a version: it stays. */
  keep(capture: Id): Promise<void>;
  /** Removes what captures made that are over, and what is to be dropped. Never while one is under way. */
  settle(): Promise<void>;
}

export function createCapturedImages(
  deps: DropDeps & { readonly captures: Records<CaptureRecord> },
): CapturedImages {
  const { captures, desired } = deps;
  const madeBy = async (capture: string): Promise<readonly Digest[]> =>
    (await captures.read(capture))?.made ?? [];
  return {
    async willMake(capture, image) {
      await captures.write(capture, { made: [...(await madeBy(capture)), image] });
    },
    keep: (capture) => captures.remove(capture),
    async settle() {
      const latest = desired.latest();
      if (latest === null) return;
      const ordered = new Set<string>(latest.captures.map(({ capture }) => capture));
      for (const capture of await captures.keys()) {
        if (ordered.has(capture)) continue;
        // Those of a capture whose end was heard are a version's by now, which needs them.
        const left = await dropUnneeded(deps, await madeBy(capture));
        if (left.length === 0) await captures.remove(capture);
      }
      // I3
      if (ordered.size === 0) await dropUnneeded(deps, latest.dropSnapshots);
    },
  };
}
