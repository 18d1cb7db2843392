/** Room: http, contracts. What users ask about images. */

import { z } from 'zod';
import { defineOperation } from './operation.ts';
import { byteCount, digest, name, nothing } from './schemas.ts';

export const listImages = defineOperation({
  id: 'listImages',
  method: 'get',
  path: '/v1/images',
  summary: 'The images that nodes hold.',
  caller: 'client',
  status: 200,
  params: nothing,
  query: nothing,
  body: nothing,
  reply: z.object({
    images: z.array(
      z.object({
        digest,
        name: name.nullable(),
        kind: z.enum(['base', 'snapshot', 'package']),
        virtualSizeBytes: byteCount,
        nonZeroBytes: byteCount,
        holders: z.array(z.object({ node: name, allocatedBytes: byteCount })),
      }),
    ),
  }),
});
