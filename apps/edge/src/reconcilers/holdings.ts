/**
 * Room: edge, reconcilers. Holdings: all images of this edge and the disks that it is making, reported
 * whenever these are others.
 *
 * I1: reports never overtake one another: what is told last is what is held last.
 */

import type { CoordinatorClient } from '@vmdn/core/http/clients/coordinator-client.ts';
import {
  HOLDINGS_MAX,
  MAKING_MAX,
  reportHoldings,
} from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import type { ImageStore } from '@vmdn/core/io/ports/image-store.ts';
import type { SyncEngine } from '../sync/create-sync-engine.ts';

export function createHoldingsReconciler(deps: {
  readonly client: Pick<CoordinatorClient, 'call'>;
  readonly store: Pick<ImageStore, 'list'>;
  readonly engine: Pick<SyncEngine, 'making'>;
}): (signal: AbortSignal) => Promise<void> {
  const report = async (signal: AbortSignal): Promise<void> => {
    const images = deps.store
      .list()
      // A package image is no disk of anybody's: who wants one unpacks it from a mirror.
      .filter(({ kind }) => kind !== 'package')
      .slice(0, HOLDINGS_MAX)
      .map(({ digest, keysRoot, name, kind, ...sizes }) => {
        const { virtualSizeBytes, nonZeroBytes, allocatedBytes } = sizes;
        return { digest, keysRoot, name, kind, virtualSizeBytes, nonZeroBytes, allocatedBytes };
      });
    const making = deps.engine
      .making()
      .slice(0, MAKING_MAX)
      .map(({ digest, verifiedBytes }) => ({ digest, verifiedBytes: verifiedBytes() }));
    await deps.client.call(reportHoldings, { body: { images, making }, signal });
  };
  let last: Promise<unknown> = Promise.resolve();
  return (signal) => {
    const turn = last.then(() => report(signal));
    last = turn.catch(() => undefined);
    return turn;
  };
}
