/** Room: coordinator, services. Nodes whose software is not of this coordinator's time. */

import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Context } from './context.ts';

/** Throws `incompatible_protocol` for a node that would not understand what is asked of it. */
export function requireProtocol({ protocol: ours }: Pick<Context, 'protocol'>, node: number): void {
  if (node === ours) return;
  const what =
    node < ours
      ? 'install the VMDN of the coordinator on the node, and start the node again; its VMs run on meanwhile.'
      : 'install the VMDN of the node on the coordinator first, and start it again.';
  const words = `This coordinator speaks protocol ${ours}, the node ${node}: ${what}`;
  throw new VmdnError('incompatible_protocol', words, { data: { coordinator: ours, node } });
}
