/**
 * Room: coordinator, services. Forgetting a VM that an edge captured: nobody can ask for it any more, and its
 * edge lets go of what it takes there.
 *
 * I1: only a captured VM is forgotten: one that an origin describes would be back with its next description.
 * I2: none is forgotten that something still needs: a teleport that reads its disks, a capture that becomes a
 *     version of it. Nobody asks for it in between: requests and this take turns.
 * I3: VMs that were delivered of it go on, and so do their teleports' rows.
 */

import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Name } from '@vmdn/core/domain/names.ts';
import type { NodeFacts, Tables, Vm, VmUse } from '../ports.ts';
import { endWords } from './captures.ts';
import type { ClientIdentity, Context } from './context.ts';
import { unknownVm } from './versions.ts';

/** Teleports that an error names; who has more of them looks at all. */
const NAMED_MAX = 8;

/** Throws `not_found`, and `conflict` (I1, I2) with what is in the way. */
export async function forgetVm(context: Context, { project }: ClientIdentity, name: Name) {
  const { edge } = await context.store.transaction(async (tables) => {
    await tables.teleports.lockRouting(project);
    const vm = await tables.vms.find(project, name);
    if (vm === undefined) throw await unknownVm(tables, project, name);
    const owner = await tables.nodes.find(vm.originId);
    requireCaptured(vm, owner!);
    await tables.vms.lock(vm.id);
    const open = await tables.captures.openAs(project, name);
    if (open !== undefined) {
      const words =
        `Teleport ${open.teleport} is being captured as ${name}: wait until that is over, or end it: ` +
        endWords(open);
      throw new VmdnError('conflict', words, { data: { vm: name, capture: open.id } });
    }
    await requireUnread(tables, vm);
    await tables.vms.forget(vm.id);
    await tables.notify(`edges:${project}`);
    return { edge: owner!.name };
  });
  context.events('vm_forgotten', { vm: name, edge });
  return { vm: name, edge };
}

function requireCaptured({ name }: Vm, { kind, name: origin }: NodeFacts): void {
  if (kind === 'edge') return;
  const words =
    `"${name}" was not captured: ${origin} describes it, and would do so again. Take it out of what that ` +
    'origin offers.';
  throw new VmdnError('conflict', words, { data: { vm: name, origin } });
}

async function requireUnread(tables: Tables, { id, name }: Vm): Promise<void> {
  const readers = await tables.vms.readersOf(id);
  if (readers.length === 0) return;
  const named = readers.slice(0, NAMED_MAX).map(useWords).join(', ');
  const more = readers.length > NAMED_MAX ? ` and ${readers.length - NAMED_MAX} more` : '';
  const words =
    `Disks of "${name}" are still read by ${named}${more}. Wait until they have all of them, or cancel ` +
    'them: vmdn cancel TELEPORT.';
  const teleports = readers.map(({ teleport }) => teleport);
  throw new VmdnError('conflict', words, { data: { vm: name, teleports } });
}

function useWords({ teleport, edge, state }: VmUse): string {
  return `teleport ${teleport} (${state} on ${edge})`;
}
