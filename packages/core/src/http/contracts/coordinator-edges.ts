/**
 * Room: http, contracts. What users see of the nodes.
 */

import { z } from 'zod';
import { edgeNetworks } from './identity.ts';
import { defineOperation } from './operation.ts';
import {
  byteCount,
  holderFault,
  id,
  location,
  name,
  nodeKind,
  nothing,
  timestamp,
} from './schemas.ts';

export const listEdges = defineOperation({
  id: 'listEdges',
  method: 'get',
  path: '/v1/edges',
  summary: 'The edges and origins, their health and room.',
  caller: 'client',
  status: 200,
  params: nothing,
  query: nothing,
  body: nothing,
  reply: z.object({
    nodes: z.array(
      z.object({
        node: id,
        name,
        kind: nodeKind,
        region: name.nullable(),
        location: location.nullable(),
        healthy: z.boolean(),
        lastSeenAt: timestamp.nullable(),
        protocol: z.number().int(),
        freeStoreBytes: byteCount.nullable(),
        freeMemoryMiB: z.number().int().nullable(),
        /** Those that its guests may be on, by name. */
        networks: edgeNetworks,
        accelerator: z.enum(['kvm', 'tcg']).nullable(),
        images: z.number().int(),
        /** Those that were delivered and are on, as the node said last. */
        runningVms: z.number().int(),
        uplinkBytes: byteCount.nullable(),
        uplinkLimitBytesPerSecond: byteCount.nullable(),
        /** Trouble that this node had with other holders since it started. */
        holderFaults: z.array(holderFault),
        /** Receipts that it sent and that were refused: not signed by it, or of something else. */
        refusedReceipts: z.number().int().nonnegative(),
      }),
    ),
  }),
});
