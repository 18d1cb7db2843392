/**
 * Room: test, bench. The distribution's mirror for an edge in a lab, whose only cable leads to the origin: an
 * HTTP proxy on the edge's own loopback, so that what comes from the mirror is not metered as the origin's.
 *
 *     node mirror-relay.ts outside SOCKET CACHE_DIR COUNT_FILE    on this machine's own network
 *     node mirror-relay.ts inside SOCKET PORT                     on the edge's side; joins the other end
 *
 * I1: answers are the mirror's own, byte for byte; who asks verifies them, as with any proxy.
 * I2: what a mirror sent once is kept, so that repeated runs ask it once; signed indexes too, for one run.
 * I3: COUNT_FILE holds the bytes of all bodies that were sent so far, in decimal.
 */

import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createConnection, createServer as createTcpServer } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

const KEPT_HEADERS = ['content-type', 'etag', 'last-modified'] as const;

async function outside(socketPath: string, cacheDir: string, countFile: string): Promise<void> {
  await mkdir(cacheDir, { recursive: true, mode: 0o700 });
  await rm(socketPath, { force: true });
  let sentBytes = 0;
  await writeFile(countFile, '0');
  const turns = new Map<string, Promise<Kept>>();
  const server = createServer(async (request, response) => {
    try {
      const kept = await once(turns, request.url ?? '', () => fetchKept(cacheDir, request));
      sentBytes += await answer(kept, response);
      await writeFile(countFile, String(sentBytes));
    } catch (error) {
      response.writeHead(502).end(String(error));
    }
  });
  server.listen(socketPath);
}

/** What a mirror answered: a file and the headers that matter. */
interface Kept {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly path: string;
}

function once(
  turns: Map<string, Promise<Kept>>,
  key: string,
  make: () => Promise<Kept>,
): Promise<Kept> {
  const known = turns.get(key);
  if (known !== undefined) return known;
  const made = make();
  turns.set(key, made);
  made.catch(() => turns.delete(key));
  return made;
}

async function fetchKept(cacheDir: string, request: IncomingMessage): Promise<Kept> {
  const url = new URL(request.url ?? '');
  if (request.method !== 'GET' || url.protocol !== 'http:') throw new Error('GET of http only');
  const path = join(cacheDir, createHash('sha256').update(url.href).digest('hex'));
  const facts = `${path}.json`;
  const isPackage = /\.(deb|rpm)$/.test(url.pathname) || url.pathname.includes('/by-hash/');
  if (isPackage && existsSync(facts)) {
    return { ...(JSON.parse(await readFile(facts, 'utf8')) as Omit<Kept, 'path'>), path };
  }
  const reply = await fetch(url, { redirect: 'follow' });
  const headers: Record<string, string> = {};
  for (const name of KEPT_HEADERS) {
    const value = reply.headers.get(name);
    if (value !== null) headers[name] = value;
  }
  const unfinished = `${path}.unfinished`;
  if (reply.body === null) await writeFile(unfinished, '');
  else await pipeline(Readable.fromWeb(reply.body), createWriteStream(unfinished));
  await rename(unfinished, path);
  const { status } = reply;
  if (isPackage && status === 200) await writeFile(facts, JSON.stringify({ status, headers }));
  return { status, headers, path };
}

async function answer(kept: Kept, response: ServerResponse): Promise<number> {
  const { size } = await stat(kept.path);
  response.writeHead(kept.status, { ...kept.headers, 'content-length': size });
  await pipeline(createReadStream(kept.path), response);
  return size;
}

function inside(socketPath: string, port: number): void {
  createTcpServer((client) => {
    const relay = createConnection(socketPath);
    client.pipe(relay).pipe(client);
    client.on('error', () => relay.destroy());
    relay.on('error', () => client.destroy());
  }).listen(port, '127.0.0.1');
}

const [side, socketPath, third, countFile] = process.argv.slice(2);
if (socketPath === undefined || third === undefined) throw new TypeError('see the header');
if (side === 'outside' && countFile !== undefined) await outside(socketPath, third, countFile);
else if (side === 'inside') inside(socketPath, Number(third));
else throw new TypeError('mirror-relay.ts outside|inside ...');
