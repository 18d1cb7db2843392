/**
 * Room: http, contracts. Moves: what an origin should do about its sources, and what it says of that.
 *
 * I1: wishes and reports are absolute (the state as it should be, as it is): twice changes nothing.
 * I2: each names the move and its epoch; a report of a stale epoch is refused and changes nothing.
 */

import { z } from 'zod';
import { FENCE_STATES } from '../../domain/fence.ts';
import { defineOperation } from './operation.ts';
import { id, name, nothing, timestamp } from './schemas.ts';

/** How the source of a moved VM stands. */
export const moveFence = z.object({
  fence: z.enum(FENCE_STATES),
  /** When the origin said first that the source can't start; null: not yet. */
  fencedAt: timestamp.nullable(),
  /** Why the origin can't do what it should, in its words. */
  problem: z.string().nullable(),
});

/** What the coordinator wants of a VM's source. */
export const fenceWish = z.object({
  teleport: id,
  vm: name,
  /** What the move delivers: a source that is another version by now is not fenced for it. */
  version: z.number().int().min(1),
  epoch: z.number().int().min(1),
  want: z.enum(['fenced', 'released']),
  /** The coordinator has this origin's word for it already. */
  confirmed: z.boolean(),
  /** The moved VM runs and needs nobody: the source's files are needed no more. */
  settled: z.boolean(),
});
export type FenceWishValue = z.infer<typeof fenceWish>;

export const desiredFences = defineOperation({
  id: 'desiredFences',
  method: 'get',
  path: '/v1/origins/self/desired',
  summary:
    "Which of this origin's sources must not start; waits until that differs from `revision`.",
  caller: 'origin',
  status: 200,
  params: nothing,
  query: z.object({
    revision: z.string().max(128).optional(),
    waitSeconds: z.coerce.number().int().min(0).max(60).optional(),
  }),
  body: nothing,
  reply: z.object({ revision: z.string().max(128), fences: z.array(fenceWish) }),
});

export const reportFence = defineOperation({
  id: 'reportFence',
  method: 'put',
  path: '/v1/teleports/{teleport}/fence',
  summary: "Whether the source of a move can start, as its origin's own word.",
  caller: 'origin',
  status: 200,
  params: z.object({ teleport: id }),
  query: nothing,
  body: z.object({
    epoch: z.number().int().min(1),
    /** `forced`: this origin's operator took the source back. */
    state: z.enum(['fenced', 'refused', 'released', 'forced']),
    /** Why it was refused. */
    message: z.string().max(2000).optional(),
  }),
  reply: z.object({ accepted: z.literal(true) }),
});

export const MOVE_OPERATIONS = [desiredFences, reportFence] as const;
