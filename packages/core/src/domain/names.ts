/**
 * Room: domain. Names and identifiers that come from outside, parsed once into types that cannot
 * be wrong.
 *
 * I1: a Name is safe as a file name, a process argument and a domain name: it starts with a letter
 *     or digit, so it is never an option, and holds no separator (libvirt itself accepts `--help`).
 * I2: an Id is a lower-case UUID; identifiers inside the system are UUIDs or digests, never names.
 */

import { VmdnError } from './errors.ts';

/** The name of a VM, an image, a node or a region. */
export type Name = string & { readonly __brand: 'Name' };
/** The identifier of a row: node, teleport, seed, grant. */
export type Id = string & { readonly __brand: 'Id' };

export const NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
export const ID_PATTERN = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Parses a name; `what` tells the user which one is wrong. Throws `invalid_input`. */
export function parseName(raw: unknown, what: string): Name {
  if (typeof raw === 'string' && NAME_PATTERN.test(raw)) return raw as Name;
  throw new VmdnError(
    'invalid_input',
    `The ${what} must be 1 to 63 letters, digits, '.', '_' or '-', and start with a letter or digit.`,
    { data: { what, given: String(raw).slice(0, 80) } },
  );
}

/** Parses an identifier. Throws `invalid_input`. */
export function parseId(raw: unknown, what: string): Id {
  if (typeof raw === 'string' && ID_PATTERN.test(raw)) return raw as Id;
  throw new VmdnError('invalid_input', `The ${what} must be a lower-case UUID.`, {
    data: { what, given: String(raw).slice(0, 80) },
  });
}
