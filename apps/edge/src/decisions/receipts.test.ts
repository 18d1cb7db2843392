import { parseDigest } from '@vmdn/core/domain/digest.ts';
import { describe, expect, it } from 'vitest';
import type { TeleportRecord } from '../services/teleport-record.ts';
import { receiptOf } from './receipts.ts';

const [ONE, TWO] = [parseDigest('ab'.repeat(32)), parseDigest('cd'.repeat(32))];
const NONE = { zero: 0, local: 0, package: 0, peer: 0, origin: 0 };
const delivery = (digest: typeof ONE, origin: number) => ({
  ...{ digest, virtualSizeBytes: 4096, verifiedBytes: 4096, wireBytes: { ...NONE, origin: 99 } },
  diskBytes: { ...NONE, origin },
});
const times = {
  verified: '2026-01-02T03:04:07.000Z',
  running: '2026-01-02T03:04:06.000Z',
  independent: '2026-01-02T03:04:08.000Z',
};
const record = {
  ...{ teleport: 't', epoch: 2, vm: 'web-01', version: 3, times, boot: null },
  deliveries: [delivery(TWO, 4096), delivery(ONE, 4096)],
} as unknown as TeleportRecord;
const disks = [{ digest: ONE }, { digest: TWO }, { digest: ONE }] as never;
const requestedAt = '2026-01-02T03:04:05.000Z';
const wish = { lazy: true, skipFree: false, method: 'exact', requestedAt } as const;

describe('what a receipt says', () => {
  it("names the disks in the version's order, and the times", () => {
    const receipt = receiptOf(record, { disks }, wish)!;
    expect(receipt.disks.map(({ digest }) => digest)).toEqual([ONE, TWO, ONE]);
    expect(receipt.disks[0]).toEqual({
      ...{ digest: ONE, virtualSizeBytes: 4096, wireBytes: { ...NONE, origin: 99 } },
      diskBytes: { ...NONE, origin: 4096 },
    });
    expect(receipt.times).toEqual({ requested: wish.requestedAt, ...times });
    expect(receipt).toMatchObject({ epoch: 2, lazy: true, stallSeconds: null, trace: null });
  });

  it('I2: is not given of a functional copy', () => {
    expect(receiptOf(record, { disks }, { ...wish, method: 'functional' })).toBeNull();
  });

  it('is not given when something of it is not known', () => {
    expect(receiptOf(record, { disks }, { ...wish, requestedAt: undefined })).toBeNull();
    const unfinished = { ...record, times: { ...times, independent: undefined } };
    expect(receiptOf(unfinished, { disks }, wish)).toBeNull();
    const other = { ...record, deliveries: [delivery(ONE, 4096)] };
    expect(receiptOf(other, { disks }, wish)).toBeNull();
    const partial = { ...record, deliveries: [delivery(ONE, 4096), delivery(TWO, 4095)] };
    expect(receiptOf(partial, { disks }, wish)).toBeNull();
  });
});
