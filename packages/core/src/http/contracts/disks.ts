/**
 * Room: http, contracts. What every node that holds a disk serves: its recipe and its blocks.
 * Bodies are binary (docs/formats); only the paths, headers and callers stand here.
 *
 * I1: all of it needs a grant signed by the coordinator and a proof by the key that the grant names.
 * I2: `origin` and `edge` mount the same routes (http/disk-routes.ts).
 */

import { z } from 'zod';
import { defineOperation } from './operation.ts';
import { byteCount, digest, nothing } from './schemas.ts';

/** Header with the grant, a compact JWS by the coordinator. */
export const GRANT_HEADER = 'vmdn-grant';
/** Header with the proof of possession, a compact JWS by the caller's key. */
export const PROOF_HEADER = 'vmdn-proof';

export const RECIPE_MEDIA_TYPE = 'application/vnd.vmdn.recipe';
export const RECIPE_RANGE_MEDIA_TYPE = 'application/vnd.vmdn.recipe-range';
export const RECIPE_OUTLINE_MEDIA_TYPE = 'application/vnd.vmdn.recipe-outline';
export const ROW_REQUEST_MEDIA_TYPE = 'application/vnd.vmdn.row-request';
export const RECIPE_ROWS_MEDIA_TYPE = 'application/vnd.vmdn.recipe-rows';
export const BLOCK_REQUEST_MEDIA_TYPE = 'application/vnd.vmdn.block-request';
/** A bitmap over the segments of a disk: bit i is bit (i & 7) of byte i >> 3. */
export const SEGMENTS_MEDIA_TYPE = 'application/vnd.vmdn.segments';
/** A block stream, compressed as a whole with zstd (RFC 8878). */
export const BLOCK_STREAM_MEDIA_TYPE = 'application/vnd.vmdn.block-stream+zstd';

export const readRecipe = defineOperation({
  id: 'readRecipe',
  method: 'get',
  path: '/v1/disks/{digest}/recipe',
  summary: 'The recipe of a disk: whole, or a byte range of the file (RFC 9110), with an ETag.',
  caller: 'grant',
  status: 200,
  params: z.object({ digest }),
  query: nothing,
  body: nothing,
  reply: z.unknown(),
});

export const readRecipeRange = defineOperation({
  id: 'readRecipeRange',
  method: 'get',
  path: '/v1/disks/{digest}/recipe/{column}',
  summary: 'A range of one column of the recipe with the proof that verifies it alone.',
  caller: 'grant',
  status: 200,
  params: z.object({ digest, column: z.enum(['segments', 'keys']) }),
  query: z.object({
    from: z.coerce.number().int().nonnegative(),
    to: z.coerce.number().int().positive(),
  }),
  body: nothing,
  reply: z.unknown(),
});

export const readRecipeOutline = defineOperation({
  id: 'readRecipeOutline',
  method: 'get',
  path: '/v1/disks/{digest}/recipe-outline',
  summary: 'Sizes, segment bitmap and hash prefixes of a recipe, with an ETag.',
  caller: 'grant',
  status: 200,
  params: z.object({ digest }),
  query: nothing,
  body: nothing,
  reply: z.unknown(),
});

export const readRecipeRows = defineOperation({
  id: 'readRecipeRows',
  method: 'post',
  path: '/v1/disks/{digest}/recipe-rows',
  summary: 'Rows of a recipe: what the outline left out of them.',
  caller: 'grant',
  status: 200,
  params: z.object({ digest }),
  query: nothing,
  body: z.unknown(),
  reply: z.unknown(),
});

export const readSegments = defineOperation({
  id: 'readSegments',
  method: 'get',
  path: '/v1/disks/{digest}/segments',
  summary: 'Which segments of a disk this node can serve now: a bitmap.',
  caller: 'grant',
  status: 200,
  params: z.object({ digest }),
  query: nothing,
  body: nothing,
  reply: z.unknown(),
});

export const readBlocks = defineOperation({
  id: 'readBlocks',
  method: 'post',
  path: '/v1/disks/{digest}/blocks',
  summary: 'Runs of blocks of a disk as one compressed stream.',
  caller: 'grant',
  status: 200,
  params: z.object({ digest }),
  query: nothing,
  body: z.unknown(),
  reply: z.unknown(),
});

export const measureBlocks = defineOperation({
  id: 'measureBlocks',
  method: 'post',
  path: '/v1/disks/{digest}/blocks-size',
  summary: 'How long the answer to the same request for blocks would be, without sending it.',
  caller: 'grant',
  status: 200,
  params: z.object({ digest }),
  query: nothing,
  body: z.unknown(),
  reply: z.object({ wireBytes: byteCount }),
});

export const health = defineOperation({
  id: 'health',
  method: 'get',
  path: '/health',
  summary: 'Whether the process is up; says nothing else.',
  caller: 'public',
  status: 200,
  params: nothing,
  query: nothing,
  body: nothing,
  reply: z.object({ status: z.literal('ok') }),
});

export const DISK_OPERATIONS = [
  readRecipe,
  readRecipeRange,
  readRecipeOutline,
  readRecipeRows,
  readSegments,
  readBlocks,
  measureBlocks,
  health,
] as const;
