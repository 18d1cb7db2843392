/**
 * Room: test, harness. Asking a network: by the typed client where the request is a good one, by
 * plain HTTP where it is not.
 */

import type { IdentityWay } from '@vmdn/core/domain/identity.ts';
import type { Id, Name } from '@vmdn/core/domain/names.ts';
import type { NetworkMap } from '@vmdn/core/domain/networks.ts';
import { isFinal, isSettled } from '@vmdn/core/domain/teleport.ts';
import {
  cancelTeleport,
  describeVm,
  getImport,
  getTeleport,
  listEdges,
  listVms,
  requestImport,
  requestTeleport,
  type Teleport,
} from '@vmdn/core/http/contracts/coordinator-clients.ts';
import { compareDisks, type DiskComparison, type DiskFile } from '@vmdn/infra/lab/disk-proof.ts';
import { deliveredDisk } from '@vmdn/infra/lab/edge-files.ts';
import type { Network } from '@vmdn/infra/lab/network.ts';
import { waitFor } from '@vmdn/infra/lab/wait-for.ts';
import { ORIGIN } from './test-network.ts';

/** Guests boot under emulation, sometimes beside other work. */
const TELEPORT_MS_MAX = 420_000;
const DESCRIBE_MS_MAX = 120_000;
/** A system that is no Debian is looked at in an appliance, which may take 15 minutes by itself. */
export const INSPECT_MS_MAX = 960_000;
const HEALTHY_MS_MAX = 60_000;
const REMOVE_MS_MAX = 180_000;

export interface PlainReply {
  readonly status: number;
  /** Parsed when it is JSON, the text otherwise. */
  readonly body: unknown;
}

/** A request that no client of ours would send. The token is the network's own unless said. */
export async function ask(
  network: Network,
  method: string,
  path: string,
  options: {
    readonly body?: unknown;
    readonly raw?: string | Uint8Array<ArrayBuffer>;
    readonly token?: string | null;
  } = {},
): Promise<PlainReply> {
  const headers: Record<string, string> = { 'content-type': 'application/json' };
  const token = options.token === undefined ? network.clientFile.token : options.token;
  if (token !== null) headers.authorization = `Bearer ${token}`;
  const body = options.raw ?? (options.body === undefined ? null : JSON.stringify(options.body));
  const response = await fetch(`${network.client.url}${path}`, { method, headers, body });
  const text = await response.text();
  try {
    return { status: response.status, body: JSON.parse(text) };
  } catch {
    return { status: response.status, body: text };
  }
}

/** Waits until the coordinator sees every edge healthy whose service runs, for instance after a stall. */
async function edgesHealthy(network: Network): Promise<void> {
  const up = network.nodes.filter(({ kind, service }) => kind === 'edge' && service.isRunning());
  const areHealthy = async (): Promise<boolean> => {
    const { nodes } = await network.client.call(listEdges, {});
    return up.every(({ name }) => nodes.some((node) => node.name === name && node.healthy));
  };
  await waitFor('the edges that run are healthy', areHealthy, { timeoutMs: HEALTHY_MS_MAX });
}

/** Asks for a teleport when every edge that runs can be chosen: on a busy machine heartbeats come late. */
export async function beginTeleport(
  network: Network,
  vm: string,
  near: string,
  how: {
    readonly lazy?: boolean;
    readonly move?: boolean;
    readonly method?: 'exact' | 'functional';
    readonly databases?: 'files' | 'dump';
    readonly identity?: IdentityWay;
    readonly hostname?: string;
    readonly networks?: NetworkMap;
  } = {},
): Promise<Teleport> {
  await edgesHealthy(network);
  const body = { vm: vm as Name, near: { region: near as Name }, lazy: false, ...how };
  return await network.client.call(requestTeleport, { body });
}

/** Waits until a teleport is as wanted; fails at once when it ended otherwise. */
export function teleportUntil(
  network: Network,
  id: Id,
  what: string,
  isWanted: (teleport: Teleport) => boolean,
  timeoutMs: number = TELEPORT_MS_MAX,
): Promise<Teleport> {
  let last: Teleport | undefined;
  const probe = async () => {
    last = await network.client.call(getTeleport, { params: { teleport: id } });
    return isWanted(last) ? last : undefined;
  };
  const watch = (): void => {
    if (last === undefined || !isSettled(last) || isWanted(last)) return;
    throw new Error(`The teleport is ${last.state} before ${what}: ${last.message}`);
  };
  return waitFor(what, probe, { timeoutMs, intervalMs: 50, watch });
}

/** Waits until a teleport is over, well or not. */
export function teleportEnd(network: Network, id: Id): Promise<Teleport> {
  return teleportUntil(network, id, 'it is over', ({ state }) => isFinal(state));
}

/** Bytes of the disks that are verified so far. */
export function verifiedBytes(teleport: Teleport): number {
  return teleport.disks.reduce((sum, disk) => sum + disk.verifiedBytes, 0);
}

/** Compares a disk of a finished teleport, the first unless said, with its source. */
export async function compareDelivered(
  network: Network,
  teleport: Teleport,
  source: DiskFile,
  index = 0,
): Promise<DiskComparison> {
  const disk = teleport.disks[index];
  if (disk === undefined) throw new Error(`The teleport has no disk ${index}.`);
  const delivered = await deliveredDisk(network.node(teleport.edge).stateDir, disk.digest);
  return compareDisks(source, delivered);
}

/**
 * Takes a delivered VM away, one that was moved only with its writes, and waits until its edge has said that
 * nothing of it is left there.
 */
export async function removeVm(
  network: Network,
  { teleport }: Teleport,
  writes: 'keep' | 'discard' = 'keep',
): Promise<void> {
  await network.client.call(cancelTeleport, { params: { teleport }, query: { writes } });
  const isGone = async (): Promise<boolean> =>
    (await network.client.call(getTeleport, { params: { teleport } })).released;
  await waitFor('the VM is removed', isGone, { timeoutMs: REMOVE_MS_MAX });
}

/** What a node's limiter has let through since it started, as its next heartbeat tells. */
export async function sentBytes(network: Network, name: string): Promise<number> {
  const askedMs = Date.now();
  const told = async (): Promise<number | undefined> => {
    const { nodes } = await network.client.call(listEdges, {});
    const sender = nodes.find((node) => node.name === name);
    const seenMs = Date.parse(sender?.lastSeenAt ?? '');
    return seenMs > askedMs ? (sender?.uplinkBytes ?? undefined) : undefined;
  };
  return waitFor(`the counter of ${name} is told`, told, { timeoutMs: 60_000 });
}

/** What the test network's only origin has sent. */
export function originSentBytes(network: Network): Promise<number> {
  return sentBytes(network, ORIGIN);
}

/** Waits until the origin has described a VM, in a version of at least `version`. */
export async function vmDescribed(
  network: Network,
  vm: string,
  version = 1,
  timeoutMs = DESCRIBE_MS_MAX,
): Promise<number> {
  const probe = async (): Promise<number | undefined> => {
    const { vms } = await network.client.call(listVms, {});
    return vms.find(
      (each) => each.vm === vm && each.version >= version && each.state !== 'withdrawn',
    )?.version;
  };
  const watch = network.assertRunning;
  return waitFor(`${vm} is described`, probe, { timeoutMs, watch });
}

/** Waits until an edge has planned a VM's newest version. */
export async function vmPlanned(network: Network, vm: string, edge: string): Promise<void> {
  const probe = async (): Promise<boolean> => {
    const { scores } = await network.client.call(describeVm, { params: { vm: vm as Name } });
    return scores.some((score) => score.edge === edge);
  };
  await waitFor(`${edge} has planned ${vm}`, probe, { timeoutMs: DESCRIBE_MS_MAX });
}

/** Imports a disk on an edge. Throws with the edge's words when that fails. */
export async function importImage(
  network: Network,
  edge: string,
  name: string,
  disk: DiskFile,
): Promise<void> {
  const body = {
    edge: edge as Name,
    name: name as Name,
    file: disk.path,
    format: disk.format as 'raw',
  };
  const order = await network.client.call(requestImport, { body });
  const over = async () => {
    const now = await network.client.call(getImport, { params: { import: order.import } });
    return now.state === 'done' || now.state === 'failed' ? now : undefined;
  };
  const result = await waitFor('the import is over', over, { timeoutMs: DESCRIBE_MS_MAX });
  if (result.state === 'failed') throw new Error(`The import failed: ${result.message}`);
}
