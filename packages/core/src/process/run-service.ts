/**
 * Room: process. The life of a service: start, say where it listens, stop on a signal.
 *
 * I1: the first SIGTERM or SIGINT stops gracefully; STOP_SECONDS_MAX later, or at the second
 *     signal, the process ends whatever happens.
 * I2: one JSON line `{"event":"listening","url":…}` goes to stdout once the service can be used.
 */

import { describeError } from '../domain/errors.ts';
import { createLogger, type Logger } from './logger.ts';

/** Longer than any single drain step; an init system's own patience is 90 s. */
const STOP_SECONDS_MAX = 20;

export interface RunningService extends AsyncDisposable {
  /** Base URL under which it answers. */
  readonly url: string;
}

/** Runs a service until a signal comes. Never rejects: a failed start is logged and exits with 1. */
export async function runService(
  name: string,
  start: (signal: AbortSignal, logger: Logger) => Promise<RunningService>,
): Promise<void> {
  const logger = createLogger(name, { level: process.env.VMDN_LOG_LEVEL ?? 'info' });
  const controller = new AbortController();
  const stopRequested = new Promise<void>((resolve) => {
    const onSignal = (signal: NodeJS.Signals): void => {
      if (controller.signal.aborted) process.exit(1);
      logger.info({ signal }, 'stopping');
      controller.abort();
      setTimeout(() => {
        logger.error('did not stop in time');
        process.exit(1);
      }, STOP_SECONDS_MAX * 1000).unref();
      resolve();
    };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
  });
  try {
    await using service = await start(controller.signal, logger);
    process.stdout.write(
      `${JSON.stringify({ event: 'listening', service: name, url: service.url })}\n`,
    );
    await stopRequested;
  } catch (error) {
    if (!controller.signal.aborted) {
      logger.fatal({ err: error }, describeError(error));
      process.exitCode = 1;
    }
  }
  // Sockets that clients keep open must not keep a stopped service alive.
  process.exit();
}
