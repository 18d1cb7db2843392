/**
 * Room: formats. What the archive parsers (tar.ts, cpio.ts) share: how they ask for bytes, and the feeder
 * that cuts a stream to what they ask for.
 *
 * I1: memory is bounded: what a parser takes at once is at most ARCHIVE_TAKE_BYTES_MAX; content is handed
 *     on in the pieces in which it came, uncopied.
 * I2: total: a stream that ends inside a member is `corrupt`; whatever follows the end of the archive is
 *     passed over.
 * I3: the members, their paths and their content do not depend on how the stream was cut into chunks.
 */

import { VmdnError } from '../domain/errors.ts';
import { ARCHIVE_TAKE_BYTES_MAX } from '../domain/limits.ts';
import { latin1 } from './image-bytes.ts';

/** One member of an archive. */
export interface ArchiveMember {
  /** As it stands in the archive, one character (Latin-1) for each byte: whoever wants text decodes it. */
  readonly path: string;
  /** `other` is whatever has no content of its own: directories, links, devices. */
  readonly kind: 'file' | 'other';
  /** 0 unless it is a file. */
  readonly sizeBytes: number;
}

/** What a parser wants next: bytes to look at, bytes to pass over, or a member to be handed on. */
export type ArchiveStep =
  | { readonly take: number; readonly mayEnd?: boolean }
  | { readonly skip: number }
  | { readonly member: ArchiveMember };

/**
 * A parser yields steps. `take` is answered with exactly so many bytes, good until the next step, or, with
 * `mayEnd`, with undefined when the stream ended just before them; other steps with undefined. It returns
 * at the end of the archive.
 */
export type ArchiveParser = Generator<ArchiveStep, void, Uint8Array | undefined>;

/** Who receives the members: `member` for each, then, for a file, `content` until its size is reached. */
export interface ArchiveSink {
  member(member: ArchiveMember): void;
  content(bytes: Uint8Array): void;
}

/** Drives a parser with a stream that comes in chunks of any size. Throws what the parser throws. */
export class ArchiveFeeder {
  readonly #parser: ArchiveParser;
  readonly #sink: ArchiveSink;
  /** The step in hand; undefined after the end of the archive. */
  #step: ArchiveStep | undefined;
  /** Bytes that the step in hand still wants. */
  #wanted = 0;
  /** What has come of a `take` that no chunk held as a whole. */
  #partial = new Uint8Array(0);
  #partialBytes = 0;

  constructor(parser: ArchiveParser, sink: ArchiveSink) {
    this.#parser = parser;
    this.#sink = sink;
    this.#advance(undefined);
  }

  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length && this.#step !== undefined) {
      const bytes = chunk.subarray(at, Math.min(chunk.length, at + this.#wanted));
      at += bytes.length;
      this.#wanted -= bytes.length;
      if ('take' in this.#step) this.#take(bytes, this.#step.take);
      else {
        if ('member' in this.#step) this.#sink.content(bytes);
        if (this.#wanted === 0) this.#advance(undefined);
      }
    }
  }

  /** Says that the stream has ended. */
  end(): void {
    const step = this.#step;
    if (step === undefined) return;
    const isAtStart = 'take' in step && this.#partialBytes === 0;
    if (!isAtStart || step.mayEnd !== true)
      throw corruptPackage('it ends in the middle of a member');
    this.#advance(undefined);
    // A parser that was told of the end and wants more would wait for ever.
    if (this.#step !== undefined) throw corruptPackage('it ends in the middle of a member');
  }

  #take(bytes: Uint8Array, length: number): void {
    if (this.#partialBytes === 0 && bytes.length === length) {
      this.#advance(bytes);
      return;
    }
    if (this.#partial.length < length) this.#partial = new Uint8Array(length);
    this.#partial.set(bytes, this.#partialBytes);
    this.#partialBytes += bytes.length;
    if (this.#wanted > 0) return;
    this.#partialBytes = 0;
    this.#advance(this.#partial.subarray(0, length));
  }

  /** Asks the parser for steps until one wants bytes. */
  #advance(answer: Uint8Array | undefined): void {
    let next = this.#parser.next(answer);
    for (; next.done !== true; next = this.#parser.next(undefined)) {
      this.#step = next.value;
      this.#wanted = this.#begin(next.value);
      if (this.#wanted > 0) return;
    }
    this.#step = undefined;
  }

  /** Begins a step. Returns how many bytes it wants. */
  #begin(step: ArchiveStep): number {
    if ('skip' in step) return step.skip;
    if ('member' in step) {
      this.#sink.member(step.member);
      return step.member.sizeBytes;
    }
    if (step.take > 0 && step.take <= ARCHIVE_TAKE_BYTES_MAX) return step.take;
    throw new VmdnError('internal', 'An archive parser asks for a senseless number of bytes.');
  }
}

/** The error for a package that is not what it should be. */
export function corruptPackage(what: string): VmdnError {
  return new VmdnError('corrupt', `The package cannot be unpacked: ${what}.`, { data: { what } });
}

/** The error for a package that passes a limit. */
export function tooLargePackage(what: string, limit: number): VmdnError {
  const message = `The package is refused: ${what} (the limit is ${limit}).`;
  return new VmdnError('too_large', message, { data: { what, limit } });
}

/** Bytes as a string, one character each, up to the first NUL. */
export function untilNul(bytes: Uint8Array): string {
  const text = latin1(bytes);
  const nul = text.indexOf('\0');
  return nul === -1 ? text : text.slice(0, nul);
}
