/**
 * Room: edge, services. One disk from wherever it is cheapest into the store: recipe, plan, room, sync,
 * adoption. Teleports and seeds alike. Or, lent, as far as somebody reads it.
 *
 * I1: a disk that the store holds is used as it is: no byte moves.
 * I2: two that want the same disk at once make it once; the second finds it.
 * I3: what was delivered is recorded durably before the disk is adopted: after a restart the store has
 *     the disk and the record says where it came from.
 * I4: a recipe and packages that were fetched for a delivery are among its wire bytes, also when the delivery
 *     has to wait for room first; the staging area keeps them from the moment the sync begins.
 * I5: a disk shares storage only with an image that was what it said right before the sync.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import { isVmdnError, VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Id, Name } from '@vmdn/core/domain/names.ts';
import type { DiskPlan } from '@vmdn/core/domain/plan.ts';
import { bytesToWrite } from '@vmdn/core/domain/share.ts';
import type { Tier } from '@vmdn/core/domain/tiers.ts';
import { createTurns } from '@vmdn/core/domain/turns.ts';
import type { DiskClient } from '@vmdn/core/http/clients/disk-client.ts';
import type {
  DiskDelivery,
  PlannedDelivery,
} from '@vmdn/core/http/contracts/coordinator-teleports.ts';
import type { ImageKind, ImageStore } from '@vmdn/core/io/ports/image-store.ts';
import pLimit from 'p-limit';
import { localDelivery } from '../decisions/deliveries.ts';
import type { EdgeEvents } from '../events.ts';
import { DELIVERIES_MAX, LOANS_MAX, PLANS_MAX } from '../limits.ts';
import type { SyncEngine } from '../sync/create-sync-engine.ts';
import type { SyncRequest } from '../sync/sync-disk.ts';
import type { HolderBreakers } from './holder-breakers.ts';
import type { ImageUses } from './image-uses.ts';
import type { LazyDisks } from './lazy-disks.ts';
import { type DiskUse, type LendMeans, type Lent, lendImage, lendRemote } from './lend-disk.ts';
import type { PackageGuest, Packages } from './packages.ts';
import type { Planner } from './planner.ts';
import type { Recipes } from './recipes.ts';
import { type DiskHolder, remoteSources, type Trade, tierOf } from './remote-sources.ts';
import { reserveRoom } from './reserve-room.ts';

export interface DiskOrder {
  readonly digest: Digest;
  readonly keysRoot: Digest;
  readonly recipeBytes?: number | undefined;
  readonly virtualSizeBytes: number;
  readonly name: Name | null;
  readonly kind: ImageKind;
  /** The guest on it, where a signed description tells: its packages are sources then. */
  readonly guest?: PackageGuest;
  readonly holders: readonly DiskHolder[];
  /** Absent: no other edge is a source. */
  readonly trade?: Trade | undefined;
  readonly grant: () => string;
  readonly signal: AbortSignal;
  readonly onProgress: (delivery: DiskDelivery) => void;
  /** What it waits for, in words; null: it goes on. */
  readonly onWaiting: (message: string | null) => void;
  /** Called with the final numbers, before the disk is adopted. */
  readonly onDelivered: (delivery: DiskDelivery) => Promise<void>;
}

export interface Delivered {
  readonly delivery: DiskDelivery;
  /** Seconds by phase. */
  readonly seconds: Readonly<Record<'recipe' | 'plan' | 'sync', number>>;
}

/** A disk that is lent: nobody keeps it. */
export type LoanOrder = Omit<DiskOrder, 'name' | 'kind' | 'guest' | 'onDelivered' | 'trade'> & {
  /** Who reads it. */
  readonly reader: Id;
};

export interface DiskDeliveries {
  /**
   * Lets somebody read a disk of which nothing is fetched but what is read. Throws as `deliver`, and what
   * `use` throws; what was verified stays for the next time, until `discard`.
   */
  lend<Value>(
    order: LoanOrder,
    use: DiskUse<Value>,
  ): Promise<Lent<Value> & { readonly seconds: Readonly<Record<'recipe' | 'plan', number>> }>;
  /** Forgets what was verified of a disk that is not complete, unless somebody makes it. */
  discard(digest: Digest): Promise<void>;
  /** Throws as recipes, planner, store and sync engine do; what was verified stays for the next time. */
  deliver(order: DiskOrder): Promise<Delivered>;
  /** Deliveries under way: background work waits for 0. */
  readonly active: number;
}

interface Deps extends LendMeans {
  readonly store: ImageStore;
  readonly recipes: Recipes;
  readonly packages: Pick<Packages, 'bring'>;
  readonly planner: Planner;
  readonly uses: Pick<ImageUses, 'holdPlan' | 'deliver'>;
  readonly engine: Pick<SyncEngine, 'sync'>;
  readonly lazyDisks: Pick<LazyDisks, 'reading'>;
  readonly client: Pick<DiskClient, 'readBlocks' | 'readSegments'>;
  readonly breakers: HolderBreakers;
  readonly events: EdgeEvents;
}

export function createDiskDeliveries(deps: Deps): DiskDeliveries {
  const turns = createTurns<string>();
  const limit = pLimit(DELIVERIES_MAX);
  const loanLimit = pLimit(LOANS_MAX);
  const costs: CostsBefore = new Map();
  let active = 0;
  const counted = async <Value>(work: () => Promise<Value>): Promise<Value> => {
    active += 1;
    try {
      return await work();
    } finally {
      active -= 1;
    }
  };
  return {
    get active() {
      return active;
    },
    deliver: (order) =>
      counted(() => turns.inTurn(order.digest, () => limit(() => deliver(deps, costs, order)))),
    lend: (order, use) =>
      counted(() =>
        // Its turn at the disk comes last: while it waits for the limit, others may have the disk.
        unlessCalledOff(order.signal, (begin) =>
          loanLimit(() =>
            turns.inTurn(order.digest, () => {
              begin();
              return lend(deps, costs, order, use);
            }),
          ),
        ),
      ),
    async discard(digest) {
      if (turns.isTaken(digest)) return;
      await turns.inTurn(digest, () => deps.store.removeStaging(digest));
    },
  };
}

/** Work that may have to wait for its turn: called off before it begins, it is over at once. */
async function unlessCalledOff<Value>(
  signal: AbortSignal,
  work: (begin: () => void) => Promise<Value>,
): Promise<Value> {
  const { promise, resolve, reject } = Promise.withResolvers<Value>();
  const callOff = (): void => reject(signal.reason);
  const begin = (): void => signal.removeEventListener('abort', callOff);
  signal.throwIfAborted();
  signal.addEventListener('abort', callOff, { once: true });
  work(begin).then(resolve, reject);
  return await promise;
}

/** What crossed a network before a sync began. */
interface Cost {
  readonly tier: Tier;
  readonly wireBytes: number;
}

/** What recipes and packages cost that no sync has counted yet. */
type CostsBefore = Map<Digest, readonly Cost[]>;

async function deliver(deps: Deps, costs: CostsBefore, order: DiskOrder): Promise<Delivered> {
  const { store } = deps;
  const { digest, signal } = order;
  signal.throwIfAborted();
  if (store.find(digest) !== undefined) {
    const image = await store.intact(digest);
    const delivery = localDelivery(image);
    await order.onDelivered(delivery);
    if (order.name !== null) await store.rename(digest, order.name);
    return { delivery, seconds: { recipe: 0, plan: 0, sync: 0 } };
  }
  using _delivered = deps.uses.deliver(digest);
  const [recipePath, recipeSeconds] = await timed(() => findRecipe(deps, costs, order));
  const [plan, planSeconds] = await timed(async () => {
    const { guest } = order;
    if (guest !== undefined) {
      const goesOn = (): boolean => true;
      const onPackage = (_: Digest, wireBytes: number): Promise<void> =>
        noteCost(costs, digest, { tier: 'package', wireBytes });
      const order = { digest, recipePath, guest, isAwaited: true, goesOn, signal };
      await deps.packages.bring({ ...order, onRead: onPackage });
    }
    return await planSoundly(deps, order, recipePath);
  });
  const stagingDir = store.stagingDir(digest);
  const reservation = await reserveDisk(deps, order, plan);
  try {
    const crossedBefore = costs.get(digest) ?? [];
    costs.delete(digest);
    using _used = deps.uses.holdPlan(digest);
    const foretold = foretell(deps, order, plan);
    const [synced, syncSeconds] = await timed(() =>
      sync(deps, order, plan, crossedBefore, foretold),
    );
    const seconds = recipeSeconds + planSeconds + syncSeconds;
    const delivery = { ...synced, planned: foretold.planned(), seconds };
    await order.onDelivered(delivery);
    const { keysRoot, name, kind } = order;
    await store.adopt({ stagingDir, digest, keysRoot, name, kind });
    return { delivery, seconds: { recipe: recipeSeconds, plan: planSeconds, sync: syncSeconds } };
  } finally {
    store.release(reservation);
  }
}

async function lend<Value>(
  deps: Deps,
  costs: CostsBefore,
  order: LoanOrder,
  use: DiskUse<Value>,
): Promise<Lent<Value> & { readonly seconds: { readonly recipe: number; readonly plan: number } }> {
  const { store } = deps;
  const { digest, signal, reader } = order;
  signal.throwIfAborted();
  if (store.find(digest) !== undefined) {
    const lent = await lendImage(deps, await store.intact(digest), order, use);
    return { ...lent, seconds: { recipe: 0, plan: 0 } };
  }
  using _delivered = deps.uses.deliver(digest);
  const [recipePath, recipe] = await timed(() => findRecipe(deps, costs, order));
  const [plan, planning] = await timed(() => planSoundly(deps, order, recipePath));
  const reservation = await reserveDisk(deps, order, plan);
  try {
    const crossedBefore = costs.get(digest) ?? [];
    costs.delete(digest);
    using _used = deps.uses.holdPlan(digest);
    const request = requestOf(deps, order, plan, crossedBefore);
    const sync = (more: Partial<SyncRequest>) => deps.engine.sync({ ...request, ...more });
    const lent = await lendRemote(deps, { reader, plan, signal, sync }, use);
    return { ...lent, seconds: { recipe, plan: planning } };
  } finally {
    store.release(reservation);
  }
}

function findRecipe(deps: Deps, costs: CostsBefore, order: LoanOrder | DiskOrder): Promise<string> {
  return deps.recipes.find({ ...order, onRead: (cost) => noteCost(costs, order.digest, cost) });
}

async function noteCost(costs: CostsBefore, digest: Digest, cost: Cost): Promise<void> {
  costs.set(digest, [...(costs.get(digest) ?? []), cost]);
}

/** Takes the room for a disk in the making; returns the reservation's key. */
async function reserveDisk(
  { store }: Deps,
  { digest, virtualSizeBytes }: LoanOrder | DiskOrder,
  plan: DiskPlan,
): Promise<string> {
  const key = `disk-${digest}`;
  const stagingDir = store.stagingDir(digest);
  await reserveRoom(store, [digest], {
    key,
    bytes: bytesToWrite(plan.wanted, virtualSizeBytes - plan.counts.zeroBytes, plan.share),
    paths: [`${stagingDir}/disk.raw`, `${stagingDir}/disk.qcow2`],
  });
  return key;
}

/** A plan whose shared image is what it was (I5): one that is not goes, and the next plan is without it. */
async function planSoundly(
  deps: Deps,
  order: Pick<DiskOrder, 'digest' | 'signal'>,
  recipePath: string,
): Promise<DiskPlan> {
  for (let attempt = 0; attempt < PLANS_MAX; attempt += 1) {
    const plan = await deps.planner.plan(order.digest, recipePath, order.signal);
    const base = plan.share === null ? undefined : plan.images[plan.share.image];
    if (base === undefined) return plan;
    try {
      await deps.store.intact(base.digest);
      return plan;
    } catch (error) {
      if (!isVmdnError(error, 'corrupt') && !isVmdnError(error, 'not_found')) throw error;
    }
  }
  throw new VmdnError(
    'conflict',
    'The images of this edge change faster than they can be planned with.',
  );
}

interface Foretold {
  planned(): PlannedDelivery;
}

/** What the plan says; more truly as soon as a holder has told how well its blocks compress. */
function foretell({ planner }: Deps, order: DiskOrder, plan: DiskPlan): Foretold {
  const say = (): PlannedDelivery => {
    const { candidates: _, ...planned } = planner.estimate(plan, tierOf(order.holders));
    return planned;
  };
  let planned = say();
  const learn = async (): Promise<void> => {
    await planner.measure(plan, order);
    planned = say();
  };
  // Nobody waits for it; it fails only with the order's signal, which the sync hears too.
  learn().catch(() => undefined);
  return { planned: () => planned };
}

async function sync(
  deps: Deps,
  order: DiskOrder,
  plan: DiskPlan,
  crossedBefore: readonly Cost[],
  foretold: Foretold,
): Promise<DiskDelivery> {
  const { client, breakers } = deps;
  const means = { client, breakers };
  const { trade } = order;
  const result = await deps.engine.sync({
    ...requestOf(deps, order, plan, crossedBefore),
    latestSources: trade && (() => remoteSources({ ...order, ...means, holders: trade.holders() })),
    place: trade?.place,
    reading: await deps.lazyDisks.reading(plan),
    onProgress: ({ delivery }) => order.onProgress({ ...delivery, planned: foretold.planned() }),
  });
  const { diskBytes, wireBytes } = result.delivery;
  const recipeBytes = crossedBefore
    .filter(({ tier }) => tier !== 'package')
    .reduce((sum, cost) => sum + cost.wireBytes, 0);
  deps.planner.observe({
    wireBytes: wireBytes.origin + wireBytes.peer - recipeBytes,
    remoteBytes: diskBytes.origin + diskBytes.peer,
    remoteSeconds: result.remoteSeconds,
    diskBytes: result.verifiedBytes,
    seconds: result.seconds,
  });
  const mismatches = result.mismatches.reduce((sum, { count }) => sum + count, 0);
  deps.events.diskDelivered(result.delivery, result.seconds, mismatches);
  return result.delivery;
}

/** What every sync of a disk is asked for. */
function requestOf(
  { client, breakers, store }: Deps,
  order: LoanOrder | DiskOrder,
  plan: DiskPlan,
  crossedBefore: readonly Cost[],
): SyncRequest {
  return {
    plan,
    stagingDir: store.stagingDir(order.digest),
    sources: remoteSources({ ...order, client, breakers }),
    signal: order.signal,
    crossedBefore,
    onProgress: ({ delivery }) => order.onProgress(delivery),
    onWaiting: (waiting) => order.onWaiting(waiting?.message ?? null),
  };
}

async function timed<T>(work: () => Promise<T>): Promise<readonly [T, number]> {
  const startedMs = performance.now();
  const value = await work();
  return [value, (performance.now() - startedMs) / 1000];
}
