/**
 * Room: io, packages. A stream of chunks, read in the lengths that a format asks for.
 *
 * I1: a stream that ends before what was asked for is `corrupt`.
 * I2: nothing is copied but what `take` returns; memory follows the bytes that came, not those asked for.
 */

import { corruptPackage } from '../../formats/archive.ts';

export class ByteSource {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #chunk: Uint8Array = new Uint8Array(0);
  #left = 0;

  constructor(bytes: AsyncIterable<Uint8Array>) {
    this.#chunks = bytes[Symbol.asyncIterator]();
  }

  /** Exactly `length` bytes, a copy. */
  async take(length: number): Promise<Uint8Array> {
    const pieces: Uint8Array[] = [];
    for await (const piece of this.pass(length)) pieces.push(piece);
    return Buffer.concat(pieces);
  }

  /** The next `length` bytes in the pieces in which they come; Infinity is all that follows. */
  async *pass(length: number): AsyncGenerator<Uint8Array, void, undefined> {
    this.#left = length;
    while (this.#left > 0) {
      if (this.#chunk.length === 0 && !(await this.#more())) {
        if (this.#left === Number.POSITIVE_INFINITY) return;
        throw corruptPackage('it ends too early');
      }
      const piece = this.#chunk.subarray(0, this.#left);
      this.#chunk = this.#chunk.subarray(piece.length);
      this.#left -= piece.length;
      yield piece;
    }
  }

  /** Passes over `length` bytes. */
  async skip(length: number): Promise<void> {
    for await (const _ of this.pass(length));
  }

  /** Passes over what the last `pass` left. */
  async skipRest(): Promise<void> {
    await this.skip(this.#left);
  }

  async #more(): Promise<boolean> {
    const next = await this.#chunks.next();
    if (next.done === true) return false;
    this.#chunk = next.value;
    return true;
  }
}
