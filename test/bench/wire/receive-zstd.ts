/**
 * Room: test, bench. Runs on the edge's side: receives a zstd stream over bare TCP and writes the disk in it
 * as a sparse file, durably.
 *
 *     node receive-zstd.ts ADDRESS PORT FILE
 */

import { open } from 'node:fs/promises';
import { connect } from 'node:net';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createZstdDecompress } from 'node:zlib';

const PIECE_BYTES = 64 * 1024;
const ZEROS = Buffer.alloc(PIECE_BYTES);

const [address, port, path] = process.argv.slice(2);
if (address === undefined || path === undefined) {
  throw new TypeError('receive-zstd.ts ADDRESS PORT FILE');
}

const file = await open(path, 'wx', 0o600);
let offset = 0;
const disk = new Writable({
  highWaterMark: 1024 * 1024,
  async write(chunk: Buffer, _encoding, done) {
    try {
      for (let start = 0; start < chunk.length; start += PIECE_BYTES) {
        const piece = chunk.subarray(start, start + PIECE_BYTES);
        if (!piece.equals(ZEROS.subarray(0, piece.length))) {
          await file.write(piece, 0, piece.length, offset);
        }
        offset += piece.length;
      }
      done();
    } catch (error) {
      done(error as Error);
    }
  },
});
await pipeline(
  connect(Number(port), address),
  createZstdDecompress({ chunkSize: 1024 * 1024 }),
  disk,
);
await file.truncate(offset);
await file.sync();
await file.close();
