/**
 * Room: http, contracts. What an origin answers on its control socket (a unix socket that only its own
 * user can open): how its VMs stand, to let go of a VM's disks, to describe one that runs, and to take a
 * moved one back.
 */

import { z } from 'zod';
import { defineOperation } from './operation.ts';
import { consistency, id, name, nothing, timestamp, versionState } from './schemas.ts';

/** Name of the socket in the origin's runtime folder. */
export const CONTROL_SOCKET_NAME = 'control.sock';

/** What keeps a VM from starting: its disks' files have other names. */
const fence = z.object({
  teleport: id,
  epoch: z.number().int().min(1),
  since: timestamp,
  /** The moved VM needs nobody any more: these files may be removed, or kept. */
  settled: z.boolean(),
  /** As they are called now. */
  files: z.array(z.string()),
});

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
        consistency,
        locked: z.boolean(),
        problem: z.string().nullable(),
        /** The move that keeps it from starting here; null: none does. */
        fence: fence.nullable(),
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

export const takeBackVm = defineOperation({
  id: 'takeBackVm',
  method: 'post',
  path: '/v1/origin/unfence',
  summary: "Give a moved VM's disks their names again, whatever became of the VM elsewhere.",
  caller: 'public',
  status: 200,
  params: nothing,
  query: nothing,
  body: z.object({ vm: name, force: z.boolean() }),
  reply: z.object({ vm: name, teleport: id, files: z.array(z.string()) }),
});
