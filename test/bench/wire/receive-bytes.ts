/**
 * Room: test, bench. Runs on the edge's side: receives bytes over bare TCP into one buffer, again and again,
 * and prints how many came, and from when to when.
 *
 *     node receive-bytes.ts ADDRESS PORT
 */

import { connect } from 'node:net';

const [address, port] = process.argv.slice(2);
if (port === undefined) throw new TypeError('receive-bytes.ts ADDRESS PORT');

let bytes = 0;
const startMs = Date.now();
const onread = {
  buffer: Buffer.alloc(256 * 1024),
  callback: (length: number): boolean => {
    bytes += length;
    return true;
  },
};
connect({ host: address, port: Number(port), onread }).once('close', () => {
  process.stdout.write(`${JSON.stringify({ bytes, startMs, endMs: Date.now() })}\n`);
});
