/**
 * Room: origin, io. VMs from several places as from one.
 *
 * I1: a name belongs to the first place that has it; the other VM of that name is a problem, and is not
 *     offered.
 */

import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { VmSpecification } from '@vmdn/core/domain/vm-specification.ts';
import type { VmDiscovery } from '../ports.ts';

export function severalPlaces(places: readonly VmDiscovery[]): VmDiscovery {
  return {
    async find() {
      const found = await Promise.all(places.map((place) => place.find()));
      const vms = new Map<string, VmSpecification>();
      const problems = found.flatMap((one) => one.problems);
      for (const vm of found.flatMap((one) => one.vms)) {
        if (!vms.has(vm.name)) {
          vms.set(vm.name, vm);
          continue;
        }
        const message = `Another place of this origin has a VM "${vm.name}" already; rename one of them.`;
        const error = new VmdnError('conflict', message, { data: { vm: vm.name } });
        problems.push({ where: vm.name, error });
      }
      return { vms: [...vms.values()], problems };
    },
    watch(onSign) {
      const watching = places.map((place) => place.watch(onSign));
      return {
        [Symbol.dispose]() {
          for (const one of watching) one[Symbol.dispose]();
        },
      };
    },
  };
}
