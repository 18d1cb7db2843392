import type { Logger } from '@vmdn/core/process/logger.ts';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { query, startTestDatabase, type TestDatabase } from '../testing/test-database.ts';
import { inTransaction, openDatabase } from './database.ts';

let database: TestDatabase;

beforeAll(async () => {
  database = await startTestDatabase();
});
afterAll(() => database?.[Symbol.asyncDispose]());

it('I3: a connection that breaks between two statements of a transaction is `unavailable`', async () => {
  const broken = Promise.withResolvers<void>();
  const logger = { warn: () => broken.resolve() } as unknown as Logger;
  const url = await database.freshUrl();
  const db = openDatabase(url, logger);
  try {
    const work = inTransaction(db, async (transaction) => {
      const asked = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(transaction);
      await query(url, 'select pg_terminate_backend($1)', [asked.rows[0]!.pid]);
      await broken.promise;
      await sql`select 1`.execute(transaction);
    });
    await expect(work).rejects.toMatchObject({ code: 'unavailable' });
  } finally {
    await db.destroy();
  }
});
