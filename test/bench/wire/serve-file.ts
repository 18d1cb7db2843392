/**
 * Room: test, bench. Runs on the origin's side: sends a file to whoever connects, over bare TCP.
 *
 *     node serve-file.ts ADDRESS PORT FILE
 */

import { createReadStream } from 'node:fs';
import { createServer } from 'node:net';
import { pipeline } from 'node:stream/promises';

const [address, port, path] = process.argv.slice(2);
if (path === undefined) throw new TypeError('serve-file.ts ADDRESS PORT FILE');

createServer((socket) => {
  pipeline(createReadStream(path, { highWaterMark: 1024 * 1024 }), socket).catch((error) => {
    process.stderr.write(`${error}\n`);
    process.exitCode = 1;
  });
}).listen(Number(port), address);
