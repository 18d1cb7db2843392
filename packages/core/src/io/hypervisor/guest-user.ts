/**
 * Room: io, hypervisor. The user that a VM's QEMU runs as.
 *
 * I1: two VMs of one node have different users (up to a collision of 2^26), so that a guest that
 *     breaks out of its QEMU meets nothing of its neighbours.
 */

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Id } from '../../domain/names.ts';
import type { GuestUser } from '../command/qemu-system.ts';

/**
 * 1879048192…2147483647 belongs to nobody by systemd's table of user ids ("Users, Groups, UIDs and
 * GIDs on systemd systems"): above container ranges, below the sign bit.
 */
const UNASSIGNED_FIRST = 1_900_000_000;
const UNASSIGNED_COUNT = 2 ** 26;
/** `nobody`: always there, for user namespaces that map only 65,536 ids. */
const NOBODY = 65_534;

/** The user id for a VM, from the machine's map of user ids (user_namespaces(7)). */
export function guestUid(vm: Id, uidMap: string): number {
  const number = createHash('sha256').update(vm).digest().readUInt32LE(0);
  const uid = UNASSIGNED_FIRST + (number % UNASSIGNED_COUNT);
  const mapped = uidMap.split('\n').some((line) => {
    const [first, , count] = line.trim().split(/\s+/).map(Number);
    return uid >= (first ?? Number.NaN) && uid < (first ?? 0) + (count ?? 0);
  });
  return mapped ? uid : NOBODY;
}

/** The user for a VM when this process is root, else null. `fixedUid` is the operator's choice. */
export async function guestUser(
  vm: Id,
  options: { readonly fixedUid: number | null; readonly groups: readonly number[] },
): Promise<GuestUser | null> {
  if (process.getuid?.() !== 0) return null;
  const uid = options.fixedUid ?? guestUid(vm, await readFile('/proc/self/uid_map', 'utf8'));
  return { uid, gid: uid, groups: options.groups };
}
