/** Room: store. Teleports whose version was withdrawn under them. */

import type { Id } from '@vmdn/core/domain/names.ts';
import { sql } from 'kysely';
import { RECONCILED_MAX } from '../limits.ts';
import type { Db } from './database.ts';

export function withdrawnTeleports(db: Db) {
  return {
    /**
     * Teleports of versions that were withdrawn before the bytes were all there, running VMs that lack some
     * among them; and the latter while that stands in their row, whatever the version is now.
     */
    async withdrawn(): Promise<{ id: Id; project: Id }[]> {
      const { rows } = await sql<{ id: Id; project: Id }>`
        select t.id, t.project_id as project
        from teleports t join vm_versions v on v.vm_id = t.vm_id and v.version = t.version
        where v.state = 'withdrawn' and (t.state in ('routed', 'syncing', 'waiting')
            or (t.lazy and t.state in ('booting', 'running') and t.independent_at is null))
          or t.state = 'running' and t.independent_at is null and t.error_code = 'withdrawn'
        order by t.updated_at
        limit ${RECONCILED_MAX}`.execute(db);
      return rows;
    },
  };
}
