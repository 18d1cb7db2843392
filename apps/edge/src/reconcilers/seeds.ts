/**
 * Room: edge, reconcilers. Seeding orders: base images that this edge should hold.
 *
 * I1: an order is reported done only when the image lies in the store under its name.
 */

import { describeError } from '@vmdn/core/domain/errors.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import { placeOf } from '@vmdn/core/domain/territory.ts';
import type { CoordinatorClient } from '@vmdn/core/http/clients/coordinator-client.ts';
import { type DesiredSeed, reportSeed } from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import type { DiskDelivery } from '@vmdn/core/http/contracts/coordinator-teleports.ts';
import pLimit from 'p-limit';
import { meaningOf } from '../decisions/failure.ts';
import { MESSAGE_CHARACTERS_MAX, PROGRESS_INTERVAL_MS, SEEDS_MAX } from '../limits.ts';
import type { DiskDeliveries } from '../services/deliver-disk.ts';
import type { DesiredStates } from '../services/desired-states.ts';
import { type DiskHolder, inWhole, orderHolders } from '../services/remote-sources.ts';

interface Deps {
  readonly self: Id;
  readonly client: Pick<CoordinatorClient, 'call'>;
  readonly deliveries: DiskDeliveries;
  readonly desired: DesiredStates;
}

export function createSeedsReconciler(deps: Deps): (signal: AbortSignal) => Promise<void> {
  const limit = pLimit(SEEDS_MAX);
  return async (signal) => {
    const seeds = deps.desired.latest()?.seeds ?? [];
    const results = await Promise.allSettled(
      seeds.map((seed) => limit(() => workOff(deps, seed, signal))),
    );
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  };
}

/** Throws when the order should be tried again. */
async function workOff(deps: Deps, seed: DesiredSeed, signal: AbortSignal): Promise<void> {
  const { image } = seed;
  let last: DiskDelivery | undefined;
  let mentionedMs = 0;
  let waitsFor: string | null = null;
  const mention = (): void => {
    if (performance.now() - mentionedMs < PROGRESS_INTERVAL_MS) return;
    mentionedMs = performance.now();
    const words =
      waitsFor === null
        ? ({ state: 'syncing' } as const)
        : ({ state: 'waiting', message: waitsFor } as const);
    // The next mention, or the end, says the same and more.
    report(deps, seed, { ...words, delivery: last }).catch(() => undefined);
  };
  // The newest words of the coordinator on this order: its grant, its holders.
  const newest = (): DesiredSeed =>
    deps.desired.latest()?.seeds.find(({ seed: id }) => id === seed.seed) ?? seed;
  const holders = (): readonly DiskHolder[] => orderHolders(newest().holders, deps.self);
  try {
    const { delivery } = await deps.deliveries.deliver({
      digest: image.digest,
      keysRoot: image.keysRoot,
      virtualSizeBytes: image.virtualSizeBytes,
      name: image.name,
      kind: 'base',
      holders: inWhole(holders()),
      trade: { place: placeOf(deps.self), holders },
      grant: () => newest().grant,
      signal,
      onProgress: (progress) => {
        last = progress;
        mention();
      },
      onWaiting: (message) => {
        waitsFor = message;
        mention();
      },
      onDelivered: async () => undefined,
    });
    await report(deps, seed, { state: 'done', delivery });
  } catch (error) {
    if (signal.aborted) throw error;
    const message = describeError(error);
    if (meaningOf(error) === 'fail') return await report(deps, seed, { state: 'failed', message });
    await report(deps, seed, { state: 'waiting', message, delivery: last }).catch(() => undefined);
    // Its grant may have ended, its holders may have changed.
    deps.desired.refresh();
    throw error;
  }
}

async function report(
  deps: Deps,
  seed: DesiredSeed,
  words: {
    readonly state: 'syncing' | 'waiting' | 'done' | 'failed';
    readonly message?: string | undefined;
    readonly delivery?: DiskDelivery | undefined;
  },
): Promise<void> {
  const message = words.message?.slice(0, MESSAGE_CHARACTERS_MAX);
  const body = { state: words.state, message, delivery: words.delivery };
  await deps.client.call(reportSeed, { params: { seed: seed.seed }, body });
}
