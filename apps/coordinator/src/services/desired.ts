/**
 * Room: coordinator, services. The desired state of an edge: all that it should know, hold and run.
 *
 * I1: the revision is a hash of all that is said, the grants' half hour included; the same state has
 *     the same revision at every coordinator.
 * I2: cancelled teleports stay in it until the edge confirmed them; finished ones stay while their
 *     VM should run; failed ones are gone.
 * I3: reads are single: a capture that is over while they are made is still named, or its version is there.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import { distanceKm, FARTHEST_KM } from '@vmdn/core/domain/geography.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import { HOLDERS_MAX } from '../limits.ts';
import type {
  CaptureRow,
  DiskRow,
  ExportRow,
  HolderRow,
  ImportRow,
  NodeFacts,
  OpenSeedRow,
  Tables,
  TeleportRow,
  VersionRow,
} from '../ports.ts';
import type { Context, NodeIdentity } from './context.ts';
import type { GrantIssuer } from './grants.ts';
import { requireProtocol } from './protocol.ts';
import { contentHash } from './secrets.ts';
import { hostnameOf } from './teleport-identity.ts';

/** Everything but the signatures: what the revision is made of. */
interface Outline {
  readonly versions: readonly OutlinedVersion[];
  readonly teleports: readonly TeleportRow[];
  readonly seeds: readonly { readonly seed: OpenSeedRow; readonly holders: readonly HolderRow[] }[];
  readonly imports: readonly ImportRow[];
  readonly exports: readonly ExportRow[];
  readonly captures: readonly CaptureRow[];
  readonly droppable: readonly Digest[];
}

interface OutlinedVersion {
  readonly row: VersionRow;
  /** As they are, and without free space. */
  readonly disks: readonly DiskRow[];
  readonly origin: NodeFacts;
  readonly holders: readonly HolderRow[];
}

/**
 * A wait that ends when the state differs from `revision`, after `waitSeconds`, or at the stop. Throws
 * `incompatible_protocol` for an edge that would do something else.
 */
export async function desiredState(
  context: Context,
  grants: GrantIssuer,
  identity: NodeIdentity,
  poll: {
    readonly revision?: string | undefined;
    readonly waitSeconds: number;
    readonly signal: AbortSignal;
  },
) {
  const { node, project } = identity;
  requireProtocol(context, node.protocol);
  using watch = context.wakes.watch([`edge:${node.id}`, `edges:${project}`]);
  const stop = AbortSignal.any([poll.signal, context.closing]);
  const deadline = Date.now() + poll.waitSeconds * 1000;
  await context.store.read((tables) =>
    tables.teleports.renewLeases(node.id, context.timing.leaseSeconds),
  );
  for (;;) {
    const outline = await context.store.read((tables) => outlineOf(context, tables, identity));
    const revision = revisionOf(outline, grants.window());
    const remainingMs = deadline - Date.now();
    if (revision !== poll.revision || remainingMs <= 0 || stop.aborted) {
      return { revision, ...(await fillIn(grants, identity, outline)) };
    }
    await watch.next(Math.min(context.timing.watchMs, remainingMs), stop);
  }
}

async function outlineOf(
  context: Context,
  tables: Tables,
  { node, project }: NodeIdentity,
): Promise<Outline> {
  // I3
  const captures = await tables.captures.open(node.id);
  const droppable = await tables.vms.droppable(node.id);
  const teleports = await tables.teleports.ofEdge(node.id);
  const versions = unite(
    await tables.vms.newestAvailableOfAll(project),
    await tables.vms.neededBy(node.id),
  );
  const disks = await tables.vms.disksOf(versions);
  const seeds = await tables.orders.openSeeds(node.id);
  const imports = await tables.orders.openImports(node.id);
  const exports = await tables.exports.open(node.id);
  const digests = [...disks, ...seeds].map((disk) => disk.digest);
  const patience = context.hearing.patienceSeconds();
  const found = await tables.images.holders(project, [...new Set(digests)], patience);
  const holders = nearestFirst(node, found);
  const nodes = new Map((await tables.nodes.list(project, patience)).map((n) => [n.id, n]));
  return {
    versions: versions.map((row) => {
      const mine = disks.filter((disk) => disk.vmId === row.vmId && disk.version === row.version);
      const wanted = new Set(mine.map((disk) => disk.digest));
      const others = holders.filter((one) => one.node !== row.originId && wanted.has(one.digest));
      const origin = nodes.get(row.originId)!;
      return { row, disks: mine, origin, holders: others.slice(0, HOLDERS_MAX) };
    }),
    teleports,
    seeds: seeds.map((seed) => ({ seed, holders: holdersOf(holders, seed.digest) })),
    imports,
    exports,
    captures,
    droppable,
  };
}

function unite(left: readonly VersionRow[], right: readonly VersionRow[]): VersionRow[] {
  const byKey = new Map([...left, ...right].map((row) => [keyOf(row), row]));
  return [...byKey.values()].sort((a, b) =>
    a.vm === b.vm ? a.version - b.version : a.vm < b.vm ? -1 : 1,
  );
}

function keyOf(row: { readonly vmId: Id; readonly version: number }): string {
  return `${row.vmId}/${row.version}`;
}

/**
 * Other nodes that hold a disk, the nearest to this edge first, at one place those that have all of it; nodes
 * without a place last.
 */
function nearestFirst(edge: NodeFacts, holders: readonly HolderRow[]): HolderRow[] {
  const distance = (holder: HolderRow): number => {
    if (holder.latitude === null || holder.longitude === null) return FARTHEST_KM;
    if (edge.latitude === null || edge.longitude === null) return FARTHEST_KM;
    const from = { latitude: edge.latitude, longitude: edge.longitude };
    return distanceKm(from, { latitude: holder.latitude, longitude: holder.longitude });
  };
  return holders
    .filter((holder) => holder.node !== edge.id)
    .map((holder) => ({ holder, km: distance(holder) }))
    .sort((a, b) => a.km - b.km || order(a.holder, b.holder))
    .map(({ holder }) => holder);
}

function order(left: HolderRow, right: HolderRow): number {
  if (left.partial !== right.partial) return left.partial ? 1 : -1;
  return left.name < right.name ? -1 : 1;
}

function holdersOf(holders: readonly HolderRow[], digest: Digest): HolderRow[] {
  return holders.filter((holder) => holder.digest === digest).slice(0, HOLDERS_MAX);
}

function revisionOf(outline: Outline, window: number): string {
  return contentHash([
    window,
    outline.versions.map(({ row, origin, holders }) => [
      row,
      origin.url,
      origin.publicKey.x,
      holders.map(holderWords),
    ]),
    outline.teleports.map((row) => [row.id, row.epoch, row.state, row.version, row.power]),
    outline.seeds.map(({ seed, holders }) => [seed, holders.map(holderWords)]),
    outline.imports.map((order) => order.id),
    outline.exports.map((order) => order.id),
    outline.captures.map((order) => order.id),
    outline.droppable,
  ]);
}

function holderWords(holder: HolderRow): readonly string[] {
  return [holder.digest, holder.node, holder.name, holder.url, String(holder.partial)];
}

function holderOf({ node, name, kind, url, partial }: HolderRow) {
  return { node, name, kind, url, partial };
}

async function fillIn(grants: GrantIssuer, identity: NodeIdentity, outline: Outline) {
  const versions = await Promise.all(
    outline.versions.map((version) => knownVersion(grants, identity, version)),
  );
  const byKey = new Map(outline.versions.map(({ row }, index) => [keyOf(row), versions[index]!]));
  const disksByKey = new Map(outline.versions.map(({ row, disks }) => [keyOf(row), disks]));
  const teleports = outline.teleports.map(async (row) => {
    const purpose = { purpose: 'teleport', teleport: row.id, epoch: row.epoch } as const;
    const disks = disksByKey.get(keyOf(row))!.filter((disk) => disk.skipFree === row.skipFree);
    return {
      teleport: row.id,
      epoch: row.epoch,
      state: row.state,
      version: byKey.get(keyOf(row))!,
      skipFree: row.skipFree,
      lazy: row.lazy,
      requestedAt: row.createdAt.toISOString(),
      method: row.method,
      dropSnapshot: row.dropSnapshot,
      databases: row.databases,
      identity: row.identity,
      hostname: hostnameOf(row),
      networks: row.networks,
      power: row.power,
      grant: await grants.issue(identity.node, purpose, disks),
    };
  });
  const seeds = outline.seeds.map(({ seed, holders }) =>
    desiredSeed(grants, identity, seed, holders),
  );
  return {
    versions,
    teleports: await Promise.all(teleports),
    seeds: await Promise.all(seeds),
    imports: outline.imports.map(({ id, name, file, format }) => ({
      import: id,
      name,
      file,
      format,
    })),
    exports: outline.exports.map(({ id, teleport, name, format, hypervisor }) => ({
      export: id,
      ...{ teleport, name, format, hypervisor },
    })),
    captures: outline.captures.map(({ id, teleport, vm, version, keepStopped }) => ({
      capture: id,
      ...{ teleport, vm, version, keepStopped },
    })),
    dropSnapshots: [...outline.droppable],
  };
}

async function knownVersion(
  grants: GrantIssuer,
  { node }: NodeIdentity,
  { row, disks, origin, holders }: OutlinedVersion,
) {
  return {
    vm: row.vm,
    version: row.version,
    state: row.state,
    origin: {
      node: origin.id,
      name: origin.name,
      kind: origin.kind,
      url: origin.url,
      publicKey: origin.publicKey,
    },
    descriptionDigest: row.descriptionDigest,
    holders: holders.map((holder) => ({ ...holderOf(holder), digest: holder.digest })),
    recipeGrant: await grants.issue(
      node,
      { purpose: 'background' },
      disks.filter((disk) => !disk.skipFree),
    ),
  };
}

async function desiredSeed(
  grants: GrantIssuer,
  { node }: NodeIdentity,
  seed: OpenSeedRow,
  holders: readonly HolderRow[],
) {
  const { id, digest, name, virtualSizeBytes, keysRoot, nonZeroBytes } = seed;
  // Keys and hashes are some 0.25 % of the non-zero bytes; 1 % is generous.
  const disk = { digest, nonZeroBytes, recipeBytes: Math.ceil(nonZeroBytes / 100) };
  return {
    seed: id,
    image: { digest, name, virtualSizeBytes, keysRoot },
    holders: holders.map(holderOf),
    grant: await grants.issue(node, { purpose: 'seed', seed: id }, [disk]),
  };
}
