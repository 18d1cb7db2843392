import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import type { Receipt } from '@vmdn/core/http/contracts/receipts.ts';
import type { Records } from '@vmdn/core/io/ports/records.ts';
import { describe, expect, it } from 'vitest';
import { createReceipts } from './receipts.ts';

const ONE = '11111111-1111-4111-8111-111111111111' as Id;
const TWO = '22222222-2222-4222-8222-222222222222' as Id;
const signal = new AbortController().signal;

function recordsInMemory<Value>(): Records<Value> {
  const kept = new Map<string, Value>();
  return {
    read: async (key) => kept.get(key) ?? null,
    write: async (key, value) => void kept.set(key, value),
    remove: async (key) => void kept.delete(key),
    keys: async () => [...kept.keys()].sort(),
  };
}

/** An edge whose coordinator answers as told, teleport by teleport. */
function edgeWith(answers: Readonly<Record<string, VmdnError | undefined>>) {
  const sent: string[] = [];
  const refused: string[] = [];
  let written = 0;
  const records = recordsInMemory<{ teleport: Id; jws: string }>();
  const receipts = createReceipts({
    self: ONE,
    client: {
      async call(_: unknown, { params }: { params: { teleport: string } }) {
        sent.push(params.teleport);
        const answer = answers[params.teleport];
        if (answer !== undefined) throw answer;
      },
    } as never,
    records,
    sign: async ({ edge, teleport }) => `${teleport} by ${edge}`,
    events: { receiptRefused: (teleport) => void refused.push(teleport) },
    onWritten: () => {
      written += 1;
    },
  });
  return { receipts, records, sent, refused, written: () => written };
}

const receipt = (teleport: Id): Receipt => ({ teleport }) as Receipt;

describe('receipts that the coordinator does not have', () => {
  it('I1, I2: are kept signed until it took them', async () => {
    const answers: Record<string, VmdnError | undefined> = {
      [ONE]: new VmdnError('unavailable', 'away'),
    };
    const { receipts, records, sent, written } = edgeWith(answers);
    await receipts.write(receipt(ONE));
    expect(written()).toBe(1);
    expect(await records.read(ONE)).toEqual({ teleport: ONE, jws: `${ONE} by ${ONE}` });
    await expect(receipts.send(signal)).rejects.toMatchObject({ code: 'unavailable' });
    expect(await records.keys()).toEqual([ONE]);
    answers[ONE] = undefined;
    await receipts.send(signal);
    await receipts.send(signal);
    expect(sent).toEqual([ONE, ONE]);
    expect(await records.keys()).toEqual([]);
  });

  it('I2: do not hold each other up; one that is refused for good is dropped and told', async () => {
    const { receipts, records, sent, refused } = edgeWith({
      [ONE]: new VmdnError('not_found', 'a database that was restored'),
      [TWO]: new VmdnError('conflict', 'another one'),
    });
    await receipts.write(receipt(ONE));
    await receipts.write(receipt(TWO));
    await expect(receipts.send(signal)).rejects.toMatchObject({ code: 'not_found' });
    expect(sent).toEqual([ONE, TWO]);
    expect(refused).toEqual([TWO]);
    expect(await records.keys()).toEqual([ONE]);
  });
});
