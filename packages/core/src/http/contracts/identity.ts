/**
 * Room: http, contracts. What a request says of the identity and the networks of a delivered VM.
 */

import { z } from 'zod';
import { HOSTNAME_PATTERN, IDENTITY_WAYS } from '../../domain/identity.ts';
import { NAME_PATTERN } from '../../domain/names.ts';
import { INTERFACES_MAX } from '../../domain/vm-specification.ts';
import { name } from './schemas.ts';

/** `same`: all that its source had; `fresh`: UUID, MAC addresses, machine-id, host keys, name of its own. */
export const identityWay = z.enum(IDENTITY_WAYS);
export const hostname = z
  .string()
  .regex(HOSTNAME_PATTERN, '1 to 64 letters, digits, hyphens and dots: a host name');
/** Networks of the VM, each with the network of the edge that stands in for it. */
export const networkMap = z
  .record(z.string().regex(NAME_PATTERN), name)
  .refine((map) => Object.keys(map).length <= INTERFACES_MAX, `${INTERFACES_MAX} networks at most`);

/** Names of an edge's networks; `user` is always among them. */
export const edgeNetworks = z.array(name).max(65);

export const networksWish = {
  /** A network that is not named stands for itself. */
  networks: networkMap.optional(),
};
export const identityWish = {
  /** `same` unless said; a fresh one needs complete disks: not with `lazy`. */
  identity: identityWay.optional(),
  /** Of a fresh identity; made of the VM's name and the teleport's id unless said. */
  hostname: hostname.optional(),
};
export const identityView = {
  identity: identityWay.default('same'),
  /** Of a fresh identity. */
  hostname: hostname.nullable().default(null),
  networks: networkMap.default({}),
};
