/**
 * Room: infra, demo. One teleport of the demonstration, from the request to the proofs.
 *
 * I1: the next request waits until the one before has its disk, so that each has the link to itself;
 *     guests boot meanwhile.
 */

import type { Id, Name } from '@vmdn/core/domain/names.ts';
import { isDependent, isSettled } from '@vmdn/core/domain/teleport.ts';
import { requestTeleport, type Teleport } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import { compareDisks, type DiskFile } from '../lab/disk-proof.ts';
import { deliveredDisk } from '../lab/edge-files.ts';
import type { Network } from '../lab/network.ts';
import { proveSite } from '../lab/site-proof.ts';
import { type Check, checkDisk, checkRouting, checkSite, checkTiers } from './checks.ts';
import type { Journal } from './journal.ts';
import type { DemoRequest } from './scenario.ts';

export interface DemoTeleport {
  readonly request: DemoRequest;
  /** Settles when the disk is complete, or the teleport is over. */
  readonly synced: Promise<void>;
  /** The teleport when it is over. */
  readonly finished: Promise<Teleport>;
}

/** Parts of the disk after which progress is said. */
const PROGRESS_PARTS = 4;

/** Its guest may run long before. */
function isComplete({ disks }: Teleport): boolean {
  const isWhole = disks.every((disk) => disk.verifiedBytes === disk.virtualSizeBytes);
  return disks.length > 0 && isWhole;
}

function progressWords(teleport: Teleport): string {
  const verified = teleport.disks.reduce((sum, disk) => sum + disk.verifiedBytes, 0);
  const virtual = teleport.disks.reduce((sum, disk) => sum + disk.virtualSizeBytes, 0);
  const part = virtual === 0 ? 0 : Math.floor((PROGRESS_PARTS * verified) / virtual);
  const message = teleport.message === null ? '' : ` (${teleport.message})`;
  const isComing = teleport.state === 'syncing' || (teleport.lazy && isDependent(teleport));
  const share = isComing ? ` ${(100 * part) / PROGRESS_PARTS} %` : '';
  return `${teleport.vm} -> ${teleport.edge}: ${teleport.state}${share}${message}`;
}

/** Asks for a teleport and follows it. Rejects when the coordinator refuses it. */
export async function beginTeleport(
  network: Network,
  request: DemoRequest,
  options: { readonly journal: Journal; readonly signal: AbortSignal },
): Promise<DemoTeleport> {
  const { journal, signal } = options;
  const body = { vm: request.vm as Name, near: { region: request.near as Name } };
  const first = await network.client.call(requestTeleport, { body, signal });
  journal.say(`${request.vm} near ${request.near}: ${first.edge} (${first.chosen.reason})`);
  for (const other of first.others) journal.say(`    not ${other.edge}: ${other.reason}`);
  const hasDisk = Promise.withResolvers<void>();
  const finished = followToEnd(
    network,
    first.teleport,
    signal,
    (teleport) => {
      if (isComplete(teleport) || isSettled(teleport)) hasDisk.resolve();
      return progressWords(teleport);
    },
    journal,
  );
  finished.catch(hasDisk.reject);
  return { request, synced: hasDisk.promise, finished };
}

async function followToEnd(
  network: Network,
  id: Id,
  signal: AbortSignal,
  see: (teleport: Teleport) => string,
  journal: Journal,
): Promise<Teleport> {
  let said = '';
  let last: Teleport | undefined;
  for await (const teleport of network.client.followTeleport(id, { signal })) {
    last = teleport;
    const words = see(teleport);
    if (words !== said) journal.say(words);
    said = words;
  }
  if (last === undefined) throw new Error(`Teleport ${id} was never heard of again.`);
  return last;
}

/** Where the guest answers HTTP; null when it does not run. */
export function siteUrl(teleport: Teleport): string | null {
  const endpoint = teleport.endpoints.find(({ port }) => port === 'http');
  return endpoint === undefined ? null : `http://${endpoint.host}:${endpoint.hostPort}/`;
}

/** Proves a finished teleport: routing, tiers, the disk against its source, the site against its manifest. */
export async function proveTeleport(
  network: Network,
  request: DemoRequest,
  teleport: Teleport,
  source: { readonly disk: DiskFile; readonly siteManifestPath: string },
): Promise<Check[]> {
  const checks = [...checkRouting(request, teleport), ...checkTiers(request, teleport)];
  const [disk] = teleport.disks;
  const url = siteUrl(teleport);
  if (disk === undefined || url === null) return checks;
  const delivered = await deliveredDisk(network.node(teleport.edge).stateDir, disk.digest);
  checks.push(...checkDisk(await compareDisks(source.disk, delivered)));
  checks.push(checkSite(await proveSite(url, source.siteManifestPath)));
  return checks;
}
