/**
 * Room: http, contracts. What an edge says about a teleport that it holds, and asks for it.
 *
 * I1: every report is absolute (the state as it is), never a difference: twice changes nothing.
 * I2: each carries the epoch of the teleport's lease; a stale one is refused with `stale_epoch` and
 *     changes nothing.
 */

import { z } from 'zod';
import { defineOperation } from './operation.ts';
import {
  byteCount,
  digest,
  functionalCopy,
  id,
  jws,
  name,
  nothing,
  planSummary,
  port,
  seconds,
  teleportState,
  tierBytes,
} from './schemas.ts';

/** Where a running VM's named ports are reachable on the edge. */
export const endpoint = z.object({ port: name, host: z.string().max(253), hostPort: port });

/** What a plan says of a delivery, to be compared with what came. */
export const plannedDelivery = planSummary.omit({ candidates: true });
export type PlannedDelivery = z.infer<typeof plannedDelivery>;

/** What was delivered of one disk. */
export const diskDelivery = z.object({
  digest,
  virtualSizeBytes: byteCount,
  verifiedBytes: byteCount,
  diskBytes: tierBytes,
  wireBytes: tierBytes,
  /** What the plan said before the first block; absent where nothing had to be planned. */
  planned: plannedDelivery.optional(),
  /** Recipe, plan and sync, once all is verified. */
  seconds: seconds.optional(),
});
export type DiskDelivery = z.infer<typeof diskDelivery>;

export const reportProgress = defineOperation({
  id: 'reportProgress',
  method: 'put',
  path: '/v1/teleports/{teleport}/progress',
  summary: 'The state of a teleport as the edge sees it.',
  caller: 'edge',
  status: 200,
  params: z.object({ teleport: id }),
  query: nothing,
  body: z.object({
    epoch: z.number().int().min(1),
    state: teleportState,
    /** What it waits for or why it failed, in words for the user. */
    message: z.string().max(2000).optional(),
    errorCode: z.string().max(64).optional(),
    disks: z.array(diskDelivery).max(24),
    endpoints: z.array(endpoint).max(32),
    /** Seconds, by phase. */
    phases: z.record(z.string().max(32), z.number().nonnegative()).optional(),
    accelerator: z.enum(['kvm', 'tcg']).optional(),
    independent: z.boolean().optional(),
    functional: functionalCopy.optional(),
  }),
  reply: z.object({ state: teleportState, epoch: z.number().int() }),
});

export const renewGrant = defineOperation({
  id: 'renewGrant',
  method: 'post',
  path: '/v1/teleports/{teleport}/grant',
  summary: 'A fresh grant for a teleport that this edge still holds.',
  caller: 'edge',
  status: 200,
  params: z.object({ teleport: id }),
  query: nothing,
  body: z.object({ epoch: z.number().int().min(1) }),
  reply: z.object({ grant: jws }),
});

export const TELEPORT_OPERATIONS = [reportProgress, renewGrant] as const;
