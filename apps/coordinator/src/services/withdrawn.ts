/**
 * Room: coordinator, services. Versions that were withdrawn: who has their disks all the same, and what is
 * said of them.
 */

import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Tables, TeleportRow, Vm } from '../ports.ts';
import type { Context } from './context.ts';
import { isGranted } from './moves.ts';

/** Whether the version can be finished without its origin: other holders, or the edge's own images. */
async function isCovered(context: Context, tables: Tables, row: TeleportRow): Promise<boolean> {
  const disks = await tables.vms.disks(row.vmId, row.version, row.skipFree);
  const digests = disks.map((disk) => disk.digest);
  const patienceSeconds = context.hearing.patienceSeconds();
  const holders = await tables.images.holders(row.project, digests, patienceSeconds);
  const scores = await tables.vms.scores(row.vmId, row.version);
  const mine = scores.find((score) => score.edgeId === row.edgeId);
  return disks.every((disk, index) => {
    const isHeld = holders.some(({ digest, partial, node }) => {
      // That the edge itself has a part helps nobody.
      return digest === disk.digest && !(partial && node === row.edgeId);
    });
    // Scores speak of the disks as they are.
    return isHeld || (!row.skipFree && mine?.disks[index]?.plan.diskBytes.origin === 0);
  });
}

/** Whether a teleport's version was withdrawn, and nobody else has the rest of its disks. */
export async function isSourceGone(
  context: Context,
  tables: Tables,
  row: TeleportRow,
): Promise<boolean> {
  const version = await tables.vms.version(row.vmId, row.version);
  return version?.state === 'withdrawn' && !(await isCovered(context, tables, row));
}

/** The version on which a teleport whose source is gone would start over; undefined: none is there yet. */
export async function nextVersion(tables: Tables, row: TeleportRow): Promise<number | undefined> {
  const newest = await tables.vms.newestAvailable(row.vmId);
  return newest !== undefined && newest.version > row.version ? newest.version : undefined;
}

/** What a teleport whose source is gone waits for while there is no next version, in words. */
export async function awaitedSource(tables: Tables, row: TeleportRow): Promise<string> {
  const vm = await tables.vms.find(row.project, row.vm);
  const why = vm === undefined ? '' : ` Now ${await whyWithdrawn(tables, vm)}`;
  const orNext = (await isGranted(tables, row)) ? '' : ', or for its next version';
  return `Waiting for "${row.vm}" as it was${orNext}.${why}`;
}

/** The error for a VM of which no version can be had: its source is another by now, or its edge lacks it. */
export async function withdrawnVm(tables: Tables, vm: Vm): Promise<VmdnError> {
  const words = `"${vm.name}" can't be had now: ${await whyWithdrawn(tables, vm)}`;
  return new VmdnError('withdrawn', words, { data: { vm: vm.name } });
}

async function whyWithdrawn(tables: Tables, { id, originId }: Vm): Promise<string> {
  const owner = await tables.nodes.find(originId);
  if (owner?.kind === 'edge') {
    return (
      `${owner.name}, which captured it, does not hold all of its disks. It can be had when that edge ` +
      'has them again, or when it is captured anew.'
    );
  }
  const [move] = await tables.moves.standing([id]);
  if (move?.state === 'running') {
    return (
      `teleport ${move.teleport} moved it to ${move.edge}, and what was left of it at its origin is ` +
      'changed or gone. Capture that teleport, and ask for what it becomes.'
    );
  }
  return 'it runs or has changed at its origin. Shut it down there, or let the origin pin versions.';
}
