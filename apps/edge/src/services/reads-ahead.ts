/**
 * Room: edge, services. What was read ahead of any request, recipes and packages: kept until the coordinator
 * has counted it.
 *
 * I1: a reading is noted durably before what it brought is kept: no kill takes it from the count.
 * I2: it is forgotten only after the coordinator took it; its number makes it count once there, however often
 *     it is reported.
 */

import { randomUUID } from 'node:crypto';
import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import type { CoordinatorClient } from '@vmdn/core/http/clients/coordinator-client.ts';
import {
  READS_AHEAD_MAX,
  type ReadAhead,
  reportReadsAhead,
} from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import type { Records } from '@vmdn/core/io/ports/records.ts';

export interface ReadsAhead {
  /** Durable before it returns. */
  note(digest: Digest, cost: Pick<ReadAhead, 'tier' | 'wireBytes'>): Promise<void>;
  /** Tells the coordinator what it does not know yet. Throws what the coordinator's client throws. */
  report(signal: AbortSignal): Promise<void>;
}

export function createReadsAhead(deps: {
  readonly client: Pick<CoordinatorClient, 'call'>;
  readonly records: Records<ReadAhead>;
}): ReadsAhead {
  const { client, records } = deps;
  return {
    async note(digest, { tier, wireBytes }) {
      const read = randomUUID() as Id;
      await records.write(read, { read, digest, tier, wireBytes });
    },
    async report(signal) {
      const keys = await records.keys();
      for (let first = 0; first < keys.length; first += READS_AHEAD_MAX) {
        const some = keys.slice(first, first + READS_AHEAD_MAX);
        const reads = await Promise.all(some.map((key) => records.read(key)));
        const body = { reads: reads.filter((read) => read !== null) };
        await client.call(reportReadsAhead, { body, signal });
        for (const key of some) await records.remove(key);
      }
    },
  };
}
