/**
 * Room: coordinator, testing. A real PostgreSQL for one test file, and a schema of its own for each
 * test.
 */

import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@vmdn/core/process/logger.ts';
import pg from 'pg';
import {
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from '../io/embedded-postgres/embedded-postgres.ts';

export interface TestDatabase extends AsyncDisposable {
  readonly postgres: EmbeddedPostgres;
  /** A DATABASE_URL that leads to a schema of its own. */
  freshUrl(): Promise<string>;
}

export const quiet = createLogger('test', { level: 'silent' });

/** Starts it in a temporary directory, without fsync: what is here survives a kill, not a power cut. */
export async function startTestDatabase(): Promise<TestDatabase> {
  const stateDir = await mkdtemp(join(tmpdir(), 'vmdn-test-pg-'));
  const postgres = await startEmbeddedPostgres({ stateDir, logger: quiet, durable: false });
  return {
    postgres,
    async freshUrl() {
      const schema = `t_${randomUUID().replaceAll('-', '')}`;
      await query(postgres.address, `create schema ${schema}`);
      const { user, password, host, port, database } = postgres.address;
      const options = encodeURIComponent(`-c search_path=${schema}`);
      const at = `host=${encodeURIComponent(host)}&port=${port}&options=${options}`;
      return `postgres://${user}:${password}@/${database}?${at}`;
    },
    async [Symbol.asyncDispose]() {
      await postgres[Symbol.asyncDispose]();
      await rm(stateDir, { recursive: true, force: true });
    },
  };
}

/** Runs one statement on a connection of its own. */
export async function query<Row extends object>(
  connection: string | pg.ClientConfig,
  text: string,
  values: unknown[] = [],
): Promise<Row[]> {
  const client = new pg.Client(connection as pg.ClientConfig);
  await client.connect();
  try {
    return (await client.query<Row>(text, values)).rows;
  } finally {
    await client.end();
  }
}
