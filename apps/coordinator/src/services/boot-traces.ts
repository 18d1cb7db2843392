/**
 * Room: coordinator, services. Boot traces: what a guest read at one edge is asked for first at the next one.
 *
 * I1: a trace is taken only from the edge that holds the teleport, under its epoch, and counts for that
 *     teleport's version. The newest one of a version stays; what is kept of a VM and in all is bounded.
 * I2: traces are given only to an edge that holds a teleport, and only those of its own project: every edge
 *     of a project may read the recipes of its VMs, which say more.
 * I3: a trace is a hint. What is wrong with it costs the order in which segments come, and nothing else.
 */

import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import { decodeBootTrace } from '@vmdn/core/formats/boot-trace.ts';
import { TRACES_BYTES_MAX, TRACES_MAX, TRACES_PER_VM_MAX } from '../limits.ts';
import type { TraceBounds } from '../ports.ts';
import type { Context, NodeIdentity } from './context.ts';
import { lockHeld } from './progress.ts';

const BOUNDS: TraceBounds = { perVmMax: TRACES_PER_VM_MAX, bytesMax: TRACES_BYTES_MAX };

/** Takes a trace. Throws `not_found`, `stale_epoch`, `corrupt`, `too_large`, `invalid_input`. */
export async function putBootTrace(
  context: Pick<Context, 'store' | 'events'>,
  identity: NodeIdentity,
  teleport: Id,
  sent: { readonly epoch: number; readonly trace: string },
  bounds = BOUNDS,
) {
  const trace = Buffer.from(sent.trace, 'base64');
  const { disks } = decodeBootTrace(trace);
  const { vm, version, evicted } = await context.store.transaction(async (tables) => {
    const row = await lockHeld(tables, identity, teleport, sent.epoch);
    const wanted = await tables.vms.disks(row.vmId, row.version, row.skipFree);
    if (disks.some((disk) => disk >= wanted.length)) {
      throw new VmdnError(
        'invalid_input',
        'The boot trace names a disk that the VM does not have.',
      );
    }
    const key = { vmId: row.vmId, version: row.version };
    await tables.traces.put({ ...key, trace, reportedBy: identity.node.id });
    return { ...row, evicted: await tables.traces.evict(bounds) };
  });
  const facts = { teleport, vm, version, blocks: disks.length };
  context.events('boot_trace_kept', facts);
  if (evicted > 0) context.events('boot_traces_evicted', { evicted });
  return { accepted: true as const };
}

/** Traces of guests like a teleport's, the likest first. Throws `not_found`, `stale_epoch`. */
export async function readBootTraces(
  context: Pick<Context, 'store'>,
  identity: NodeIdentity,
  teleport: Id,
  epoch: number,
) {
  const rows = await context.store.transaction(async (tables) => {
    const row = await lockHeld(tables, identity, teleport, epoch);
    return await tables.traces.like(row, TRACES_MAX);
  });
  return {
    traces: rows.map(({ kinship, trace }) => ({
      kinship,
      trace: Buffer.from(trace).toString('base64'),
    })),
  };
}
