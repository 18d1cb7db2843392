/**
 * Room: routes. Options of `teleport` and `plan`: whose identity a VM has and on which networks it is.
 */

import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { HOSTNAME_PATTERN, IDENTITY_WAYS, type IdentityWay } from '@vmdn/core/domain/identity.ts';
import { type Name, parseName } from '@vmdn/core/domain/names.ts';
import type { Command } from 'commander';

export interface NetworkOptions {
  /** SOURCE=DEST, each. */
  readonly network?: readonly string[];
}

export interface IdentityOptions {
  readonly identity?: string;
  readonly hostname?: string;
}

/** Adds `--network`, which may be repeated. */
export function withNetworks(command: Command): Command {
  return command.option(
    '--network <source=dest>',
    "put what is on a network of the VM's on another one of the edge; may be repeated",
    (raw: string, before: readonly string[] = []) => [...before, raw],
  );
}

/** Adds `--identity` and `--hostname`. */
export function withIdentity(command: Command): Command {
  return command
    .option(
      '--identity <way>',
      'same: all that its source had (default); fresh: UUID, MAC addresses, machine-id, SSH host keys and ' +
        'host name of its own',
    )
    .option('--hostname <name>', 'the host name of a fresh identity (default: made of its name)');
}

/** The part of a request. Throws `invalid_input`. */
export function networksBody({ network = [] }: NetworkOptions) {
  if (network.length === 0) return {};
  const networks: Record<string, Name> = {};
  for (const raw of network) {
    const [source = '', dest = '', ...more] = raw.split('=');
    if (dest === '' || more.length > 0) {
      const words = `--network takes SOURCE=DEST, such as default=lan; it was given "${raw}".`;
      throw new VmdnError('invalid_input', words);
    }
    const own = parseName(source, 'network of the VM');
    if (Object.hasOwn(networks, own)) {
      throw new VmdnError('invalid_input', `--network names "${own}" a second time.`);
    }
    networks[own] = parseName(dest, 'network of the edge');
  }
  return { networks };
}

/** The part of a request. Throws `invalid_input`. */
export function identityBody({ identity, hostname }: IdentityOptions) {
  return {
    ...(identity === undefined ? {} : { identity: parseIdentity(identity) }),
    ...(hostname === undefined ? {} : { hostname: parseHostname(hostname) }),
  };
}

function parseIdentity(raw: string): IdentityWay {
  const way = IDENTITY_WAYS.find((known) => known === raw);
  if (way !== undefined) return way;
  const known = IDENTITY_WAYS.join(' and ');
  throw new VmdnError('invalid_input', `There is no identity "${raw}"; there are ${known}.`);
}

function parseHostname(raw: string): string {
  if (HOSTNAME_PATTERN.test(raw)) return raw;
  const words = `"${raw}" is no host name: 1 to 64 letters, digits, hyphens and dots.`;
  throw new VmdnError('invalid_input', words);
}
