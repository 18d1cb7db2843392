import { describe, expect, it } from 'vitest';
import type { Id } from '../../domain/names.ts';
import { RECEIPT_SCHEMA, type Receipt } from '../contracts/receipts.ts';
import { generateNodeKey } from './keys.ts';
import { signReceipt, verifyReceipt } from './signed-receipt.ts';

const ID = '11111111-1111-4111-8111-111111111111' as Id;
const TIME = '2026-01-02T03:04:05.000Z';
const BYTES = { zero: 0, local: 0, package: 0, peer: 0, origin: 4096 };
const RECEIPT: Receipt = {
  ...{
    schema: RECEIPT_SCHEMA,
    teleport: ID,
    epoch: 1,
    edge: ID,
    vm: 'web-01' as never,
    version: 1,
  },
  ...{ lazy: true, skipFree: false, stallSeconds: 0.25, trace: { segments: 1, bytes: 4096 } },
  disks: [
    {
      ...{ digest: 'ab'.repeat(32) as never, virtualSizeBytes: 4096 },
      ...{ diskBytes: BYTES, wireBytes: BYTES },
    },
  ],
  times: { requested: TIME, verified: TIME, running: TIME, independent: TIME },
};

/** The same value with the fields of every object in the opposite order. */
function backwards<Value>(value: Value): Value {
  if (Array.isArray(value)) return value.map(backwards) as Value;
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).reverse();
  return Object.fromEntries(entries.map(([key, each]) => [key, backwards(each)])) as Value;
}

describe('a signed receipt', () => {
  it('is one text for one receipt, in whatever order its fields come', async () => {
    const key = await generateNodeKey();
    const text = await signReceipt(key, ID, RECEIPT);
    expect(JSON.stringify(backwards(RECEIPT))).not.toBe(JSON.stringify(RECEIPT));
    expect(await signReceipt(key, ID, backwards(RECEIPT))).toBe(text);
    expect(await verifyReceipt(text, key.publicKey)).toEqual(RECEIPT);
  });
});
