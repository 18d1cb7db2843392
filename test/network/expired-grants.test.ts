/**
 * Grants that end soon, in a whole network: what they open after their end, which is nothing, at an
 * origin and at a neighbour; and a teleport that takes longer than a grant lives.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import { signProof } from '@vmdn/core/http/auth/proof.ts';
import { verifyDescription } from '@vmdn/core/http/auth/signed-description.ts';
import type { Teleport } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import type { KnownVersion } from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import { GRANT_HEADER, PROOF_HEADER } from '@vmdn/core/http/contracts/disks.ts';
import { waitFor } from '@vmdn/infra/lab/wait-for.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { enrolForeignEdge, type ForeignNode } from '../harness/foreign-node.ts';
import {
  beginTeleport,
  compareDelivered,
  removeVm,
  sentBytes,
  teleportEnd,
  vmDescribed,
  vmPlanned,
} from '../harness/requests.ts';
import { ORIGIN, startTestNetwork, type TestNetwork } from '../harness/test-network.ts';
import { placeSeededVm } from '../harness/vms.ts';

const VM = 'slow';
const EDGE = 'edge-1';
const DATA_MIB = 64;
const UPLINK_BYTES_PER_SECOND = 1_300_000;
/** A grant lives 10 to 20 seconds, more than a busy machine needs for an answer; the transfer takes 50. */
const GRANT_SECONDS = 20;

let network: TestNetwork;
let mine: ForeignNode;
let sourcePath: string;
let delivered: Teleport;

beforeAll(async () => {
  network = await startTestNetwork({
    edges: [{ name: EDGE, region: 'eu-west' }],
    origin: { uplinkBytesPerSecond: UPLINK_BYTES_PER_SECOND },
    coordinatorSettings: { VMDN_GRANT_SECONDS: String(GRANT_SECONDS) },
    vms: async (vmsDir) => {
      sourcePath = (await placeSeededVm(vmsDir, VM, { dataMiB: DATA_MIB })).path;
    },
  });
  await vmDescribed(network, VM);
  await vmPlanned(network, VM, EDGE);
  mine = await enrolForeignEdge(network, 'mine');
  const { teleport } = await beginTeleport(network, VM, 'dublin');
  delivered = await teleportEnd(network, teleport);
});
afterAll(async () => {
  await mine?.[Symbol.asyncDispose]();
  await network?.[Symbol.asyncDispose]();
});

/** When a grant ends, by what it says itself. */
function endOf(grant: string): number {
  const [, payload = ''] = grant.split('.');
  const { expiresAt } = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'));
  return (expiresAt as number) * 1000;
}

/** Asks a node for a recipe with a grant and a proof that is made now. */
async function readRecipe(holder: { node: Id; url: string }, digest: Digest, grant: string) {
  const path = `/v1/disks/${digest}/recipe`;
  const { key, node } = mine;
  const claims = { keyId: node, audience: holder.node, method: 'GET', path, grant };
  const proof = await signProof(key, claims);
  const headers = { [GRANT_HEADER]: grant, [PROOF_HEADER]: proof };
  const response = await fetch(`${holder.url}${path}`, { headers });
  const body = Buffer.from(await response.arrayBuffer());
  return { status: response.status, body };
}

/** Is served with a grant of now, and returns that. Only one that ends meanwhile may open nothing. */
async function servedWith(holder: { node: Id; url: string }, digest: Digest): Promise<string> {
  for (;;) {
    const { recipeGrant } = await mine.known(VM);
    const { status } = await readRecipe(holder, digest, recipeGrant);
    if (Date.now() >= endOf(recipeGrant)) continue;
    expect(status).toBe(200);
    return recipeGrant;
  }
}

async function diskOf(reader: ForeignNode, known: KnownVersion): Promise<Digest> {
  const { disks } = await verifyDescription(
    await reader.description(known),
    known.origin.publicKey,
  );
  return disks[0]?.digest as Digest;
}

describe('a grant that ends', () => {
  it('is renewed under a teleport that outlives it, and nobody waits for that', async () => {
    expect(delivered).toMatchObject({ state: 'running', message: null });
    expect(await network.logOf(EDGE)).not.toContain('"teleport_waits"');
    expect(delivered.phases.sync).toBeGreaterThan(2 * GRANT_SECONDS);
    const source = { path: sourcePath, format: 'raw' } as const;
    expect(await compareDelivered(network, delivered, source)).toMatchObject({ isEqual: true });
    await removeVm(network, delivered);
  });

  it('opens nothing afterwards, neither at the origin nor at a neighbour', async () => {
    const holdsIt = async () => {
      const known = await mine.known(VM);
      const peer = known.holders.find(({ name }) => name === EDGE);
      return peer === undefined ? undefined : { known, peer };
    };
    const { known, peer } = await waitFor('the edge is a holder', holdsIt, { timeoutMs: 60_000 });
    const digest = await diskOf(mine, known);
    const nodes = [
      [ORIGIN, known.origin],
      [EDGE, peer],
    ] as const;
    for (const [name, holder] of nodes) {
      const grant = await servedWith(holder, digest);
      const isOver = (): boolean => Date.now() >= endOf(grant);
      await waitFor('the grant is over', isOver, { timeoutMs: 2000 * GRANT_SECONDS });
      const before = await sentBytes(network, name);
      const { status, body } = await readRecipe(holder, digest, grant);
      const { error } = JSON.parse(body.toString('utf8'));
      expect({ name, status, error }).toMatchObject({
        status: 401,
        error: { code: 'unauthenticated', message: expect.stringContaining('expired') },
      });
      expect(await sentBytes(network, name)).toBe(before);
    }
    // The same node with a grant of now is served again: it was the time, and nothing else.
    await servedWith(peer, digest);
  });
});
