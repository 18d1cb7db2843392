/**
 * Room: test, bench. Runs on the origin's side: sends so many bytes from memory to whoever connects, over
 * bare TCP, and does nothing else.
 *
 *     node send-bytes.ts ADDRESS PORT BYTES
 */

import { createServer } from 'node:net';

const PIECE = Buffer.alloc(256 * 1024, 1);

const [address, port, bytes] = process.argv.slice(2);
if (bytes === undefined) throw new TypeError('send-bytes.ts ADDRESS PORT BYTES');

createServer((socket) => {
  let left = Number(bytes);
  const send = (): void => {
    while (left > 0) {
      const piece = PIECE.subarray(0, left);
      left -= piece.length;
      if (socket.write(piece)) continue;
      socket.once('drain', send);
      return;
    }
    socket.end();
  };
  send();
}).listen(Number(port), address);
