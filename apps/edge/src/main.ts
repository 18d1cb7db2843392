/** Room: edge. The edge's process: settings from the environment, then the service until a signal. */

import { runService } from '@vmdn/core/process/run-service.ts';
import { createEdge } from './edge.ts';
import { readSettings } from './settings.ts';

await runService('edge', (signal, logger) => createEdge(readSettings(process.env), logger, signal));
