/** Room: io, test fixture. Starts an embedded PostgreSQL, tells the parent its number and never stops it. */

import { createLogger } from '@vmdn/core/process/logger.ts';
import { startEmbeddedPostgres } from './embedded-postgres.ts';

const logger = createLogger('fixture', { level: 'silent' });
const postgres = await startEmbeddedPostgres({
  stateDir: process.argv[2]!,
  logger,
  durable: false,
});
process.send?.(postgres.pid);
setInterval(() => undefined, 60_000);
