/** Room: store. Scores: what each edge would need for a version of a VM. */

import type { FunctionalCost } from '@vmdn/core/domain/functional-estimate.ts';
import type { Id, Name } from '@vmdn/core/domain/names.ts';
import { sql } from 'kysely';
import type { Db } from './database.ts';
import type { DiskScore } from './schema/scores.ts';

interface ScoreRow {
  readonly edgeId: Id;
  readonly edge: Name;
  readonly disks: readonly DiskScore[];
  readonly functional: FunctionalCost | null;
  readonly computedAt: Date;
}

export function vmScores(db: Db) {
  return {
    async putScore(score: {
      readonly edge: Id;
      readonly project: Id;
      readonly vm: Id;
      readonly version: number;
      readonly disks: readonly DiskScore[];
      readonly functional: FunctionalCost | null;
      readonly computedAt: string;
    }): Promise<void> {
      const plans = {
        disks: JSON.stringify(score.disks),
        functional: score.functional && JSON.stringify(score.functional),
        computed_at: score.computedAt,
      };
      await db
        .insertInto('scores')
        .values({
          edge_id: score.edge,
          project_id: score.project,
          vm_id: score.vm,
          version: score.version,
          ...plans,
        })
        .onConflict((conflict) =>
          conflict
            .columns(['vm_id', 'version', 'edge_id'])
            .doUpdateSet({ ...plans, reported_at: sql<Date>`now()` }),
        )
        .execute();
    },

    scores: (vm: Id, version: number): Promise<ScoreRow[]> =>
      db
        .selectFrom('scores')
        .innerJoin('nodes', 'nodes.id', 'scores.edge_id')
        .select(['scores.edge_id as edgeId', 'nodes.name as edge', 'scores.disks'])
        .select(['scores.functional', 'scores.computed_at as computedAt'])
        .where('scores.vm_id', '=', vm)
        .where('scores.version', '=', version)
        .orderBy('nodes.name')
        .execute(),
  };
}
