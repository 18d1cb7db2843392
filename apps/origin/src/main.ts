/**
 * Room: origin. The process: `main.ts` runs an origin until a signal; `main.ts status`,
 * `main.ts release [VM [SECONDS]]`, `main.ts describe VM` and `main.ts unfence VM --force` ask the one that
 * runs with the same environment.
 */

import { runQuery } from '@vmdn/core/process/run-query.ts';
import { runService } from '@vmdn/core/process/run-service.ts';
import { askOrigin } from './ask-origin.ts';
import { createOrigin } from './origin.ts';
import { readSettings } from './settings.ts';

const words = process.argv.slice(2);
if (words.length === 0) {
  await runService('origin', (signal, logger) =>
    createOrigin(readSettings(process.env), logger, signal),
  );
} else {
  await runQuery(() => askOrigin(words, process.env));
}
