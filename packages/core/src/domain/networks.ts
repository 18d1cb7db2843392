/**
 * Room: domain. Networks by name: those that a VM is on, those that an edge has, and how one is found among
 * the other.
 *
 * I1: a VM is on networks by their names alone; what a name is, the operator of each edge says.
 * I2: a map of names is about the VM's own networks alone; a name that it lacks stands for itself.
 * I3: every edge has the network `user`: nothing goes out, and only the VM's named ports come in.
 */

import { VmdnError } from './errors.ts';
import type { Name } from './names.ts';
import type { VmHardware } from './vm-specification.ts';

/** The network that every edge has. */
export const USER_NETWORK = 'user' as Name;

/** What a name stands for on an edge. Names of devices and of libvirt's networks are the edge's own. */
export type EdgeNetwork =
  | { readonly kind: 'user' }
  /** A tap device that the operator made; one VM at a time uses it. */
  | { readonly kind: 'tap'; readonly device: string }
  /** A bridge of the machine, by libvirt. */
  | { readonly kind: 'bridge'; readonly device: string }
  /** A network of libvirt. */
  | { readonly kind: 'network'; readonly name: Name };

/** Networks of a VM, each with the edge's network that it is to be. */
export type NetworkMap = Readonly<Record<string, Name>>;

/** The networks that a VM names, each once, in their order. */
export function networksOf({ interfaces = [] }: Pick<VmHardware, 'interfaces'>): readonly Name[] {
  return [...new Set(interfaces.map(({ network }) => network))];
}

/** The name under which an edge must have a network of a VM. */
export function mappedNetwork(network: Name, map: NetworkMap): Name {
  // The map comes from outside: `constructor` is a name too.
  return Object.hasOwn(map, network) ? map[network]! : network;
}

/** The networks that an edge must have for a VM. */
export function neededNetworks(
  hardware: Pick<VmHardware, 'interfaces'>,
  map: NetworkMap,
): readonly Name[] {
  return [...new Set(networksOf(hardware).map((network) => mappedNetwork(network, map)))];
}

/** Throws `invalid_input` when a map names a network that the VM is not on (I2). */
export function checkNetworkMap(hardware: Pick<VmHardware, 'interfaces'>, map: NetworkMap): void {
  const own = networksOf(hardware);
  const strange = Object.keys(map).find((name) => !own.includes(name as Name));
  if (strange === undefined) return;
  const has =
    own.length === 0
      ? 'it names none, and gets the network user'
      : `its networks: ${own.join(', ')}`;
  throw new VmdnError('invalid_input', `The VM is on no network "${strange}"; ${has}.`, {
    data: { network: strange, networks: own },
  });
}

/** What of the needed an edge lacks. `networks` null: an edge that has not said has `user` alone (I3). */
export function lackedNetworks(
  needed: readonly Name[],
  networks: readonly Name[] | null,
): readonly Name[] {
  const has = new Set(networks ?? []).add(USER_NETWORK);
  return needed.filter((name) => !has.has(name));
}
