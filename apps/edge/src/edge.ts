/**
 * Room: edge, composition root. Wires the edge and gives it back running.
 *
 * I1: stopping goes: no new requests → reconcilers and jobs → sync engine → monitors → store. VMs run on.
 * I2: with a stored identity the edge comes up without the coordinator: it serves its disks and its VMs
 *     run; what is new waits.
 */

import { join } from 'node:path';
import type { NodeKey } from '@vmdn/core/http/auth/keys.ts';
import { signDescription } from '@vmdn/core/http/auth/signed-description.ts';
import { signReceipt } from '@vmdn/core/http/auth/signed-receipt.ts';
import {
  type CoordinatorClient,
  createCoordinatorClient,
} from '@vmdn/core/http/clients/coordinator-client.ts';
import { createDiskClient, type DiskClient } from '@vmdn/core/http/clients/disk-client.ts';
import { enrol, loadOrCreateNodeKey, startHeartbeat } from '@vmdn/core/http/clients/node-agent.ts';
import { readAhead } from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import { mountDiskRoutes } from '@vmdn/core/http/disk-routes.ts';
import { type App, createApp } from '@vmdn/core/http/mount.ts';
import { type RunningServer, serve } from '@vmdn/core/http/serve.ts';
import { type Appliance, createAppliance } from '@vmdn/core/io/appliance/appliance.ts';
import { createFreshIdentity } from '@vmdn/core/io/appliance/fresh-identity.ts';
import { createApplianceInspector } from '@vmdn/core/io/appliance/inspect-in-appliance.ts';
import { createCommandRunner } from '@vmdn/core/io/command/command-runner.ts';
import { openNodeIdentityStore } from '@vmdn/core/io/files/node-identity.ts';
import { createRecipeFiles } from '@vmdn/core/io/files/recipe-files.ts';
import { createHashPool } from '@vmdn/core/io/hashing/hash-pool.ts';
import { chooseAccelerator, installedKernels } from '@vmdn/core/io/hypervisor/kvm-probe.ts';
import { prepareRuntimeDirs } from '@vmdn/core/io/hypervisor/runtime-dir.ts';
import type { Hypervisor } from '@vmdn/core/io/ports/hypervisor.ts';
import type { NodeIdentity } from '@vmdn/core/io/ports/node-identity-store.ts';
import { openImageStore } from '@vmdn/core/io/store/image-store.ts';
import { listPartialImages } from '@vmdn/core/io/store/partial-images.ts';
import { openRecipeFolder, openRecords } from '@vmdn/core/io/store/records.ts';
import { createOutlineResolver } from '@vmdn/core/io/sync/outline-resolver.ts';
import { createUplinkLimiter } from '@vmdn/core/io/uplink/uplink-limiter.ts';
import type { Logger } from '@vmdn/core/process/logger.ts';
import type { RunningService } from '@vmdn/core/process/run-service.ts';
import { z } from 'zod';
import { lendMeans, openJobFolders, wireCopies } from './edge-functional.ts';
import { guestsReadImages, openHypervisor, openVmDirs } from './edge-hypervisor.ts';
import { openPackageMachine, type PackageMachine, wirePackages } from './edge-packages.ts';
import { wireWholeDisks } from './edge-whole-disks.ts';
import { createEdgeEvents, type EdgeEvents } from './events.ts';
import { HOLDINGS_INTERVAL_MS, IMPORT_THREADS_IDLE_MS, RECONCILE_INTERVAL_MS } from './limits.ts';
import { createCapturesReconciler } from './reconcilers/captures.ts';
import { createExportsReconciler } from './reconcilers/exports.ts';
import { createHoldingsReconciler } from './reconcilers/holdings.ts';
import { createImportsReconciler } from './reconcilers/imports.ts';
import { createLeftoversReconciler } from './reconcilers/leftovers.ts';
import { createPackagesReconciler } from './reconcilers/packages.ts';
import { type Reconciler, startReconciler } from './reconcilers/reconciler.ts';
import { createScoresReconciler } from './reconcilers/scores.ts';
import { createSeedsReconciler } from './reconcilers/seeds.ts';
import { createTeleportsReconciler } from './reconcilers/teleports.ts';
import { type BackgroundBudget, createBackgroundBudget } from './services/background-budget.ts';
import { createCapacity } from './services/capacity.ts';
import { captureRecord, createCapturedImages } from './services/captured-images.ts';
import { createDiskDeliveries } from './services/deliver-disk.ts';
import { followDesiredState } from './services/desired-states.ts';
import { createForeground } from './services/foreground.ts';
import { inTurns } from './services/fresh-identity.ts';
import { createFunctionalCosts } from './services/functional-costs.ts';
import { createHeldDisks } from './services/held-disks.ts';
import { createHolderBreakers } from './services/holder-breakers.ts';
import { createImageUses } from './services/image-uses.ts';
import { createLazyDisks, type LazyDisks } from './services/lazy-disks.ts';
import type { LendMeans } from './services/lend-disk.ts';
import { wakeOnChanges } from './services/library-wakes.ts';
import { createLightRecipes } from './services/light-recipes.ts';
import { createPlanner } from './services/planner.ts';
import { createReadsAhead } from './services/reads-ahead.ts';
import { createReceipts, unsentReceipt } from './services/receipts.ts';
import { createRecipes } from './services/recipes.ts';
import { teleportRecord } from './services/teleport-record.ts';
import { createVerifiedVersions } from './services/verified-versions.ts';
import { createVmHolds } from './services/vm-holds.ts';
import { createWireRatios } from './services/wire-ratios.ts';
import type { EdgeSettings } from './settings.ts';
import { createSyncEngine } from './sync/create-sync-engine.ts';
import { GuestReads } from './sync/guest-reads.ts';

/** Starts an edge. Resolves once it is enrolled, listens and works; waits for the coordinator if it must. */
export async function createEdge(
  settings: EdgeSettings,
  logger: Logger,
  signal: AbortSignal,
): Promise<RunningService> {
  await using stack = new AsyncDisposableStack();
  const events = createEdgeEvents(logger);
  const machine = await openMachine(settings, events, logger, stack);
  const front = await openFront(settings, stack);
  const url = settings.advertiseUrl ?? front.server.url;
  const { key, identity } = await enrolHere(settings, { url, logger, signal });
  const uplink = createUplinkLimiter({ bytesPerSecond: settings.uplinkBytesPerSecond });
  const app = createApp({ logger });
  mountDiskRoutes(app, {
    library: createHeldDisks(machine),
    recipeFiles: createRecipeFiles(),
    nodeId: identity.node,
    coordinatorKey: () => identity.coordinatorKey,
    uplink,
    logger,
  });
  front.open(app);
  const work = startWork(settings, { machine, key, identity, events, logger }, stack);
  const heartbeat = startHeartbeat({
    client: work.client,
    logger,
    onConnected: work.wakeAll,
    report: async () => ({
      url,
      capacity: {
        freeStoreBytes: (await machine.store.space()).freeBytes,
        freeMemoryMiB: work.capacity.free().memoryMiB,
        freeVcpus: work.capacity.free().vcpus,
        accelerator: machine.accelerator,
      },
      networks: [...settings.hypervisor.networks.keys()],
      holderFaults: [...work.breakers.faults()],
      uplink: { bytes: uplink.passedBytes, limitBytesPerSecond: uplink.limitBytesPerSecond },
    }),
  });
  stack.use(heartbeat);
  // First to go: nobody is served by an edge that is being taken down.
  stack.defer(() => front.server.close());
  const running = stack.move();
  return { url: front.server.url, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

/** All that touches this machine. */
interface Machine {
  readonly store: Awaited<ReturnType<typeof openImageStore>>;
  readonly hypervisor: Hypervisor & AsyncDisposable;
  readonly accelerator: 'kvm' | 'tcg';
  readonly engine: ReturnType<typeof createSyncEngine>;
  readonly lazyDisks: LazyDisks;
  readonly runner: ReturnType<typeof createCommandRunner>;
  readonly socketDir: string;
  readonly appliance: Appliance;
  readonly lending: Omit<LendMeans, 'store'>;
  readonly packages: PackageMachine;
  readonly folder: Awaited<ReturnType<typeof openRecipeFolder>>;
  readonly teleports: Awaited<ReturnType<typeof openRecords<typeof teleportRecord>>>;
  readonly reads: Awaited<ReturnType<typeof openRecords<typeof readAhead>>>;
  readonly newest: Awaited<ReturnType<typeof openRecords<typeof newestVersions>>>;
  readonly receipts: Awaited<ReturnType<typeof openRecords<typeof unsentReceipt>>>;
  readonly captures: Awaited<ReturnType<typeof openRecords<typeof captureRecord>>>;
}

const newestVersions = z.record(z.string(), z.number().int());

async function openMachine(
  settings: EdgeSettings,
  events: EdgeEvents,
  logger: Logger,
  stack: AsyncDisposableStack,
): Promise<Machine> {
  const at = (name: string): string => join(settings.stateDir, name);
  const vms = await openVmDirs(settings);
  const guestsRead = guestsReadImages(settings);
  const store = await openImageStore({
    ...{ root: at('store'), quotaBytes: settings.storeQuotaBytes, guestsRead },
    onQuarantine: events.imageQuarantined,
  });
  stack.use(store);
  const runtime = await prepareRuntimeDirs(settings.runtimeDir);
  const runner = createCommandRunner();
  const { guestUid } = settings;
  const choice = await chooseAccelerator({
    wanted: settings.accelerator,
    kernels: [...settings.probeKernels, ...(await installedKernels())],
    cachePath: at('kvm-probe.json'),
    ...{ runner, guestUid },
  });
  const { accelerator } = choice;
  events.accelerator(accelerator, choice.reason);
  const dirs = { vms, sockets: runtime.vms };
  const hypervisor = await openHypervisor(settings, { dirs, runner, choice, events, logger });
  stack.use(hypervisor);
  const engine = createSyncEngine();
  stack.use(engine);
  const lending = lendMeans(runtime.exports, events);
  const lazyDisks = createLazyDisks({
    dir: runtime.lazy,
    ...{ store, hypervisor },
    ...lending,
    guestReads: () => new GuestReads(),
    onTrouble: events.lazyDiskFailed,
  });
  stack.use(lazyDisks);
  const socketDir = runtime.exports;
  const appliance = createAppliance({
    ...{
      runner,
      cacheDir: settings.applianceDir,
      workDir: await openJobFolders(settings.stateDir),
    },
    accelerator: async () => accelerator,
  });
  const means = {
    store,
    runner,
    socketDir,
    appliance: createApplianceInspector(appliance),
    events,
  };
  return {
    ...{ store, hypervisor, accelerator, engine, lazyDisks, runner, socketDir, appliance, lending },
    packages: await openPackageMachine(settings, means, stack),
    folder: await openRecipeFolder(at('recipes')),
    teleports: await openRecords(at('teleports'), teleportRecord),
    reads: await openRecords(at('reads-ahead'), readAhead),
    newest: await openRecords(at('newest-versions'), newestVersions),
    receipts: await openRecords(at('unsent-receipts'), unsentReceipt),
    captures: await openRecords(at('captures'), captureRecord),
  };
}

/** The listening server, which says 503 until there is something to serve. */
interface Front {
  readonly server: RunningServer;
  open(app: App): void;
}

async function openFront(settings: EdgeSettings, stack: AsyncDisposableStack): Promise<Front> {
  let app: App | undefined;
  const server = await serve({
    fetch: (request, env) => app?.fetch(request, env) ?? new Response(null, { status: 503 }),
    listen: settings.listen,
    plaintextAllowed: settings.plaintextAllowed,
  });
  stack.defer(() => server.close());
  return {
    server,
    open(opened) {
      app = opened;
    },
  };
}

async function enrolHere(
  settings: EdgeSettings,
  means: { readonly url: string; readonly logger: Logger; readonly signal: AbortSignal },
): Promise<{ readonly key: NodeKey; readonly identity: NodeIdentity }> {
  const store = await openNodeIdentityStore(join(settings.stateDir, 'identity'));
  const key = await loadOrCreateNodeKey(store);
  const { name, region, location, enrolmentToken } = settings;
  await using client = createCoordinatorClient({
    url: settings.coordinatorUrl,
    credentials: { kind: 'none' },
  });
  const node = { kind: 'edge', name, region, location, enrolmentToken } as const;
  return { key, identity: await enrol({ client, store, key, ...node, ...means }) };
}

function backgroundBudget(settings: EdgeSettings): BackgroundBudget {
  const bytesPerSecond = settings.backgroundBytesPerSecond;
  const limiter = createUplinkLimiter({ bytesPerSecond });
  return createBackgroundBudget({ limiter, cpuShare: settings.backgroundCpuShare });
}

/** All that it takes to make a disk. */
function wireDeliveries(
  settings: EdgeSettings,
  parts: {
    readonly machine: Machine;
    readonly disks: DiskClient;
    readonly client: CoordinatorClient;
    readonly events: EdgeEvents;
  },
  stack: AsyncDisposableStack,
) {
  const { machine, disks, client, events } = parts;
  const { store, folder, engine, lazyDisks } = machine;
  const partialImages = () => listPartialImages(store);
  const resolver = stack.use(createOutlineResolver());
  const common = { store, client: disks, events };
  const light = createLightRecipes({ ...common, folder, partialImages, resolver });
  const breakers = createHolderBreakers({ events });
  const recipes = createRecipes({ ...common, folder, light, breakers });
  const { sharesInPlace, packagesQuotaBytes: quotaBytes } = settings;
  const uses = createImageUses();
  const ratios = createWireRatios({ client: disks, events });
  const planner = createPlanner({ engine, store, partialImages, uses, sharesInPlace, ratios });
  const budget = backgroundBudget(settings);
  const packageMeans = { client, planner, uses, budget, quotaBytes, events };
  const { packages, guests } = wirePackages(machine.packages, packageMeans);
  const makers = { recipes, packages, planner, uses, engine, lazyDisks, breakers };
  const deliveries = createDiskDeliveries({ ...common, ...makers, ...machine.lending });
  // Whoever uses the threads, started later, ends before them.
  const pool = stack.use(createHashPool({ idleMs: IMPORT_THREADS_IDLE_MS }));
  const { mirrors } = machine.packages;
  const costs = createFunctionalCosts({ guests });
  const copies = wireCopies(settings.stateDir, {
    ...machine,
    guestsRead: guestsReadImages(settings),
    guests,
    deliveries,
    mirrors,
    pool,
    costs,
    events,
  });
  return { recipes, planner, packages, deliveries, breakers, uses, budget, copies, costs, pool };
}

/** Clients, services and reconcilers. */
function startWork(
  settings: EdgeSettings,
  parts: {
    readonly machine: Machine;
    readonly key: NodeKey;
    readonly identity: NodeIdentity;
    readonly events: EdgeEvents;
    readonly logger: Logger;
  },
  stack: AsyncDisposableStack,
) {
  const { machine, key, identity, events, logger } = parts;
  const { store, engine, folder, hypervisor, lazyDisks } = machine;
  const { node: self, coordinatorKey } = identity;
  const credentials = { kind: 'node', node: self, key } as const;
  const client = createCoordinatorClient({ url: settings.coordinatorUrl, credentials });
  stack.use(client);
  const disks = createDiskClient({ key, nodeId: self });
  stack.use(disks);
  const capacity = createCapacity({ memoryMiB: settings.memoryMiB, vcpus: settings.vcpus });
  const versions = createVerifiedVersions({ records: machine.newest, client });
  const reads = createReadsAhead({ client, records: machine.reads });
  const means = wireDeliveries(settings, { machine, disks, client, events }, stack);
  const { recipes, planner, packages, deliveries, breakers, uses, budget } = means;
  const { copies, costs, pool } = means;
  const desired = followDesiredState({ client, logger });
  stack.use(desired);
  const sources = { self, usesPeers: settings.usesPeers };
  const common = { self, sources, client, desired, deliveries, versions, events };
  const records = machine.teleports;
  const receipts = createReceipts({
    ...{ self, client, records: machine.receipts, events },
    sign: (receipt) => signReceipt(key, self, receipt),
    onWritten: () => wake('receipts'),
  });
  const freshIdentity = inTurns(createFreshIdentity(machine.appliance));
  const holds = createVmHolds({ desired });
  const { shutdownGraceMs } = settings;
  const power = { hypervisor, freshIdentity, holds, shutdownGraceMs };
  const held = { store, engine, lazyDisks, copies, records, capacity, receipts, ...power };
  const teleports = createTeleportsReconciler({ ...common, coordinatorKey, ...held }, desired);
  stack.defer(() => teleports.stop());
  const foreground = createForeground(deliveries);
  const wholeDisks = wireWholeDisks(settings, machine.packages, { pool, foreground });
  const { importImage, exportVm, captureVm } = wholeDisks;
  const images = createCapturedImages({ ...common, store, records, captures: machine.captures });
  const reportHoldings = createHoldingsReconciler({ client, store, engine });
  const reading = { recipes, reads, planner, budget };
  const reconcilers = {
    teleports: teleports.run,
    seeds: createSeedsReconciler(common),
    imports: createImportsReconciler({ ...common, importImage }),
    exports: createExportsReconciler({ ...common, exportVm }),
    captures: createCapturesReconciler({
      ...{ ...common, ...power, captureVm, images, reportHoldings },
      sign: (description) => signDescription(key, self, description),
      onEnd: () => wake('teleports'),
    }),
    scores: createScoresReconciler({ ...common, ...reading, packages, costs }),
    packages: createPackagesReconciler({ ...common, ...reading, foreground, packages, uses }),
    receipts: receipts.send,
    holdings: reportHoldings,
    leftovers: createLeftoversReconciler({ ...common, store, folder }),
  };
  const started = new Map<string, Reconciler>();
  for (const [name, run] of Object.entries(reconcilers)) {
    const intervalMs = name === 'holdings' ? HOLDINGS_INTERVAL_MS : RECONCILE_INTERVAL_MS;
    started.set(name, stack.use(startReconciler({ name, run, intervalMs, events })));
  }
  const wake = (...names: (keyof typeof reconcilers)[]): void => {
    for (const name of names) started.get(name)?.wake();
  };
  desired.onChange(() =>
    wake('teleports', 'seeds', 'imports', 'exports', 'captures', 'scores', 'packages'),
  );
  wakeOnChanges({ store, packages, wake });
  engine.onMaking(() => wake('holdings'));
  const wakeAll = (): void => wake(...(Object.keys(reconcilers) as (keyof typeof reconcilers)[]));
  return { client, capacity, breakers, wakeAll };
}
