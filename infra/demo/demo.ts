/**
 * Room: infra, demo. The demonstration: real guests, teleported near their users over a link of
 * 10 MB/s, proved, booted, read, and reported on.
 *
 * I1: whatever happens, what was started is stopped, unless it was asked to stay and all went well.
 * I2: any difference, anywhere, makes the report bad; nothing is left out of it.
 */

import { totalTierBytes } from '@vmdn/core/domain/tiers.ts';
import {
  cacheStatistics,
  cancelTeleport,
  listEdges,
  type Teleport,
} from '@vmdn/core/http/contracts/coordinator-clients.ts';
import { wholeCopyBytes } from '../lab/disk-proof.ts';
import type { Network } from '../lab/network.ts';
import { findProcesses } from '../lab/processes.ts';
import { readRecord } from '../lab/record.ts';
import { runTool } from '../lab/tools.ts';
import { waitFor } from '../lab/wait-for.ts';
import { type Check, checkLink } from './checks.ts';
import {
  awaitPlans,
  type Context,
  cleanState,
  ensureGuests,
  importBase,
  layOutVms,
  type Source,
  seedBase,
  startDemoNetwork,
} from './prepare.ts';
import type { DemoReport, SeedReport, TeleportReport } from './report.ts';
import { type DemoVm, EDGES, ORIGIN, REQUESTS, UPLINK_BYTES_PER_SECOND } from './scenario.ts';
import { beginTeleport, type DemoTeleport, proveTeleport, siteUrl } from './teleports.ts';

/** Heartbeats carry the origin's counter; two of them must pass. */
const COUNTER_MS_MAX = 60_000;
const CANCEL_MS_MAX = 60_000;

export interface DemoOptions extends Context {
  readonly keep: boolean;
}

/** Runs the demonstration. The network is left running only with `keep`, and only after a good end. */
export async function runDemo(
  options: DemoOptions,
): Promise<{ report: DemoReport; network: Network }> {
  const { journal, signal } = options;
  await journal.step('the guests', () => ensureGuests(options));
  signal.throwIfAborted();
  await cleanState(options);
  const sources = await journal.step('copying the VMs to the origin', () => layOutVms(options));
  const wholeCopies = startWholeCopies(sources);
  const network = await journal.step('the network: a coordinator, an origin, three edges', () =>
    startDemoNetwork(options),
  );
  let isDone = false;
  try {
    const seed = await prepareEdges(network, options);
    const teleports = await teleportAll(network, options, sources, wholeCopies);
    const report = await concludeDemo(network, options, { sources, seed, teleports });
    isDone = report.isGood && options.keep;
    return { report, network };
  } finally {
    if (isDone) network.keep();
    else await network.stop();
  }
}

/** Measures what copies of the whole disks would cost, one after the other, beside everything else. */
function startWholeCopies(sources: Map<DemoVm, Source>): Map<DemoVm, Promise<number>> {
  let before: Promise<unknown> = Promise.resolve();
  const copies = new Map<DemoVm, Promise<number>>();
  for (const [vm, { original }] of sources) {
    const copy = before.then(() => wholeCopyBytes(original));
    // Whoever awaits it hears of a failure; here it only must not end the process.
    before = copy.catch(() => undefined);
    copies.set(vm, copy);
  }
  return copies;
}

async function prepareEdges(network: Network, options: DemoOptions): Promise<SeedReport> {
  const { journal } = options;
  await journal.step(`the base image on ${EDGES[0].name}`, () => importBase(network, options));
  const seed = await journal.step(`the base image on ${EDGES[1].name}`, () =>
    seedBase(network, options),
  );
  await journal.step('plans, ahead of time', () => awaitPlans(network, options));
  return seed;
}

interface Proved {
  readonly teleport: Teleport;
  readonly report: TeleportReport;
}

async function teleportAll(
  network: Network,
  options: DemoOptions,
  sources: Map<DemoVm, Source>,
  wholeCopies: Map<DemoVm, Promise<number>>,
): Promise<Proved[]> {
  const { journal, signal } = options;
  return journal.step('three teleports', async () => {
    const begun: DemoTeleport[] = [];
    for (const request of REQUESTS) {
      const teleport = await beginTeleport(network, request, { journal, signal });
      begun.push(teleport);
      await teleport.synced;
    }
    const proved: Proved[] = [];
    for (const { request, finished } of begun) {
      const teleport = await finished;
      const source = sources.get(request.vm);
      const copyBytes = await wholeCopies.get(request.vm);
      if (source === undefined || copyBytes === undefined)
        throw new Error(`${request.vm} has no source.`);
      journal.say(`proving ${request.vm} on ${teleport.edge} ...`);
      const checks = await proveTeleport(network, request, teleport, source);
      proved.push({ teleport, report: reportOf(request, teleport, copyBytes, checks) });
    }
    return proved;
  });
}

function reportOf(
  request: (typeof REQUESTS)[number],
  teleport: Teleport,
  copyBytes: number,
  checks: readonly Check[],
): TeleportReport {
  const none = { zero: 0, local: 0, package: 0, peer: 0, origin: 0 };
  const [disk] = teleport.disks;
  return {
    vm: request.vm,
    near: request.near,
    edge: teleport.edge,
    why: request.why,
    virtualSizeBytes: disk?.virtualSizeBytes ?? 0,
    diskBytes: disk?.diskBytes ?? none,
    wireBytes: disk?.wireBytes ?? none,
    wholeCopyBytes: copyBytes,
    phases: teleport.phases,
    url: siteUrl(teleport),
    checks,
  };
}

interface Conclusion {
  readonly sources: Map<DemoVm, Source>;
  readonly seed: SeedReport;
  readonly teleports: readonly Proved[];
}

async function concludeDemo(
  network: Network,
  options: DemoOptions,
  { sources, seed, teleports }: Conclusion,
): Promise<DemoReport> {
  const { journal } = options;
  const checks: Check[] = [];
  await journal.step('counting', async () => {
    const done = teleports.map(({ teleport }) => teleport);
    checks.push(await checkCounter(network, done));
    checks.push(await checkStatistics(network));
    checks.push({
      what: 'the seed came from a neighbour',
      isGood: seed.wireBytes.peer > 0 && seed.wireBytes.origin === 0,
      detail: `${seed.wireBytes.peer} bytes from a peer, ${seed.wireBytes.origin} from the origin`,
    });
    for (const [vm, source] of sources) checks.push(await checkUntouched(vm, source));
  });
  const all = [...checks, ...teleports.flatMap(({ report }) => report.checks)];
  const areGood = all.every(({ isGood }) => isGood);
  if (!(options.keep && areGood)) {
    checks.push(
      await journal.step('stopping everything', () => stopAll(network, options, teleports)),
    );
  }
  return {
    isGood: areGood && checks.every(({ isGood }) => isGood),
    seconds: journal.elapsedSeconds(),
    accelerator: teleports[0]?.teleport.accelerator ?? null,
    uplinkBytesPerSecond: UPLINK_BYTES_PER_SECOND,
    seed,
    teleports: teleports.map(({ report }) => report),
    checks,
    steps: journal.steps,
  };
}

/** What the origin's limiter has let through, as its next heartbeat tells: none from before counts. */
async function sentBytes(network: Network): Promise<number> {
  const askedMs = Date.now();
  const told = async (): Promise<number | undefined> => {
    const { nodes } = await network.client.call(listEdges, {});
    const origin = nodes.find(({ name }) => name === ORIGIN.name);
    const seenMs = Date.parse(origin?.lastSeenAt ?? '');
    return seenMs > askedMs ? (origin?.uplinkBytes ?? undefined) : undefined;
  };
  return waitFor("the origin's counter is told", told, { timeoutMs: COUNTER_MS_MAX });
}

/** Both ends of the origin's link. */
async function checkCounter(network: Network, teleports: readonly Teleport[]): Promise<Check> {
  const teleportBytes = teleports.reduce(
    (sum, { disks }) => sum + disks.reduce((bytes, disk) => bytes + disk.wireBytes.origin, 0),
    0,
  );
  const { recipes, seeds } = (await network.client.call(cacheStatistics, {})).ahead.total;
  const aheadBytes = recipes.origin + seeds.origin;
  return checkLink({ aheadBytes, sentBytes: await sentBytes(network), teleportBytes });
}

/** The coordinator's statistics must say what the teleports did. */
async function checkStatistics(network: Network): Promise<Check> {
  const { total } = await network.client.call(cacheStatistics, {});
  const { hit, partial, miss } = total.requests;
  const wanted = (outcome: string): number =>
    REQUESTS.filter((request) => request.outcome === outcome).length;
  return {
    what: 'the statistics count the same',
    isGood: hit === 0 && partial === wanted('partial') && miss === wanted('miss'),
    detail: `${hit} hits, ${partial} partial, ${miss} misses; ${totalTierBytes(total.diskBytes)} bytes`,
  };
}

/** The origin's file is what it was: byte for byte the one in the guests' cache. */
async function checkUntouched(vm: string, { disk, original }: Source): Promise<Check> {
  const what = `the source of ${vm} was not touched`;
  try {
    await runTool(['cmp', '--', disk.path, original.path], { timeoutMs: 120_000 });
    return { what, isGood: true, detail: 'cmp finds no difference' };
  } catch (error) {
    return { what, isGood: false, detail: error instanceof Error ? error.message : String(error) };
  }
}

/** Takes the VMs away through the API, stops the services, and looks for what is left. */
async function stopAll(
  network: Network,
  options: DemoOptions,
  teleports: readonly Proved[],
): Promise<Check> {
  const what = 'nothing is left running';
  const record = await readRecord(options.stateDir);
  for (const { teleport } of teleports) {
    await network.client.call(cancelTeleport, { params: { teleport: teleport.teleport } });
  }
  const noneRuns = async (): Promise<boolean> => {
    const { nodes } = await network.client.call(listEdges, {});
    return nodes.every(({ runningVms }) => runningVms === 0);
  };
  const removed = await waitFor('the VMs are removed', noneRuns, {
    timeoutMs: CANCEL_MS_MAX,
  }).catch((error: Error) => error);
  const { stopped, killed } = await network.stop();
  const left = record === undefined ? [] : await findProcesses(record.mark, record.stateDir);
  const names = [
    ...killed.map(({ command }) => `killed: ${command}`),
    ...left.map(({ command }) => command),
  ];
  if (removed instanceof Error) names.unshift(removed.message);
  const detail = `${stopped.length} processes stopped${names.length > 0 ? `\n${names.join('\n')}` : ''}`;
  return { what, isGood: names.length === 0, detail };
}
