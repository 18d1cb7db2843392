/**
 * Room: io, packages. Decodes xz and lzma streams with liblzma, as WebAssembly, in the thread that asks.
 *
 * I1: memory is bounded: what needs more than XZ_MEMORY_MIB_MAX is `too_large`. An instance that has grown
 *     for a large dictionary goes with its stream; one of the usual size is kept for the next.
 * I2: what is no whole stream of its kind, or is followed by anything else, is `corrupt`; several xz streams
 *     in a row are one.
 * I3: the thread's event loop gets a turn after each TURN_BYTES: who cancels is heard.
 */

import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { setImmediate as turn } from 'node:timers/promises';
import createLiblzma from 'node-liblzma/wasm/liblzma.js';
import { XZ_MEMORY_MIB_MAX } from '../../domain/limits.ts';
import { corruptPackage, tooLargePackage } from '../../formats/archive.ts';

export type LzmaFormat = 'xz' | 'lzma';

/** The part of liblzma that is used (lzma/base.h, lzma/container.h). */
interface Liblzma {
  /** Another array after each growth of the memory. */
  readonly HEAPU8: Uint8Array;
  _malloc(bytes: number): number;
  _lzma_stream_decoder(stream: number, memoryBytes: bigint, flags: number): number;
  _lzma_auto_decoder(stream: number, memoryBytes: bigint, flags: number): number;
  _lzma_code(stream: number, action: number): number;
  _lzma_end(stream: number): void;
  setValue(pointer: number, value: number, type: 'i32'): void;
  getValue(pointer: number, type: 'i32'): number;
}

/** What lzma_code answers (lzma_ret). */
const RET = { ok: 0, streamEnd: 1, memory: 5, memoryLimit: 6 } as const;
const ACTION = { run: 0, finish: 3 } as const;
/** LZMA_CONCATENATED: streams in a row are one, and only the end of the input ends them. */
const FLAGS = 8;
/** lzma_stream with 32-bit pointers. */
const STREAM = { nextIn: 0, availIn: 4, nextOut: 16, availOut: 20, bytes: 96 } as const;
/** First bytes of what the decoder of .lzma would take for another format: .xz and .lz. */
const OTHER_FIRST_BYTES: readonly number[] = [0xfd, 0x4c];

const INPUT_BYTES = 64 * 1024;
const OUTPUT_BYTES = 128 * 1024;
/** Some 60 ms of work. */
const TURN_BYTES = 4 * 1024 * 1024;
/** What a stream with the dictionary of `xz -6`, 8 MiB, makes of an instance, and as much again. */
const KEPT_BYTES_MAX = 32 * 1024 * 1024;
const MEMORY_BYTES_MAX = BigInt(XZ_MEMORY_MIB_MAX) * 1024n * 1024n;

/** Instances of this thread that decode nothing now: as many as once decoded at the same time. */
const idle: Decoder[] = [];
let binary: Promise<Uint8Array> | undefined;

/** What `input` holds. Throws what it throws, `corrupt`, `too_large`. */
export async function* decodeLzma(
  format: LzmaFormat,
  input: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const decoder = idle.pop() ?? (await createDecoder());
  try {
    yield* decoder.decode(format, input);
  } finally {
    if (decoder.end() <= KEPT_BYTES_MAX) idle.push(decoder);
  }
}

async function createDecoder(): Promise<Decoder> {
  const { resolve } = createRequire(import.meta.url);
  binary ??= readFile(resolve('node-liblzma/wasm/liblzma.wasm'));
  const liblzma: Liblzma = await createLiblzma({ wasmBinary: await binary });
  return new Decoder(liblzma);
}

/** One instance of liblzma, for one stream at a time. */
class Decoder {
  readonly #liblzma: Liblzma;
  readonly #stream: number;
  readonly #input: number;
  readonly #output: number;
  #turnBytes = 0;

  constructor(liblzma: Liblzma) {
    this.#liblzma = liblzma;
    this.#stream = liblzma._malloc(STREAM.bytes);
    this.#input = liblzma._malloc(INPUT_BYTES);
    this.#output = liblzma._malloc(OUTPUT_BYTES);
  }

  async *decode(
    format: LzmaFormat,
    input: AsyncIterable<Uint8Array>,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    this.#begin(format);
    let isFirst = true;
    for await (const chunk of input) {
      if (chunk.length === 0) continue;
      if (isFirst && format === 'lzma' && OTHER_FIRST_BYTES.includes(chunk[0]!))
        throw broken(format);
      isFirst = false;
      for (let at = 0; at < chunk.length; at += INPUT_BYTES) {
        this.#feed(chunk.subarray(at, at + INPUT_BYTES));
        yield* this.#run(format, ACTION.run);
      }
    }
    this.#feed(new Uint8Array(0));
    yield* this.#run(format, ACTION.finish);
  }

  /** Frees what the stream had; the bytes that the instance takes. Harmless between two streams. */
  end(): number {
    this.#liblzma._lzma_end(this.#stream);
    return this.#liblzma.HEAPU8.length;
  }

  #begin(format: LzmaFormat): void {
    const lzma = this.#liblzma;
    // LZMA_STREAM_INIT.
    lzma.HEAPU8.fill(0, this.#stream, this.#stream + STREAM.bytes);
    const result =
      format === 'xz'
        ? lzma._lzma_stream_decoder(this.#stream, MEMORY_BYTES_MAX, FLAGS)
        : lzma._lzma_auto_decoder(this.#stream, MEMORY_BYTES_MAX, FLAGS);
    if (result !== RET.ok) throw tooMuchMemory(format);
  }

  #feed(bytes: Uint8Array): void {
    this.#liblzma.HEAPU8.set(bytes, this.#input);
    this.#set(STREAM.nextIn, this.#input);
    this.#set(STREAM.availIn, bytes.length);
  }

  /** Yields what comes of the bytes that were fed; with `finish`, until the end of the stream. */
  async *#run(format: LzmaFormat, action: number): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      this.#set(STREAM.nextOut, this.#output);
      this.#set(STREAM.availOut, OUTPUT_BYTES);
      const result = this.#liblzma._lzma_code(this.#stream, action);
      const bytes = OUTPUT_BYTES - this.#get(STREAM.availOut);
      // A copy: the next step overwrites it, and a growth of the memory detaches it.
      if (bytes > 0) yield this.#liblzma.HEAPU8.slice(this.#output, this.#output + bytes);
      if (result === RET.streamEnd) return;
      if (result === RET.memory || result === RET.memoryLimit) throw tooMuchMemory(format);
      if (result !== RET.ok) throw broken(format, result);
      this.#turnBytes += bytes;
      if (this.#turnBytes >= TURN_BYTES) {
        this.#turnBytes = 0;
        await turn();
      }
      const isUsedUp = this.#get(STREAM.availIn) === 0 && bytes < OUTPUT_BYTES;
      if (isUsedUp && action === ACTION.run) return;
    }
  }

  #set(offset: number, value: number): void {
    this.#liblzma.setValue(this.#stream + offset, value, 'i32');
  }

  #get(offset: number): number {
    return this.#liblzma.getValue(this.#stream + offset, 'i32');
  }
}

function tooMuchMemory(format: LzmaFormat): Error {
  return tooLargePackage(`its ${format} stream needs too much memory`, XZ_MEMORY_MIB_MAX);
}

function broken(format: LzmaFormat, result?: number): Error {
  const words = result === undefined ? 'it is of another kind' : `liblzma says ${result}`;
  return corruptPackage(`its ${format} stream is broken: ${words}`);
}
