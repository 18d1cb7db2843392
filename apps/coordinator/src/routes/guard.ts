/**
 * Room: coordinator, routes. Who calls: users by bearer token, nodes by a proof of their key.
 *
 * I1: credentials that are missing or wrong are `unauthenticated`; right ones of the wrong kind are
 *     `forbidden`. Which kinds may call is the operation's own word (contracts, `caller`).
 */

import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { ID_PATTERN, type Id } from '@vmdn/core/domain/names.ts';
import { createProofVerifier, type ProofVerifier } from '@vmdn/core/http/auth/proof.ts';
import { COORDINATOR_AUDIENCE } from '@vmdn/core/http/clients/coordinator-client.ts';
import { PROOF_HEADER } from '@vmdn/core/http/contracts/disks.ts';
import type { AppContext, Guard } from '@vmdn/core/http/mount.ts';
import type { ClientIdentity, Context, NodeIdentity } from '../services/context.ts';
import { hashSecret, sameHash } from '../services/secrets.ts';

export type Identity = ClientIdentity | NodeIdentity;

export interface Guards {
  readonly client: Guard<ClientIdentity>;
  readonly node: Guard<NodeIdentity>;
  readonly origin: Guard<NodeIdentity>;
  readonly edge: Guard<NodeIdentity>;
  /** The operation itself checks the one-time token in the body, or gives nothing away. */
  readonly open: Guard<null>;
}

/** A token of ours has 43 characters and a prefix; longer ones are not looked up. */
const BEARER_PATTERN = /^Bearer ([\x21-\x7e]{16,256})$/i;

/** Guards over the store; keep one set per process, it remembers spent proofs. */
export function createGuards(context: Context): Guards {
  const verifier = createProofVerifier({ audience: COORDINATOR_AUDIENCE });
  const identify = async (call: AppContext, body: Uint8Array): Promise<Identity> => {
    const proof = call.req.header(PROOF_HEADER);
    if (proof !== undefined) return await identifyNode(context, verifier, call, body, proof);
    return await identifyClient(context, call.req.header('authorization'));
  };
  const nodeOf = (...kinds: readonly NodeIdentity['kind'][]): Guard<NodeIdentity> => {
    return async (call, body) => {
      const identity = await identify(call, body);
      if (identity.kind !== 'client' && kinds.includes(identity.kind)) return identity;
      throw new VmdnError('forbidden', `Only an enrolled ${kinds.join(' or ')} may do this.`);
    };
  };
  return {
    client: async (call, body) => {
      const identity = await identify(call, body);
      if (identity.kind === 'client') return identity;
      throw new VmdnError('forbidden', 'Only a user with a client token may do this.');
    },
    node: nodeOf('origin', 'edge'),
    origin: nodeOf('origin'),
    edge: nodeOf('edge'),
    open: async () => null,
  };
}

async function identifyClient(
  context: Context,
  authorization: string | undefined,
): Promise<ClientIdentity> {
  const token = BEARER_PATTERN.exec(authorization ?? '')?.[1];
  if (token !== undefined) {
    const hash = hashSecret(token);
    const client = await context.store.read((tables) => tables.clients.findByHash(hash));
    if (client !== undefined && sameHash(client.tokenHash, hash)) {
      return { kind: 'client', project: client.project, client: client.id };
    }
  }
  throw new VmdnError(
    'unauthenticated',
    'This needs a client token ("authorization: Bearer …") or a proof by an enrolled node. The ' +
      'coordinator keeps the first client token in its state directory, in client-token.',
  );
}

async function identifyNode(
  context: Context,
  verifier: ProofVerifier,
  call: AppContext,
  body: Uint8Array,
  proof: string,
): Promise<NodeIdentity> {
  const url = new URL(call.req.url);
  const request = { method: call.req.method, path: `${url.pathname}${url.search}`, body };
  let node: NodeIdentity['node'] | undefined;
  await verifier.verify(proof, request, async (keyId) => {
    if (!ID_PATTERN.test(keyId)) return undefined;
    node = await context.store.read((tables) => tables.nodes.find(keyId as Id));
    return node?.publicKey;
  });
  return { kind: node!.kind, project: node!.project, node: node! };
}
