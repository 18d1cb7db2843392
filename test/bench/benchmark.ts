/**
 * Room: test, bench. What a benchmark is: a function from options to figures.
 *
 * I1: a benchmark prints nothing; it hands figures back, and words of progress to `progress`.
 * I2: `json` holds only what was measured in this run.
 */

import type { CommandRunner } from '@vmdn/core/io/command/command-runner.ts';
import type { BarPlot } from './plot.ts';

export interface BenchmarkOptions {
  /** Whether the figures will be printed as JSON; they are the same. */
  readonly json: boolean;
  /** Guests to deliver; all that the benchmark knows without it. */
  readonly pairs?: readonly string[];
  /** Methods to measure; all without it. */
  readonly methods?: readonly string[];
  /** Limit of the link between origin and edge, each direction; null: none. */
  readonly rateBytesPerSecond: number | null;
  /** VMs to deliver, where the benchmark calls them so. */
  readonly vms?: readonly string[];
  /** How often each is measured; figures are averages. */
  readonly runs?: number;
  /** With as much data as the report had. */
  readonly full?: boolean;
  /** A disk image to measure with, in place of a guest's. */
  readonly image?: string;
  /** Fires when somebody wants it to stop; everything that was started is ended then. */
  readonly signal: AbortSignal;
  readonly runner: CommandRunner;
  /** Where guests and precomputed things lie. */
  readonly cacheDir: string;
  progress(words: string): void;
}

/** Something that the documentation promises, and whether this run kept it. */
export interface Promised {
  readonly words: string;
  readonly holds: boolean;
}

export interface BenchmarkReport {
  /** What `--json` prints. */
  readonly json: object;
  /** The same for people, lines without colours. */
  readonly table: string;
  readonly plot?: BarPlot;
  readonly promised: readonly Promised[];
}
