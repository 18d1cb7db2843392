/**
 * Room: coordinator, services. What nodes say of themselves: that they live, and what they hold.
 */

import type { Beat, CapturedState, DiskInMaking, HeldImage } from '../ports.ts';
import type { ClientIdentity, Context, NodeIdentity } from './context.ts';
import { requireProtocol } from './protocol.ts';

/**
 * Takes a heartbeat: the node is alive, and an edge keeps its leases. Throws `incompatible_protocol`: then
 * the node counts as silent, and gets no work.
 */
export async function heartbeat(context: Context, { node, project }: NodeIdentity, beat: Beat) {
  const { silenceSeconds, leaseSeconds, heartbeatSeconds } = context.timing;
  if (beat.protocol !== context.protocol && beat.protocol !== node.protocol) {
    // Routing, and who lists nodes, must know.
    await context.store.read((tables) => tables.nodes.noteProtocol(node.id, beat.protocol));
  }
  requireProtocol(context, beat.protocol);
  const isNews = await context.store.transaction(async (tables) => {
    const changed = await tables.nodes.beat(node.id, beat, silenceSeconds);
    if (node.kind === 'edge') await tables.teleports.renewLeases(node.id, leaseSeconds);
    // A node that comes back may be the edge that a waiting teleport needs.
    if (changed) await tables.notify(`edges:${project}`, 'jobs');
    return changed;
  });
  if (isNews) context.events('node_back', { node: node.id, name: node.name, url: beat.url });
  return { protocol: context.protocol, heartbeatSeconds };
}

/** Takes all that a node holds, and what it is making. What an edge captured is there while it holds it. */
export async function reportHoldings(
  context: Context,
  { node, project }: NodeIdentity,
  images: readonly HeldImage[],
  making: readonly DiskInMaking[],
) {
  let captured: readonly CapturedState[] = [];
  const isNews = await context.store.transaction(async (tables) => {
    const isOther = await tables.images.replaceHoldings(node.id, project, images);
    if (node.kind === 'edge') captured = await tables.captures.settleStates(node.id);
    const makesOther = await tables.images.replaceMaking(node.id, project, making);
    const changed = isOther || makesOther;
    if (changed || captured.length > 0) await tables.notify(`edges:${project}`, 'jobs');
    return changed;
  });
  if (isNews)
    context.events('holdings_changed', {
      node: node.id,
      images: images.length,
      making: making.length,
    });
  for (const one of captured) context.events('version_state', { ...one });
  return { accepted: true as const };
}

/** The nodes of a project with their health and room. */
export async function listNodes(context: Context, { project }: ClientIdentity) {
  return await context.store.read(async (tables) => {
    const nodes = await tables.nodes.list(project, context.timing.silenceSeconds);
    const images = await tables.images.countByNode(project);
    const running = await tables.teleports.runningByEdge(project);
    return nodes.map((node) => ({
      node: node.id,
      name: node.name,
      kind: node.kind,
      region: node.region,
      location:
        node.latitude === null || node.longitude === null
          ? null
          : { latitude: node.latitude, longitude: node.longitude },
      healthy: node.healthy,
      lastSeenAt: node.lastSeenAt?.toISOString() ?? null,
      protocol: node.protocol,
      freeStoreBytes: node.freeStoreBytes,
      freeMemoryMiB: node.freeMemoryMiB,
      networks: [...(node.networks ?? [])],
      accelerator: node.accelerator,
      images: images.get(node.id) ?? 0,
      runningVms: running.get(node.id) ?? 0,
      uplinkBytes: node.uplinkBytes,
      uplinkLimitBytesPerSecond: node.uplinkLimit,
      holderFaults: [...node.holderFaults],
      refusedReceipts: node.refusedReceipts,
    }));
  });
}

/** The images that nodes hold. */
export async function listImages(context: Context, { project }: ClientIdentity) {
  return await context.store.read((tables) => tables.images.list(project));
}
