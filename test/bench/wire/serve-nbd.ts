/**
 * Room: test, bench. Serves a raw disk by the product's own NBD server until it is ended.
 *
 *     node serve-nbd.ts FILE SOCKET
 */

import { stat } from 'node:fs/promises';
import { OWN_FILE } from '@vmdn/core/domain/layers.ts';
import { segmentCount } from '@vmdn/core/domain/units.ts';
import { openImageDisk } from '@vmdn/core/io/files/image-disk.ts';
import { serveNbd } from '@vmdn/core/io/nbd/nbd-server.ts';

const [path, socketPath] = process.argv.slice(2);
if (path === undefined || socketPath === undefined) throw new TypeError('serve-nbd.ts FILE SOCKET');

const { size } = await stat(path);
// With a column, as an image of a store has one: where a segment lies is looked up for each read.
const fileOfSegment = new Uint8Array(segmentCount(size)).fill(OWN_FILE);
const disk = await openImageDisk({ files: [{ path, offsetBytes: 0 }], fileOfSegment }, size);
await serveNbd({
  place: { socketPath },
  exports: { find: (name) => (name === '' ? disk : undefined), names: () => [''] },
  onReadError: (_, error) => {
    process.stderr.write(`${error}\n`);
    process.exitCode = 1;
  },
});
