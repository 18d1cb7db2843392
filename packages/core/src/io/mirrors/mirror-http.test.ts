import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { createMirrorHttp, type MirrorHttp, type MirrorProxies } from './mirror-http.ts';

const open: (() => void | PromiseLike<void>)[] = [];

afterEach(async () => {
  for (const close of open.splice(0)) await close();
});

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  open.push(
    () => void server.closeAllConnections(),
    () => void server.close(),
  );
  await new Promise((done) => server.once('listening', done));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function client(proxies: MirrorProxies = {}): MirrorHttp {
  const timeouts = { headersMs: 500, silenceMs: 500, trickleMs: 200, trickleBytes: 1000 };
  const http = createMirrorHttp({ proxies, timeouts });
  open.push(() => http[Symbol.asyncDispose]());
  return http;
}

async function read(http: MirrorHttp, url: string, bytesMax = 100, signal?: AbortSignal) {
  const answer = await http.get(url, { bytesMax, signal });
  let text = '';
  for await (const piece of answer.body) text += Buffer.from(piece).toString();
  return text;
}

describe('GET from a mirror', () => {
  it('I1: follows five redirects of the same host, and no more', async () => {
    const url = await serve((request, response) => {
      const left = Number(request.url!.slice(1));
      if (left === 0) response.end('here');
      else response.writeHead(302, { location: `/${left - 1}` }).end();
    });
    expect(await read(client(), `${url}/5`)).toBe('here');
    await expect(read(client(), `${url}/6`)).rejects.toMatchObject({ code: 'unavailable' });
  });

  it('I1: follows none to another host or scheme', async () => {
    const secret = await serve((_, response) => void response.end('secret'));
    const places = [secret, 'file:///etc/passwd', 'http://', '//[', secret.replace('http:', '')];
    const url = await serve((request, response) => {
      const location = places[Number(request.url!.slice(1))]!;
      response.writeHead(301, { location }).end();
    });
    for (const at of places.keys()) {
      const refused = read(client(), `${url}/${at}`);
      await expect(refused).rejects.toMatchObject({ code: 'unavailable' });
    }
    await expect(read(client(), 'file:///etc/passwd')).rejects.toMatchObject({
      code: 'invalid_input',
    });
  });

  it('I2: reads no more than it may', async () => {
    const url = await serve((_, response) => void response.end('x'.repeat(1000)));
    await expect(read(client(), url, 999)).rejects.toMatchObject({ code: 'too_large' });
    expect(await read(client(), url, 1000)).toHaveLength(1000);
  });

  it('I2: gives up on silence and on a trickle', async () => {
    const url = await serve((request, response) => {
      if (request.url === '/silent') return;
      response.write('a');
      if (request.url === '/stalls') return;
      const timer = setInterval(() => response.write('a'), 20);
      response.on('close', () => clearInterval(timer));
    });
    for (const path of ['silent', 'stalls', 'trickles']) {
      await expect(read(client(), `${url}/${path}`)).rejects.toMatchObject({ code: 'timeout' });
    }
  });

  it('I3: says what an answer means', async () => {
    const url = await serve((request, response) => {
      if (request.url === '/cut') response.writeHead(200, { 'content-length': 9 }).write('a');
      if (request.url === '/cut') setImmediate(() => response.destroy());
      else response.writeHead(Number(request.url!.slice(1))).end();
    });
    const codes = { 404: 'not_found', 403: 'forbidden', 407: 'forbidden', 500: 'unavailable' };
    for (const [path, code] of Object.entries({
      ...codes,
      206: 'unavailable',
      cut: 'unavailable',
    })) {
      await expect(read(client(), `${url}/${path}`)).rejects.toMatchObject({ code });
    }
    await expect(read(client(), `${url}/200`, 1, AbortSignal.abort())).rejects.toMatchObject({
      code: 'cancelled',
    });
    await expect(read(client(), 'http://127.0.0.1:1/')).rejects.toMatchObject({
      code: 'unavailable',
    });
  });

  it('goes through the proxy, except to hosts that need none', async () => {
    const url = await serve((_, response) => void response.end('direct'));
    const http = await serve((request, response) => void response.end(`by proxy: ${request.url}`));
    expect(await read(client({ http }), `${url}/a`)).toBe(`by proxy: ${url}/a`);
    const byHost = new Map([['127.0.0.1', null]]);
    expect(await read(client({ http, byHost }), `${url}/a`)).toBe('direct');
  });
});
