/**
 * Room: http, contracts. What is asked about the network itself: places that have a name, tokens for new
 * nodes, and this API.
 */

import { z } from 'zod';
import { defineOperation } from './operation.ts';
import { location, name, nodeKind, nothing, seconds, timestamp } from './schemas.ts';

export const listRegions = defineOperation({
  id: 'listRegions',
  method: 'get',
  path: '/v1/regions',
  summary: 'Places that have a name: regions of the public clouds and cities.',
  caller: 'client',
  status: 200,
  params: nothing,
  query: nothing,
  body: nothing,
  reply: z.object({
    regions: z.array(location.extend({ region: name, title: z.string(), kind: z.string() })),
  }),
});

export const createEnrolmentToken = defineOperation({
  id: 'createEnrolmentToken',
  method: 'post',
  path: '/v1/enrolment-tokens',
  summary: 'A token that enrols one node, once, within its time.',
  caller: 'client',
  status: 201,
  params: nothing,
  query: nothing,
  body: z.object({ kind: nodeKind, validSeconds: seconds.min(1).max(604_800).optional() }),
  reply: z.object({ enrolmentToken: z.string(), kind: nodeKind, expiresAt: timestamp }),
});

export const openApi = defineOperation({
  id: 'openApi',
  method: 'get',
  path: '/v1/openapi.json',
  summary: 'This API as an OpenAPI 3.1 document.',
  caller: 'client',
  status: 200,
  params: nothing,
  query: nothing,
  body: nothing,
  reply: z.record(z.string(), z.unknown()),
});
