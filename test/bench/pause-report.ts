/** Room: test, bench. The figures of the benchmark `pause`, for people and for programs. */

import type { BenchmarkReport } from './benchmark.ts';
import type { PauseFigures } from './pause-figures.ts';
import { formatTable } from './table.ts';

/** Wanted: so much more than the guest's own noise at the most. */
const ABOVE_NOISE_MAX_MS = 100;

export function pauseReport(rounds: readonly PauseFigures[]): BenchmarkReport {
  const ms = (value: number): string => `${value.toFixed(0)} ms`;
  const rows = rounds.map(({ switchMs, noiseMs, noiseMaxMs, windows }, i) => [
    `switch ${i + 1}`,
    ms(switchMs),
    ms(noiseMs),
    ms(noiseMaxMs),
    String(windows),
  ]);
  const heading = ['', 'longest at it', 'otherwise, median', 'otherwise, most', 'windows'];
  const above = Math.max(...rounds.map(({ switchMs, noiseMs }) => switchMs - noiseMs));
  const words = `${ms(above)} above the guest's own noise ≤ ${ms(ABOVE_NOISE_MAX_MS)}`;
  const promised = [{ words, holds: above <= ABOVE_NOISE_MAX_MS }];
  const lines = promised.map(({ words, holds }) => `${words}: ${holds ? 'yes' : 'NO'}`);
  return {
    json: { aboveNoiseMs: above, rounds },
    table: [formatTable([heading, ...rows]), ...lines].join('\n'),
    plot: {
      title: 'Longest reading or writing of a guest, in windows of four seconds',
      groups: rounds.map(({ switchMs, noiseMs }, i) => ({
        title: `switch ${i + 1}`,
        bars: [
          { label: 'at the switch', value: switchMs, words: ms(switchMs), isOurs: true },
          { label: 'otherwise', value: noiseMs, words: ms(noiseMs), isOurs: false },
        ],
      })),
    },
    promised,
  };
}
