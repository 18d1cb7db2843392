/**
 * Room: test, bench. The fewest bytes that block matching can hope for, by brute force: `zstd -3` of the
 * 4 KiB blocks of a disk that are not zero and occur in no given disk, each once, in disk order, as one
 * stream. No recipe, no protocol, no network.
 *
 *     node test/bench/floor.ts --wanted DISK [--given DISK]... [--tree FOLDER]...
 *                                               raw disks and folders of files; prints one JSON object
 *
 * I1: imports nothing of the product, so that a mistake there cannot hide here.
 * I2: blocks are compared by their full SHA-256; a last block of a disk that is short counts at its true
 *     length. A file of a folder begins at a block, and its last block is filled up with zeros, as a file
 *     system does.
 */

import { createHash, hash } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream, statSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { constants, createZstdCompress } from 'node:zlib';

const BLOCK_BYTES = 4096;
const READ_BYTES = 4 * 1024 * 1024;
const ZSTD_LEVEL = 3;

export interface Floor {
  /** zstd -3 of the missing blocks: the figure. */
  readonly floor: number;
  /** Bytes of the wanted disk's blocks that are not all zero. */
  readonly nonZero: number;
  /** Bytes of the missing blocks, each once, before compression. */
  readonly missing: number;
  /** Bytes of the blocks that occur in a given disk. */
  readonly given: number;
  /** Bytes of missing blocks that had occurred before in the wanted disk itself. */
  readonly repeated: number;
  /** SHA-256 of the wanted disk, so that nobody compares figures of different disks. */
  readonly sha256: string;
}

/** The blocks of a raw disk, in order. A block is valid until the next one is asked for. */
async function* blocksOf(path: string): AsyncGenerator<Buffer> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const piece of createReadStream(path, { highWaterMark: READ_BYTES })) {
    const bytes: Buffer = rest.length === 0 ? piece : Buffer.concat([rest, piece]);
    let offset = 0;
    for (; offset + BLOCK_BYTES <= bytes.length; offset += BLOCK_BYTES) {
      yield bytes.subarray(offset, offset + BLOCK_BYTES);
    }
    rest = bytes.subarray(offset);
  }
  if (rest.length > 0) yield rest;
}

const ZEROS = Buffer.alloc(BLOCK_BYTES);

function isZero(block: Buffer): boolean {
  return block.equals(block.length === BLOCK_BYTES ? ZEROS : ZEROS.subarray(0, block.length));
}

/** The identity of a block: its SHA-256, 32 characters of 8 bits. */
function identityOf(block: Buffer): string {
  return hash('sha256', block, 'latin1' as 'binary');
}

/** The blocks of all regular files below a folder, the last one of each filled up with zeros. */
async function* blocksOfTree(folder: string): AsyncGenerator<Buffer> {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    for await (const block of blocksOf(join(entry.parentPath, entry.name))) {
      yield block.length === BLOCK_BYTES
        ? block
        : Buffer.concat([block, ZEROS.subarray(block.length)]);
    }
  }
}

/**
 * Computes the floor of a wanted disk over given disks (raw) and folders of files. `onMissing` is called with
 * each missing block and its number on the disk.
 */
export async function computeFloor(
  wanted: string,
  given: readonly string[],
  trees: readonly string[] = [],
  onMissing: (number: number, block: Buffer) => void = () => {},
): Promise<Floor> {
  const known = new Set<string>();
  for (const blocks of [...given.map(blocksOf), ...trees.map(blocksOfTree)]) {
    for await (const block of blocks) if (!isZero(block)) known.add(identityOf(block));
  }
  const seen = new Set<string>();
  const whole = createHash('sha256');
  const stream = createZstdCompress({
    params: { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL },
  });
  let floor = 0;
  stream.on('data', (chunk: Buffer) => {
    floor += chunk.length;
  });
  const ended = once(stream, 'end');
  let [nonZero, missing, found, repeated, number] = [0, 0, 0, 0, -1];
  for await (const block of blocksOf(wanted)) {
    number += 1;
    whole.update(block);
    if (isZero(block)) continue;
    nonZero += block.length;
    const identity = identityOf(block);
    if (known.has(identity)) {
      found += block.length;
    } else if (seen.has(identity)) {
      repeated += block.length;
    } else {
      seen.add(identity);
      missing += block.length;
      // The block is a view of a buffer that is read into again: the stream needs its own copy.
      const copy = Buffer.from(block);
      onMissing(number, copy);
      if (!stream.write(copy)) await once(stream, 'drain');
    }
  }
  stream.end();
  await ended;
  return { floor, nonZero, missing, given: found, repeated, sha256: whole.digest('hex') };
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      wanted: { type: 'string' },
      given: { type: 'string', multiple: true },
      tree: { type: 'string', multiple: true },
    },
  });
  const { given = [], tree = [] } = values;
  const paths = [values.wanted ?? '', ...given, ...tree];
  const missingPath = paths.find((path) => statSync(path, { throwIfNoEntry: false }) === undefined);
  if (missingPath === undefined) {
    const result = await computeFloor(paths[0] ?? '', given, tree);
    process.stdout.write(`${JSON.stringify(result)}\n`);
  } else {
    process.stderr.write(
      `floor: there is no "${missingPath}"; give --wanted DISK [--given DISK] [--tree FOLDER]\n`,
    );
    process.exitCode = 2;
  }
}
