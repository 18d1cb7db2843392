/**
 * Room: domain. Which level of compression a sender takes next, from the share of time that compressing took.
 *
 * I1: a level is left for a slower one only where that is expected to keep below LOWER_ABOVE, so that a
 *     steady load never makes it go back and forth.
 * I2: what has not compressed says nothing: the level stays.
 * I3: over a slow link bytes are never spared less than at level SLOW_LINK_MIN, however busy the processor:
 *     they take longer to cross than to compress.
 *
 * The share counts time on the clock in which at least one thing was being compressed. So it is small where
 * the link, the receiver or the disk is what everybody waits for, and near 1 where it is the processor,
 * whoever else uses that. Waiting for the socket says neither: a kernel takes a whole body at once.
 */

/**
 * Levels of zstd, quickest first. Measured on blocks that a web host lacks (docs/adr/0006): 1 takes 2.5 ms of
 * processor time for each megabyte and leaves 39 %, 3 takes 5.5 and leaves 37 %, 6 takes 12.5 and leaves 36.
 */
const LEVELS: readonly number[] = [1, 3, 6];

/** The next level takes up to 2.3 times as long: 0.35 becomes 0.8. */
const RAISE_BELOW = 0.35;
const LOWER_ABOVE = 0.9;
/**
 * A link is slow up to here, and its level at least this: level 3 fills it with less than half a processor.
 * With level 1 on two busy cores 5 % more crossed 10 MB/s, and the disk was there no sooner (docs/adr/0006).
 */
const SLOW_LINK_BYTES_PER_SECOND = 30_000_000;
const SLOW_LINK_MIN = 3;
/** Below that hardly anything was compressed. */
const NOTHING_BELOW = 0.01;

/**
 * `share`: compressing, of the time in which the sender was asked; 0 to 1. `bytesPerSecond`: what left in
 * that time, compressed.
 */
export function nextCompressionLevel(
  level: number,
  { share, bytesPerSecond }: { readonly share: number; readonly bytesPerSecond: number },
): number {
  const at = LEVELS.indexOf(level);
  if (share > LOWER_ABOVE) {
    const lower = LEVELS[Math.max(0, at - 1)]!;
    return bytesPerSecond > SLOW_LINK_BYTES_PER_SECOND ? lower : Math.max(lower, SLOW_LINK_MIN);
  }
  if (share < RAISE_BELOW && share > NOTHING_BELOW) {
    return LEVELS[Math.min(LEVELS.length - 1, at + 1)]!;
  }
  return level;
}
