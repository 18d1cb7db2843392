/**
 * Room: edge, services. The nodes that hold a disk, as sources of recipes and blocks.
 *
 * I1: grants are asked for at each request: one that was renewed is used at once.
 * I2: neighbours come before origins, so that an origin's uplink is the last resort.
 * I3: whoever is only making the disk is asked for blocks, and for nothing that takes all of it.
 */

import { bitmapBytes } from '@vmdn/core/domain/bitmap.ts';
import type { Digest } from '@vmdn/core/domain/digest.ts';
import { isVmdnError, VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import { placeOf } from '@vmdn/core/domain/territory.ts';
import { segmentCount } from '@vmdn/core/domain/units.ts';
import type { DiskClient } from '@vmdn/core/http/clients/disk-client.ts';
import type { KnownVersion } from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import type { HolderOfDisk } from '@vmdn/core/http/contracts/schemas.ts';
import type { RemoteSource } from '@vmdn/core/io/ports/remote-source.ts';
import type { HolderBreakers } from './holder-breakers.ts';

/** A node that holds the disk: all of it, or because it is making it a part. */
export interface DiskHolder {
  readonly tier: 'peer' | 'origin';
  readonly node: Id;
  readonly name: string;
  readonly url: string;
  readonly isPartial: boolean;
}

/** Which nodes a teleport may read from. */
export interface SourcePolicy {
  /** This edge: never a source for itself. */
  readonly self: Id;
  /** Whether other edges are sources. */
  readonly usesPeers: boolean;
}

/** What it takes to trade with others that are making the same disk. */
export interface Trade {
  /** Where on the disk this edge begins. */
  readonly place: number;
  /** Who holds the disk by now, wholly or in part. */
  readonly holders: () => readonly DiskHolder[];
}

/** The holders of one disk of a version, in the order in which they are asked. */
export function holdersOf(
  version: KnownVersion,
  digest: Digest,
  policy: SourcePolicy,
): readonly DiskHolder[] {
  return inWhole(allHoldersOf(version, digest, policy));
}

/** The same with those that hold a part of the disk. */
function allHoldersOf(
  version: KnownVersion,
  digest: Digest,
  { self, usesPeers }: SourcePolicy,
): readonly DiskHolder[] {
  const holders = version.holders.filter((holder) => holder.digest === digest);
  const others = usesPeers ? holders : holders.filter(({ kind }) => kind === 'origin');
  // A withdrawn version is gone from its origin; asking costs a round trip and tells nothing.
  const origins = version.state === 'withdrawn' ? [] : [{ ...version.origin, partial: false }];
  return orderHolders([...others, ...origins], self);
}

/** How a disk of a version is traded, as far as other edges may be sources. */
export function tradeOf(
  policy: SourcePolicy,
  version: () => KnownVersion,
  digest: Digest,
): Trade | undefined {
  if (!policy.usesPeers) return undefined;
  const holders = (): readonly DiskHolder[] => allHoldersOf(version(), digest, policy);
  return { place: placeOf(policy.self), holders };
}

/** Those that hold all of the disk. */
export function inWhole(holders: readonly DiskHolder[]): readonly DiskHolder[] {
  return holders.filter(({ isPartial }) => !isPartial);
}

/** Each node once, neighbours first, never this edge itself. */
export function orderHolders(nodes: readonly HolderOfDisk[], self: Id): readonly DiskHolder[] {
  const byNode = new Map(
    nodes.filter(({ node }) => node !== self).map((node) => [node.node, node]),
  );
  const holders = [...byNode.values()].map(
    ({ node, name, kind, url, partial }): DiskHolder => ({
      tier: kind === 'edge' ? 'peer' : 'origin',
      node,
      name: `${kind} ${name}`,
      url,
      isPartial: partial,
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

interface SourceMeans {
  readonly client: Pick<DiskClient, 'readBlocks' | 'readSegments'>;
  readonly digest: Digest;
  readonly virtualSizeBytes: number;
  readonly grant: () => string;
  readonly breakers: HolderBreakers;
}

/** The holders as sources for the sync engine. */
export function remoteSources(
  options: SourceMeans & { readonly holders: readonly DiskHolder[] },
): readonly RemoteSource[] {
  const { client, digest, virtualSizeBytes, grant } = options;
  const guarded = options.breakers.among(options.holders);
  return options.holders.map((holder): RemoteSource => {
    const { tier, name, node, url } = holder;
    const disk = { url, holder: node, digest, virtualSizeBytes };
    const whole: RemoteSource = {
      tier,
      name,
      isDoubtful: guarded.isDoubtful(holder),
      note: (fault) => guarded.note(holder, fault),
      readBlocks: (request) =>
        guarded.guard(holder, () => client.readBlocks({ ...request, ...disk, grant: grant() })),
    };
    if (!holder.isPartial) return whole;
    return partialSource(whole, holder, virtualSizeBytes, (request) =>
      guarded.guard(holder, () => client.readSegments({ ...request, ...disk, grant: grant() })),
    );
  });
}

/** A source that has what it last said; nothing until it has said something. */
function partialSource(
  source: RemoteSource,
  { node }: DiskHolder,
  virtualSizeBytes: number,
  readSegments: (
    request: Parameters<NonNullable<RemoteSource['refresh']>>[0],
  ) => Promise<{ readonly bytes: Uint8Array }>,
): RemoteSource {
  let present: Uint8Array = new Uint8Array(bitmapBytes(segmentCount(virtualSizeBytes)));
  return {
    ...source,
    place: placeOf(node),
    get presentSegments() {
      return present;
    },
    async refresh(request) {
      const { bytes } = await unlessGone(readSegments(request));
      const isMore = bytes.some((byte, i) => byte !== present[i]);
      present = bytes;
      return isMore;
    },
    readBlocks: (request) => unlessGone(source.readBlocks(request)),
  };
}

/** Between its making and its keeping a disk is nowhere for a moment; one given up may come again. */
async function unlessGone<T>(asked: Promise<T>): Promise<T> {
  try {
    return await asked;
  } catch (error) {
    if (!isVmdnError(error, 'not_found')) throw error;
    throw new VmdnError('unavailable', 'The holder has no part of the disk now.', { cause: error });
  }
}
