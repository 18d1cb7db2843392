import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createCoordinatorClient } from '@vmdn/core/http/clients/coordinator-client.ts';
import * as client from '@vmdn/core/http/contracts/coordinator-clients.ts';
import * as node from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { readSettings } from './config.ts';
import { createCoordinator } from './coordinator.ts';
import { openDatabase } from './store/database.ts';
import { MIGRATIONS } from './store/migrate.ts';
import { query, quiet, startTestDatabase, type TestDatabase } from './testing/test-database.ts';
import {
  beat,
  report,
  startTestCoordinator,
  startTestVm,
  type TestCoordinator,
  type TestNode,
} from './testing/test-network.ts';

let database: TestDatabase;

beforeAll(async () => {
  database = await startTestDatabase();
});
afterAll(() => database?.[Symbol.asyncDispose]());

async function startTestEdges(network: TestCoordinator) {
  const places = [
    ['dublin', 'eu-west'],
    ['cork', 'eu-west'],
    ['frankfurt', 'eu-central'],
  ] as const;
  const { origin, edges } = await startTestVm(network, places);
  const [dublin, cork, frankfurt] = edges as [TestNode, TestNode, TestNode];
  // The other one of that region has no room at first.
  await beat(cork, { freeStoreBytes: 0 });
  return { origin, dublin, frankfurt };
}

describe('a coordinator', () => {
  it('leaves the first client’s token and its address in files that only their owner reads', async () => {
    await using network = await startTestCoordinator(await database.freshUrl());
    const { stateDir, coordinator } = network;
    const token = (await readFile(join(stateDir, 'client-token'), 'utf8')).trim();
    expect(token).toBe(coordinator.clientToken);
    const file = JSON.parse(await readFile(join(stateDir, 'client.json'), 'utf8'));
    expect(file).toEqual({ url: coordinator.url, token });
    for (const name of ['client-token', 'client.json']) {
      expect((await stat(join(stateDir, name))).mode & 0o777).toBe(0o600);
    }
  });

  it('keeps its token, its key and everything else over a restart', async () => {
    const databaseUrl = await database.freshUrl();
    await using network = await startTestCoordinator(databaseUrl);
    const { edges } = await startTestVm(network);
    const body = { vm: 'web-01', near: { region: 'eu-west' } };
    const asked = await network.user.call(client.requestTeleport, { body });
    const before = await edges[0]!.client.call(node.desiredState, {});
    await network.coordinator[Symbol.asyncDispose]();
    const settings = readSettings({
      DATABASE_URL: databaseUrl,
      VMDN_LISTEN: '127.0.0.1:0',
      VMDN_STATE_DIR: network.stateDir,
    });
    await using again = await createCoordinator(settings, quiet, network.pace);
    expect(again.clientToken).toBe(network.coordinator.clientToken);
    await using user = createCoordinatorClient({
      url: again.url,
      credentials: { kind: 'bearer', token: again.clientToken },
    });
    const params = { teleport: asked.teleport };
    expect(await user.call(client.getTeleport, { params })).toEqual(asked);
    expect(await edges[0]!.at(again.url).call(node.desiredState, {})).toEqual(before);
  });

  it('I2: after an outage a living edge keeps its teleports and gets others', async () => {
    const databaseUrl = await database.freshUrl();
    await using first = await startTestCoordinator(databaseUrl);
    const edges = await startTestEdges(first);
    const body = { vm: 'web-01', near: { region: 'eu-west' } };
    const { teleport } = await first.user.call(client.requestTeleport, { body });
    const { teleport: other } = await first.user.call(client.requestTeleport, { body });
    await report(edges.dublin, teleport, {});
    await first.coordinator[Symbol.asyncDispose]();
    // The outage took an hour; one edge was away for an hour before it began.
    const age = `update nodes set last_seen_at = last_seen_at - interval '1 h'
      * case name when 'cork' then 2 else 1 end`;
    await query(databaseUrl, age);
    const expire = "update teleports set lease_expires_at = now() - interval '59 min'";
    await query(databaseUrl, expire);

    await using second = await startTestCoordinator(databaseUrl);
    await beat({ client: edges.frankfurt.at(second.url) });
    // One whose lease runs out from now on is looked at: passes are made.
    await query(databaseUrl, `${expire} where id = $1`, [other]);
    await beat({ client: edges.origin.at(second.url) });
    await vi.waitFor(
      async () => {
        const view = await second.user.call(client.getTeleport, { params: { teleport: other } });
        expect(view.message).toContain('is away');
      },
      { timeout: 15_000, interval: 50 },
    );
    const params = { teleport };
    const kept = await second.user.call(client.getTeleport, { params });
    expect(kept).toMatchObject({ edge: 'dublin', epoch: 1, state: 'syncing', message: null });

    const asked = await second.user.call(client.requestTeleport, { body });
    expect(asked).toMatchObject({ edge: 'dublin', spilled: false });
    const cork = asked.others.find(({ edge }) => edge === 'cork');
    expect(cork).toMatchObject({ eligible: false, reason: 'It has not been heard of lately.' });
    const { nodes } = await second.user.call(client.listEdges, {});
    expect(nodes.find(({ name }) => name === 'dublin')).toMatchObject({ healthy: false });

    const dublin = { client: edges.dublin.at(second.url) };
    const reported = await report(dublin, teleport, { state: 'verified' });
    expect(reported).toMatchObject({ state: 'verified', epoch: 1 });
  });

  it('ends polls and streams at once when it stops', async () => {
    const databaseUrl = await database.freshUrl();
    await using network = await startTestCoordinator(databaseUrl);
    const { edges } = await startTestVm(network);
    const body = { vm: 'web-01', near: { region: 'eu-west' } };
    const { teleport } = await network.user.call(client.requestTeleport, { body });
    const { revision } = await edges[0]!.client.call(node.desiredState, {});
    const poll = edges[0]!.client.call(node.desiredState, { query: { revision, waitSeconds: 60 } });
    const url = `${network.url}/v1/teleports/${teleport}/events`;
    const headers = { authorization: `Bearer ${network.coordinator.clientToken}` };
    const stream = await fetch(url, { headers });
    const reader = stream.body!.getReader();
    await reader.read();
    const startedAt = Date.now();
    await network.coordinator[Symbol.asyncDispose]();
    // Below the 10 s after which the stream looks by itself, and the minute of the poll.
    expect(Date.now() - startedAt).toBeLessThan(9000);
    expect((await poll).revision).toBe(revision);
    expect((await reader.read()).done).toBe(true);
    const rest = await query(
      databaseUrl,
      "select 1 from pg_stat_activity where application_name = 'vmdn-coordinator'",
    );
    expect(rest).toEqual([]);
  });

  it('refuses to start on a database that a newer one made', async () => {
    const databaseUrl = await database.freshUrl();
    await (await startTestCoordinator(databaseUrl))[Symbol.asyncDispose]();
    const newer = "insert into kysely_migration values ('9999-future', now()::text)";
    await query(databaseUrl, newer);
    await expect(startTestCoordinator(databaseUrl)).rejects.toMatchObject({
      code: 'incompatible_protocol',
    });
  });

  it('brings a database that an older one made up to date, descriptions and all', async () => {
    const databaseUrl = await database.freshUrl();
    const first = await startTestCoordinator(databaseUrl);
    const { edges } = await startTestVm(first);
    const before = await edges[0]!.client.call(node.desiredState, {});
    await first[Symbol.asyncDispose]();
    const db = openDatabase(databaseUrl, quiet);
    for (const [name, { down }] of Object.entries(MIGRATIONS).reverse()) {
      if (name >= '0003') await down?.(db);
    }
    await db.destroy();
    await query(databaseUrl, "delete from kysely_migration where name >= '0003'");
    await using second = await startTestCoordinator(databaseUrl);
    const after = await edges[0]!.at(second.url).call(node.desiredState, {});
    expect(after.versions[0]?.descriptionDigest).toBe(before.versions[0]?.descriptionDigest);
  });

  it('may start at the same moment as others on an empty database', async () => {
    const databaseUrl = await database.freshUrl();
    const all = await Promise.all([1, 2, 3].map(() => startTestCoordinator(databaseUrl)));
    const projects = await query(databaseUrl, 'select * from projects');
    expect(projects).toHaveLength(1);
    const keys = await query(databaseUrl, "select * from settings where key = 'coordinator-key'");
    expect(keys).toHaveLength(1);
    await Promise.all(all.map((one) => one[Symbol.asyncDispose]()));
  });
});

describe('when the database goes away', () => {
  it('callers are told to try again, and everything works when it is back', async () => {
    await using own = await startTestDatabase();
    await using network = await startTestCoordinator(await own.freshUrl());
    const { edges } = await startTestVm(network);
    const body = { vm: 'web-01', near: { region: 'eu-west' } };
    const { teleport } = await network.user.call(client.requestTeleport, { body });
    const pid = own.postgres.pid;
    process.kill(pid, 'SIGKILL');
    const codes = new Set<string>();
    await vi.waitFor(
      async () => {
        const answer = await network.user
          .call(client.listVms, {})
          .catch((error: { code: string }) => error.code);
        if (typeof answer === 'string') codes.add(answer);
        expect(own.postgres.pid).not.toBe(pid);
        expect(answer).toMatchObject({ vms: [{ vm: 'web-01' }] });
      },
      { timeout: 30_000, interval: 20 },
    );
    expect([...codes]).toEqual(['unavailable']);
    // Notifications come again, too.
    await vi.waitFor(
      async () => {
        const { revision } = await edges[0]!.client.call(node.desiredState, {});
        const startedAt = Date.now();
        const query = { revision, waitSeconds: 60 };
        const poll = edges[0]!.client.call(node.desiredState, { query });
        await report(edges[0]!, teleport, {});
        await report(edges[0]!, teleport, { state: 'waiting' });
        expect((await poll).revision).not.toBe(revision);
        // Long before the minute after which the poll looks by itself.
        expect(Date.now() - startedAt).toBeLessThan(20_000);
      },
      { timeout: 60_000, interval: 20 },
    );
  });
});
