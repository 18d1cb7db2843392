/**
 * Room: edge, services. When a change of what this edge holds wakes whom.
 *
 * I1: packages come by the hundred: those of one bringing wake nobody until it is over, and then once.
 * I2: no change is lost: each is followed by a wake.
 * I3: packages are nobody's holdings: they are not reported anew because of one.
 */

import type { ImageStore } from '@vmdn/core/io/ports/image-store.ts';
import type { Packages } from './packages.ts';

export function wakeOnChanges(deps: {
  readonly store: Pick<ImageStore, 'onChange'>;
  readonly packages: Pick<Packages, 'active' | 'onIdle'>;
  readonly wake: (...names: ('holdings' | 'scores' | 'packages')[]) => void;
}): void {
  const { store, packages, wake } = deps;
  let isPending = false;
  store.onChange((kind) => {
    if (kind !== 'package') wake('holdings', 'scores', 'packages');
    else if (packages.active > 0) isPending = true;
    else wake('scores', 'packages');
  });
  packages.onIdle(() => {
    if (isPending) wake('scores', 'packages');
    isPending = false;
  });
}
