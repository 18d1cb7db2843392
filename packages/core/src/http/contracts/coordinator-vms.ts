/**
 * Room: http, contracts. What users ask of VMs: which there are, what is known of one, and to forget one that
 * an edge captured.
 */

import { z } from 'zod';
import { defineOperation } from './operation.ts';
import {
  byteCount,
  consistency,
  description,
  functionalCost,
  id,
  name,
  nothing,
  planSummary,
  timestamp,
  versionState,
} from './schemas.ts';

export const listVms = defineOperation({
  id: 'listVms',
  method: 'get',
  path: '/v1/vms',
  summary: 'The VMs that origins describe and edges captured, newest version of each.',
  caller: 'client',
  status: 200,
  params: nothing,
  query: nothing,
  body: nothing,
  reply: z.object({
    vms: z.array(
      z.object({
        vm: name,
        version: z.number().int(),
        state: versionState,
        /** The move by which it has left its source, or is about to. */
        movedBy: id.nullable().default(null),
        consistency,
        origin: name,
        os: z.string().nullable(),
        packages: z.number().int(),
        virtualSizeBytes: byteCount,
        nonZeroBytes: byteCount,
        describedAt: timestamp,
      }),
    ),
  }),
});

export const describeVm = defineOperation({
  id: 'describeVm',
  method: 'get',
  path: '/v1/vms/{vm}',
  summary: "The newest description of a VM and each edge's score for it.",
  caller: 'client',
  status: 200,
  params: z.object({ vm: name }),
  query: nothing,
  body: nothing,
  reply: z.object({
    state: versionState,
    origin: name,
    description,
    scores: z.array(
      z.object({
        edge: name,
        disks: z.array(planSummary),
        functional: functionalCost.nullable(),
        computedAt: timestamp,
      }),
    ),
  }),
});

export const forgetVm = defineOperation({
  id: 'forgetVm',
  method: 'delete',
  path: '/v1/vms/{vm}',
  summary: 'Forget a VM that an edge captured; what it takes there goes once nothing needs it.',
  caller: 'client',
  status: 202,
  params: z.object({ vm: name }),
  query: nothing,
  body: nothing,
  reply: z.object({ vm: name, edge: name }),
});
