/** Room: io, hypervisor. VMs that are to be off, and what to say of those that are not. */

import { VmdnError } from '../../domain/errors.ts';
import type { Id } from '../../domain/names.ts';
import type { StopOptions, VmDefinition, VmStatus } from '../ports/hypervisor.ts';

/** For a guest that was asked to and still runs. Throws `cancelled`, and `timeout` unless it is forced. */
export function requireGoneOrForced(vm: Id, { graceMs, isForced, signal }: StopOptions): void {
  if (signal?.aborted) throw new VmdnError('cancelled', 'Waiting for the guest was cancelled.');
  if (isForced === true) return;
  const words =
    `The guest did not shut down within ${graceMs / 1000} s of being asked to, and goes on. Shut it ` +
    'down from inside, or see to it that it heeds the power button (ACPI).';
  throw new VmdnError('timeout', words, { data: { vm, graceMs } });
}

/** The definition of a VM whose files may be read. Throws `not_found`, `conflict`. */
export function requireOff(vm: Id, status: VmStatus): VmDefinition {
  if (status.state === 'absent') {
    throw new VmdnError('not_found', `The VM ${vm} is not defined here.`, { data: { vm } });
  }
  const { definition } = status;
  if (status.state === 'running') {
    throw new VmdnError('conflict', `The VM ${definition.name} runs; stop it first.`, {
      data: { vm },
    });
  }
  if (definition.disks.some(({ filling }) => filling !== undefined)) {
    const words = `A disk of the VM ${definition.name} is not complete yet.`;
    throw new VmdnError('conflict', words, { data: { vm } });
  }
  return definition;
}
