/**
 * Room: store. Boot traces, the newest of each version of a VM.
 *
 * I1: how many are kept of a VM, and how many bytes in all, is bounded at each addition: the oldest go.
 */

import type { TraceKinship } from '@vmdn/core/domain/boot-trace.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import { sql } from 'kysely';
import type { Db } from './database.ts';

export interface TraceBounds {
  readonly perVmMax: number;
  readonly bytesMax: number;
}

/** Whose boot somebody wants to know. */
interface Booted {
  readonly project: Id;
  readonly vmId: Id;
  readonly version: number;
}

export interface TraceRow {
  readonly kinship: TraceKinship;
  readonly trace: Uint8Array;
}

/** Boot traces over a connection or a transaction. */
export function traceStore(db: Db) {
  return {
    /** Puts it in the place of what is known of that version. */
    async put(row: {
      readonly vmId: Id;
      readonly version: number;
      readonly trace: Uint8Array;
      readonly reportedBy: Id;
    }): Promise<void> {
      const { trace, reportedBy: reported_by } = row;
      await db
        .insertInto('boot_traces')
        .values({ vm_id: row.vmId, version: row.version, trace, reported_by })
        .onConflict((conflict) =>
          conflict
            .columns(['vm_id', 'version'])
            .doUpdateSet({ trace, reported_by, recorded_at: sql<Date>`clock_timestamp()` }),
        )
        .execute();
    },

    /** Removes what is beyond the bounds (I1); tells how many. */
    async evict({ perVmMax, bytesMax }: TraceBounds): Promise<number> {
      const result = await sql`delete from boot_traces t using (
          select vm_id, version,
            row_number() over (partition by vm_id order by recorded_at desc, version desc) as place,
            sum(length(trace)) over (order by recorded_at desc, vm_id, version
              rows unbounded preceding) as bytes
          from boot_traces
        ) ranked
        where t.vm_id = ranked.vm_id and t.version = ranked.version
          and (ranked.place > ${perVmMax} or ranked.bytes > ${bytesMax})`.execute(db);
      return Number(result.numAffectedRows ?? 0n);
    },

    /**
     * That of the version; or, without it, the newest of this VM and of others of the project with the same
     * system (OS, its version, architecture), this VM's first, then the newest.
     */
    async like({ project, vmId, version }: Booted, limit: number): Promise<TraceRow[]> {
      const system = sql`(select jsonb_build_array(v.description->'os'->>'id',
          v.description->'os'->>'versionId', v.description->'os'->>'architecture'))`;
      const { rows } = await sql<TraceRow>`
        with wanted as (
          select ${system} as system from vm_versions v
          where v.vm_id = ${vmId} and v.version = ${version} and jsonb_typeof(v.description->'os') = 'object'
        ), newest as (
          select distinct on (t.vm_id) t.vm_id, t.version, t.trace, t.recorded_at
          from boot_traces t
          join vms on vms.id = t.vm_id and vms.project_id = ${project}
          join vm_versions v on v.vm_id = t.vm_id and v.version = t.version
          where t.vm_id = ${vmId} or ${system} = (select system from wanted)
          order by t.vm_id, (t.vm_id = ${vmId} and t.version = ${version}) desc, t.recorded_at desc
        )
        select case when vm_id <> ${vmId} then 'relative' when version = ${version} then 'version'
            else 'vm' end as kinship, trace
        from newest
        order by (vm_id = ${vmId}) desc, recorded_at desc, vm_id
        limit ${limit}`.execute(db);
      return rows[0]?.kinship === 'version' ? rows.slice(0, 1) : rows;
    },
  };
}
