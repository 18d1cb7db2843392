import { randomUUID } from 'node:crypto';
import { generateNodeKey } from '@vmdn/core/http/auth/keys.ts';
import { signProof } from '@vmdn/core/http/auth/proof.ts';
import { PROOF_HEADER } from '@vmdn/core/http/contracts/disks.ts';
import type { Operation } from '@vmdn/core/http/contracts/operation.ts';
import { errorReply, PROTOCOL_VERSION } from '@vmdn/core/http/contracts/schemas.ts';
import { JSON_BODY_BYTES_MAX } from '@vmdn/core/http/mount.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRoutes } from '../coordinator.ts';
import {
  BOOT_TRACE_BODY_BYTES_MAX,
  DESCRIPTION_BODY_BYTES_MAX,
  HOLDINGS_BODY_BYTES_MAX,
  PACKAGE_RECIPE_BODY_BYTES_MAX,
} from '../limits.ts';
import type { Context } from '../services/context.ts';
import { query, quiet, startTestDatabase, type TestDatabase } from '../testing/test-database.ts';
import {
  startTestCoordinator,
  startTestVm,
  type TestCoordinator,
  type TestNode,
} from '../testing/test-network.ts';
import { COORDINATOR_OPERATIONS } from './openapi.ts';

let database: TestDatabase;
let databaseUrl: string;
let network: TestCoordinator;
let origin: TestNode;
let edge: TestNode;

beforeAll(async () => {
  database = await startTestDatabase();
  databaseUrl = await database.freshUrl();
  // Nobody beats here, so nobody must be missed: the tables stay as they are.
  network = await startTestCoordinator(databaseUrl);
  const started = await startTestVm(network);
  origin = started.origin;
  edge = started.edges[0]!;
});
afterAll(async () => {
  await network?.[Symbol.asyncDispose]();
  await database?.[Symbol.asyncDispose]();
});

/** Values that are right in form for any parameter of a path. */
const PARAMETERS: Readonly<Record<string, string>> = {
  teleport: randomUUID(),
  seed: randomUUID(),
  import: randomUUID(),
  vm: 'web-01',
  version: '1',
  unpacker: '1',
  sha256: 'a'.repeat(64),
};

function pathOf({ path }: Operation, given = PARAMETERS): string {
  return path.replace(/\{(\w+)\}/g, (_, key: string) => encodeURIComponent(given[key]!));
}

interface Sent {
  readonly path: string;
  readonly body?: string;
}

type Credentials = (method: string, sent: Sent) => Promise<Record<string, string>>;

const asNobody: Credentials = async () => ({});
const asUser: Credentials = async () => ({
  authorization: `Bearer ${network.coordinator.clientToken}`,
});
function asNode(node: () => TestNode): Credentials {
  return async (method, { path, body }) => {
    const request = { keyId: node().id, audience: 'coordinator', method, path };
    const bytes = body === undefined ? undefined : Buffer.from(body);
    return { [PROOF_HEADER]: await signProof(node().key, { ...request, body: bytes }) };
  };
}
const asOrigin = asNode(() => origin);
const asEdge = asNode(() => edge);

const RIGHT: Readonly<Record<string, readonly Credentials[]>> = {
  client: [asUser],
  origin: [asOrigin],
  edge: [asEdge],
  node: [asOrigin, asEdge],
};

async function send(operation: Operation, as: Credentials, sent: Sent) {
  const method = operation.method.toUpperCase();
  const response = await fetch(`${network.url}${sent.path}`, {
    method,
    headers: { ...(await as(method, sent)), 'content-type': 'application/json' },
    ...(sent.body === undefined ? {} : { body: sent.body }),
  });
  const text = await response.text();
  return { status: response.status, body: text === '' ? undefined : JSON.parse(text) };
}

/** A hash over every row of every table. */
async function contents(): Promise<string> {
  const tables = await query<{ name: string }>(
    databaseUrl,
    'select table_name as name from information_schema.tables where table_schema = current_schema()',
  );
  const hashes = tables.map(async ({ name }) => {
    const text = `select md5(string_agg(t::text, ',' order by t::text)) as hash from "${name}" t`;
    return `${name} ${(await query<{ hash: string }>(databaseUrl, text))[0]!.hash}`;
  });
  return (await Promise.all(hashes)).sort().join('\n');
}

/** The operations whose bodies may be larger than others'. */
const BODY_BYTES_MAX: Readonly<Record<string, number>> = {
  announceVersion: DESCRIPTION_BODY_BYTES_MAX,
  reportCapture: DESCRIPTION_BODY_BYTES_MAX,
  reportHoldings: HOLDINGS_BODY_BYTES_MAX,
  putPackageRecipe: PACKAGE_RECIPE_BODY_BYTES_MAX,
  putBootTrace: BOOT_TRACE_BODY_BYTES_MAX,
};

const GUARDED = COORDINATOR_OPERATIONS.filter(
  ({ caller }) => caller !== 'public' && caller !== 'enrolment',
);
const WITH_BODY = COORDINATOR_OPERATIONS.filter(({ body }) => !body.safeParse(undefined).success);

function credentialsFor({ caller }: Operation): Credentials {
  return RIGHT[caller]?.[0] ?? asNobody;
}

describe('the route table', () => {
  it('has a route for every operation, and no other', () => {
    const app = createRoutes({} as Context, quiet);
    const mounted = app.routes
      .filter((route) => route.method !== 'ALL')
      .map((route) => `${route.method} ${route.path}`);
    const wanted = COORDINATOR_OPERATIONS.map(
      ({ method, path }) => `${method.toUpperCase()} ${path.replace(/\{(\w+)\}/g, ':$1')}`,
    );
    expect([...new Set(mounted)].sort()).toEqual(wanted.sort());
    expect(wanted.length).toBeGreaterThan(25);
  });

  it('leaves only health and enrolment without a guard', () => {
    const open = COORDINATOR_OPERATIONS.filter((operation) => !GUARDED.includes(operation));
    expect(open.map(({ id }) => id).sort()).toEqual(['enrolNode', 'health']);
  });
});

describe('any guarded operation', () => {
  it.each(GUARDED.map((operation) => [operation.id, operation] as const))(
    '%s refuses whoever is unknown, and whoever is known as something else',
    async (_, operation) => {
      const path = pathOf(operation);
      const before = await contents();
      const stranger = { ...edge, key: await generateNodeKey() };
      const nobody: Credentials[] = [
        asNobody,
        async () => ({ authorization: 'Bearer ' }),
        async () => ({ authorization: `Bearer ${'x'.repeat(43)}` }),
        async () => ({ authorization: `Basic ${network.coordinator.clientToken}` }),
        async () => ({ [PROOF_HEADER]: 'x.y.z' }),
        asNode(() => stranger),
        asNode(() => ({ ...stranger, id: randomUUID() as never })),
        // A proof for another path, and one that a valid token accompanies.
        (method) => asEdge(method, { path: '/v1/elsewhere' }),
        async (method) => ({
          ...(await asUser(method, { path })),
          ...(await asEdge(method, { path: '/v1/elsewhere' })),
        }),
      ];
      for (const as of nobody) {
        const { status, body } = await send(operation, as, { path });
        expect([status, errorReply.parse(body).error.code]).toEqual([401, 'unauthenticated']);
      }
      const right = RIGHT[operation.caller]!;
      for (const as of [asUser, asOrigin, asEdge].filter((one) => !right.includes(one))) {
        const { status, body } = await send(operation, as, { path });
        expect([status, errorReply.parse(body).error.code]).toEqual([403, 'forbidden']);
      }
      expect(await contents()).toBe(before);
    },
  );

  it.each(
    GUARDED.filter(({ params }) => !params.safeParse(undefined).success).map(
      (one) => [one.id, one] as const,
    ),
  )('%s refuses malformed parameters, and nothing changes', async (_, operation) => {
    const before = await contents();
    for (const wrong of ['--help', 'a b', '../x', "x';--", '%', 'A'.repeat(64), '-1', '\u0000']) {
      const given = Object.fromEntries(Object.keys(PARAMETERS).map((key) => [key, wrong]));
      const path = pathOf(operation, given);
      const { status, body } = await send(operation, credentialsFor(operation), { path });
      expect([wrong, status, body?.error?.code]).toEqual([wrong, 400, 'invalid_input']);
    }
    expect(await contents()).toBe(before);
  });
});

describe('any operation with a body', () => {
  it.each(WITH_BODY.map((operation) => [operation.id, operation] as const))(
    '%s refuses what is not JSON, what is missing, unknown and too large, and nothing changes',
    async (_, operation) => {
      const before = await contents();
      const path = pathOf(operation);
      const as = credentialsFor(operation);
      const wrong = [
        '',
        '{',
        '[]',
        'null',
        '"x"',
        '{}',
        '{"unheard":1}',
        '{"__proto__":{"x":1}}',
        '\u0000',
      ];
      for (const body of wrong) {
        const reply = await send(operation, as, { path, body });
        expect([body, reply.status, reply.body.error.code]).toEqual([body, 400, 'invalid_input']);
      }
      const large = {
        path,
        body: `"${'x'.repeat(BODY_BYTES_MAX[operation.id] ?? JSON_BODY_BYTES_MAX)}"`,
      };
      const reply = await send(operation, as, large);
      expect([reply.status, reply.body.error.code]).toEqual([413, 'too_large']);
      expect(await contents()).toBe(before);
    },
    60_000,
  );

  it('refuses a field that it does not know beside the right ones, at any depth', async () => {
    const operation = COORDINATOR_OPERATIONS.find(({ id }) => id === 'requestTeleport')!;
    const before = await contents();
    const bodies = [
      { vm: 'web-01', near: { region: 'eu-west' }, whithinKm: 5 },
      { vm: 'web-01', near: { region: 'eu-west', latitude: 1 } },
      { vm: 'web-01', near: { region: 'eu-west' }, withinKm: 0 },
      { vm: 'web-01', near: { latitude: 91, longitude: 0 } },
      { vm: '--help', near: { region: 'eu-west' } },
    ];
    for (const body of bodies) {
      const sent = { path: '/v1/teleports', body: JSON.stringify(body) };
      expect((await send(operation, asUser, sent)).status).toBe(400);
    }
    const unknownQuery = { path: '/v1/teleports?limit=5&from=7' };
    const list = COORDINATOR_OPERATIONS.find(({ id }) => id === 'listTeleports')!;
    expect((await send(list, asUser, unknownQuery)).status).toBe(400);
    expect(await contents()).toBe(before);
  });

  it('refuses values that PostgreSQL can’t hold as the caller’s mistake, not ours', async () => {
    const before = await contents();
    const find = (id: string): Operation => COORDINATOR_OPERATIONS.find((one) => one.id === id)!;
    const beat = {
      protocol: PROTOCOL_VERSION,
      url: 'http://127.0.0.1:1',
      capacity: { freeStoreBytes: 1, freeMemoryMiB: 2 ** 40, freeVcpus: 1, accelerator: 'tcg' },
    };
    const sent = { path: '/v1/nodes/self', body: JSON.stringify(beat) };
    expect((await send(find('heartbeat'), asEdge, sent)).status).toBe(400);
    const wish = { edge: 'dublin', name: 'x', file: 'a\u0000b', format: 'raw' };
    const order = { path: '/v1/imports', body: JSON.stringify(wish) };
    expect((await send(find('requestImport'), asUser, order)).status).toBe(400);
    const version = { path: '/v1/vms/web-01/versions/99999999999/state', body: '{"state":"live"}' };
    expect((await send(find('setVersionState'), asOrigin, version)).status).toBe(400);
    expect(await contents()).toBe(before);
  });
});

describe('the document of the API', () => {
  it('speaks of every operation, its callers, parameters and bodies', async () => {
    const openApi = COORDINATOR_OPERATIONS.find(({ id }) => id === 'openApi')!;
    const { body } = await send(openApi, asUser, { path: '/v1/openapi.json' });
    expect(body.openapi).toBe('3.1.0');
    for (const operation of COORDINATOR_OPERATIONS) {
      const described = body.paths[operation.path]?.[operation.method];
      expect(described?.operationId).toBe(operation.id);
      expect(Object.keys(described.responses)).toContain(String(operation.status));
      const inPath = described.parameters.filter((one: { in: string }) => one.in === 'path');
      expect(inPath).toHaveLength([...operation.path.matchAll(/\{/g)].length);
    }
    const request = body.paths['/v1/teleports'].post.requestBody.content['application/json'].schema;
    expect(request.required).toEqual(['vm', 'near']);
    expect(request.properties.vm.pattern).toContain('A-Za-z0-9');
  });

  it('is not the only thing that answers without a token: health does, and says nothing', async () => {
    const health = COORDINATOR_OPERATIONS.find(({ id }) => id === 'health')!;
    expect(await send(health, asNobody, { path: '/health' })).toEqual({
      status: 200,
      body: { status: 'ok' },
    });
  });
});
