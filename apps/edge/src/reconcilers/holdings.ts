/**
 * Room: edge, reconcilers. Holdings: all images of this edge, reported whenever they change.
 */

import type { CoordinatorClient } from '@vmdn/core/http/clients/coordinator-client.ts';
import { HOLDINGS_MAX, reportHoldings } from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import type { ImageStore } from '@vmdn/core/io/ports/image-store.ts';

export function createHoldingsReconciler(deps: {
  readonly client: Pick<CoordinatorClient, 'call'>;
  readonly store: Pick<ImageStore, 'list'>;
}): (signal: AbortSignal) => Promise<void> {
  return async (signal) => {
    const images = deps.store
      .list()
      // A package image is no disk of anybody's: who wants one unpacks it from a mirror.
      .filter(({ kind }) => kind !== 'package')
      .slice(0, HOLDINGS_MAX)
      .map(({ digest, keysRoot, name, kind, ...sizes }) => {
        const { virtualSizeBytes, nonZeroBytes, allocatedBytes } = sizes;
        return { digest, keysRoot, name, kind, virtualSizeBytes, nonZeroBytes, allocatedBytes };
      });
    await deps.client.call(reportHoldings, { body: { images }, signal });
  };
}
