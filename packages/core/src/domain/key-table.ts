/**
 * Room: domain. Finds 64-bit keys (two words each, low word first) in a column of them: match keys of blocks,
 * prefixes of segment hashes.
 *
 * I1: typed arrays only, and nothing is allocated while looking up.
 * I2: where a key lies depends on a seed, so that crafted keys do not cluster.
 */

/** The distinct keys of a column in an open-addressing table (linear probing, load at most 0.5). */
export class KeyTable {
  /** For each key its number among the distinct ones. */
  readonly distinctOf: Uint32Array;
  /** For each distinct key the first key (index) that equals it. */
  readonly firstKeyOf: Uint32Array;
  /** For each distinct key how often it stands in the column. */
  readonly blocksOf: Uint32Array;
  readonly distinctCount: number;
  /** Two words per slot: number of the distinct key + 1 (0 = empty), and its low word, so that a probe
   * that meets another key seldom leaves the cache line. */
  readonly #slots: Uint32Array;
  readonly #keys: Uint32Array;
  readonly #seed: number;

  /** `seed`: any number that strangers cannot know. */
  constructor(keys: Uint32Array, seed: number) {
    const count = keys.length / 2;
    let capacity = 16;
    while (capacity < count * 2) capacity *= 2;
    this.#slots = new Uint32Array(2 * capacity);
    this.#keys = keys;
    this.#seed = seed | 0;
    this.distinctOf = new Uint32Array(count);
    const firstKeyOf = new Uint32Array(count);
    const blocksOf = new Uint32Array(count);
    let distinct = 0;
    for (let k = 0; k < count; k += 1) {
      const slot = this.#slotOf(keys[2 * k]!, keys[2 * k + 1]!, firstKeyOf);
      let d = this.#slots[slot]! - 1;
      if (d < 0) {
        d = distinct;
        firstKeyOf[d] = k;
        distinct += 1;
        this.#slots[slot] = distinct;
        this.#slots[slot + 1] = keys[2 * k]!;
      }
      this.distinctOf[k] = d;
      blocksOf[d]! += 1;
    }
    this.distinctCount = distinct;
    this.firstKeyOf = firstKeyOf.slice(0, distinct);
    this.blocksOf = blocksOf.slice(0, distinct);
  }

  /** Number of the distinct key that equals (low, high); -1 when none does. */
  find(low: number, high: number): number {
    return this.#slots[this.#slotOf(low, high, this.firstKeyOf)]! - 1;
  }

  #slotOf(low: number, high: number, firstKeyOf: Uint32Array): number {
    const slots = this.#slots;
    const keys = this.#keys;
    const last = slots.length - 2;
    let mixed = Math.imul(low ^ this.#seed, 0x9e3779b1);
    mixed = Math.imul((mixed ^ (mixed >>> 15)) + high, 0x85ebca6b);
    let slot = ((mixed ^ (mixed >>> 13)) << 1) & last;
    for (;;) {
      const d = slots[slot]! - 1;
      if (d < 0) return slot;
      if (slots[slot + 1] === low && keys[2 * firstKeyOf[d]! + 1] === high) return slot;
      slot = (slot + 2) & last;
    }
  }
}
