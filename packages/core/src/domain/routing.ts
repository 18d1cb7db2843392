/**
 * Room: domain. Which edge gets a VM: a pure function of the request, the VM's demand and the edges.
 *
 * I1: the place is a constraint. Candidates are the healthy edges near it that have room; among them
 *     the least estimated seconds to a running VM win, then the distance, then the name.
 * I2: only when no edge near the place can take the VM does it go to the nearest one elsewhere that
 *     can, marked as spilled, however little a farther edge would have to fetch.
 * I3: total and deterministic: any edges in any order give the same answer, and every edge that was
 *     looked at is in it exactly once, with its reason.
 * I4: an edge has room when it has room for the missing disks and for the overlays that it will have to
 *     reserve: what is chosen here is not refused there.
 * I5: where the request leaves the method open, each edge is seen with its quickest one.
 */

import type { Digest } from './digest.ts';
import type { FunctionalCost } from './functional-estimate.ts';
import { distanceKm, type Location } from './geography.ts';
import type { Id, Name } from './names.ts';
import { lackedNetworks, USER_NETWORK } from './networks.ts';
import { overlayRoomBytes } from './overlay-room.ts';
import { estimateUnplanned, type PlanNumbers, totalPlan } from './routing-estimate.ts';
import { formatBytes, formatKm, formatSeconds } from './routing-words.ts';
import type { RequestedMethod, TeleportMethod } from './skip-free.ts';

/** How far from the asked point an edge may be unless the request says otherwise. */
export const WITHIN_KM_DEFAULT = 1000;

/** The place of a request, resolved: a point, and the name it was given by, if any. */
export interface RequestedPlace extends Location {
  readonly region: Name | null;
  /** Given by the request; null means the default. */
  readonly withinKm: number | null;
  /** True for a city: an edge's region is rarely named after one, so distance decides alone. */
  readonly isCity: boolean;
}

/** Room, or what is promised of it. */
export interface Room {
  readonly storeBytes: number;
  readonly memoryMiB: number;
  readonly vcpus: number;
}

export interface DemandedDisk {
  readonly digest: Digest;
  readonly nonZeroBytes: number;
}

/** What the VM needs wherever it goes. */
export interface Demand {
  readonly disks: readonly DemandedDisk[];
  readonly memoryMiB: number;
  readonly vcpus: number;
  /** What the origin lets through; null when it did not say. */
  readonly originBytesPerSecond: number | null;
  /** By the names that edges have for them. */
  readonly networks: readonly Name[];
}

/** An edge as the coordinator knows it. */
export interface RoutableEdge extends Location {
  readonly edge: Name;
  readonly node: Id;
  readonly region: Name | null;
  readonly healthy: boolean;
  readonly compatible: boolean;
  /** What it said is free; null before its first word about it. */
  readonly free: Room | null;
  /** Promised to teleports under way and not yet in `free`. */
  readonly promised: Room;
  /** Its plan for each disk of the version; null when it has not planned them. */
  readonly plans: readonly PlanNumbers[] | null;
  /** What a functional copy would cost there; null when it can make none, or has not said. */
  readonly functional: FunctionalCost | null;
  /** Networks by name; null when it has not said. */
  readonly networks: readonly Name[] | null;
  /** Disks of the version that it holds entirely. */
  readonly held: ReadonlySet<Digest>;
}

/** One edge as a destination, chosen or not, and why. */
export interface Verdict {
  readonly edge: Name;
  readonly node: Id;
  readonly region: Name | null;
  readonly distanceKm: number;
  readonly plan: PlanNumbers | null;
  readonly functional: FunctionalCost | null;
  /** The method that `estimatedSeconds` is about. */
  readonly method: TeleportMethod;
  readonly estimatedSeconds: number;
  readonly eligible: boolean;
  /** Networks that the VM needs and that it has not. */
  readonly lacks: readonly Name[];
  readonly reason: string;
}

export interface Route {
  /** Null when no edge at all can take the VM. */
  readonly chosen: Verdict | null;
  readonly spilled: boolean;
  /** The best first: those that could have taken it, then by distance. */
  readonly others: readonly Verdict[];
}

interface Assessment {
  readonly edge: RoutableEdge;
  readonly distanceKm: number;
  readonly isNear: boolean;
  readonly plan: PlanNumbers | null;
  readonly method: TeleportMethod;
  readonly estimatedSeconds: number;
  readonly lacks: readonly Name[];
  /** Why it can't take the VM, in words; null when it can. */
  readonly obstacle: string | null;
}

/** Chooses the edge for a VM near a place. */
export function route(
  place: RequestedPlace,
  demand: Demand,
  edges: readonly RoutableEdge[],
  method: RequestedMethod = 'exact',
): Route {
  const isNear = nearness(place, edges);
  const assessed = edges
    .map((edge) => assess(edge, place, demand, isNear, method))
    .sort(byPreference);
  const able = assessed.filter((one) => one.obstacle === null);
  const near = able.filter((one) => one.isNear);
  // The order puts near ones first, by time; without any, the nearest elsewhere comes first.
  const chosen = able[0];
  if (chosen === undefined) {
    return {
      chosen: null,
      spilled: false,
      others: assessed.map((one) => verdict(one, one.obstacle!)),
    };
  }
  const spilled = !chosen.isNear;
  return {
    chosen: verdict(chosen, whyChosen(chosen, near, place)),
    spilled,
    others: assessed
      .filter((one) => one !== chosen)
      .map((one) => verdict(one, one.obstacle ?? whyNot(one, chosen))),
  };
}

/**
 * Whether an edge is near the place. A region's name means the edges of that region; where no edge
 * belongs to it, where the name is a city's, and where the request gives a distance, the distance
 * from the place's point counts (and an edge of a region of that name is near all the same).
 */
function nearness(
  place: RequestedPlace,
  edges: readonly RoutableEdge[],
): (edge: RoutableEdge, distance: number) => boolean {
  const wanted = place.region?.toLowerCase() ?? null;
  const isOfRegion = (edge: RoutableEdge): boolean =>
    wanted !== null && edge.region?.toLowerCase() === wanted;
  const regionDecides =
    wanted !== null && place.withinKm === null && !place.isCity && edges.some(isOfRegion);
  const withinKm = place.withinKm ?? WITHIN_KM_DEFAULT;
  return (edge, distance) => isOfRegion(edge) || (!regionDecides && distance <= withinKm);
}

function assess(
  edge: RoutableEdge,
  place: RequestedPlace,
  demand: Demand,
  isNear: (edge: RoutableEdge, distance: number) => boolean,
  method: RequestedMethod,
): Assessment {
  const distance = distanceKm(edge, place);
  const plan = edge.plans === null ? null : totalPlan(edge.plans);
  const exactSeconds = plan?.estimatedSeconds ?? estimateUnplanned(demand, edge.held);
  return {
    edge,
    distanceKm: distance,
    isNear: isNear(edge, distance),
    plan,
    ...quickest(method, exactSeconds, edge.functional),
    lacks: lackedNetworks(demand.networks, edge.networks),
    obstacle: obstacleOf(edge, demand),
  };
}

/** The method that an edge would use, and its time. A copy that nobody estimated is thought of as exact. */
function quickest(
  method: RequestedMethod,
  exactSeconds: number,
  functional: FunctionalCost | null,
): Pick<Assessment, 'method' | 'estimatedSeconds'> {
  const exact = { method: 'exact', estimatedSeconds: exactSeconds } as const;
  if (method === 'exact') return exact;
  const copySeconds = functional?.estimatedSeconds;
  const copy = { method: 'functional', estimatedSeconds: copySeconds ?? exactSeconds } as const;
  if (method === 'functional') return copy;
  return copySeconds !== undefined && copySeconds < exactSeconds ? copy : exact;
}

/**
 * Bytes that the edge's store must still take: the disks that it does not hold entirely, and what the
 * guest may write into its overlays.
 */
export function neededStoreBytes(demand: Demand, held: ReadonlySet<Digest>): number {
  // Blocks found in local images count too: they are copied into the new disk's own file.
  const missing = demand.disks.filter((disk) => !held.has(disk.digest));
  const diskBytes = missing.reduce((sum, disk) => sum + disk.nonZeroBytes, 0);
  return diskBytes + overlayRoomBytes(demand.disks.length);
}

function obstacleOf(edge: RoutableEdge, demand: Demand): string | null {
  if (!edge.healthy) return 'It has not been heard of lately.';
  if (!edge.compatible) return 'It speaks another version of the protocol; upgrade it.';
  const lackedNames = lackedNetworks(demand.networks, edge.networks);
  if (lackedNames.length > 0) return networkWords(lackedNames, edge.networks);
  if (edge.free === null) return 'It has not said yet what room it has.';
  const storeBytes = edge.free.storeBytes - edge.promised.storeBytes;
  const memoryMiB = edge.free.memoryMiB - edge.promised.memoryMiB;
  const vcpus = edge.free.vcpus - edge.promised.vcpus;
  const needed = neededStoreBytes(demand, edge.held);
  const lacks: string[] = [];
  if (storeBytes < needed) {
    const overlays = formatBytes(overlayRoomBytes(demand.disks.length));
    const free = formatBytes(Math.max(0, storeBytes));
    lacks.push(
      `${formatBytes(needed)} of store (${overlays} of it for what the VM writes), ${free} free`,
    );
  }
  if (memoryMiB < demand.memoryMiB) {
    lacks.push(`${demand.memoryMiB} MiB of memory, ${Math.max(0, memoryMiB)} free`);
  }
  if (vcpus < demand.vcpus) lacks.push(`${demand.vcpus} vCPUs, ${Math.max(0, vcpus)} free`);
  return lacks.length === 0 ? null : `No room: the VM needs ${lacks.join('; ')}.`;
}

function networkWords(lacked: readonly Name[], networks: readonly Name[] | null): string {
  const names = lacked.map((name) => `"${name}"`).join(' and ');
  const has = (networks ?? [USER_NETWORK]).join(', ');
  return `It has no network ${names}; it has ${has}.`;
}

function byName(left: Assessment, right: Assessment): number {
  if (left.edge.edge !== right.edge.edge) return left.edge.edge < right.edge.edge ? -1 : 1;
  return left.edge.node < right.edge.node ? -1 : 1;
}

function byDistance(left: Assessment, right: Assessment): number {
  return left.distanceKm - right.distanceKm || byName(left, right);
}

/** Able before unable, near before far; near ones by time, far ones by distance. */
function byPreference(left: Assessment, right: Assessment): number {
  const rank = (one: Assessment): number => (one.obstacle === null ? 0 : 2) + (one.isNear ? 0 : 1);
  if (rank(left) !== rank(right)) return rank(left) - rank(right);
  const byTime = rank(left) === 0 ? left.estimatedSeconds - right.estimatedSeconds : 0;
  return byTime || byDistance(left, right);
}

function verdict(one: Assessment, reason: string): Verdict {
  return {
    edge: one.edge.edge,
    node: one.edge.node,
    region: one.edge.region,
    distanceKm: Math.round(one.distanceKm * 10) / 10,
    plan: one.plan,
    functional: one.edge.functional,
    method: one.method,
    estimatedSeconds: one.estimatedSeconds,
    eligible: one.obstacle === null,
    lacks: one.lacks,
    reason,
  };
}

function whyChosen(chosen: Assessment, near: readonly Assessment[], place: RequestedPlace): string {
  const facts = describe(chosen);
  if (!chosen.isNear) {
    const where = place.region ?? 'the place';
    return `No edge near ${where} can take it: this is the nearest elsewhere that can. ${facts}`;
  }
  if (near.length === 1) return `The only edge near the place that can take it. ${facts}`;
  const runnerUp = near[1]!;
  const how =
    runnerUp.estimatedSeconds > chosen.estimatedSeconds
      ? 'The least time to a running VM'
      : 'As quick as the next and nearer, or first by name';
  return `${how} of ${near.length} edges near the place that can take it. ${facts}`;
}

function describe(one: Assessment): string {
  const time = `About ${formatSeconds(one.estimatedSeconds)}, ${formatKm(one.distanceKm)} away`;
  if (one.plan === null) return `${time}; it has not planned this version yet.`;
  if (one.method === 'functional') return `${time}: ${describeCopy(one.edge)}.`;
  const { local, package: packages, peer, origin } = one.plan.diskBytes;
  const parts = [`${formatBytes(local)} there already`];
  if (packages > 0) parts.push(`${formatBytes(packages)} from packages`);
  if (peer > 0) parts.push(`${formatBytes(peer)} from neighbours`);
  parts.push(`${formatBytes(origin)} from the origin`);
  const copy = one.edge.functional;
  const other =
    copy === null ? '' : ` A functional copy: about ${formatSeconds(copy.estimatedSeconds)}.`;
  return `${time}: ${parts.join(', ')}.${other}`;
}

function describeCopy({ functional: copy, plans }: RoutableEdge): string {
  if (copy === null) return 'as a functional copy, of which it has told no estimate';
  const changes = `${copy.installed} packages to install, ${copy.removed} to remove`;
  const wire = `at most ${formatBytes(copy.wireBytes)} over the wire`;
  const exact = `exact: about ${formatSeconds(totalPlan(plans ?? []).estimatedSeconds)}`;
  return `as a functional copy, ${changes}, ${wire}; ${exact}`;
}

function whyNot(one: Assessment, chosen: Assessment): string {
  if (!one.isNear && chosen.isNear) {
    return `Too far from the place: ${formatKm(one.distanceKm)}.`;
  }
  if (!one.isNear) return `Farther: ${formatKm(one.distanceKm)}.`;
  const facts = describe(one);
  if (one.estimatedSeconds > chosen.estimatedSeconds) return `It would take longer. ${facts}`;
  if (one.distanceKm > chosen.distanceKm) return `As quick, but farther. ${facts}`;
  return `As good; the name decided. ${facts}`;
}
