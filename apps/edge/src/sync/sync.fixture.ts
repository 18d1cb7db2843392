/**
 * Room: edge, sync (tests only). Disks made of named blocks, files of them, and remote sources over bytes
 * that go through the real block stream and can be told to fail.
 */

import { writeSync } from 'node:fs';
import { mkdir, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Digest } from '@vmdn/core/domain/digest.ts';
import { rawLayers } from '@vmdn/core/domain/layers.ts';
import type { Name } from '@vmdn/core/domain/names.ts';
import type { DiskPlan, LocalImage } from '@vmdn/core/domain/plan.ts';
import { DEFAULT_RATES, estimatePlan } from '@vmdn/core/domain/plan-estimate.ts';
import type { Recipe } from '@vmdn/core/domain/recipe.ts';
import type { TierBytes } from '@vmdn/core/domain/tiers.ts';
import { BLOCK_BYTES, SEGMENT_BYTES, segmentCount } from '@vmdn/core/domain/units.ts';
import {
  createBlockStreamDecoder,
  encodeBlockStreamEnd,
  encodeBlockStreamHeader,
  encodeRunHeader,
} from '@vmdn/core/formats/block-stream.ts';
import { digestOfRecipe } from '@vmdn/core/formats/disk-digest.ts';
import { bitmapLength, encodeRecipe } from '@vmdn/core/formats/recipe.ts';
import { describeSegmentInto } from '@vmdn/core/formats/segment-hash.ts';
import type { BlockRequest, RemoteSource } from '@vmdn/core/io/ports/remote-source.ts';
import type { SyncEngine } from './create-sync-engine.ts';

/** The recipe of a disk in memory, by the product's own hashing. */
export function recipeOf(disk: Uint8Array): Recipe {
  return recipeOfSegments(disk.length, (segment) =>
    disk.subarray(segment * SEGMENT_BYTES, (segment + 1) * SEGMENT_BYTES),
  );
}

/** The recipe of a disk whose segments are made one by one; undefined = a zero segment. */
function recipeOfSegments(
  virtualSizeBytes: number,
  bytesOf: (segment: number) => Uint8Array | undefined,
): Recipe {
  const segments = segmentCount(virtualSizeBytes);
  const bitmap = new Uint8Array(bitmapLength(virtualSizeBytes));
  const hashes = new Uint8Array(segments * 32);
  const masks = new Uint16Array(segments);
  const keys = new Uint32Array(segments * 32);
  let [row, key] = [0, 0];
  for (let segment = 0; segment < segments; segment += 1) {
    const bytes = bytesOf(segment);
    if (bytes === undefined) continue;
    const count = describeSegmentInto(bytes, { hashes, masks, keys }, row, key);
    if (count === 0) continue;
    bitmap[segment >> 3]! |= 1 << (segment & 7);
    key += count;
    row += 1;
  }
  return {
    virtualSizeBytes,
    segmentBitmap: bitmap,
    segmentHashes: hashes.slice(0, row * 32),
    blockMasks: masks.slice(0, row),
    keys: keys.slice(0, key * 2),
  };
}

/** The numbers from..from+count-1. */
export function range(from: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => from + i);
}

/** The 4 KiB that a number stands for; 0 is the zero block. Half of it compresses. */
export function blockOf(content: number): Uint8Array {
  const words = new Uint32Array(BLOCK_BYTES / 4);
  let state = Math.imul(content, 0x9e3779b1);
  for (let i = 0; content !== 0 && i < words.length; i += 2) {
    // Xorshift (Marsaglia 2003), never 0.
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  words[0] = content;
  return new Uint8Array(words.buffer);
}

/** A disk of named blocks; the last one is cut to `lastBytes`. */
export function diskOf(contents: readonly number[], lastBytes: number = BLOCK_BYTES): Uint8Array {
  const size = Math.max(0, contents.length * BLOCK_BYTES - (BLOCK_BYTES - lastBytes));
  const disk = new Uint8Array(size);
  contents.forEach((content, i) => {
    const from = i * BLOCK_BYTES;
    disk.set(blockOf(content).subarray(0, size - from), from);
  });
  return disk;
}

export interface StoredDisk extends DiskFile {
  readonly bytes: Uint8Array;
}

/** A disk in a raw file, with its recipe. */
export interface DiskFile {
  readonly virtualSizeBytes: number;
  readonly recipe: Recipe;
  readonly digest: Digest;
  readonly path: string;
  readonly recipePath: string;
}

/** A temporary directory with disks in it. */
export class DiskRoom {
  readonly dir: string;
  #count = 0;

  private constructor(dir: string) {
    this.dir = dir;
  }

  static async open(): Promise<DiskRoom> {
    return new DiskRoom(await mkdtemp(join(tmpdir(), 'vmdn-sync-')));
  }

  async close(): Promise<void> {
    await rm(this.dir, { recursive: true, force: true });
  }

  /** A path in the room that nothing has yet. */
  path(name: string): string {
    this.#count += 1;
    return join(this.dir, `${this.#count}-${name}`);
  }

  async store(bytes: Uint8Array): Promise<StoredDisk> {
    const dir = this.path('disk');
    await mkdir(dir);
    const stored = await describeInto(dir, recipeOf(bytes));
    await writeFile(stored.path, bytes);
    return { ...stored, bytes };
  }

  /** A sparse disk that never lies in memory as a whole. */
  async storeSparse(
    virtualSizeBytes: number,
    bytesOf: (segment: number) => Uint8Array | undefined,
  ): Promise<DiskFile> {
    const dir = this.path('disk');
    await mkdir(dir);
    const file = await open(join(dir, 'disk.raw'), 'wx');
    await file.truncate(virtualSizeBytes);
    const recipe = recipeOfSegments(virtualSizeBytes, (segment) => {
      const bytes = bytesOf(segment);
      if (bytes !== undefined) writeSync(file.fd, bytes, 0, bytes.length, segment * SEGMENT_BYTES);
      return bytes;
    });
    await file.close();
    return describeInto(dir, recipe);
  }
}

async function describeInto(dir: string, recipe: Recipe): Promise<DiskFile> {
  const recipePath = join(dir, 'recipe');
  await writeFile(recipePath, encodeRecipe(recipe));
  const { virtualSizeBytes } = recipe;
  const digest = digestOfRecipe(recipe);
  return { virtualSizeBytes, recipe, digest, path: join(dir, 'disk.raw'), recipePath };
}

export function imageOf(disk: DiskFile, tier: 'local' | 'package' = 'local'): LocalImage {
  return {
    digest: disk.digest,
    name: 'image' as Name,
    layers: rawLayers(disk.path),
    recipePath: disk.recipePath,
    virtualSizeBytes: disk.virtualSizeBytes,
    tier,
  };
}

export function planOf(engine: SyncEngine, wanted: DiskFile, images: readonly LocalImage[]) {
  const { digest, recipePath } = wanted;
  return engine.plan({ digest, recipePath, images });
}

/** What a plan says of a disk's bytes. */
export function tiersOf(plan: DiskPlan): TierBytes {
  return estimatePlan(plan, DEFAULT_RATES).diskBytes;
}

export interface TestSource extends RemoteSource {
  /** Every block that was handed over, in order, over all requests. */
  readonly sentBlocks: number[];
  readonly requests: Uint32Array[];
}

export interface TestSourceOptions {
  readonly name?: string;
  readonly tier?: 'peer' | 'origin';
  readonly presentSegments?: Uint8Array;
  /** Called before each request; may throw. */
  readonly onRequest?: (number: number) => void | Promise<void>;
  /** May change the body of a response, or throw in the middle of it. */
  readonly mangle?: (body: Uint8Array, request: number) => Uint8Array;
  /** Called after each chunk of a response. */
  readonly onChunk?: (request: number) => void | Promise<void>;
  readonly chunkBytes?: number;
}

/** A source that serves `disk` through the real block stream, chunk by chunk. */
export function sourceOf(disk: Uint8Array, options: TestSourceOptions = {}): TestSource {
  const sentBlocks: number[] = [];
  const requests: Uint32Array[] = [];
  const readBlocks = async (request: BlockRequest): Promise<{ wireBytes: number }> => {
    requests.push(request.runs.slice());
    const number = requests.length;
    await options.onRequest?.(number);
    let body = encodeBody(disk, request.runs);
    body = options.mangle?.(body, number) ?? body;
    const waits: Promise<void>[] = [];
    const decoder = createBlockStreamDecoder({
      virtualSizeBytes: disk.length,
      runs: request.runs,
      onBlocks: (startBlock, count, bytes) => {
        for (let block = startBlock; block < startBlock + count; block += 1) sentBlocks.push(block);
        const wait = request.onBlocks(startBlock, count, bytes);
        if (wait !== undefined) waits.push(wait);
      },
    });
    const chunkBytes = options.chunkBytes ?? 50_000;
    const chunk = new Uint8Array(chunkBytes);
    for (let at = 0; at < body.length; at += chunkBytes) {
      const length = Math.min(chunkBytes, body.length - at);
      chunk.set(body.subarray(at, at + length));
      request.onWireBytes?.(length);
      decoder.push(chunk.subarray(0, length));
      // What lies in a network buffer is overwritten by what comes next.
      chunk.fill(0xee);
      await Promise.all(waits.splice(0));
      await options.onChunk?.(number);
      request.signal.throwIfAborted();
    }
    decoder.end();
    return { wireBytes: body.length };
  };
  const { name = 'origin', tier = 'origin', presentSegments } = options;
  const present = presentSegments === undefined ? {} : { presentSegments };
  return { name, tier, ...present, readBlocks, sentBlocks, requests };
}

function encodeBody(disk: Uint8Array, runs: Uint32Array): Uint8Array {
  const parts: Uint8Array[] = [encodeBlockStreamHeader()];
  for (let i = 0; i < runs.length; i += 2) {
    const [start, count] = [runs[i]!, runs[i + 1]!];
    const bytes = disk.subarray(start * BLOCK_BYTES, (start + count) * BLOCK_BYTES);
    parts.push(encodeRunHeader(start, count), bytes);
  }
  parts.push(encodeBlockStreamEnd('complete'));
  return Buffer.concat(parts);
}
