/**
 * Room: store. The connection to PostgreSQL: pool, number types, transactions.
 *
 * I1: 64-bit integers arrive as numbers or not at all: a value that a double can't hold is an error.
 * I2: a transaction that PostgreSQL gave up for concurrency (40001, 40P01) is tried again.
 * I3: a database that can't be reached is `unavailable`, for every caller.
 */

import { isVmdnError, VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Logger } from '@vmdn/core/process/logger.ts';
import { Kysely, PostgresDialect, type Transaction } from 'kysely';
import pg from 'pg';
import { POOL_CONNECTIONS_MAX, STATEMENT_TIMEOUT_MS, TRANSACTION_ATTEMPTS_MAX } from '../limits.ts';
import type { Schema } from './schema/schema.ts';

export type Db = Kysely<Schema> | Transaction<Schema>;

const INT8_OID = 20;
const NUMERIC_OID = 1700;

function exactNumber(raw: string): number {
  const value = Number(raw);
  if (Number.isSafeInteger(value)) return value;
  throw new VmdnError('internal', 'A number in the database is too large.', { data: { raw } });
}

const types: pg.CustomTypesConfig = {
  getTypeParser(oid: number, format?: 'text' | 'binary') {
    if (oid === INT8_OID || oid === NUMERIC_OID) return exactNumber as never;
    return pg.types.getTypeParser(oid, format as 'text');
  },
};

/** How to connect, as `pg` takes it. */
export function clientConfig(connection: string | pg.ClientConfig): pg.ClientConfig {
  const given = typeof connection === 'string' ? { connectionString: connection } : connection;
  return {
    ...given,
    types,
    application_name: 'vmdn-coordinator',
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
  };
}

/** Opens a pool. */
export function openDatabase(connection: string | pg.ClientConfig, logger: Logger): Kysely<Schema> {
  const pool = new pg.Pool({
    ...clientConfig(connection),
    statement_timeout: STATEMENT_TIMEOUT_MS,
    max: POOL_CONNECTIONS_MAX,
    idleTimeoutMillis: 30_000,
  });
  // A connection that breaks (a restart of the server) must not end the process: the pool hears of idle
  // ones only, and one that is in use between two statements has nobody else to tell.
  const onError = (error: Error): void =>
    logger.warn({ err: error }, 'a database connection broke');
  pool.on('error', onError);
  pool.on('connect', (client) => client.on('error', onError));
  return new Kysely<Schema>({ dialect: new PostgresDialect({ pool }) });
}

const UNIQUE_VIOLATION = '23505';

function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
}

/**
 * Class 08 (connection), 57P0x (shutdown), 53 (resources), what the socket says, and what pg says of a
 * connection that broke between two statements.
 */
function isUnreachable(error: unknown): boolean {
  const code = codeOf(error);
  const message = error instanceof Error ? error.message : '';
  return (
    /^(08|57P0|53)/.test(code) ||
    ['ECONNREFUSED', 'ECONNRESET', 'ENOENT', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND'].includes(code) ||
    /Connection terminated|timeout exceeded when trying to connect|not queryable/i.test(message)
  );
}

/** Gives database failures the product's own words; others pass. */
export function translateDatabaseError(error: unknown): unknown {
  if (isVmdnError(error)) return error;
  if (isUnreachable(error)) {
    return new VmdnError('unavailable', 'The database does not answer; try again in a moment.', {
      cause: error,
    });
  }
  // Class 22, data exceptions: a NUL in a text, a number or time beyond what a column holds.
  if (codeOf(error).startsWith('22')) {
    return new VmdnError('invalid_input', 'A value in the request is beyond what can be stored.', {
      cause: error,
    });
  }
  if (codeOf(error) === UNIQUE_VIOLATION) {
    return new VmdnError('conflict', 'Something of that name or key was made just now.', {
      cause: error,
    });
  }
  return error;
}

/** Runs `work` in one transaction, again when PostgreSQL asks for it. */
export async function inTransaction<T>(
  db: Kysely<Schema>,
  work: (transaction: Transaction<Schema>) => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await db.transaction().execute(work);
    } catch (error) {
      const isConflict = ['40001', '40P01'].includes(codeOf(error));
      if (!isConflict || attempt >= TRANSACTION_ATTEMPTS_MAX) throw translateDatabaseError(error);
    }
  }
}
