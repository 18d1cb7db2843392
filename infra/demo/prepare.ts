/**
 * Room: infra, demo. Everything before the first request: guests, a clean state folder, the network,
 * and the base image on two edges.
 */

import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Name } from '@vmdn/core/domain/names.ts';
import {
  describeVm,
  getImport,
  getSeed,
  requestImport,
  requestSeed,
} from '@vmdn/core/http/contracts/coordinator-clients.ts';
import type { DiskFile } from '../lab/disk-proof.ts';
import { buildGuests, findGuest, guestsDir, placeVm } from '../lab/guests.ts';
import { type Network, startNetwork } from '../lab/network.ts';
import { readRecord, stopRecorded } from '../lab/record.ts';
import { waitFor } from '../lab/wait-for.ts';
import type { Journal } from './journal.ts';
import type { SeedReport } from './report.ts';
import {
  BASE_IMAGE,
  type DemoVm,
  EDGES,
  ORIGIN,
  UPLINK_BYTES_PER_SECOND,
  VMS,
} from './scenario.ts';

export interface Context {
  readonly journal: Journal;
  readonly signal: AbortSignal;
  readonly stateDir: string;
}

/** A VM as the origin has it, and what its builder said of its web site. */
export interface Source {
  readonly disk: DiskFile;
  /** The same disk in the guests' cache, which the network never touches. */
  readonly original: DiskFile;
  readonly siteManifestPath: string;
}

const IMPORT_MS_MAX = 180_000;
const SEED_MS_MAX = 180_000;
/** The origin hashes two disks and three edges plan them, all on the same cores. */
const PLAN_MS_MAX = 180_000;

/** Builds the guests that are missing; says what the builder says. */
export async function ensureGuests({ journal, signal }: Context): Promise<void> {
  const onLine = (line: string): void => journal.say(`  ${line}`);
  await buildGuests([BASE_IMAGE, ...VMS], { signal, onLine });
}

/** Stops a network that was kept, and empties the state folder. */
export async function cleanState({ stateDir, journal }: Context): Promise<void> {
  const record = await readRecord(stateDir);
  if (record !== undefined) {
    journal.say(`stopping the network that was kept since ${record.startedAt}`);
    await stopRecorded(record);
  }
  await rm(stateDir, { recursive: true, force: true });
  await mkdir(stateDir, { recursive: true, mode: 0o711 });
}

/** Copies the guests to where the origin finds its VMs. */
export async function layOutVms(context: Context): Promise<Map<DemoVm, Source>> {
  const vmsDir = join(context.stateDir, 'vms');
  const sources = new Map<DemoVm, Source>();
  for (const vm of VMS) {
    const guest = await findGuest(vm);
    if (guest.siteManifestPath === null) throw new Error(`${vm} has no manifest of its site.`);
    const disk = await placeVm(guest, vmsDir);
    sources.set(vm, { disk, original: guest.disk, siteManifestPath: guest.siteManifestPath });
  }
  return sources;
}

export function startDemoNetwork({ stateDir, signal }: Context): Promise<Network> {
  return startNetwork({
    stateDir,
    origins: [
      { ...ORIGIN, vmsDir: join(stateDir, 'vms'), uplinkBytesPerSecond: UPLINK_BYTES_PER_SECOND },
    ],
    edges: EDGES.map(({ name, region, usesNeighbours }) => ({
      name,
      region,
      settings: {
        VMDN_IMPORT_DIRS: guestsDir(process.env),
        VMDN_TELEPORT_PEERS: usesNeighbours ? 'on' : 'off',
        VMDN_MIRRORS: usesNeighbours ? 'machine' : 'none',
      },
    })),
    // A second instead of five: the origin's counter comes with its heartbeat.
    coordinatorSettings: { VMDN_HEARTBEAT_SECONDS: '1' },
    signal,
  });
}

/** Imports the base image on the first edge. */
export async function importBase(network: Network, { signal, journal }: Context): Promise<void> {
  const { disk } = await findGuest(BASE_IMAGE);
  const [edge] = EDGES;
  const body = {
    edge: edge.name as Name,
    name: BASE_IMAGE as Name,
    file: disk.path,
    format: disk.format as 'raw',
  };
  const order = await network.client.call(requestImport, { body, signal });
  const done = async () => {
    const now = await network.client.call(getImport, { params: { import: order.import }, signal });
    return now.state === 'done' || now.state === 'failed' ? now : undefined;
  };
  const watch = network.assertRunning;
  const result = await waitFor('the base image is imported', done, {
    timeoutMs: IMPORT_MS_MAX,
    signal,
    watch,
  });
  if (result.state === 'failed')
    throw new VmdnError('unavailable', `The import failed: ${result.message}`);
  journal.say(`  ${edge.name} holds ${BASE_IMAGE}: ${result.digest}`);
}

/** Seeds the second edge; the bytes come from the first one. */
export async function seedBase(
  network: Network,
  { signal, journal }: Context,
): Promise<SeedReport> {
  const edge = EDGES[1].name as Name;
  const body = { image: BASE_IMAGE as Name, edges: [edge] };
  const order = await network.client.call(requestSeed, { body, signal });
  const done = async () => {
    const now = await network.client.call(getSeed, { params: { seed: order.seed }, signal });
    return now.edges.find(({ state }) => state === 'done' || state === 'failed');
  };
  const watch = network.assertRunning;
  const result = await waitFor('the base image is seeded', done, {
    timeoutMs: SEED_MS_MAX,
    signal,
    watch,
  });
  if (result.state === 'failed' || result.delivery === null) {
    throw new VmdnError('unavailable', `Seeding failed: ${result.message ?? 'without a delivery'}`);
  }
  const { diskBytes, wireBytes } = result.delivery;
  journal.say(
    `  ${edge} took it from a neighbour: ${(wireBytes.peer / 1e6).toFixed(1)} MB transferred`,
  );
  return { image: BASE_IMAGE, edge, diskBytes, wireBytes };
}

/** Waits until every edge has planned every VM, with the base image where it has that. */
export async function awaitPlans(network: Network, { signal }: Context): Promise<void> {
  const isPlanned = async (vm: DemoVm): Promise<boolean> => {
    const params = { vm: vm as Name };
    const { scores } = await network.client.call(describeVm, { params, signal });
    return EDGES.every(({ name, hasBase }) => {
      const score = scores.find(({ edge }) => edge === name);
      const isLocal = score?.disks.every(({ diskBytes }) => diskBytes.local > 0) ?? false;
      return score !== undefined && isLocal === hasBase;
    });
  };
  const watch = network.assertRunning;
  const timing = { timeoutMs: PLAN_MS_MAX, intervalMs: 250, signal, watch };
  for (const vm of VMS) await waitFor(`every edge has planned ${vm}`, () => isPlanned(vm), timing);
}
