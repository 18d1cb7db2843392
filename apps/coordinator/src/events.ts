/**
 * Room: coordinator, events. What happened, in one place: names with few values, so that they can be
 * counted; identifiers stand in the log line only.
 */

import type { Logger } from '@vmdn/core/process/logger.ts';
import type { Events } from './ports.ts';

/** Events as log lines. */
export function createEvents(logger: Logger): Events {
  return (name, facts = {}) => logger.info({ event: name, ...facts }, name.replaceAll('_', ' '));
}
