/**
 * Room: test, bench. From the turns that a guest noted to how long it stalled at the switch, and otherwise.
 *
 * I1: the guest's own noise is what windows as long as the one around the switch show, the median of them.
 */

/** A page of turns, and when it came: milliseconds since 1970. */
export interface Page {
  readonly atMs: number;
  readonly text: string;
}

/** One turn of the guest's loop. */
export interface Turn {
  /** Its end, in milliseconds since the guest's start. */
  readonly endMs: number;
  /** The longer of its reading and its writing. */
  readonly longestMs: number;
}

/** Milliseconds; windows are as long as WINDOW_MS. */
export interface PauseFigures {
  /** The longest reading or writing around the switch. */
  readonly switchMs: number;
  /** The same in the other windows: the median, and the most. */
  readonly noiseMs: number;
  readonly noiseMaxMs: number;
  readonly windows: number;
}

/** The edge says that it switched a moment after it did, and clocks of guests are read off their pages. */
const WINDOW_MS = 4000;
const AFTER_SWITCH_MS = 1500;

/**
 * Lines of `UPTIME READ WRITE`: seconds, and hundredths of a second twice; one that is being written is left
 * out. Throws RangeError.
 */
export function parseTurns(text: string): Turn[] {
  const lines = text.split('\n').slice(0, -1);
  return lines.map((line) => {
    const [, end, read, write] = /^(\d+\.\d\d) (\d+) (\d+)$/.exec(line) ?? [];
    if (end === undefined) throw new RangeError(`not a turn: ${line}`);
    return { endMs: Number(end) * 1000, longestMs: Math.max(Number(read), Number(write)) * 10 };
  });
}

/** When the guest's clock was at zero: what lies between its last turn and the page's coming is the error. */
export function clockOffsetMs(pages: readonly Page[]): number {
  const offsets = pages.map(({ atMs, text }) => atMs - (parseTurns(text).at(-1)?.endMs ?? 0));
  return Math.min(...offsets);
}

/** `switchedMs`: by the guest's clock. Throws RangeError when the guest noted too little. */
export function pausesOf(turns: readonly Turn[], switchedMs: number): PauseFigures {
  const end = switchedMs + AFTER_SWITCH_MS;
  const longest = new Map<number, number>();
  for (const { endMs, longestMs } of turns) {
    const window = Math.floor((endMs - end) / WINDOW_MS);
    longest.set(window, Math.max(longest.get(window) ?? 0, longestMs));
  }
  const around = longest.get(-1);
  // The first and the last window are cut off.
  const others = [...longest].filter(([window]) => window !== -1).sort(([a], [b]) => a - b);
  const noise = others
    .slice(1, -1)
    .map(([, ms]) => ms)
    .sort((a, b) => a - b);
  if (around === undefined || noise.length === 0) {
    throw new RangeError('the guest noted nothing before, at or after the switch');
  }
  return {
    switchMs: around,
    noiseMs: noise[Math.floor(noise.length / 2)]!,
    noiseMaxMs: noise.at(-1)!,
    windows: noise.length,
  };
}
