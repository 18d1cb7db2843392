/**
 * Room: store. Captured VMs that were forgotten, and what their edges need not keep any more.
 *
 * I1: a forgotten VM keeps its row for the teleports that were made of it; its name is free.
 * I2: what a teleport or a seeding that is under way still reads of a version is kept, whatever became of the
 *     version.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { Id, Name } from '@vmdn/core/domain/names.ts';
import type { TeleportState } from '@vmdn/core/domain/teleport.ts';
import { type RawBuilder, sql } from 'kysely';
import type { Db } from './database.ts';

/** A teleport of a VM, as far as its user must know it. */
export interface VmUse {
  readonly teleport: Id;
  readonly edge: Name;
  readonly state: TeleportState;
}

/** Whether teleport `t` still reads disks of its version, from wherever they are. */
const READS: RawBuilder<boolean> = sql`(t.state not in ('running', 'failed', 'cancelled')
  or (t.state = 'running' and t.independent_at is null))`;

/** Whether an edge may still have a VM of teleport `t`. */
const STANDS: RawBuilder<boolean> = sql`(t.state <> 'failed' and not t.released)`;

/** Forgotten VMs over a connection or a transaction. */
export function forgottenVms(db: Db) {
  const uses = async (where: RawBuilder<boolean>): Promise<VmUse[]> => {
    const { rows } = await sql<VmUse>`select t.id as teleport, nodes.name as edge, t.state
      from teleports t join vms on vms.id = t.vm_id join nodes on nodes.id = t.edge_id
      where ${where} order by t.created_at, t.id`.execute(db);
    return rows;
  };
  return {
    /** Nobody can ask for the VM from now on. */
    async forget(vm: Id): Promise<void> {
      const set = { forgotten_at: sql<Date>`now()` };
      await db.updateTable('vms').set(set).where('id', '=', vm).execute();
      await db
        .updateTable('vm_versions')
        .set({ state: 'withdrawn' })
        .where('vm_id', '=', vm)
        .execute();
    },

    /** The teleports that still read disks of a VM. */
    readersOf: (vm: Id): Promise<VmUse[]> => uses(sql`t.vm_id = ${vm} and ${READS}`),

    /** Those of forgotten VMs of this name that other nodes than `owner` described, and that may run. */
    forgottenStanding: (project: Id, name: Name, owner: Id): Promise<VmUse[]> =>
      uses(sql`vms.project_id = ${project} and vms.name = ${name} and vms.origin_id <> ${owner}
        and vms.forgotten_at is not null and ${STANDS}`),

    /** The highest number that a node gave to a version of a VM of this name, forgotten ones included. */
    async lastVersion(project: Id, name: Name, owner: Id): Promise<number> {
      const row = await db
        .selectFrom('vm_versions')
        .innerJoin('vms', 'vms.id', 'vm_versions.vm_id')
        .select((eb) => eb.fn.max('vm_versions.version').as('version'))
        .where('vms.project_id', '=', project)
        .where('vms.name', '=', name)
        .where('vms.origin_id', '=', owner)
        .executeTakeFirst();
      return row?.version ?? 0;
    },

    /**
     * Snapshots on an edge that nobody may ask for any more: disks of VMs that it captured which are
     * forgotten, or of versions before the newest. Not those that an origin described too: they were
     * delivered.
     */
    async droppable(edge: Id): Promise<Digest[]> {
      const { rows } = await sql<{ digest: Digest }>`
        select distinct h.digest from vms
        join disks d on d.vm_id = vms.id
        join holdings h on h.node_id = vms.origin_id and h.digest = d.digest
        where vms.origin_id = ${edge} and h.kind = 'snapshot'
          and not exists (
            select from disks w join vms o on o.id = w.vm_id join nodes n on n.id = o.origin_id
            where (w.digest = h.digest or w.skip_free->>'digest' = h.digest)
              and o.project_id = vms.project_id
              and (n.kind = 'origin'
                or exists (select from teleports t
                  where t.vm_id = w.vm_id and t.version = w.version and ${READS})
                or (n.id = ${edge} and o.forgotten_at is null
                  and not exists (select from vm_versions newer where newer.vm_id = w.vm_id
                    and newer.version > w.version and newer.state <> 'withdrawn'))))
          and not exists (
            select from seeds join seed_edges on seed_edges.seed_id = seeds.id
            where seeds.project_id = vms.project_id and seeds.digest = h.digest
              and seed_edges.state not in ('done', 'failed'))
        order by h.digest`.execute(db);
      return rows.map(({ digest }) => digest);
    },
  };
}
