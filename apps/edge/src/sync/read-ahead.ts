/**
 * Room: edge, sync. Decides what a reader of a disk in the making will want next. It only says what; the
 * queue puts it behind every read that somebody waits for (domain/raised-rows.ts).
 *
 * I1: nothing is fetched for reads here and there: a stream is one that went on from one segment to the
 *     next twice.
 * I2: it grows while it is used up: twice as far each time that half of it was read. It shrinks when it
 *     was in vain: a stream that was left with most of it unread halves what the others may have.
 * I3: a segment is named once for each stream.
 */

import { AHEAD_SEGMENTS_MAX, AHEAD_SEGMENTS_MIN, AHEAD_STREAMS } from './limits.ts';

/** Segments [from, to). */
export interface SegmentRange {
  readonly from: number;
  readonly to: number;
}

interface Stream {
  /** The last segment that was read. */
  last: number;
  /** How often it went on to a next one. */
  steps: number;
  /** What is asked for ends here. */
  end: number;
  window: number;
}

const AHEAD_SEGMENTS_FIRST = 16;

export class ReadAhead {
  readonly #segments: number;
  /** The one used last is the last one. */
  readonly #streams: Stream[] = [];
  #windowMax = AHEAD_SEGMENTS_FIRST;

  /** `segments`: how many the disk has. */
  constructor(segments: number) {
    this.#segments = segments;
  }

  /** Segments [first, last] were asked for. Returns what to fetch now, or null. */
  saw(first: number, last: number): SegmentRange | null {
    const at = this.#streams.findIndex(
      (stream) => first >= stream.last && first <= stream.last + 1,
    );
    if (at === -1) {
      this.#begin(last);
      return null;
    }
    const [stream] = this.#streams.splice(at, 1);
    this.#streams.push(stream!);
    return last > stream!.last ? this.#goOn(stream!, last) : null;
  }

  #begin(last: number): void {
    this.#streams.push({ last, steps: 0, end: 0, window: 0 });
    if (this.#streams.length <= AHEAD_STREAMS) return;
    const left = this.#streams.shift()!;
    const unread = left.end - left.last - 1;
    if (unread > left.window / 2) {
      this.#windowMax = Math.max(AHEAD_SEGMENTS_MIN, this.#windowMax / 2);
    }
  }

  #goOn(stream: Stream, last: number): SegmentRange | null {
    stream.last = last;
    stream.steps += 1;
    if (stream.steps < 2) return null;
    if (stream.window > 0 && stream.end - last - 1 > stream.window / 2) return null;
    // Who reads on for so long can be trusted with more.
    if (stream.steps >= 2 * this.#windowMax) {
      this.#windowMax = Math.min(AHEAD_SEGMENTS_MAX, this.#windowMax * 2);
    }
    const grown = Math.max(AHEAD_SEGMENTS_MIN, stream.window * 2);
    stream.window = Math.min(grown, this.#windowMax);
    const from = Math.max(stream.end, last + 1);
    const to = Math.min(this.#segments, last + 1 + stream.window);
    if (to <= from) return null;
    stream.end = to;
    return { from, to };
  }
}
