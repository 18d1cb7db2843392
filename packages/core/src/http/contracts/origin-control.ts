/**
 * Room: http, contracts. What an origin answers on its control socket (a unix socket that only its own
 * user can open): how its VMs stand, to let go of a VM's disks, and to describe one that runs.
 */

import { z } from 'zod';
import { CONSISTENCIES } from '../../domain/description.ts';
import { defineOperation } from './operation.ts';
import { name, nothing, versionState } from './schemas.ts';

/** Name of the socket in the origin's runtime folder. */
export const CONTROL_SOCKET_NAME = 'control.sock';

export const originStatus = defineOperation({
  id: 'originStatus',
  method: 'get',
  path: '/v1/origin/vms',
  summary: "This origin's VMs: version, state, whether their disks are locked, what is wrong.",
  caller: 'public',
  status: 200,
  params: nothing,
  query: nothing,
  body: nothing,
  reply: z.object({
    vms: z.array(
      z.object({
        vm: name,
        version: z.number().int().min(1),
        state: versionState,
        consistency: z.enum(CONSISTENCIES),
        locked: z.boolean(),
        problem: z.string().nullable(),
      }),
    ),
    /** What is wrong besides: files that are no VM specifications, VMs that were never described. */
    problems: z.array(z.object({ where: z.string(), problem: z.string() })),
  }),
});

export const releaseDisks = defineOperation({
  id: 'releaseDisks',
  method: 'post',
  path: '/v1/origin/release',
  summary: "Let go of a VM's disks at once, so that it can be started, and leave them for a while.",
  caller: 'public',
  status: 200,
  params: nothing,
  query: nothing,
  body: z.object({
    /** Without it: all VMs. */
    vm: name.optional(),
    seconds: z.number().int().min(0).max(86_400).optional(),
  }),
  reply: z.object({ released: z.array(name) }),
});

export const describeRunning = defineOperation({
  id: 'describeRunning',
  method: 'post',
  path: '/v1/origin/describe',
  summary: 'Describe a VM that runs now, and not when it is due.',
  caller: 'public',
  status: 200,
  params: nothing,
  query: nothing,
  body: z.object({ vm: name }),
  reply: z.object({ asked: name }),
});
