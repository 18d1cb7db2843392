/**
 * Room: process. Loggers: JSON lines on stderr, one per service, secrets left out.
 */

import { type Logger, pino } from 'pino';

export type { Logger } from 'pino';

/** A logger for one service. `level` as pino has it: debug, info, warn, error, silent. */
export function createLogger(service: string, options: { level?: string } = {}): Logger {
  return pino(
    {
      name: service,
      level: options.level ?? 'info',
      redact: ['token', 'enrolmentToken', 'grant', '*.token', '*.enrolmentToken', '*.grant'],
    },
    pino.destination({ dest: 2, sync: true }),
  );
}
