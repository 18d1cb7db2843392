/**
 * Room: origin. The composition root: settings in, a running origin out.
 *
 * I1: order of start: own the state folder, know who we are (key, enrolment), listen, look after the VMs,
 *     say that we are alive. Order of stop: the reverse; locks on sources are let go last, and always.
 * I2: without a coordinator everything goes on that can: VMs are described, grants are honoured.
 */

import { join } from 'node:path';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { GRANT_SECONDS } from '@vmdn/core/http/auth/grant.ts';
import type { NodeKey } from '@vmdn/core/http/auth/keys.ts';
import { signDescription } from '@vmdn/core/http/auth/signed-description.ts';
import {
  type CoordinatorClient,
  createCoordinatorClient,
} from '@vmdn/core/http/clients/coordinator-client.ts';
import { enrol, loadOrCreateNodeKey, startHeartbeat } from '@vmdn/core/http/clients/node-agent.ts';
import { desiredFences, reportFence } from '@vmdn/core/http/contracts/coordinator-moves.ts';
import { announceVersion, setVersionState } from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import { CONTROL_SOCKET_NAME } from '@vmdn/core/http/contracts/origin-control.ts';
import { mountDiskRoutes } from '@vmdn/core/http/disk-routes.ts';
import { type App, createApp } from '@vmdn/core/http/mount.ts';
import { type RunningServer, serve } from '@vmdn/core/http/serve.ts';
import { createAppliance } from '@vmdn/core/io/appliance/appliance.ts';
import { createApplianceInspector } from '@vmdn/core/io/appliance/inspect-in-appliance.ts';
import { createCommandRunner } from '@vmdn/core/io/command/command-runner.ts';
import { createQemuImg } from '@vmdn/core/io/command/qemu-img.ts';
import { createVirsh } from '@vmdn/core/io/command/virsh.ts';
import {
  emptyPrivateDir,
  ensurePrivateDir,
  readBoundedFile,
  removeDir,
} from '@vmdn/core/io/files/files.ts';
import { openNodeIdentityStore } from '@vmdn/core/io/files/node-identity.ts';
import { takeOwnerLock } from '@vmdn/core/io/files/owner-lock.ts';
import { createRecipeFiles } from '@vmdn/core/io/files/recipe-files.ts';
import { probeAccelerator } from '@vmdn/core/io/hypervisor/kvm-probe.ts';
import { createDiskInspector } from '@vmdn/core/io/inspect/inspect-guest.ts';
import { clearInspections } from '@vmdn/core/io/inspect/volume-file.ts';
import type { NodeIdentity } from '@vmdn/core/io/ports/node-identity-store.ts';
import type { UplinkLimiter } from '@vmdn/core/io/ports/uplink-limiter.ts';
import { createUplinkLimiter } from '@vmdn/core/io/uplink/uplink-limiter.ts';
import type { Logger } from '@vmdn/core/process/logger.ts';
import type { RunningService } from '@vmdn/core/process/run-service.ts';
import type { FencedAs, FenceFiles, FenceJournal, FenceWishes } from './fence-ports.ts';
import { openContentCache } from './io/content-cache.ts';
import { listenOnControlSocket } from './io/control-socket.ts';
import { createDiskReaders } from './io/disk-readers.ts';
import { createFenceFiles } from './io/fence-files.ts';
import { openFenceJournal } from './io/fence-journal.ts';
import { openLedger } from './io/ledger.ts';
import { createLibvirtVms } from './io/libvirt-vms.ts';
import { layersBelow } from './io/merge-overlays.ts';
import { openOverlayJournal } from './io/overlay-journal.ts';
import { openPins } from './io/pins.ts';
import { createRunningDisks } from './io/running-disks.ts';
import { severalPlaces } from './io/several-places.ts';
import { createSourceLocks } from './io/source-locks.ts';
import { createVmFolder } from './io/vm-folder.ts';
import { PEM_BYTES_MAX } from './limits.ts';
import type {
  Announcements,
  ContentCache,
  DiskReaders,
  Ledger,
  Pins,
  SourceLocks,
} from './ports.ts';
import { mountControlRoutes } from './routes/control-routes.ts';
import { createAnnouncer } from './services/announcer.ts';
import { createRunningVms } from './services/describe-running.ts';
import { type FenceFollower, followFences } from './services/follow-fences.ts';
import { type FenceKeeper, openFences } from './services/keep-fences.ts';
import { createPinKeeper } from './services/keep-pins.ts';
import { createOperatorDesk } from './services/release-vms.ts';
import { createServedDisks } from './services/served-disks.ts';
import { openVersionBook, type VersionBook } from './services/version-book.ts';
import { startVmWatcher, type VmWatcher, type VmWatcherOptions } from './services/watch-vms.ts';
import type { OriginSettings } from './settings.ts';

/** How patient an origin is, where it should differ from limits.ts, and by which clock. */
export interface OriginPace {
  /** Milliseconds since 1970, for all but the grants that it is shown. */
  readonly now?: () => number;
  readonly idleMs?: number;
  readonly rescanMs?: number;
  readonly retryMs?: number;
}

/** Starts an origin. Throws what enrolment, listening or a damaged state folder throw. */
export async function createOrigin(
  settings: OriginSettings,
  logger: Logger,
  signal: AbortSignal,
  pace: OriginPace = {},
): Promise<RunningService> {
  await using stack = new AsyncDisposableStack();
  await ensurePrivateDir(settings.stateDir);
  stack.use(takeOwnerLock(join(settings.stateDir, 'owner.lock')));
  const server = await listen(settings, logger);
  stack.defer(() => server.close());
  const url = settings.advertiseUrl ?? server.url;
  const node = await becomeNode(settings, url, logger, signal);
  stack.use(node.client);

  stack.defer(() => removeDir(settings.runtimeDir));
  const { now = Date.now } = pace;
  const disks = await openDisks(settings, logger, pace);
  stack.use(disks.locks);
  const book = await openVersionBook({ ...disks, policy: settings.pin, now });
  // Which teleports were under way is not remembered: as long as a grant can live, a pin is kept for them.
  for (const digest of disks.pins.list().keys()) {
    book.noteTeleport(digest, now() + GRANT_SECONDS * 1000);
  }
  const parts: Parts = { ...disks, settings, logger, node, book, now };
  const keeper = await openFences(parts);
  const announcer = createAnnouncer({ ...parts, announcements: announcementsBy(node) });
  const pinKeeper = createPinKeeper(parts);
  const found = await findVmsOf(parts, keeper.fencedAs);
  const watcher = startVmWatcher({ ...parts, ...pace, ...found, pinKeeper, announcer });
  stack.use(watcher);
  const { firstLook } = watcher;
  const follower = followFences({ wishes: fenceWishesBy(node), keeper, logger, firstLook });
  stack.use(follower);

  const uplink = createUplinkLimiter({ bytesPerSecond: settings.uplinkBytesPerSecond });
  server.become(diskApp(parts, watcher, uplink));
  stack.use(await openControl({ ...parts, keeper, follower }, watcher));
  stack.use(
    startHeartbeat({
      client: node.client,
      logger,
      report: () => ({
        url,
        uplink: { bytes: uplink.passedBytes, limitBytesPerSecond: uplink.limitBytesPerSecond },
      }),
      onConnected: () => {
        announcer.forget();
        watcher.wake();
      },
    }),
  );
  // Stopped first: what is still being read ends before its lock is let go.
  stack.defer(() => server.close());
  const running = stack.move();
  return { url: server.url, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

/** The folder of specifications, and libvirt beside it, whose VMs can be described while they run. */
async function findVmsOf(
  parts: Parts,
  fencedAs: FencedAs,
): Promise<Pick<VmWatcherOptions, 'discovery' | 'running'>> {
  const { settings, logger } = parts;
  const { vmsDir, libvirt, stateDir } = settings;
  const folder = createVmFolder(vmsDir, fencedAs);
  const journal = await openOverlayJournal(join(stateDir, 'running'));
  if (libvirt === undefined) {
    for (const { vm, disks } of journal.list()) {
      const message =
        'a VM of libvirt writes into overlays of this origin: set VMDN_LIBVIRT_URI to have them merged';
      logger.error({ vm, overlays: disks.map(({ overlay }) => overlay) }, message);
    }
    return { discovery: folder, running: undefined };
  }
  const runner = createCommandRunner();
  const virsh = createVirsh(runner, libvirt);
  const domains = createLibvirtVms({
    ...libvirt,
    ...{ virsh, fencedAs },
    below: (file) => layersBelow(journal, file),
  });
  const disks = createRunningDisks({
    ...{ virsh, journal, logger, domainOf: domains.domainOf },
    qemuImg: createQemuImg(runner),
    pinsDir: pinsDirOf(settings),
  });
  const running = createRunningVms({ ...parts, running: disks, policy: settings.running });
  return { discovery: severalPlaces([folder, domains]), running };
}

interface Disks {
  readonly locks: SourceLocks;
  readonly cache: ContentCache;
  readonly pins: Pins;
  readonly ledger: Ledger;
  readonly readers: DiskReaders;
  readonly journal: FenceJournal;
  readonly files: FenceFiles;
}

interface Node {
  readonly key: NodeKey;
  readonly identity: NodeIdentity;
  readonly client: CoordinatorClient;
}

interface Parts extends Disks {
  readonly settings: OriginSettings;
  readonly logger: Logger;
  readonly node: Node;
  readonly book: VersionBook;
  readonly now: () => number;
}

interface OriginServer extends RunningServer {
  /** Answers by `app` from now on; until then everything is `unavailable`. */
  become(app: App): void;
}

/** Listens at once, so that the URL is known for enrolment. Throws `conflict`, `invalid_input`. */
async function listen(settings: OriginSettings, logger: Logger): Promise<OriginServer> {
  const starting = createApp({ logger });
  starting.all('*', () => {
    throw new VmdnError('unavailable', 'This origin is starting; try again in a moment.');
  });
  let current = starting;
  const tls =
    settings.tlsFiles === undefined
      ? undefined
      : {
          certificate: await readText(settings.tlsFiles.certificate),
          key: await readText(settings.tlsFiles.key),
        };
  const server = await serve({
    fetch: (request, env) => current.fetch(request, env),
    listen: settings.listen,
    tls,
    plaintextAllowed: settings.plaintextAllowed,
  });
  return {
    ...server,
    become(app) {
      current = app;
    },
  };
}

/** A certificate chain or a key in PEM. */
async function readText(path: string): Promise<string> {
  return new TextDecoder().decode(await readBoundedFile(path, PEM_BYTES_MAX));
}

/** Reads or makes the node's key, and enrols where that has not happened yet. */
async function becomeNode(
  settings: OriginSettings,
  url: string,
  logger: Logger,
  signal: AbortSignal,
): Promise<Node> {
  const store = await openNodeIdentityStore(join(settings.stateDir, 'identity'));
  const key = await loadOrCreateNodeKey(store);
  const coordinator = { url: settings.coordinatorUrl };
  await using client = createCoordinatorClient({ ...coordinator, credentials: { kind: 'none' } });
  const { name, region, location, enrolmentToken } = settings;
  const who = { kind: 'origin', name, region, location, url, enrolmentToken } as const;
  const identity = await enrol({ client, store, key, ...who, logger, signal });
  const credentials = { kind: 'node', node: identity.node, key } as const;
  return { key, identity, client: createCoordinatorClient({ ...coordinator, credentials }) };
}

function pinsDirOf({ stateDir }: OriginSettings): string {
  return join(stateDir, 'pins');
}

async function openDisks(
  settings: OriginSettings,
  logger: Logger,
  pace: OriginPace,
): Promise<Disks> {
  const { stateDir, runtimeDir } = settings;
  const runner = createCommandRunner();
  const workDir = join(stateDir, 'work');
  await clearInspections(workDir, runner);
  await emptyPrivateDir(workDir);
  await emptyPrivateDir(runtimeDir);
  const applianceDirs = { cacheDir: settings.applianceDir, workDir: join(workDir, 'jobs') };
  const appliance = createAppliance({
    ...{ runner, ...applianceDirs },
    accelerator: probeAccelerator(runner, join(stateDir, 'kvm.json')),
  });
  const disks = {
    cache: await openContentCache(join(stateDir, 'cache')),
    pins: await openPins(pinsDirOf(settings)),
    ledger: await openLedger(join(stateDir, 'vms')),
    journal: await openFenceJournal(join(stateDir, 'fences')),
    files: createFenceFiles(),
    readers: createDiskReaders(
      createDiskInspector({ runner, workDir, appliance: createApplianceInspector(appliance) }),
    ),
    locks: createSourceLocks({ runner, socketDir: join(runtimeDir, 'nbd'), ...pace }),
  };
  logger.debug({ stateDir, runtimeDir }, 'opened the state folder');
  return disks;
}

function announcementsBy({ key, identity, client }: Node): Announcements {
  return {
    async announce(description, state) {
      const { vm, version } = description;
      const signed = await signDescription(key, identity.node, description);
      await client.call(announceVersion, {
        params: { vm, version },
        body: { description: signed, state },
      });
    },
    async setState(vm, version, state) {
      await client.call(setVersionState, { params: { vm, version }, body: { state } });
    },
  };
}

function fenceWishesBy({ client }: Node): FenceWishes {
  return {
    read: (revision, waitSeconds, signal) =>
      client.call(desiredFences, { query: { revision, waitSeconds }, signal }),
    async say({ teleport, epoch }, state, message) {
      const body = { epoch, state, ...(message === undefined ? {} : { message }) };
      await client.call(reportFence, { params: { teleport }, body });
    },
  };
}

/** What edges see: recipes and blocks. */
function diskApp(parts: Parts, watcher: VmWatcher, uplink: UplinkLimiter): App {
  const { node, logger, book, settings } = parts;
  const app = createApp({ logger });
  mountDiskRoutes(app, {
    library: createServedDisks({
      ...parts,
      onTrouble: (vm, error) => watcher.reportTrouble(vm, error),
    }),
    recipeFiles: createRecipeFiles(),
    nodeId: node.identity.node,
    coordinatorKey: () => node.identity.coordinatorKey,
    uplink,
    logger,
    onAdmitted: (claims, digest) => {
      if (claims.purpose !== 'teleport') return;
      const isNews = book.noteTeleport(digest, claims.expiresAt * 1000);
      if (isNews && settings.pin === 'while-teleporting') watcher.wake();
    },
  });
  return app;
}

async function openControl(
  parts: Parts & { readonly keeper: FenceKeeper; readonly follower: FenceFollower },
  watcher: VmWatcher,
): Promise<AsyncDisposable> {
  const app = createApp({ logger: parts.logger });
  mountControlRoutes(
    app,
    createOperatorDesk({
      ...parts,
      describeRunning: (vm) => watcher.describeRunning(vm),
      problems: () => watcher.problems(),
    }),
  );
  return await listenOnControlSocket(app, join(parts.settings.runtimeDir, CONTROL_SOCKET_NAME));
}
