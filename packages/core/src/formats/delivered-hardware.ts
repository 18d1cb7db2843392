/**
 * Room: formats. The hardware of a delivered VM: that of its source, with the identity that was asked for
 * and on the networks that the edge has.
 *
 * I1: all of it follows from the description and the request: the same on every edge and after every restart.
 */

import type { IdentityWay } from '../domain/identity.ts';
import type { Id } from '../domain/names.ts';
import { mappedNetwork, type NetworkMap } from '../domain/networks.ts';
import type { VmHardware } from '../domain/vm-specification.ts';
import { cardAddress } from './guest-nics.ts';

/** What a request says of a VM's identity. */
export interface IdentityWish {
  readonly identity: IdentityWay;
  readonly networks: NetworkMap;
}

export function deliveredHardware(
  hardware: VmHardware,
  teleport: Id,
  { identity, networks }: IdentityWish,
): VmHardware {
  const isFresh = identity === 'fresh';
  const interfaces = hardware.interfaces?.map((card, index) => ({
    ...card,
    network: mappedNetwork(card.network, networks),
    ...(isFresh && { mac: cardAddress(teleport, index) }),
  }));
  return {
    ...hardware,
    ...(isFresh && { uuid: teleport }),
    ...(interfaces && { interfaces }),
  };
}
