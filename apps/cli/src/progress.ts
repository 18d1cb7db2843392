/**
 * Room: services. Shows a teleport while it happens: redrawn lines on a terminal, a line at each
 * change of state and each tenth of the disk otherwise, one JSON line at each event with `--json`.
 *
 * I1: the same events make the same lines: time comes in as an argument.
 */

import { totalTierBytes } from '@vmdn/core/domain/tiers.ts';
import type { Teleport } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import type { Output } from './output.ts';
import { formatBytes, formatSeconds, formatShare, formatTiers } from './text/sizes.ts';
import { deliveredBytes, isComing } from './text/teleports.ts';

const STATE_WORDS: Readonly<Record<Teleport['state'], string>> = {
  routed: 'waiting for the edge to begin',
  syncing: 'rebuilding the disk',
  waiting: 'waiting for a source',
  verified: 'disk verified',
  booting: 'booting',
  running: 'running',
  failed: 'failed',
  cancelled: 'cancelled',
};
const BAR_CELLS_MAX = 40;
/** Room beside the bar for the numbers. */
const NUMBERS_COLUMNS = 30;

/** A bar of `cells` characters, `part` of `whole` of them filled. */
export function bar(part: number, whole: number, cells: number): string {
  const filled = whole === 0 ? 0 : Math.floor((cells * Math.min(part, whole)) / whole);
  return `[${'#'.repeat(filled)}${'.'.repeat(cells - filled)}]`;
}

/** The live display of a teleport, `elapsedSeconds` after it was asked for. */
export function liveLines(teleport: Teleport, elapsedSeconds: number, columns: number): string[] {
  const { diskBytes, wireBytes, verifiedBytes, virtualSizeBytes } = deliveredBytes(teleport);
  const words = teleport.message === null ? '' : `: ${teleport.message}`;
  const lines = [`${STATE_WORDS[teleport.state]}${words}  (${formatSeconds(elapsedSeconds)})`];
  if (virtualSizeBytes > 0) {
    const cells = Math.max(10, Math.min(BAR_CELLS_MAX, columns - NUMBERS_COLUMNS));
    const share = formatShare(verifiedBytes, virtualSizeBytes);
    lines.push(
      `${bar(verifiedBytes, virtualSizeBytes, cells)} ${share} of ${formatBytes(virtualSizeBytes)} virtual`,
    );
    lines.push(
      `from ${formatTiers(diskBytes)}; transferred ${formatBytes(totalTierBytes(wireBytes))}`,
    );
  }
  return lines.map((line) => line.slice(0, Math.max(1, columns - 1)));
}

/** Takes the events of one teleport and shows them. */
export interface ProgressDisplay {
  show(teleport: Teleport, nowMs: number): void;
  /** Takes a live display away; what was printed line by line stays. */
  end(): void;
}

export function createProgressDisplay(output: Output, startedMs: number): ProgressDisplay {
  let said = '';
  return {
    show(teleport, nowMs) {
      output.event(teleport);
      const elapsedSeconds = (nowMs - startedMs) / 1000;
      if (output.live) {
        output.redraw(liveLines(teleport, elapsedSeconds, output.columns));
        return;
      }
      const { verifiedBytes, virtualSizeBytes, diskBytes } = deliveredBytes(teleport);
      const tenth =
        virtualSizeBytes === 0 ? 0 : Math.floor((10 * verifiedBytes) / virtualSizeBytes);
      const coming = isComing(teleport) && virtualSizeBytes > 0;
      const now = `${teleport.state} ${coming ? tenth : ''} ${teleport.message ?? ''}`;
      if (now === said) return;
      said = now;
      const words = [STATE_WORDS[teleport.state]];
      if (teleport.message !== null) words.push(teleport.message);
      if (coming) {
        words.push(`${tenth * 10} % verified (${formatTiers(diskBytes)})`);
      }
      output.line(`${formatSeconds(elapsedSeconds).padStart(8)}  ${words.join(': ')}`);
    },
    end: () => output.redraw([]),
  };
}
