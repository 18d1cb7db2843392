/**
 * Room: edge, services. The nodes that hold a disk, as sources of recipes and blocks.
 *
 * I1: grants are asked for at each request: one that was renewed is used at once.
 * I2: neighbours come before origins, so that an origin's uplink is the last resort.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import type { DiskClient } from '@vmdn/core/http/clients/disk-client.ts';
import type { KnownVersion } from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import type { Holder } from '@vmdn/core/http/contracts/schemas.ts';
import type { RemoteSource } from '@vmdn/core/io/ports/remote-source.ts';
import type { HolderBreakers } from './holder-breakers.ts';

/** A node that holds the disk in whole. */
export interface DiskHolder {
  readonly tier: 'peer' | 'origin';
  readonly node: Id;
  readonly name: string;
  readonly url: string;
}

/** Which nodes a teleport may read from. */
export interface SourcePolicy {
  /** This edge: never a source for itself. */
  readonly self: Id;
  /** Whether other edges are sources. */
  readonly usesPeers: boolean;
}

/** The holders of one disk of a version, in the order in which they are asked. */
export function holdersOf(
  version: KnownVersion,
  digest: Digest,
  { self, usesPeers }: SourcePolicy,
): readonly DiskHolder[] {
  const holders = version.holders.filter((holder) => holder.digest === digest);
  const others = usesPeers ? holders : holders.filter(({ kind }) => kind === 'origin');
  // A withdrawn version is gone from its origin; asking costs a round trip and tells nothing.
  const origins = version.state === 'withdrawn' ? [] : [version.origin];
  return orderHolders([...others, ...origins], self);
}

/** Each node once, neighbours first, never this edge itself. */
export function orderHolders(nodes: readonly Holder[], self: Id): readonly DiskHolder[] {
  const byNode = new Map(
    nodes.filter(({ node }) => node !== self).map((node) => [node.node, node]),
  );
  const holders = [...byNode.values()].map(
    ({ node, name, kind, url }): DiskHolder => ({
      tier: kind === 'edge' ? 'peer' : 'origin',
      node,
      name: `${kind} ${name}`,
      url,
    }),
  );
  return [
    ...holders.filter(({ tier }) => tier === 'peer'),
    ...holders.filter(({ tier }) => tier === 'origin'),
  ];
}

/** Where blocks come from that are not here: from a neighbour while there is one. */
export function tierOf(holders: readonly DiskHolder[]): DiskHolder['tier'] {
  return holders[0]?.tier ?? 'origin';
}

/** The holders as sources for the sync engine. */
export function remoteSources(options: {
  readonly client: Pick<DiskClient, 'readBlocks'>;
  readonly holders: readonly DiskHolder[];
  readonly digest: Digest;
  readonly virtualSizeBytes: number;
  readonly grant: () => string;
  readonly breakers: HolderBreakers;
}): readonly RemoteSource[] {
  const { client, digest, virtualSizeBytes, grant } = options;
  const guarded = options.breakers.among(options.holders);
  return options.holders.map((holder) => {
    const { tier, name, node, url } = holder;
    const disk = { url, holder: node, digest, virtualSizeBytes };
    return {
      tier,
      name,
      isDoubtful: guarded.isDoubtful(holder),
      note: (fault) => guarded.note(holder, fault),
      readBlocks: (request) =>
        guarded.guard(holder, () => client.readBlocks({ ...request, ...disk, grant: grant() })),
    };
  });
}
