/**
 * Room: formats. The network cards of a VM on one edge: what its hardware names, and what the edge's operator
 * says that those names are. Both drivers make their devices of these.
 *
 * I1: a VM that names no network has one card, on user networking.
 * I2: the named ports come in through user networking: by the first card that is on it, else by one more
 *     behind the VM's own. There nothing goes out, and a guest is told of no router.
 * I3: an address that nobody described follows from the VM's id, is locally administered and its own.
 */

import { createHash } from 'node:crypto';
import { VmdnError } from '../domain/errors.ts';
import type { Id, Name } from '../domain/names.ts';
import type { EdgeNetwork } from '../domain/networks.ts';
import type { VmHardware } from '../domain/vm-specification.ts';
import type { QemuForward } from './qemu-command-line.ts';

export interface GuestNic<Network extends EdgeNetwork> {
  readonly macAddress: string;
  readonly network: Network;
  readonly forwards: readonly QemuForward[];
}

export type UserNetwork = Extract<EdgeNetwork, { kind: 'user' }>;

/** The networks that an edge has, by name, of the kinds that its driver knows. */
export type EdgeNetworks<Network extends EdgeNetwork> = ReadonlyMap<Name, Network | UserNetwork>;

const USER: UserNetwork = { kind: 'user' };

/** The cards, in the guest's order. Throws `unsupported_format` for a network that is not there. */
export function guestNics<Network extends EdgeNetwork>(
  vm: Id,
  { interfaces }: Pick<VmHardware, 'interfaces'>,
  networks: EdgeNetworks<Network>,
  forwards: readonly QemuForward[],
): readonly GuestNic<Network | UserNetwork>[] {
  if (interfaces === undefined) return [{ macAddress: macAddress(vm), network: USER, forwards }];
  const own = interfaces.map(({ network, mac }, index) => ({
    macAddress: mac ?? cardAddress(vm, index),
    network: networkCalled(networks, network),
  }));
  const entrance = own.findIndex(({ network }) => network.kind === 'user');
  const nics = own.map((nic, index) => ({ ...nic, forwards: index === entrance ? forwards : [] }));
  if (entrance >= 0 || forwards.length === 0) return nics;
  return [...nics, { macAddress: cardAddress(vm, nics.length), network: USER, forwards }];
}

function networkCalled<Network>(networks: ReadonlyMap<Name, Network>, name: Name): Network {
  const network = networks.get(name);
  if (network !== undefined) return network;
  const message =
    `This edge has no network "${name}" (it has ${[...networks.keys()].join(', ')}). Name it in ` +
    'VMDN_NETWORKS, or teleport the VM with --network.';
  throw new VmdnError('unsupported_format', message, { data: { network: name } });
}

/** 52:54:00 is QEMU's own prefix for locally made addresses; the rest names the VM, which is alone there. */
function macAddress(vm: Id): string {
  const hash = createHash('sha256').update(vm).digest('hex');
  return `52:54:00:${hash.slice(0, 2)}:${hash.slice(2, 4)}:${hash.slice(4, 6)}`;
}

/** An address for a network with others: 46 bits that name the card, locally administered, unicast. */
export function cardAddress(vm: Id, index: number): string {
  const bytes = createHash('sha256').update(`${vm}/${index}`).digest().subarray(0, 6);
  bytes[0] = (bytes[0]! & 0xfc) | 0x02;
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}
