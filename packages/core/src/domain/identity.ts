/**
 * Room: domain. Whose identity a delivered VM has: that of its source, or one of its own.
 *
 * I1: `same` keeps everything; what the source's description does not tell (its UUID, the addresses of its
 *     interfaces) is the delivered VM's own.
 * I2: `fresh` is five things: UUID, MAC addresses, machine-id, SSH host keys, host name. What follows from
 *     the teleport's id alone is the same on every edge and after every restart.
 */

import type { Description } from './description.ts';
import type { Id, Name } from './names.ts';

export const IDENTITY_WAYS = ['same', 'fresh'] as const;
export type IdentityWay = (typeof IDENTITY_WAYS)[number];

/** Labels of letters, digits and hyphens (RFC 1123), separated by dots; 64 in all (Linux: HOST_NAME_MAX). */
export const HOSTNAME_PATTERN =
  /^(?=.{1,64}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/i;
const LABEL_CHARACTERS_MAX = 63;
/** Of the teleport's id: 2^32 of them. */
const TAIL_CHARACTERS = 8;

/** The host name of a fresh VM for which none is wished: the VM's, and what tells this one from others. */
export function freshHostname(vm: Name, teleport: Id): string {
  const tail = `-${teleport.slice(0, TAIL_CHARACTERS)}`;
  const plain = vm.toLowerCase().replaceAll(/[^a-z0-9-]/g, '-');
  const head = plain.slice(0, LABEL_CHARACTERS_MAX - tail.length).replace(/-+$/, '');
  return `${head}${tail}`;
}

/** Why a guest can't be given a fresh identity, as far as its description tells; null: nothing says so. */
export function identityObstacle({
  os,
  mounts = [],
}: Pick<Description, 'os' | 'mounts'>): string | null {
  if (os === null) return 'its operating system is not known: unknown, encrypted or damaged';
  const cipher = mounts.find(({ source }) => /^\/dev\/mapper\/.*(crypt|luks)/i.test(source));
  return cipher === undefined ? null : `${cipher.target} is encrypted (${cipher.source})`;
}

/** What is left for such a guest. */
export const OTHER_IDENTITY =
  'teleport it with the identity same, which leaves its disks as they are';
