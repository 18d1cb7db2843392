import type { ImageKind } from '@vmdn/core/io/ports/image-store.ts';
import { describe, expect, it } from 'vitest';
import { wakeOnChanges } from './library-wakes.ts';

/** Changes of a library and bringings of packages, and the wakes that follow. */
function library() {
  const woken: string[] = [];
  let change: (kind: ImageKind) => void = () => undefined;
  let idle: () => void = () => undefined;
  const packages = {
    active: 0,
    onIdle: (listener: () => void): void => {
      idle = listener;
    },
  };
  const onChange = (listener: typeof change): (() => void) => {
    change = listener;
    return () => undefined;
  };
  wakeOnChanges({
    ...{ store: { onChange }, packages },
    wake: (...names) => void woken.push(names.join(' ')),
  });
  return {
    woken,
    begin: (): void => {
      packages.active += 1;
    },
    change: (kind: ImageKind) => change(kind),
    end: () => {
      packages.active -= 1;
      if (packages.active === 0) idle();
    },
  };
}

describe('a change of what an edge holds', () => {
  it('wakes all whom it concerns', () => {
    const { woken, change } = library();
    change('base');
    change('snapshot');
    expect(woken).toEqual(['holdings scores packages', 'holdings scores packages']);
  });

  it('I1, I2: wakes once, at the end, when packages come by the hundred', () => {
    const { woken, begin, change, end } = library();
    begin();
    for (let i = 0; i < 300; i += 1) change('package');
    begin();
    change('package');
    end();
    expect(woken).toEqual([]);
    end();
    expect(woken).toEqual(['scores packages']);
    // Nothing came.
    begin();
    end();
    expect(woken).toHaveLength(1);
  });

  it('I1: does not wait for packages when it is another image', () => {
    const { woken, begin, change } = library();
    begin();
    change('base');
    expect(woken).toEqual(['holdings scores packages']);
  });

  it('I2, I3: is told at once of a package that comes or goes by itself', () => {
    const { woken, change } = library();
    change('package');
    expect(woken).toEqual(['scores packages']);
  });
});
