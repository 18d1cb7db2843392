/**
 * Room: http, contracts. Orders of users that edges work off: placing images (seeds) and bringing them
 * in (imports).
 */

import { z } from 'zod';
import { diskDelivery } from './coordinator-teleports.ts';
import { defineOperation } from './operation.ts';
import { digest, diskFormat, id, name, nothing, timestamp } from './schemas.ts';

export const seed = z.object({
  seed: id,
  image: z.object({ name, digest }),
  createdAt: timestamp,
  edges: z.array(
    z.object({
      edge: name,
      state: z.enum(['pending', 'syncing', 'waiting', 'done', 'failed']),
      message: z.string().nullable(),
      delivery: diskDelivery.nullable(),
    }),
  ),
});
export type Seed = z.infer<typeof seed>;

export const requestSeed = defineOperation({
  id: 'requestSeed',
  method: 'post',
  path: '/v1/seeds',
  summary: 'Place a base image on edges, as desired state that each edge works off.',
  caller: 'client',
  status: 202,
  params: nothing,
  query: nothing,
  body: z.object({
    /** Name or digest of an image that some node holds. */
    image: z.union([digest, name]),
    edges: z.array(name).min(1).max(1000),
  }),
  reply: seed,
});

export const getSeed = defineOperation({
  id: 'getSeed',
  method: 'get',
  path: '/v1/seeds/{seed}',
  summary: 'How far a seeding order is.',
  caller: 'client',
  status: 200,
  params: z.object({ seed: id }),
  query: nothing,
  body: nothing,
  reply: seed,
});

const imageImport = z.object({
  import: id,
  edge: name,
  name,
  file: z.string(),
  format: diskFormat,
  state: z.enum(['pending', 'running', 'done', 'failed']),
  message: z.string().nullable(),
  /** Of the failure. */
  errorCode: z.string().nullable(),
  digest: digest.nullable(),
});

export const requestImport = defineOperation({
  id: 'requestImport',
  method: 'post',
  path: '/v1/imports',
  summary: "Import a disk file that lies in one of an edge's import folders as a base image.",
  caller: 'client',
  status: 202,
  params: nothing,
  query: nothing,
  body: z.object({ edge: name, name, file: z.string().min(1).max(4096), format: diskFormat }),
  reply: imageImport,
});

export const getImport = defineOperation({
  id: 'getImport',
  method: 'get',
  path: '/v1/imports/{import}',
  summary: 'How far an import is.',
  caller: 'client',
  status: 200,
  params: z.object({ import: id }),
  query: nothing,
  body: nothing,
  reply: imageImport,
});
