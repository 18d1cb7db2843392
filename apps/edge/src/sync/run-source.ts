/**
 * Room: edge, sync. A remote source as one run knows it.
 */

import { SourceHealth } from '@vmdn/core/domain/schedule-retry.ts';
import type { RemoteSource } from '@vmdn/core/io/ports/remote-source.ts';
import { SourcePace } from './source-pace.ts';

/** A remote source with what this run knows of it. */
export interface RunSource {
  readonly source: RemoteSource;
  readonly health: SourceHealth;
  /** Rows of which it sent wrong blocks: others are asked first. */
  readonly badRows: Set<number>;
  readonly pace: SourcePace;
  /** It brings so little that an origin should help. */
  isSlow: boolean;
  /** When a partial holder last had more than before, or was first heard of. */
  newsAtMs: number;
  /** When a partial holder last said what it has. */
  seenAtMs: number;
  /** What its last failed request threw. */
  lastError?: unknown;
}

export function runSource(source: RemoteSource): RunSource {
  const health = new SourceHealth();
  if (source.isDoubtful === true) health.doubt();
  const newsAtMs = performance.now();
  const at = { newsAtMs, seenAtMs: newsAtMs };
  return { source, health, badRows: new Set(), pace: new SourcePace(), isSlow: false, ...at };
}
