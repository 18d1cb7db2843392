/**
 * Room: edge, services. The identity of a VM that is to have one of its own, on its new overlays.
 *
 * I1: it is written before the VM exists (`Hypervisor.define`), and so once: what a kill broke off goes with
 *     its overlays, and a VM that exists has what it has.
 * I2: the snapshot below is read, and never written.
 * I3: so many are written at once as the edge can bear; one that is called off in the queue never begins.
 */

import { freshHostname } from '@vmdn/core/domain/identity.ts';
import type { VmHardware } from '@vmdn/core/domain/vm-specification.ts';
import type { FreshIdentity } from '@vmdn/core/io/ports/fresh-identity.ts';
import type { PrepareOverlays } from '@vmdn/core/io/ports/hypervisor.ts';
import pLimit from 'p-limit';
import { IDENTITIES_MAX } from '../limits.ts';
import { type Pass, save } from './teleport-pass.ts';
import { withSeconds } from './teleport-record.ts';

/** I3. */
export function inTurns(fresh: FreshIdentity): FreshIdentity {
  const turn = pLimit(IDENTITIES_MAX);
  return (job) =>
    turn(async () => {
      job.signal.throwIfAborted();
      return await fresh(job);
    });
}

/** What to do with the overlays of a VM that is about to exist; undefined: nothing. */
export function freshOverlays(pass: Pass): PrepareOverlays | undefined {
  const { deps, teleport, description, signal } = pass;
  const { identity, hostname: wished } = pass.job.desired();
  if (identity !== 'fresh') return undefined;
  return async (disks) => {
    const startedMs = performance.now();
    const hostname = wished ?? freshHostname(description.vm, teleport);
    const macs = changedAddresses(pass.sourceHardware, description.hardware);
    const done = await deps.freshIdentity({ disks, hostname, macs, signal });
    deps.events.identityMade(teleport, hostname, done);
    const seconds = (performance.now() - startedMs) / 1000;
    await save(pass, withSeconds(pass.record, { identity: seconds }));
  };
}

/** The addresses of cards that both describe. */
function changedAddresses(
  { interfaces: before = [] }: VmHardware,
  { interfaces: after = [] }: VmHardware,
): readonly { readonly from: string; readonly to: string }[] {
  return before.flatMap(({ mac: from }, index) => {
    const to = after[index]?.mac;
    return from === undefined || to === undefined ? [] : [{ from, to }];
  });
}
