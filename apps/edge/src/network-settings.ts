/**
 * Room: edge. The networks of an edge from VMDN_NETWORKS: `lan=bridge:br0,dmz=network:dmz`.
 *
 * I1: each is of a kind that the edge's hypervisor knows; `user` is always there and always user networking.
 * I2: names of devices and of libvirt's networks are parsed here, and can be nothing else later.
 */

import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { NAME_PATTERN, type Name } from '@vmdn/core/domain/names.ts';
import { type EdgeNetwork, USER_NETWORK } from '@vmdn/core/domain/networks.ts';
import { z } from 'zod';

/** Networks that one edge names: what reaches the coordinator with each heartbeat. */
const NETWORKS_MAX = 64;
/** Linux: IFNAMSIZ, and no character that means something to QEMU or to a path. */
const DEVICE = /^[A-Za-z0-9][A-Za-z0-9._-]{0,14}$/;
const ENTRY = /^([^=]*)=(user|tap|bridge|network)(?::(.*))?$/;
const LIKE = 'NAME=KIND:WHAT, such as lan=bridge:br0, dmz=network:dmz, lab=tap:vmdn0 or old=user';

/** The setting, parsed. */
export function networkList() {
  return z.string().transform((raw, context) => {
    const networks = new Map<Name, EdgeNetwork>();
    for (const entry of raw.split(',').filter((part) => part.trim() !== '')) {
      const problem = addNetwork(networks, entry.trim());
      if (problem === null) continue;
      context.addIssue({ code: 'custom', message: `"${entry.trim()}" ${problem}` });
      return z.NEVER;
    }
    return networks;
  });
}

/** Adds one; returns what is wrong with it. */
function addNetwork(networks: Map<Name, EdgeNetwork>, entry: string): string | null {
  const [, name = '', kind, what = ''] = ENTRY.exec(entry) ?? [];
  const network = networkOf(kind, what);
  if (!NAME_PATTERN.test(name) || network === null) return `should be ${LIKE}`;
  if (name === USER_NETWORK) return 'names the network user, which every edge has';
  if (networks.has(name as Name)) return 'names a network a second time';
  if (networks.size === NETWORKS_MAX) return `is one more than ${NETWORKS_MAX} networks`;
  networks.set(name as Name, network);
  return null;
}

function networkOf(kind: string | undefined, what: string): EdgeNetwork | null {
  if (kind === 'user') return what === '' ? { kind } : null;
  if (kind === 'network') return NAME_PATTERN.test(what) ? { kind, name: what as Name } : null;
  if (kind !== 'tap' && kind !== 'bridge') return null;
  return DEVICE.test(what) ? { kind, device: what } : null;
}

const WAY: Readonly<Record<string, string>> = {
  tap: 'a tap device is for plain QEMU; with libvirt name a bridge or a network of libvirt',
  bridge:
    'plain QEMU may start no helper that joins a bridge; name a tap device that you made and joined to it ' +
    '(tap:DEVICE), or run VMs by libvirt (VMDN_HYPERVISOR=libvirt)',
  network: 'a network of libvirt needs VMDN_HYPERVISOR=libvirt',
};

/** The networks for a hypervisor that knows some kinds (I1). Throws `invalid_input`. */
export function networksFor<Kind extends EdgeNetwork['kind']>(
  named: ReadonlyMap<Name, EdgeNetwork>,
  kinds: readonly Kind[],
): ReadonlyMap<Name, Extract<EdgeNetwork, { kind: Kind | 'user' }>> {
  type Known = Extract<EdgeNetwork, { kind: Kind | 'user' }>;
  const isKnown = (network: EdgeNetwork): network is Known =>
    network.kind === 'user' || kinds.some((kind) => kind === network.kind);
  const user: EdgeNetwork = { kind: 'user' };
  const networks = new Map<Name, Known>();
  for (const [name, network] of [[USER_NETWORK, user] as const, ...named]) {
    if (!isKnown(network)) {
      throw new VmdnError('invalid_input', `VMDN_NETWORKS: ${name}: ${WAY[network.kind]}.`);
    }
    networks.set(name, network);
  }
  return networks;
}
