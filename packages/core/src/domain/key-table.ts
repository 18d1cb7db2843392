/**
 * Room: domain. Finds 64-bit keys (two words each, low word first) in a column of them: match keys of blocks,
 * prefixes of segment hashes.
 *
 * I1: typed arrays only, and nothing is allocated while looking up.
 * I2: where a key lies depends on a seed, so that crafted keys do not cluster.
 * I3: twelve bytes for each key of the column, which itself is not copied.
 */

import { giveBack } from './columns.ts';

/** Slots for each key: a probe for a key that is not there meets one and a half others. */
const SLOTS_PER_KEY = 2;

/**
 * An open-addressing table (linear probing) over a column. A slot holds one word: the number of a key + 1 in
 * as many bits as that takes (0 = empty), and bits of the key's hash in the rest, so that a probe seldom has
 * to look at another key.
 */
export class KeyTable implements Disposable {
  readonly #keys: Uint32Array;
  readonly #seed: number;
  readonly #slots: Int32Array<ArrayBuffer>;
  readonly #slotsPerHash: number;
  readonly #numberBits: number;
  readonly #numberMask: number;
  /** For each key: that of the first one that equals it; for a first one how many there are, negated. */
  #links: Int32Array<ArrayBuffer>;

  /** `seed`: any number that strangers cannot know. At most 2^31 - 1 keys. */
  constructor(keys: Uint32Array, seed: number) {
    const count = keys.length / 2;
    this.#keys = keys;
    this.#seed = seed | 0;
    this.#slots = new Int32Array(Math.max(16, SLOTS_PER_KEY * count));
    this.#slotsPerHash = this.#slots.length / 2 ** 32;
    this.#numberBits = 32 - Math.clz32(count);
    this.#numberMask = 2 ** this.#numberBits - 1;
    this.#links = new Int32Array(count);
    for (let k = 0; k < count; k += 1) this.#insert(k);
  }

  /** The first key (index) that equals (low, high); -1 when none does. */
  find(low: number, high: number): number {
    const hash = this.#hashOf(low, high);
    return (this.#slots[this.#slotOf(hash, low, high)]! & this.#numberMask) - 1;
  }

  /** The first key that equals key k. */
  firstOf(k: number): number {
    const link = this.#links[k]!;
    return link < 0 ? k : link;
  }

  /** How many keys equal k, itself included; k must be the first of them. */
  countOf(k: number): number {
    return -this.#links[k]!;
  }

  /** `firstOf` for each key. */
  firsts(): Uint32Array {
    const firsts = new Uint32Array(this.#links.length);
    for (let k = 0; k < firsts.length; k += 1) firsts[k] = this.firstOf(k);
    return firsts;
  }

  /** The same, made of the table's own memory. The table answers nothing afterwards. */
  spend(): Uint32Array {
    const links = this.#links;
    for (let k = 0; k < links.length; k += 1) links[k] = this.firstOf(k);
    this.#links = new Int32Array();
    giveBack(this.#slots);
    return new Uint32Array(links.buffer);
  }

  /** Gives its memory back at once. */
  [Symbol.dispose](): void {
    giveBack(this.#slots);
    giveBack(this.#links);
  }

  #insert(k: number): void {
    const low = this.#keys[2 * k]!;
    const high = this.#keys[2 * k + 1]!;
    const hash = this.#hashOf(low, high);
    const slot = this.#slotOf(hash, low, high);
    const first = (this.#slots[slot]! & this.#numberMask) - 1;
    if (first < 0) {
      this.#slots[slot] = (hash << this.#numberBits) | (k + 1);
      this.#links[k] = -1;
    } else {
      this.#links[k] = first;
      this.#links[first]! -= 1;
    }
  }

  /** 32 bits of any sign. */
  #hashOf(low: number, high: number): number {
    let mixed = Math.imul(low ^ this.#seed, 0x9e3779b1);
    mixed = Math.imul((mixed ^ (mixed >>> 15)) + high, 0x85ebca6b);
    return mixed ^ (mixed >>> 13);
  }

  /** The slot of (low, high), or the empty one where it belongs; high bits of the hash say where to begin. */
  #slotOf(hash: number, low: number, high: number): number {
    const slots = this.#slots;
    const keys = this.#keys;
    const bits = this.#numberBits;
    const mark = hash << bits;
    const mask = this.#numberMask;
    let slot = ((hash >>> 0) * this.#slotsPerHash) >>> 0;
    for (;;) {
      const held = slots[slot]!;
      if (held === 0) return slot;
      if ((held ^ mark) >>> bits === 0) {
        const k = (held & mask) - 1;
        if (keys[2 * k] === low && keys[2 * k + 1] === high) return slot;
      }
      slot += 1;
      if (slot === slots.length) slot = 0;
    }
  }
}
