/**
 * Room: http, contracts. What users ask of the coordinator: teleports, plans, seeds, imports, and
 * looking at edges, images, VMs, regions and the cache's statistics.
 */

import { z } from 'zod';
import { createEnrolmentToken, listRegions, openApi } from './coordinator-admin.ts';
import { DELIVERED_OPERATIONS, powerStanding } from './coordinator-delivered.ts';
import { listEdges } from './coordinator-edges.ts';
import { getExport, requestExport } from './coordinator-files.ts';
import { listImages } from './coordinator-images.ts';
import { moveFence } from './coordinator-moves.ts';
import { getImport, getSeed, requestImport, requestSeed } from './coordinator-orders.ts';
import { cacheStatistics } from './coordinator-statistics.ts';
import { diskDelivery, endpoint } from './coordinator-teleports.ts';
import { describeVm, forgetVm, listVms } from './coordinator-vms.ts';
import { identityView, identityWish, networksWish } from './identity.ts';
import { defineOperation } from './operation.ts';
import { getReceipt, traceUse } from './receipts.ts';
import {
  consistency,
  databaseWay,
  functionalCopy,
  functionalCost,
  id,
  name,
  nothing,
  place,
  planSummary,
  requestedMethod,
  seconds,
  skippedFree,
  teleportMethod,
  teleportState,
  timestamp,
} from './schemas.ts';

export { createEnrolmentToken, listRegions, openApi } from './coordinator-admin.ts';
export { listEdges } from './coordinator-edges.ts';
export { getExport, requestExport } from './coordinator-files.ts';
export { listImages } from './coordinator-images.ts';
export {
  getImport,
  getSeed,
  requestImport,
  requestSeed,
  type Seed,
} from './coordinator-orders.ts';
export { cacheStatistics } from './coordinator-statistics.ts';
export { describeVm, forgetVm, listVms } from './coordinator-vms.ts';
export { getReceipt, type KeptReceipt } from './receipts.ts';

/** One edge as a destination for one VM, chosen or not, and why. */
export const destination = z.object({
  edge: name,
  region: name.nullable(),
  distanceKm: z.number().nonnegative(),
  /** Null when the edge has not planned this version yet. */
  plan: planSummary.nullable(),
  /** Null where it can make none, or has not said. */
  functional: functionalCost.nullable().default(null),
  /** What the edge would use for this request. */
  method: teleportMethod.default('exact'),
  /** To a running VM; without a plan, as if all came from the origin. */
  estimatedSeconds: seconds,
  eligible: z.boolean(),
  /** In words: why it was chosen, or why not. */
  reason: z.string(),
});
export type Destination = z.infer<typeof destination>;

export const teleport = z.object({
  teleport: id,
  vm: name,
  version: z.number().int(),
  consistency,
  near: place,
  method: teleportMethod,
  skipFree: skippedFree,
  lazy: z.boolean(),
  ...identityView,
  /** Of a move: how the VM's source stands; null: a copy, which leaves the source alone. */
  move: moveFence.nullable().default(null),
  /** The move by which the VM has left its source, of a copy of what it was then; else null. */
  movedBy: id.nullable().default(null),
  power: powerStanding,
  /** Of a functional teleport, once the copy is made; its disks' bytes are what was read of the source. */
  functional: functionalCopy.nullable(),
  state: teleportState,
  epoch: z.number().int(),
  edge: name,
  /** True when no edge near the place had room and a farther one was taken. */
  spilled: z.boolean(),
  chosen: destination,
  others: z.array(destination),
  disks: z.array(diskDelivery),
  endpoints: z.array(endpoint),
  message: z.string().nullable(),
  errorCode: z.string().nullable(),
  phases: z.record(z.string(), z.number()),
  accelerator: z.enum(['kvm', 'tcg']).nullable(),
  /** Until the guest was ready, in which at least one of its reads waited; null: not lazy, or not ready. */
  stallSeconds: seconds.nullable(),
  /** What of an earlier boot was asked for ahead; null: nothing was. */
  trace: traceUse.nullable(),
  createdAt: timestamp,
  updatedAt: timestamp,
  finishedAt: timestamp.nullable(),
  /** When the running VM's disks were complete on its edge: since then it needs nobody. */
  independentAt: timestamp.nullable(),
  /** Of one that was cancelled: its edge has said that nothing of its VM is left there. */
  released: z.boolean(),
});
export type Teleport = z.infer<typeof teleport>;

/** What users ask for: a VM, a place, and how its disks are made. */
const wish = {
  vm: name,
  near: place,
  /** How far from the place an edge may be; 1,000 km unless said. */
  withinKm: z.number().positive().max(20_040).optional(),
  /**
   * `exact` unless said; the answer to `cheapest` names the one that it came to. A functional copy is
   * neither lazy nor is there free space to skip.
   */
  method: requestedMethod.optional(),
  /** `files` unless said; `dump` is of functional copies. */
  databases: databaseWay.optional(),
  /**
   * Delivers the disks with their free space as zero: deleted files and swap stay home, every file is equal.
   * Where nothing can be skipped the disks are delivered as they are, and the answer says why.
   */
  skipFree: z.boolean().optional(),
  ...networksWish,
};

const pageQuery = z.object({ limit: z.coerce.number().int().min(1).max(1000).optional() });

export const requestTeleport = defineOperation({
  id: 'requestTeleport',
  method: 'post',
  path: '/v1/teleports',
  summary: 'Run a VM near a place. Answers at once with the chosen edge and why.',
  caller: 'client',
  status: 202,
  params: nothing,
  query: nothing,
  body: z.object({
    ...wish,
    /**
     * Starts the VM at once, on disks that come while it runs; false: when they are complete. Unless said, an
     * exact VM starts at once, a moved one, one of fresh identity and a functional copy when all is there.
     */
    lazy: z.boolean().optional(),
    /** The source can't start any more once the VM may start elsewhere; unless said, it is left alone. */
    move: z.boolean().optional(),
    ...identityWish,
    /** Chosen by the client; the same one again gives the same teleport. */
    requestId: id.optional(),
  }),
  reply: teleport,
});

export const getTeleport = defineOperation({
  id: 'getTeleport',
  method: 'get',
  path: '/v1/teleports/{teleport}',
  summary: 'A teleport as it is now.',
  caller: 'client',
  status: 200,
  params: z.object({ teleport: id }),
  query: nothing,
  body: nothing,
  reply: teleport,
});

/** Server-sent events: `event: teleport`, data as in getTeleport, on each change until it is settled. */
export const followTeleport = defineOperation({
  id: 'followTeleport',
  method: 'get',
  path: '/v1/teleports/{teleport}/events',
  summary:
    'Follow a teleport as server-sent events; the stream ends when nothing more will happen to it.',
  caller: 'client',
  status: 200,
  params: z.object({ teleport: id }),
  query: nothing,
  body: nothing,
  reply: z.unknown(),
});

export const listTeleports = defineOperation({
  id: 'listTeleports',
  method: 'get',
  path: '/v1/teleports',
  summary: 'Teleports, newest first.',
  caller: 'client',
  status: 200,
  params: nothing,
  query: pageQuery,
  body: nothing,
  reply: z.object({ teleports: z.array(teleport) }),
});

export const cancelTeleport = defineOperation({
  id: 'cancelTeleport',
  method: 'delete',
  path: '/v1/teleports/{teleport}',
  summary: 'Cancel a teleport, or stop and remove the VM it delivered.',
  caller: 'client',
  status: 202,
  params: z.object({ teleport: id }),
  query: z.object({
    /** What becomes of the delivered disks: they are a source for further teleports (unless said), or go. */
    snapshot: z.enum(['keep', 'drop']).optional(),
    /** Of a moved VM that runs, or one being captured: what it wrote is lost with it, which must be said. */
    writes: z.enum(['keep', 'discard']).optional(),
  }),
  body: nothing,
  reply: teleport,
});

export const planTeleport = defineOperation({
  id: 'planTeleport',
  method: 'post',
  path: '/v1/plans',
  summary: 'What a teleport would move from where, without moving it.',
  caller: 'client',
  status: 200,
  params: nothing,
  query: nothing,
  body: z.object(wish),
  reply: z.object({
    vm: name,
    version: z.number().int(),
    consistency,
    method: teleportMethod,
    skipFree: skippedFree,
    spilled: z.boolean(),
    chosen: destination,
    others: z.array(destination),
  }),
});

export const CLIENT_OPERATIONS = [
  requestTeleport,
  getTeleport,
  followTeleport,
  listTeleports,
  cancelTeleport,
  getReceipt,
  planTeleport,
  listEdges,
  listImages,
  listVms,
  describeVm,
  forgetVm,
  listRegions,
  requestSeed,
  getSeed,
  requestImport,
  getImport,
  requestExport,
  getExport,
  ...DELIVERED_OPERATIONS,
  cacheStatistics,
  createEnrolmentToken,
  openApi,
] as const;
