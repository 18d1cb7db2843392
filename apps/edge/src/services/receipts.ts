/**
 * Room: edge, services. Receipts: what this edge delivered, in its own signed words, kept until the
 * coordinator has it.
 *
 * I1: a receipt is durable before anybody hears that its VM runs or is independent: no kill loses one.
 * I2: it is forgotten only when the coordinator took it, or refused it for good; sent twice it is the same.
 */

import { isVmdnError } from '@vmdn/core/domain/errors.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import type { CoordinatorClient } from '@vmdn/core/http/clients/coordinator-client.ts';
import { putReceipt } from '@vmdn/core/http/contracts/coordinator-teleports.ts';
import { type Receipt, signedReceipt } from '@vmdn/core/http/contracts/receipts.ts';
import { id } from '@vmdn/core/http/contracts/schemas.ts';
import type { Records } from '@vmdn/core/io/ports/records.ts';
import { z } from 'zod';
import type { EdgeEvents } from '../events.ts';

/** A receipt that the coordinator does not have yet. */
export const unsentReceipt = z.object({ teleport: id, jws: signedReceipt });
type UnsentReceipt = z.infer<typeof unsentReceipt>;

export interface Receipts {
  /** Signs and keeps it. Durable before it returns. */
  write(receipt: Omit<Receipt, 'edge'>): Promise<void>;
  /** Sends what the coordinator does not have, each; then throws what its client threw first. */
  send(signal: AbortSignal): Promise<void>;
}

const REFUSALS = ['forbidden', 'corrupt', 'invalid_input', 'conflict'] as const;

export function createReceipts(deps: {
  readonly self: Id;
  readonly client: Pick<CoordinatorClient, 'call'>;
  readonly records: Records<UnsentReceipt>;
  readonly sign: (receipt: Receipt) => Promise<string>;
  readonly events: Pick<EdgeEvents, 'receiptRefused'>;
  /** There is one to send. */
  readonly onWritten: () => void;
}): Receipts {
  const { client, records, events } = deps;
  return {
    async write(receipt) {
      const { teleport } = receipt;
      await records.write(teleport, {
        teleport,
        jws: await deps.sign({ ...receipt, edge: deps.self }),
      });
      deps.onWritten();
    },
    async send(signal) {
      const failures: unknown[] = [];
      for (const key of await records.keys()) {
        const unsent = await records.read(key);
        if (unsent === null) continue;
        const { teleport, jws } = unsent;
        try {
          await client.call(putReceipt, { params: { teleport }, body: { receipt: jws }, signal });
        } catch (error) {
          if (!REFUSALS.some((code) => isVmdnError(error, code))) {
            failures.push(error);
            continue;
          }
          events.receiptRefused(teleport, error);
        }
        await records.remove(key);
      }
      if (failures.length > 0) throw failures[0];
    },
  };
}
