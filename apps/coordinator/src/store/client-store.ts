/** Room: store. Clients and enrolment tokens, by the hashes of their secrets. */

import type { Id } from '@vmdn/core/domain/names.ts';
import { sql } from 'kysely';
import type { Db } from './database.ts';

export interface Client {
  readonly id: Id;
  readonly project: Id;
  readonly tokenHash: Buffer;
}

export interface EnrolmentToken {
  readonly id: Id;
  readonly project: Id;
  readonly kind: 'origin' | 'edge';
  readonly usedBy: Id | null;
  readonly expired: boolean;
}

export function clientStore(db: Db) {
  return {
    async findByHash(tokenHash: Buffer): Promise<Client | undefined> {
      const row = await db
        .selectFrom('clients')
        .select(['id', 'project_id', 'token_hash'])
        .where('token_hash', '=', tokenHash)
        .executeTakeFirst();
      return row && { id: row.id, project: row.project_id, tokenHash: row.token_hash };
    },

    /** Makes the token known; changes nothing when it is. */
    async ensure(project: Id, name: string, tokenHash: Buffer): Promise<void> {
      await db
        .insertInto('clients')
        .values({ project_id: project, name, token_hash: tokenHash })
        .onConflict((conflict) => conflict.column('token_hash').doNothing())
        .execute();
    },

    /** A token good for `validSeconds` by the database's clock. */
    async addEnrolmentToken(token: {
      readonly project: Id;
      readonly kind: 'origin' | 'edge';
      readonly tokenHash: Buffer;
      readonly validSeconds: number;
    }): Promise<Date> {
      const row = await db
        .insertInto('enrolment_tokens')
        .values({
          project_id: token.project,
          kind: token.kind,
          token_hash: token.tokenHash,
          expires_at: sql<Date>`now() + make_interval(secs => ${token.validSeconds})`,
        })
        .returning('expires_at')
        .executeTakeFirstOrThrow();
      return row.expires_at;
    },

    /** Locks a token until the transaction ends, so that it can be used once. */
    async lockEnrolmentToken(tokenHash: Buffer): Promise<EnrolmentToken | undefined> {
      const row = await db
        .selectFrom('enrolment_tokens')
        .select(['id', 'project_id', 'kind', 'used_by'])
        .select(sql<boolean>`expires_at <= now()`.as('expired'))
        .where('token_hash', '=', tokenHash)
        .forUpdate()
        .executeTakeFirst();
      if (row === undefined) return undefined;
      const { id, kind, expired } = row;
      return { id, kind, expired, project: row.project_id, usedBy: row.used_by };
    },

    async useEnrolmentToken(token: Id, node: Id): Promise<void> {
      await db
        .updateTable('enrolment_tokens')
        .set({ used_by: node })
        .where('id', '=', token)
        .execute();
    },
  };
}
