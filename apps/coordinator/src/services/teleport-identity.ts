/**
 * Room: coordinator, services. Whose identity a delivered VM has, and on which networks it is, as a request
 * says.
 *
 * I1: what can be known to be in vain is refused with the request, before a byte moves.
 */

import type { Description } from '@vmdn/core/domain/description.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import {
  freshHostname,
  type IdentityWay,
  identityObstacle,
  OTHER_IDENTITY,
} from '@vmdn/core/domain/identity.ts';
import type { Name } from '@vmdn/core/domain/names.ts';
import { checkNetworkMap, type NetworkMap } from '@vmdn/core/domain/networks.ts';
import type { TeleportRow } from '../ports.ts';

/** As requests have it. */
export interface IdentityRequest {
  readonly identity?: IdentityWay | undefined;
  readonly hostname?: string | undefined;
  readonly networks?: NetworkMap | undefined;
}

/** What a request means where it says nothing. Throws `invalid_input`. */
export function identityWishOf(request: IdentityRequest & { readonly lazy?: boolean | undefined }) {
  const { identity = 'same', hostname = null, networks = {}, lazy = false } = request;
  if (identity === 'same' && hostname !== null) {
    const words = 'A VM of the same identity keeps its host name: ask for another with fresh.';
    throw new VmdnError('invalid_input', words);
  }
  if (identity === 'fresh' && lazy) {
    const words =
      'A fresh identity is written before the first start, on complete disks: ask for fresh or for lazy.';
    throw new VmdnError('invalid_input', words);
  }
  return { identity, hostname, networks };
}

/** Throws `invalid_input`, and `unsupported_format` for a guest that is known not to be fit for it (I1). */
export function requireIdentity(
  description: Description,
  vm: Name,
  { identity = 'same', networks = {} }: IdentityRequest,
): void {
  checkNetworkMap(description.hardware, networks);
  const obstacle = identity === 'fresh' ? identityObstacle(description) : null;
  if (obstacle === null) return;
  const words = `"${vm}" can't be given an identity of its own: ${obstacle}; ${OTHER_IDENTITY}.`;
  throw new VmdnError('unsupported_format', words, { data: { vm } });
}

/** The host name that a fresh identity has; null: the VM keeps its own. */
export function hostnameOf({
  identity,
  hostname,
  vm,
  id,
}: Pick<TeleportRow, 'identity' | 'hostname' | 'vm' | 'id'>): string | null {
  return identity === 'fresh' ? (hostname ?? freshHostname(vm, id)) : null;
}

/** What tells two wishes apart. JSON columns don't keep the order of keys. */
export function identityWords({
  identity,
  hostname,
  networks,
}: Pick<TeleportRow, 'identity' | 'hostname' | 'networks'>): readonly unknown[] {
  return [identity, hostname, Object.entries(networks).sort()];
}
