/**
 * Room: store. Wakes whoever waits when another transaction, of any coordinator, changed something:
 * LISTEN on a connection of its own, fanned out to watchers by topic.
 *
 * I1: a watcher misses nothing: what happens after `watch` and before `next` ends the next `next`.
 * I2: a broken connection is made anew, and everybody is woken then, since notifications were lost.
 * I3: notifications only wake; what is true is always read from the tables.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Id } from '@vmdn/core/domain/names.ts';
import type { Logger } from '@vmdn/core/process/logger.ts';
import { sql } from 'kysely';
import pg from 'pg';
import { LISTEN_CHECK_MS } from '../limits.ts';
import { clientConfig, type Db } from './database.ts';

/** What can be waited for. */
export type Topic = `edge:${Id}` | `edges:${Id}` | `origin:${Id}` | `teleport:${Id}` | 'jobs';

const CHANNEL = 'vmdn';
const RECONNECT_MS = 500;

export interface Watch extends Disposable {
  /** Resolves when a topic was woken since the last `next`, or after `timeoutMs`, or on `signal`. */
  next(timeoutMs: number, signal?: AbortSignal): Promise<void>;
}

export interface Wakes extends AsyncDisposable {
  watch(topics: readonly Topic[]): Watch;
}

/** Wakes the watchers of `topics` when this transaction commits. */
export async function notify(db: Db, topics: readonly Topic[]): Promise<void> {
  if (topics.length === 0) return;
  const payloads = sql`unnest(${[...new Set(topics)]}::text[])`;
  // The schema is part of the channel's payload: two networks may share a database.
  await sql`select pg_notify(${CHANNEL}, current_schema() || ' ' || t) from ${payloads} as t`.execute(
    db,
  );
}

interface Watcher {
  readonly topics: ReadonlySet<string>;
  wake(): void;
}

/** Starts to listen; resolves once the first connection listens. */
export async function startWakes(
  connection: string | pg.ClientConfig,
  logger: Logger,
): Promise<Wakes> {
  const watchers = new Set<Watcher>();
  const stop = new AbortController();
  const wake = (topic: string | undefined): void => {
    for (const watcher of watchers) {
      if (topic === undefined || watcher.topics.has(topic)) watcher.wake();
    }
  };
  let client = await listen(connection, wake);
  const keep = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      const isAlive = await staysAlive(client, stop.signal);
      if (isAlive || stop.signal.aborted) continue;
      logger.warn({ event: 'listen_lost' }, 'notifications stopped; connecting again');
      await client.end().catch(() => undefined);
      client = await listenAgain(connection, wake, stop.signal, client);
      wake(undefined);
    }
  };
  const keeping = keep();
  return {
    watch: (topics) => addWatcher(watchers, topics),
    async [Symbol.asyncDispose]() {
      stop.abort();
      await keeping;
      wake(undefined);
      await client.end().catch(() => undefined);
    },
  };
}

function addWatcher(watchers: Set<Watcher>, topics: readonly Topic[]): Watch {
  let isWoken = false;
  let resolveNext: (() => void) | undefined;
  const watcher: Watcher = {
    topics: new Set(topics),
    wake() {
      isWoken = true;
      resolveNext?.();
    },
  };
  watchers.add(watcher);
  return {
    async next(timeoutMs, signal) {
      if (!isWoken && signal?.aborted !== true) {
        const { promise, resolve } = Promise.withResolvers<void>();
        const timer = setTimeout(resolve, timeoutMs);
        const onAbort = (): void => resolve();
        signal?.addEventListener('abort', onAbort, { once: true });
        resolveNext = resolve;
        await promise;
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        resolveNext = undefined;
      }
      isWoken = false;
    },
    [Symbol.dispose]() {
      watchers.delete(watcher);
    },
  };
}

async function listen(
  connection: string | pg.ClientConfig,
  wake: (topic: string) => void,
): Promise<pg.Client> {
  const client = new pg.Client(clientConfig(connection));
  client.on('error', () => undefined);
  await client.connect();
  const { rows } = await client.query<{ schema: string }>('select current_schema() as schema');
  const prefix = `${rows[0]?.schema} `;
  client.on('notification', ({ payload }) => {
    if (payload?.startsWith(prefix)) wake(payload.slice(prefix.length));
  });
  await client.query(`listen ${CHANNEL}`);
  return client;
}

async function listenAgain(
  connection: string | pg.ClientConfig,
  wake: (topic: string) => void,
  signal: AbortSignal,
  broken: pg.Client,
): Promise<pg.Client> {
  while (!signal.aborted) {
    const client = await listen(connection, wake).catch(() => undefined);
    if (client !== undefined) return client;
    await sleep(RECONNECT_MS, undefined, { signal }).catch(() => undefined);
  }
  return broken;
}

/** True after a quiet while in which the connection proved to be alive; false once it broke. */
async function staysAlive(client: pg.Client, signal: AbortSignal): Promise<boolean> {
  const ended = Promise.withResolvers<boolean>();
  const onEnd = (): void => ended.resolve(false);
  client.once('end', onEnd);
  client.once('error', onEnd);
  const quiet = new AbortController();
  const either = AbortSignal.any([signal, quiet.signal]);
  const pause = sleep(LISTEN_CHECK_MS, true, { signal: either }).catch(() => true);
  const isOpen = await Promise.race([ended.promise, pause]);
  quiet.abort();
  client.off('end', onEnd);
  client.off('error', onEnd);
  if (!isOpen || signal.aborted) return isOpen;
  const late = new AbortController();
  const answered = client.query('select 1').then(
    () => true,
    () => false,
  );
  const patience = sleep(LISTEN_CHECK_MS, false, { signal: late.signal }).catch(() => false);
  const isAlive = await Promise.race([answered, patience]);
  late.abort();
  return isAlive;
}
