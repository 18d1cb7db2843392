/**
 * Grants and proofs against a whole network: what an edge may read, and that nobody else may read it
 * with what was meant for that edge.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import { encodeBlockRequest } from '@vmdn/core/formats/block-request.ts';
import { signGrant } from '@vmdn/core/http/auth/grant.ts';
import { generateNodeKey, type NodeKey } from '@vmdn/core/http/auth/keys.ts';
import { signProof } from '@vmdn/core/http/auth/proof.ts';
import { verifyDescription } from '@vmdn/core/http/auth/signed-description.ts';
import {
  announceVersion,
  desiredState,
  type KnownVersion,
} from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import { reportProgress } from '@vmdn/core/http/contracts/coordinator-teleports.ts';
import { GRANT_HEADER, PROOF_HEADER } from '@vmdn/core/http/contracts/disks.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { enrolForeignEdge, type ForeignNode } from '../harness/foreign-node.ts';
import { ask, beginTeleport, removeVm, teleportEnd, vmDescribed } from '../harness/requests.ts';
import { startTestNetwork, type TestNetwork } from '../harness/test-network.ts';
import { MIB, placeSeededVm } from '../harness/vms.ts';

const VM = 'small';
const DATA_MIB = 2;
const ZERO_ID = '00000000-0000-4000-8000-000000000000' as Id;

let network: TestNetwork;
let mine: ForeignNode;
let known: KnownVersion;
let description: string;
let digest: Digest;

beforeAll(async () => {
  network = await startTestNetwork({
    edges: [{ name: 'edge-1', region: 'eu-west' }],
    vms: async (vmsDir) => void (await placeSeededVm(vmsDir, VM, { dataMiB: DATA_MIB })),
  });
  await vmDescribed(network, VM);
  mine = await enrolForeignEdge(network, 'mine');
  known = await mine.known(VM);
  description = await mine.description(known);
  const { disks } = await verifyDescription(description, known.origin.publicKey);
  digest = disks[0]?.digest as Digest;
});
afterAll(async () => {
  await mine?.[Symbol.asyncDispose]();
  await network?.[Symbol.asyncDispose]();
});

interface Reading {
  readonly what?: 'recipe' | 'blocks';
  readonly digest?: string;
  readonly grant?: string | null;
  readonly key?: NodeKey;
  readonly keyId?: Id;
  readonly audience?: Id;
  readonly proof?: string | null;
  /** Signs this path instead of the one that is asked. */
  readonly signedPath?: string;
}

/** Asks the origin for a recipe or for blocks, with as much wrong as wanted. */
async function read(
  reading: Reading = {},
): Promise<{ status: number; code: unknown; proof: string }> {
  const what = reading.what ?? 'recipe';
  const path = `/v1/disks/${reading.digest ?? digest}/${what}`;
  const method = what === 'recipe' ? 'GET' : 'POST';
  const body =
    what === 'recipe'
      ? undefined
      : new Uint8Array(encodeBlockRequest(Uint32Array.of(0, 1), DATA_MIB * MIB));
  const grant = reading.grant === undefined ? known.recipeGrant : (reading.grant ?? undefined);
  const proof =
    reading.proof ??
    (await signProof(reading.key ?? mine.key, {
      keyId: reading.keyId ?? mine.node,
      audience: reading.audience ?? known.origin.node,
      method,
      path: reading.signedPath ?? path,
      body,
      grant,
    }));
  const headers: Record<string, string> = {};
  if (grant !== undefined) headers[GRANT_HEADER] = grant;
  if (reading.proof !== null) headers[PROOF_HEADER] = proof;
  const response = await fetch(`${known.origin.url}${path}`, {
    method,
    headers,
    body: body ?? null,
  });
  const bytes = await response.arrayBuffer();
  if (response.ok) return { status: response.status, code: undefined, proof };
  const { error } = JSON.parse(new TextDecoder().decode(bytes)) as { error: { code: unknown } };
  return { status: response.status, code: error.code, proof };
}

/** A grant that reads like a real one, signed by a key that is not the coordinator's. */
async function forgedGrant(key: NodeKey, holder: NodeKey): Promise<string> {
  const claims = {
    grant: ZERO_ID,
    project: ZERO_ID,
    edge: mine.node,
    edgeKey: holder.publicKey,
    purpose: 'teleport' as const,
    disks: [digest],
    scopes: ['recipe' as const, 'blocks' as const],
    bytesMax: 2 ** 30,
    expiresAt: Math.floor(Date.now() / 1000) + 3600,
  };
  return signGrant(key, claims);
}

/** The same grant with one of its claims changed and the old signature. */
function tamperedGrant(grant: string): string {
  const [header, payload = '', signature] = grant.split('.');
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')) as Record<
    string,
    unknown
  >;
  const changed = { ...claims, scopes: ['recipe', 'blocks'] };
  return [header, Buffer.from(JSON.stringify(changed)).toString('base64url'), signature].join('.');
}

describe('a grant', () => {
  it('opens what it is for, to whom it was given', async () => {
    expect(await read()).toMatchObject({ status: 200 });
  });

  it('does not open blocks when it is for recipes', async () => {
    expect(await read({ what: 'blocks' })).toMatchObject({ status: 403, code: 'forbidden' });
  });

  it('does not open another disk', async () => {
    expect(await read({ digest: 'ab'.repeat(32) })).toMatchObject({
      status: 403,
      code: 'forbidden',
    });
  });

  it.each([
    ['without a grant', async (): Promise<Reading> => ({ grant: null })],
    ['without a proof', async (): Promise<Reading> => ({ proof: null })],
    ['stolen: with another key', async (): Promise<Reading> => ({ key: await generateNodeKey() })],
    ['stolen: by another node', async (): Promise<Reading> => ({ keyId: ZERO_ID })],
    ['with a proof for another node', async (): Promise<Reading> => ({ audience: mine.node })],
    [
      'with a proof of another request',
      async (): Promise<Reading> => ({ signedPath: '/v1/disks' }),
    ],
    [
      'foreign: signed by the edge itself',
      async (): Promise<Reading> => ({ grant: await forgedGrant(mine.key, mine.key) }),
    ],
    [
      'foreign: signed by nobody we know',
      async (): Promise<Reading> => ({
        grant: await forgedGrant(await generateNodeKey(), mine.key),
      }),
    ],
    ['tampered with', async (): Promise<Reading> => ({ grant: tamperedGrant(known.recipeGrant) })],
    ['of words', async (): Promise<Reading> => ({ grant: 'let-me-in-please' })],
  ])('opens nothing %s', async (_, reading) => {
    expect(await read(await reading())).toMatchObject({ status: 401, code: 'unauthenticated' });
  });

  it('opens nothing with a proof that was spent', async () => {
    const { status, proof } = await read();
    expect(status).toBe(200);
    expect(await read({ proof })).toMatchObject({ status: 401, code: 'unauthenticated' });
  });

  it('of a delivered teleport is not given to another edge', async () => {
    const { teleport } = await beginTeleport(network, VM, 'dublin');
    const end = await teleportEnd(network, teleport);
    expect(end.state).toBe('running');
    const { teleports } = await mine.client.call(desiredState, { query: {} });
    expect(teleports).toEqual([]);
    await removeVm(network, end);
  });
});

describe('the coordinator', () => {
  it('takes from an edge only what edges may say', async () => {
    const announcing = mine.client.call(announceVersion, {
      params: { vm: VM, version: 2 },
      body: { description, state: 'live' },
    });
    await expect(announcing).rejects.toMatchObject({ code: 'forbidden' });
  });

  it('takes no progress from an edge whose teleport it is not', async () => {
    const { teleport } = await beginTeleport(network, VM, 'dublin');
    const reporting = mine.client.call(reportProgress, {
      params: { teleport },
      body: { epoch: 1, state: 'running', disks: [], endpoints: [] },
    });
    await expect(reporting).rejects.toMatchObject({
      code: expect.stringMatching(/stale_epoch|forbidden|not_found/),
    });
    await removeVm(network, await teleportEnd(network, teleport));
  });

  it('takes nothing from a node without its proof, and no user token instead', async () => {
    const path = '/v1/edges/self/desired';
    expect((await ask(network, 'GET', path, { token: null })).status).toBe(401);
    expect((await ask(network, 'GET', path)).status).toBe(403);
  });

  it("takes nothing from a user who shows a node's proof", async () => {
    const path = '/v1/teleports';
    const proof = await signProof(mine.key, {
      keyId: mine.node,
      audience: 'coordinator',
      method: 'GET',
      path,
    });
    const response = await fetch(`${network.client.url}${path}`, {
      headers: { [PROOF_HEADER]: proof },
    });
    expect(response.status).toBe(403);
  });
});
