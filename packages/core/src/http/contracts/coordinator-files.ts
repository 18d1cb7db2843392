/**
 * Room: http, contracts. Orders about files on an edge's own machine, as users give them and edges work them
 * off: imports of images, exports of delivered VMs.
 */

import { z } from 'zod';
import { EXPORT_FORMATS, EXPORT_STATES, HYPERVISORS } from '../../domain/vm-export.ts';
import { defineOperation } from './operation.ts';
import { digest, diskFormat, id, name, nothing, timestamp } from './schemas.ts';

const exportFormat = z.enum(EXPORT_FORMATS);
const hypervisor = z.enum(HYPERVISORS);
const accepted = z.object({ accepted: z.literal(true) });

/** A file on the edge's own machine that it should import as a base image. */
export const desiredImport = z.object({
  import: id,
  name,
  file: z.string().min(1).max(4096),
  format: diskFormat,
});
export type DesiredImport = z.infer<typeof desiredImport>;

/** A delivered VM that the edge should export to its own machine. */
export const desiredExport = z.object({
  export: id,
  teleport: id,
  name,
  format: exportFormat,
  hypervisor,
});
export type DesiredExport = z.infer<typeof desiredExport>;

export const reportImport = defineOperation({
  id: 'reportImport',
  method: 'put',
  path: '/v1/imports/{import}/progress',
  summary: 'How far this edge is with an import.',
  caller: 'edge',
  status: 200,
  params: z.object({ import: id }),
  query: nothing,
  body: z.object({
    state: z.enum(['running', 'done', 'failed']),
    message: z.string().max(2000).optional(),
    errorCode: z.string().max(64).optional(),
    digest: digest.optional(),
  }),
  reply: accepted,
});

export const reportExport = defineOperation({
  id: 'reportExport',
  method: 'put',
  path: '/v1/exports/{export}/progress',
  summary: 'How far this edge is with an export.',
  caller: 'edge',
  status: 200,
  params: z.object({ export: id }),
  query: nothing,
  body: z.object({
    state: z.enum(['running', 'done', 'failed']),
    message: z.string().max(2000).optional(),
    errorCode: z.string().max(64).optional(),
    /** Where it lies on the edge's machine, when it is done. */
    folder: z.string().max(4096).optional(),
  }),
  reply: accepted,
});

const vmExport = z.object({
  export: id,
  teleport: id,
  edge: name,
  name,
  format: exportFormat,
  hypervisor,
  state: z.enum(EXPORT_STATES),
  message: z.string().nullable(),
  /** Of the failure. */
  errorCode: z.string().nullable(),
  folder: z.string().nullable(),
  createdAt: timestamp,
});

export const requestExport = defineOperation({
  id: 'requestExport',
  method: 'post',
  path: '/v1/exports',
  summary: 'Export the delivered disks of a VM, with a definition, into a folder of its edge.',
  caller: 'client',
  status: 202,
  params: nothing,
  query: nothing,
  body: z.object({
    teleport: id,
    hypervisor,
    /** The usual one of the hypervisor unless said. */
    format: exportFormat.optional(),
    /** Of the folder; the VM's and its version's unless said. */
    name: name.optional(),
  }),
  reply: vmExport,
});

export const getExport = defineOperation({
  id: 'getExport',
  method: 'get',
  path: '/v1/exports/{export}',
  summary: 'How far an export is.',
  caller: 'client',
  status: 200,
  params: z.object({ export: id }),
  query: nothing,
  body: nothing,
  reply: vmExport,
});
