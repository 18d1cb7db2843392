import { generateNodeKey } from '@vmdn/core/http/auth/keys.ts';
import { createCoordinatorClient } from '@vmdn/core/http/clients/coordinator-client.ts';
import {
  createEnrolmentToken,
  listEdges,
  requestTeleport,
} from '@vmdn/core/http/contracts/coordinator-clients.ts';
import { desiredState, enrolNode, heartbeat } from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import { PROTOCOL_VERSION } from '@vmdn/core/http/contracts/schemas.ts';
import { describe, expect, it } from 'vitest';
import { coordinatorPerTest } from '../testing/coordinator-per-test.ts';
import { query } from '../testing/test-database.ts';
import { beat, startTestVm, type TestNode } from '../testing/test-network.ts';

const network = coordinatorPerTest();

async function token(kind: 'origin' | 'edge' = 'edge'): Promise<string> {
  const reply = await network.user.call(createEnrolmentToken, { body: { kind } });
  return reply.enrolmentToken;
}

async function enrol(changes: object) {
  await using client = createCoordinatorClient({
    url: network.url,
    credentials: { kind: 'none' },
  });
  const body = {
    kind: 'edge' as const,
    name: 'edge-1',
    region: 'eu-west',
    url: 'http://127.0.0.1:1',
    protocol: PROTOCOL_VERSION,
    publicKey: (await generateNodeKey()).publicKey,
    enrolmentToken: '',
    ...changes,
  };
  return await client.call(enrolNode, { body });
}

describe('an enrolment token', () => {
  it('enrols one node, once; the same key again is the same node (I1)', async () => {
    const enrolmentToken = await token();
    const { publicKey } = await generateNodeKey();
    const first = await enrol({ enrolmentToken, publicKey });
    const again = await enrol({ enrolmentToken, publicKey });
    expect(again).toEqual(first);
    await expect(enrol({ enrolmentToken, name: 'edge-2' })).rejects.toMatchObject({
      code: 'unauthenticated',
    });
    const { nodes } = await network.user.call(listEdges, {});
    expect(nodes.map((node) => node.name)).toEqual(['edge-1']);
  });

  it('enrols one node even when two ask at the same moment', async () => {
    const enrolmentToken = await token();
    const names = ['edge-1', 'edge-2', 'edge-3', 'edge-4'];
    const all = await Promise.allSettled(names.map((name) => enrol({ enrolmentToken, name })));
    expect(all.filter((one) => one.status === 'fulfilled')).toHaveLength(1);
  });

  it('is refused when it is unknown, expired by the database, or of another kind', async () => {
    await expect(enrol({ enrolmentToken: 'x'.repeat(40) })).rejects.toMatchObject({
      code: 'unauthenticated',
    });
    const expired = await token();
    await query(
      network.databaseUrl,
      "update enrolment_tokens set expires_at = now() - interval '1 s'",
    );
    await expect(enrol({ enrolmentToken: expired })).rejects.toThrow('expired');
    await expect(enrol({ enrolmentToken: await token('origin') })).rejects.toMatchObject({
      code: 'forbidden',
    });
  });

  it('is kept as a hash only, like the clients’ tokens', async () => {
    const enrolmentToken = await token();
    const tokens = await query<{ row: string }>(
      network.databaseUrl,
      'select t::text as row from enrolment_tokens t union all select c::text from clients c',
    );
    expect(tokens).toHaveLength(2);
    for (const { row } of tokens) {
      expect(row).not.toContain(enrolmentToken);
      expect(row).not.toContain(network.coordinator.clientToken);
    }
  });
});

describe('a node', () => {
  it('does not take over the name of another key (I2), and keeps its own when it moves', async () => {
    const { publicKey } = await generateNodeKey();
    const first = await enrol({ enrolmentToken: await token(), publicKey });
    await expect(enrol({ enrolmentToken: await token() })).rejects.toMatchObject({
      code: 'conflict',
    });
    const moved = await enrol({ enrolmentToken: await token(), publicKey, region: 'us-east' });
    expect(moved.node).toBe(first.node);
    const { nodes } = await network.user.call(listEdges, {});
    expect(nodes[0]).toMatchObject({ region: 'us-east', location: { latitude: 39.04 } });
  });

  it('must be somewhere if it is an edge; coordinates win over the region’s', async () => {
    const nowhere = { region: undefined, enrolmentToken: await token() };
    await expect(enrol(nowhere)).rejects.toMatchObject({ code: 'invalid_input' });
    const misspelt = { region: 'eu-wst', enrolmentToken: await token() };
    await expect(enrol(misspelt)).rejects.toMatchObject({
      code: 'not_found',
      data: { suggestions: expect.arrayContaining(['eu-west']) },
    });
    const location = { latitude: 1.5, longitude: 2.5 };
    await enrol({ region: 'basement', location, enrolmentToken: await token() });
    const { nodes } = await network.user.call(listEdges, {});
    expect(nodes[0]).toMatchObject({ region: 'basement', location, healthy: false });
  });

  it('that speaks another protocol is told so', async () => {
    const refused = (words: RegExp) =>
      ({ code: 'incompatible_protocol', message: expect.stringMatching(words) }) as const;
    const old = { enrolmentToken: await token(), protocol: 1 };
    await expect(enrol(old)).rejects.toMatchObject(refused(/the coordinator on the node/));
    const newer = { ...old, protocol: PROTOCOL_VERSION + 1 };
    await expect(enrol(newer)).rejects.toMatchObject(refused(/the node on the coordinator first/));
  });

  it('is refused when it comes back with another protocol, and has no work until it has ours', async () => {
    const { edges } = await startTestVm(network);
    const [edge] = edges as [TestNode];
    const body = { vm: 'web-01', near: { region: 'eu-west' } };
    await network.user.call(requestTeleport, { body });
    const desired = () => edge.client.call(desiredState, { query: {} });
    expect((await desired()).teleports).toHaveLength(1);
    const before = (await network.user.call(listEdges, {})).nodes.find(
      ({ node }) => node === edge.id,
    )!;
    const beatOld = edge.client.call(heartbeat, {
      body: { protocol: 1, url: 'http://10.0.0.1:1' },
    });
    const code = 'incompatible_protocol';
    await expect(beatOld).rejects.toMatchObject({ code });
    await expect(desired()).rejects.toMatchObject({ code });
    const { nodes } = await network.user.call(listEdges, {});
    const after = nodes.find(({ node }) => node === edge.id);
    expect(after).toEqual({ ...before, protocol: 1 });
    const another = network.user.call(requestTeleport, { body });
    await expect(another).rejects.toMatchObject({
      code: 'no_room',
      message: expect.stringContaining('protocol'),
    });
    await beat(edge);
    expect((await desired()).teleports).toHaveLength(1);
  });
});
