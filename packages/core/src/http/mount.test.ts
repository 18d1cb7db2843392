import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { VmdnError } from '../domain/errors.ts';
import { createLogger } from '../process/logger.ts';
import { createCoordinatorClient } from './clients/coordinator-client.ts';
import { defineOperation } from './contracts/operation.ts';
import { type App, createApp, mountOperation } from './mount.ts';
import { type RunningServer, serve } from './serve.ts';

const logger = createLogger('test', { level: 'silent' });
const greet = defineOperation({
  id: 'greet',
  method: 'post',
  path: '/v1/greet/{name}',
  summary: 'Greets.',
  caller: 'client',
  status: 200,
  params: z.object({ name: z.string().regex(/^[a-z]+$/) }),
  query: z.object({ loud: z.coerce.boolean().optional() }),
  body: z.object({ times: z.number().int().max(3) }),
  reply: z.object({ words: z.string() }),
});

function greetingApp(): App {
  const app = createApp({ logger });
  mountOperation(
    app,
    greet,
    async (context) => {
      if (context.req.header('authorization') !== 'Bearer good') {
        throw new VmdnError('unauthenticated', 'Who are you?');
      }
    },
    async ({ params, query, body }) => {
      if (params.name === 'nobody') throw new VmdnError('not_found', 'No such person.');
      if (params.name === 'defect') throw new TypeError('secret internals');
      return { words: `${query.loud ? 'HELLO' : 'hello'} ${params.name} `.repeat(body.times) };
    },
  );
  return app;
}

describe('a mounted operation over a real socket', () => {
  let server: RunningServer | undefined;
  afterEach(async () => await server?.close(0));

  async function client(token: string, host = '127.0.0.1') {
    server = await serve({ fetch: greetingApp().fetch, listen: { host, port: 0 } });
    return createCoordinatorClient({ url: server.url, credentials: { kind: 'bearer', token } });
  }

  it('gives the handler what the contract says and the client what the handler said', async () => {
    await using caller = await client('good');
    const reply = await caller.call(greet, {
      params: { name: 'ann' },
      query: { loud: true },
      body: { times: 2 },
    });
    expect(reply).toEqual({ words: 'HELLO ann HELLO ann ' });
  });

  it('answers each kind of error with its code, and keeps internals inside', async () => {
    await using caller = await client('good');
    const call = (name: string, times: number) =>
      caller.call(greet, { params: { name }, body: { times } });
    await expect(call('nobody', 1)).rejects.toMatchObject({
      code: 'not_found',
      message: 'No such person.',
    });
    await expect(call('BAD', 1)).rejects.toMatchObject({ code: 'invalid_input' });
    await expect(call('ann', 4)).rejects.toThrow('body.times');
    const defect = call('defect', 1);
    await expect(defect).rejects.toMatchObject({ code: 'internal' });
    await expect(defect).rejects.not.toThrow('secret');
  });

  it('asks who calls before it looks at the input (I1)', async () => {
    await using caller = await client('bad');
    const call = caller.call(greet, { params: { name: 'BAD' }, body: { times: 99 } });
    await expect(call).rejects.toMatchObject({ code: 'unauthenticated' });
  });

  it('stops reading a body that is too large, whatever its length header says', async () => {
    server = await serve({ fetch: greetingApp().fetch, listen: { host: '127.0.0.1', port: 0 } });
    let sent = 0;
    const endless = new ReadableStream({
      pull(controller) {
        sent += 65_536;
        controller.enqueue(new Uint8Array(65_536).fill(32));
      },
    });
    const reply = await fetch(`${server.url}/v1/greet/ann`, {
      method: 'POST',
      body: endless,
      duplex: 'half',
    } as RequestInit).catch((error: unknown) => error);
    // Either the answer arrives, or the connection is cut under the sender: never is all of it read.
    if (reply instanceof Response) expect(reply.status).toBe(413);
    expect(sent).toBeLessThan(64 * 1024 * 1024);
  });

  it('says `unavailable` when nobody listens', async () => {
    // At an address of its own, where nobody else gets the port as soon as it is free.
    await using caller = await client('good', '127.0.0.78');
    await server?.close(0);
    const call = caller.call(greet, { params: { name: 'ann' }, body: { times: 1 } });
    await expect(call).rejects.toMatchObject({ code: 'unavailable' });
  });
});

describe('serve', () => {
  it('refuses to speak plain text to other machines unless told so', async () => {
    const fetch = (): Response => new Response('x');
    const listen = { host: '0.0.0.0', port: 0 };
    await expect(serve({ fetch, listen })).rejects.toMatchObject({ code: 'invalid_input' });
    const server = await serve({ fetch, listen, plaintextAllowed: true });
    await server.close(0);
  });

  it('says which address is taken', async () => {
    const fetch = (): Response => new Response('x');
    const first = await serve({ fetch, listen: { host: '127.0.0.1', port: 0 } });
    const port = Number(new URL(first.url).port);
    await expect(serve({ fetch, listen: { host: '127.0.0.1', port } })).rejects.toMatchObject({
      code: 'conflict',
    });
    await first.close(0);
  });
});
