/**
 * Room: coordinator, composition root. Wires database, use cases, routes and reconcilers.
 *
 * I1: it stops in this order: stop accepting, end streams and polls, reconcilers, notifications,
 *     pool, embedded PostgreSQL; whatever was started is stopped when a later step fails.
 * I2: it listens, and judges who is away, only when nobody loses anything for what it did not hear before.
 */

import { signGrant } from '@vmdn/core/http/auth/grant.ts';
import {
  exportNodeKey,
  generateNodeKey,
  importNodeKey,
  type NodeKey,
  thumbprintOf,
} from '@vmdn/core/http/auth/keys.ts';
import { descriptionDigestOf, verifyDescription } from '@vmdn/core/http/auth/signed-description.ts';
import { verifyReceipt } from '@vmdn/core/http/auth/signed-receipt.ts';
import { PROTOCOL_VERSION } from '@vmdn/core/http/contracts/schemas.ts';
import { type App, createApp } from '@vmdn/core/http/mount.ts';
import { serve } from '@vmdn/core/http/serve.ts';
import type { Logger } from '@vmdn/core/process/logger.ts';
import type { RunningService } from '@vmdn/core/process/run-service.ts';
import type { CoordinatorSettings } from './config.ts';
import { createEvents } from './events.ts';
import { readOrMakeClientToken, writeClientFileIn } from './io/client-token.ts';
import { startEmbeddedPostgres } from './io/embedded-postgres/embedded-postgres.ts';
import { readTlsFiles } from './io/small-files.ts';
import { BEATS_MISSED_MAX, WATCH_TIMER_MS } from './limits.ts';
import { reconcileOvertaken } from './reconcilers/moves.ts';
import { startReconcilers } from './reconcilers/reconciler.ts';
import { reconcileLeases, reconcileWithdrawn } from './reconcilers/teleports.ts';
import { mountClientRoutes } from './routes/client-routes.ts';
import { createGuards } from './routes/guard.ts';
import { mountMoveRoutes } from './routes/move-routes.ts';
import { mountNodeRoutes } from './routes/node-routes.ts';
import { mountPackageRoutes } from './routes/package-routes.ts';
import { mountTeleportRoutes } from './routes/teleport-routes.ts';
import type { Context, Keys, Timing } from './services/context.ts';
import { createGrantIssuer } from './services/grants.ts';
import { createHearing, type Hearing } from './services/hearing.ts';
import { createPackageRecipes } from './services/packages.ts';
import { hashSecret, makeSecret } from './services/secrets.ts';
import { openDatabase } from './store/database.ts';
import { migrate } from './store/migrate.ts';
import { createStore, type Store } from './store/store.ts';
import { startWakes } from './store/wakes.ts';

export interface Coordinator extends RunningService {
  /** The first client's token: what the CLI uses on this machine. */
  readonly clientToken: string;
}

/** How often a coordinator looks by itself, where that should differ from its beats and limits.ts. */
export interface CoordinatorPace {
  /** The wall clock by which grants expire. */
  readonly now?: () => number;
  readonly reconcileMs?: number;
  readonly watchMs?: number;
}

/** Starts a coordinator; resolves when it listens. */
export async function createCoordinator(
  settings: CoordinatorSettings,
  logger: Logger,
  pace: CoordinatorPace = {},
): Promise<Coordinator> {
  await using started = new AsyncDisposableStack();
  const connection = settings.databaseUrl ?? (await embedded(settings, logger, started));
  const db = openDatabase(connection, logger);
  started.defer(() => db.destroy());
  const migrations = await migrate(db);
  if (migrations.length > 0)
    logger.info({ event: 'migrated', migrations }, 'schema brought up to date');
  const wakes = started.use(await startWakes(connection, logger));
  const store = createStore(db);

  const closing = new AbortController();
  const timing = timingOf(settings, pace);
  const hearing = hearingOf(store, timing);
  // Before anybody's silence is judged, and before the first one is heard.
  await hearing.look();
  const context: Context = {
    store,
    wakes,
    keys: keysOf(await coordinatorKey(store)),
    events: createEvents(logger),
    timing,
    hearing,
    protocol: PROTOCOL_VERSION,
    closing: closing.signal,
    now: pace.now ?? Date.now,
  };
  if (settings.reconcile) {
    const reconcilers = [
      reconcileWithdrawn(context),
      reconcileOvertaken(context),
      reconcileLeases(context),
    ];
    const everyMs = pace.reconcileMs ?? settings.heartbeatSeconds * 1000;
    started.use(startReconcilers({ reconcilers, wakes, everyMs, logger }));
  }
  const server = await serve({
    fetch: createRoutes(context, logger).fetch as never,
    listen: settings.listen,
    tls: settings.tlsFiles === undefined ? undefined : await readTlsFiles(settings.tlsFiles),
    plaintextAllowed: settings.plaintextAllowed,
  });
  started.defer(async () => {
    // Stops accepting at once; the streams and polls that are open end by the signal.
    const closed = server.close();
    closing.abort();
    await closed;
  });
  const clientToken = await firstClient(settings, store);
  const url = settings.publicUrl ?? server.url;
  await writeClientFileIn(settings.stateDir, { url, token: clientToken });
  const running = started.move();
  return {
    url: server.url,
    clientToken,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

async function embedded(
  settings: CoordinatorSettings,
  logger: Logger,
  started: AsyncDisposableStack,
) {
  const postgres = await startEmbeddedPostgres({ stateDir: settings.stateDir, logger });
  started.use(postgres);
  return postgres.address;
}

/**
 * A lease outlives the silence after which its edge counts as away: who loses it is away for sure. What is
 * no silence, since nobody listened, is services/hearing.ts's to say.
 */
function timingOf(settings: CoordinatorSettings, pace: CoordinatorPace): Timing {
  const { heartbeatSeconds, grantSeconds } = settings;
  const silenceSeconds = heartbeatSeconds * BEATS_MISSED_MAX + 1;
  const leaseSeconds = Math.max(settings.leaseSeconds, silenceSeconds);
  const watchMs = pace.watchMs ?? WATCH_TIMER_MS;
  return { heartbeatSeconds, silenceSeconds, leaseSeconds, grantSeconds, watchMs };
}

function hearingOf(store: Store, timing: Timing): Hearing {
  const over = {
    clock: () => store.read((tables) => tables.nodes.clock()),
    extendLeases: (seconds: number) =>
      store.read((tables) => tables.teleports.extendLeases(seconds)),
  };
  return createHearing(over, timing);
}

/** All routes over a context; tests call them without a socket. */
export function createRoutes(context: Context, logger: Logger): App {
  const app = createApp({ logger });
  const guards = createGuards(context);
  const grants = createGrantIssuer(context);
  mountNodeRoutes(app, context, grants, guards);
  mountTeleportRoutes(app, context, grants, guards);
  mountMoveRoutes(app, context, guards);
  mountPackageRoutes(app, createPackageRecipes(context), guards);
  mountClientRoutes(app, context, guards);
  return app;
}

/**
 * The key that signs grants lies in the database, not in a file: all coordinators of a network sign
 * with it, every node verifies with it, and whoever can write to the database could enrol a key of
 * his own anyway. The database is the network's root of trust and is protected as such.
 */
async function coordinatorKey(store: Store): Promise<NodeKey> {
  const make = async (): Promise<unknown> => exportNodeKey(await generateNodeKey());
  const jwk = await store.read((tables) => tables.settings.getOrMake('coordinator-key', make));
  return await importNodeKey(jwk);
}

function keysOf(key: NodeKey): Keys {
  return {
    coordinatorKey: key.publicKey,
    signGrant: (grant) => signGrant(key, grant),
    verifyDescription,
    verifyReceipt,
    descriptionDigestOf,
    thumbprintOf,
  };
}

async function firstClient(settings: CoordinatorSettings, store: Store): Promise<string> {
  const token = await readOrMakeClientToken(
    settings.stateDir,
    () => makeSecret('vmdn-client-').secret,
  );
  await store.read(async (tables) => {
    const project = await tables.settings.defaultProject();
    await tables.clients.ensure(project, 'admin', hashSecret(token));
  });
  return token;
}
