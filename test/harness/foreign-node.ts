/**
 * Room: test, harness. A node that is ours: enrolled like any edge, with a key in our hands, so that
 * its grants can be used and misused.
 */

import type { Id, Name } from '@vmdn/core/domain/names.ts';
import { generateNodeKey, type NodeKey } from '@vmdn/core/http/auth/keys.ts';
import {
  type CoordinatorClient,
  createCoordinatorClient,
} from '@vmdn/core/http/clients/coordinator-client.ts';
import { createEnrolmentToken } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import {
  desiredState,
  enrolNode,
  type KnownVersion,
  readDescription,
} from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import { PROTOCOL_VERSION } from '@vmdn/core/http/contracts/schemas.ts';
import type { Network } from '@vmdn/infra/lab/network.ts';
import { waitFor } from '@vmdn/infra/lab/wait-for.ts';

export interface ForeignNode extends AsyncDisposable {
  readonly node: Id;
  readonly key: NodeKey;
  readonly client: CoordinatorClient;
  /** What the coordinator tells it of a VM, grant and all. */
  known(vm: string): Promise<KnownVersion>;
  /** The signed description of a version. */
  description(of: Pick<KnownVersion, 'vm' | 'version'>): Promise<string>;
}

/** Enrols an edge that nobody will choose: it says that it listens where nobody does. */
export async function enrolForeignEdge(network: Network, name: string): Promise<ForeignNode> {
  const { url } = network.client;
  const { enrolmentToken } = await network.client.call(createEnrolmentToken, {
    body: { kind: 'edge' },
  });
  const key = await generateNodeKey();
  await using stranger = createCoordinatorClient({ url, credentials: { kind: 'none' } });
  const body = {
    enrolmentToken,
    kind: 'edge' as const,
    name: name as Name,
    region: 'oceania' as Name,
    url: 'http://127.0.0.1:9',
    publicKey: key.publicKey,
    protocol: PROTOCOL_VERSION,
  };
  const { node } = await stranger.call(enrolNode, { body });
  const client = createCoordinatorClient({ url, credentials: { kind: 'node', node, key } });
  return {
    node,
    key,
    client,
    async known(vm) {
      const find = async () => {
        const { versions } = await client.call(desiredState, { query: {} });
        return versions.find((version) => version.vm === vm);
      };
      return waitFor(`${name} knows ${vm}`, find, { timeoutMs: 60_000 });
    },
    async description({ vm, version }) {
      return (await client.call(readDescription, { params: { vm, version } })).description;
    },
    [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
  };
}
