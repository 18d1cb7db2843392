import type { Id } from '@vmdn/core/domain/names.ts';
import { describe, expect, it } from 'vitest';
import { createVmHolds } from './vm-holds.ts';

const ids = (digit: string): Id => `${digit.repeat(8)}-1111-4111-8111-111111111111` as Id;
const orders = ['1', '2', '3'].map((digit) => ({
  ...{ capture: ids(`${Number(digit) + 3}`), teleport: ids(digit) },
  ...{ vm: 'used', version: 1, keepStopped: false },
}));
const [first, second, third] = orders as [
  (typeof orders)[number],
  (typeof orders)[number],
  (typeof orders)[number],
];

function edgeTold(...captures: readonly (typeof first)[]) {
  const edge = { captures };
  const holds = createVmHolds({
    desired: { latest: () => ({ captures: edge.captures }) as never },
  });
  const those = (which: 'isHeld' | 'isAwaited') =>
    orders.map(({ teleport }) => holds[which](teleport));
  return { edge, holds, held: () => those('isHeld'), awaited: () => those('isAwaited') };
}

describe('of VMs that are to be captured one after another', () => {
  it('I1, I2: only one is held: the one whose turn it is, or is next', () => {
    const { holds, held } = edgeTold(first, second, third);
    expect(held()).toEqual([true, false, false]);
    holds.begin(first);
    expect(held()).toEqual([true, false, false]);
    holds.end(first.capture);
    expect(held()).toEqual([false, true, false]);
    holds.begin(second);
    holds.end(second.capture);
    holds.begin(third);
    expect(held()).toEqual([false, false, true]);
    holds.end(third.capture);
    expect(held()).toEqual([false, false, false]);
  });

  it('I3: each is awaited until its own capture is over', () => {
    const { holds, awaited } = edgeTold(first, second);
    expect(awaited()).toEqual([true, true, false]);
    holds.begin(first);
    holds.end(first.capture);
    expect(awaited()).toEqual([false, true, false]);
  });

  it('I1: one that is to stay off is held until it is named no more, and the next goes on', () => {
    const { edge, holds, held, awaited } = edgeTold(first, second);
    holds.begin(first);
    holds.pause(first.capture);
    expect(held()).toEqual([true, true, false]);
    holds.begin(second);
    expect(held()).toEqual([true, true, false]);
    edge.captures = [second];
    expect(held()).toEqual([false, true, false]);
    expect(awaited()).toEqual([false, true, false]);
  });

  it('I1: one that is named no more is held while it is still under way, and no longer', () => {
    const { edge, holds, held, awaited } = edgeTold(first);
    holds.begin(first);
    edge.captures = [];
    expect([held()[0], awaited()[0]]).toEqual([true, true]);
    holds.end(first.capture);
    expect([held()[0], awaited()[0]]).toEqual([false, false]);
  });
});
