/**
 * Room: http, contracts. What users ask of a VM that was delivered: to be stopped and started, and to be
 * captured, which makes a VM of its own of what it has written. Edges work captures off.
 *
 * I1: a capture is done by one report that carries the signed description: the version exists exactly when
 *     the order is done.
 * I2: a capture that its user ended is over at once; its edge hears of it when it is there again.
 */

import { z } from 'zod';
import { CAPTURE_STATES } from '../../domain/capture.ts';
import { POWER_STANDINGS, POWERS } from '../../domain/power.ts';
import { defineOperation } from './operation.ts';
import { id, name, nothing, signedDescription, timestamp } from './schemas.ts';

export const power = z.enum(POWERS);
export const powerStanding = z.enum(POWER_STANDINGS);
const version = z.number().int().min(1);

export const setPower = defineOperation({
  id: 'setPower',
  method: 'put',
  path: '/v1/teleports/{teleport}/power',
  summary: 'Stop a delivered VM, which keeps its disks and its room, or start it again.',
  caller: 'client',
  status: 202,
  params: z.object({ teleport: id }),
  query: nothing,
  body: z.object({ power }),
  reply: z.object({ teleport: id, vm: name, edge: name, power: powerStanding }),
});

const capture = z.object({
  capture: id,
  teleport: id,
  edge: name,
  /** The VM that it becomes, and the version of that. */
  vm: name,
  version,
  keepStopped: z.boolean(),
  state: z.enum(CAPTURE_STATES),
  message: z.string().nullable(),
  /** Of the failure. */
  errorCode: z.string().nullable(),
  createdAt: timestamp,
});
export type Capture = z.infer<typeof capture>;

export const requestCapture = defineOperation({
  id: 'requestCapture',
  method: 'post',
  path: '/v1/captures',
  summary: 'Make a VM of its own of a delivered VM with all that it has written since.',
  caller: 'client',
  status: 202,
  params: nothing,
  query: nothing,
  body: z.object({
    teleport: id,
    /** Of the VM that it becomes; the delivered VM's with the beginning of the teleport's id unless said. */
    vm: name.optional(),
    /** Whether the delivered VM stays off afterwards; it goes on unless said. */
    keepStopped: z.boolean().optional(),
  }),
  reply: capture,
});

export const getCapture = defineOperation({
  id: 'getCapture',
  method: 'get',
  path: '/v1/captures/{capture}',
  summary: 'How far a capture is.',
  caller: 'client',
  status: 200,
  params: z.object({ capture: id }),
  query: nothing,
  body: nothing,
  reply: capture,
});

export const cancelCapture = defineOperation({
  id: 'cancelCapture',
  method: 'delete',
  path: '/v1/teleports/{teleport}/capture',
  summary: 'End the capture of a delivered VM that is under way, or waits for its edge.',
  caller: 'client',
  status: 202,
  params: z.object({ teleport: id }),
  query: nothing,
  body: nothing,
  reply: capture,
});

export const DELIVERED_OPERATIONS = [setPower, requestCapture, getCapture, cancelCapture] as const;

/** A delivered VM that its edge should capture; meanwhile the edge keeps it off. */
export const desiredCapture = z.object({
  capture: id,
  teleport: id,
  vm: name,
  version,
  keepStopped: z.boolean(),
});
export type DesiredCapture = z.infer<typeof desiredCapture>;

export const reportCapture = defineOperation({
  id: 'reportCapture',
  method: 'put',
  path: '/v1/captures/{capture}/progress',
  summary:
    'How far this edge is with a capture; the last report has the description, signed by this edge.',
  caller: 'edge',
  status: 200,
  params: z.object({ capture: id }),
  query: nothing,
  body: z.object({
    state: z.enum(['running', 'done', 'failed']),
    message: z.string().max(2000).optional(),
    errorCode: z.string().max(64).optional(),
    description: signedDescription.optional(),
  }),
  reply: z.object({ accepted: z.literal(true) }),
});
