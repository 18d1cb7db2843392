/**
 * Room: test, bench. Runs on the origin's side: serves the files of a folder over HTTP with as few bytes of
 * headers as the protocol allows, so that a client which asks for thousands of small files has its best case.
 *
 *     node serve-folder.ts ADDRESS PORT FOLDER
 */

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join, normalize } from 'node:path';

const [address, port, folder] = process.argv.slice(2);
if (folder === undefined) throw new TypeError('serve-folder.ts ADDRESS PORT FOLDER');

const server = createServer(async (request, response) => {
  response.sendDate = false;
  const path = normalize(decodeURIComponent(new URL(request.url ?? '/', 'http://x').pathname));
  const body = await readFile(join(folder, path)).catch(() => undefined);
  response.statusCode = body === undefined ? 404 : 200;
  response.setHeader('Content-Length', body?.length ?? 0);
  // The connection stays open all the same: that is what HTTP/1.1 means without this header.
  response.removeHeader('Connection');
  response.end(body);
});
server.listen(Number(port), address);
