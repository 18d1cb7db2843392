/**
 * Room: coordinator, events. What happened, in one place: names with few values, so that they can be
 * counted; identifiers stand in the log line only.
 */

import type { Logger } from '@vmdn/core/process/logger.ts';

export type EventName =
  | 'client_token_made'
  | 'enrolment_token_made'
  | 'node_enrolled'
  | 'node_back'
  | 'version_announced'
  | 'version_state'
  | 'holdings_changed'
  | 'teleport_requested'
  | 'teleport_state'
  | 'teleport_cancelled'
  | 'teleport_rerouted'
  | 'teleport_stuck'
  | 'stale_epoch'
  | 'seed_requested'
  | 'seed_state'
  | 'import_requested'
  | 'import_state';

export type Events = (name: EventName, facts?: Readonly<Record<string, unknown>>) => void;

/** Events as log lines. */
export function createEvents(logger: Logger): Events {
  return (name, facts = {}) => logger.info({ event: name, ...facts }, name.replaceAll('_', ' '));
}
