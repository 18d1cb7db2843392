/**
 * Room: domain. How hard to compress what is sent: as hard as costs no time.
 *
 * A body is made and sent by turns. Where the sender mostly waits for the link, a higher level makes
 * fewer bytes in time that is there anyway; where the link mostly waits for the compressor, a lower
 * one sends sooner.
 *
 * I1: a level is left only towards its neighbour, and only for a share of waiting that is clearly on
 *     one side: between the two marks nothing changes.
 * I2: bodies that are too short to tell are gathered until they do.
 */

/** Time spent on bodies of this many bytes says which of the two was waited for. */
const BYTES_MIN = 1024 * 1024;

/** Share of the time in which the link was waited for: above it the level rises, … */
const RISES_ABOVE = 0.8;
/** … below it the level falls. A level up takes about twice the time of the one below. */
const FALLS_BELOW = 0.4;

/** What one body took. */
export interface BodyPace {
  /** Bytes that were sent. */
  readonly bytes: number;
  /** Time in which the sender waited for the body to be read and compressed, in milliseconds. */
  readonly madeMs: number;
  /** Time in which the body waited for the link, in milliseconds. */
  readonly sentMs: number;
}

export class CompressionPace {
  readonly #levels: readonly number[];
  #at: number;
  #bytes = 0;
  #madeMs = 0;
  #sentMs = 0;

  /** Levels of zstd, ascending, and the one to begin with. */
  constructor(levels: readonly number[], first: number) {
    this.#levels = levels;
    this.#at = levels.indexOf(first);
    if (this.#at < 0) throw new RangeError(`${first} is none of the levels ${levels.join(', ')}`);
  }

  /** The level for the next body. */
  get level(): number {
    return this.#levels[this.#at]!;
  }

  /** Takes note of a body that was sent. */
  observe({ bytes, madeMs, sentMs }: BodyPace): void {
    this.#bytes += bytes;
    this.#madeMs += madeMs;
    this.#sentMs += sentMs;
    if (this.#bytes < BYTES_MIN) return;
    const waited = this.#sentMs / (this.#madeMs + this.#sentMs);
    if (waited > RISES_ABOVE) this.#at = Math.min(this.#at + 1, this.#levels.length - 1);
    else if (waited < FALLS_BELOW) this.#at = Math.max(this.#at - 1, 0);
    this.#bytes = this.#madeMs = this.#sentMs = 0;
  }
}
