import type { Name } from '@vmdn/core/domain/names.ts';
import type { DiskSource } from '@vmdn/core/domain/vm-specification.ts';
import { expect, it } from 'vitest';
import { createRunningVms, type RunningVmsOptions } from './describe-running.ts';

const DISKS: readonly DiskSource[] = ['a', 'b'].map((name) => ({
  layers: [{ path: `/vms/${name}.raw`, format: 'raw' }],
}));

it.each([['ends'], ['fails']])('I3: nobody has the disks until a merge %s', async (end) => {
  const away = new Set<DiskSource>();
  const merging: number[] = [];
  const vms = createRunningVms({
    running: {
      unmerged: () => [{ name: 'web' as Name, disks: DISKS }],
      async merge() {
        merging.push(away.size);
        if (end === 'fails') throw new Error('libvirt is away');
      },
    },
    locks: {
      async keepAway(disk: DiskSource) {
        away.add(disk);
        return { [Symbol.dispose]: () => void away.delete(disk) };
      },
    },
    ...{ policy: null, now: Date.now },
  } as unknown as RunningVmsOptions);
  const problems = await vms.settle();
  expect([...problems.keys()]).toEqual(end === 'fails' ? ['web'] : []);
  expect(merging).toEqual([DISKS.length]);
  expect(away.size).toBe(0);
});
