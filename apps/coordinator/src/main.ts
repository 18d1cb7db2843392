/** Room: coordinator. The process: settings from the environment, then run until a signal. */

import { runService } from '@vmdn/core/process/run-service.ts';
import { readSettings } from './config.ts';
import { createCoordinator } from './coordinator.ts';

await runService('coordinator', (_, logger) =>
  createCoordinator(readSettings(process.env), logger),
);
