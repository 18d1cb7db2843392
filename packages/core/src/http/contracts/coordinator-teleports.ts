/**
 * Room: http, contracts. What an edge says about a teleport that it holds, and asks for it.
 *
 * I1: every report is absolute (the state as it is), never a difference: twice changes nothing.
 * I2: each carries the epoch of the teleport's lease; a stale one is refused with `stale_epoch` and
 *     changes nothing.
 */

import { z } from 'zod';
import { TRACE_KINSHIPS } from '../../domain/boot-trace.ts';
import { TRACE_BYTES_MAX } from '../../domain/limits.ts';
import { power } from './coordinator-delivered.ts';
import { defineOperation } from './operation.ts';
import { signedReceipt, traceUse } from './receipts.ts';
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
    /** Of a lazy VM: until it was ready, in which at least one of its reads waited. */
    stallSeconds: seconds.optional(),
    /** Segments of an earlier boot that were asked for ahead. */
    trace: traceUse.optional(),
    functional: functionalCopy.optional(),
    /** Of a VM that runs or ran: whether it is on. */
    power: power.optional(),
    /** Of one that is over: nothing of its VM is left here. */
    gone: z.boolean().optional(),
  }),
  reply: z.object({
    state: teleportState,
    epoch: z.number().int(),
    /** What must come first, in words: the report was not taken; say it again. */
    awaits: z.string().optional(),
  }),
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

/** A boot trace (docs/formats/boot-trace.md) in base64. */
const packedTrace = z
  .string()
  .min(4)
  .max(Math.ceil(TRACE_BYTES_MAX / 3) * 4);

/** Traces in one answer: that of the version, or one of another version and some of relatives. */
export const TRACES_MAX = 4;

export const putBootTrace = defineOperation({
  id: 'putBootTrace',
  method: 'put',
  path: '/v1/teleports/{teleport}/boot-trace',
  summary: "What this teleport's guest read until it was ready; the newest one of a version stays.",
  caller: 'edge',
  status: 200,
  params: z.object({ teleport: id }),
  query: nothing,
  body: z.object({ epoch: z.number().int().min(1), trace: packedTrace }),
  reply: z.object({ accepted: z.literal(true) }),
});

export const readBootTraces = defineOperation({
  id: 'readBootTraces',
  method: 'get',
  path: '/v1/teleports/{teleport}/boot-traces',
  summary: 'What guests like the one of this teleport read when they booted, the likest first.',
  caller: 'edge',
  status: 200,
  params: z.object({ teleport: id }),
  query: z.object({ epoch: z.coerce.number().int().min(1) }),
  body: nothing,
  reply: z.object({
    traces: z
      .array(z.object({ kinship: z.enum(TRACE_KINSHIPS), trace: packedTrace }))
      .max(TRACES_MAX),
  }),
});

export const putReceipt = defineOperation({
  id: 'putReceipt',
  method: 'put',
  path: '/v1/teleports/{teleport}/receipt',
  summary: "A teleport's receipt, signed by this edge; the first one stays.",
  caller: 'edge',
  status: 200,
  params: z.object({ teleport: id }),
  query: nothing,
  body: z.object({ receipt: signedReceipt }),
  reply: z.object({ accepted: z.literal(true) }),
});

export const TELEPORT_OPERATIONS = [
  reportProgress,
  renewGrant,
  putBootTrace,
  readBootTraces,
  putReceipt,
] as const;
