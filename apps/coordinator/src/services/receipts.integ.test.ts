import { createPublicKey, verify } from 'node:crypto';
import type { Id } from '@vmdn/core/domain/names.ts';
import { generateNodeKey } from '@vmdn/core/http/auth/keys.ts';
import { signDescription } from '@vmdn/core/http/auth/signed-description.ts';
import { signJson } from '@vmdn/core/http/auth/signed-json.ts';
import { signReceipt } from '@vmdn/core/http/auth/signed-receipt.ts';
import * as client from '@vmdn/core/http/contracts/coordinator-clients.ts';
import * as reports from '@vmdn/core/http/contracts/coordinator-teleports.ts';
import { RECEIPT_SCHEMA, type Receipt } from '@vmdn/core/http/contracts/receipts.ts';
import { beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { coordinatorPerTest } from '../testing/coordinator-per-test.ts';
import {
  delivery,
  describeTestVm,
  digest,
  startTestCoordinator,
  startTestVm,
  type TestNode,
} from '../testing/test-network.ts';

const network = coordinatorPerTest();
let edge: TestNode;
let other: TestNode;
let teleport: Id;

beforeEach(async () => {
  const { edges } = await startTestVm(network, [
    ['dublin', 'eu-west'],
    ['ashburn', 'us-east'],
  ]);
  edge = edges[0]!;
  other = edges[1]!;
  const body = { vm: 'web-01', near: { region: 'eu-west' }, lazy: false };
  teleport = (await network.user.call(client.requestTeleport, { body })).teleport;
});

function receiptOf(changes: Partial<Receipt> = {}): Receipt {
  const { virtualSizeBytes, diskBytes, wireBytes } = delivery(digest('a'), {
    ...{ zero: 3_145_728, origin: 1_048_576 },
  });
  const time = '2026-01-02T03:04:05.000Z';
  return {
    ...{ schema: RECEIPT_SCHEMA, teleport, epoch: 1, edge: edge.id, vm: 'web-01' as never },
    ...{ version: 1, lazy: false, skipFree: false, stallSeconds: null, trace: null },
    disks: [{ digest: digest('a'), virtualSizeBytes, diskBytes, wireBytes }],
    times: { requested: time, verified: time, running: time, independent: time },
    ...changes,
  };
}

function send(receipt: string, from = edge.client, about = teleport) {
  return from.call(reports.putReceipt, { params: { teleport: about }, body: { receipt } });
}

function kept(about = teleport) {
  return network.user.call(client.getReceipt, { params: { teleport: about } });
}

async function refused(name = 'dublin'): Promise<number> {
  const { nodes } = await network.user.call(client.listEdges, {});
  return nodes.find((node) => node.name === name)!.refusedReceipts;
}

describe('the receipt of a teleport', () => {
  it('is shown as its edge signed it, and verifies with nothing but the public key', async () => {
    await expect(kept()).rejects.toMatchObject({ code: 'not_found' });
    const jws = await signReceipt(edge.key, edge.id, receiptOf());
    await send(jws);
    const shown = await kept();
    expect(shown).toMatchObject({ receipt: receiptOf(), jws, edge: { name: 'dublin' } });
    // docs/formats/receipt.md, with no library.
    const [head, payload, signature] = shown.jws.split('.') as [string, string, string];
    const key = createPublicKey({ key: { ...shown.edge.publicKey }, format: 'jwk' });
    const isRight = (text: string): boolean =>
      verify(null, Buffer.from(`${head}.${text}`), key, Buffer.from(signature, 'base64url'));
    expect(isRight(payload)).toBe(true);
    const header = JSON.parse(Buffer.from(head, 'base64url').toString());
    expect(header).toEqual({ alg: 'EdDSA', typ: 'vmdn-receipt+json', kid: edge.id });
    expect(JSON.parse(Buffer.from(payload, 'base64url').toString())).toEqual(receiptOf());
    const lie = JSON.stringify(receiptOf({ version: 2 }));
    expect(isRight(Buffer.from(lie).toString('base64url'))).toBe(false);
  });

  it('I2: the same again is taken again, by every coordinator; another one is refused', async () => {
    const jws = await signReceipt(edge.key, edge.id, receiptOf());
    await send(jws);
    await using second = await startTestCoordinator(network.databaseUrl);
    await send(jws, edge.at(second.url));
    expect(await refused()).toBe(0);
    const times = { ...receiptOf().times, running: '2026-01-02T03:04:06.000Z' };
    const later = await signReceipt(edge.key, edge.id, receiptOf({ times }));
    await expect(send(later)).rejects.toMatchObject({ code: 'conflict' });
    expect((await kept()).jws).toBe(jws);
    expect(await refused()).toBe(1);
  });

  it('I1: is refused and counted when another key signed it, or it is something else', async () => {
    const stranger = await generateNodeKey();
    const description = describeTestVm('web-01', 1, digest('a'));
    const sent = [
      await signReceipt(stranger, edge.id, receiptOf()),
      await signReceipt(other.key, edge.id, receiptOf()),
      await signDescription(edge.key, edge.id, description),
      `${await signReceipt(edge.key, edge.id, receiptOf())}A`,
      'no signature at all',
    ];
    for (const jws of sent) {
      await expect(send(jws)).rejects.toMatchObject({ code: 'forbidden' });
    }
    const schema = z.unknown();
    const type = { typ: 'vmdn-receipt+json', name: 'receipt', schema };
    const jws = await signJson(type, edge.key, edge.id, { ...receiptOf(), disks: [] });
    await expect(send(jws)).rejects.toMatchObject({ code: 'corrupt' });
    expect(await refused()).toBe(sent.length + 1);
    await expect(kept()).rejects.toMatchObject({ code: 'not_found' });
  });

  it('I1: is refused and counted when it is not of this teleport, its edge, version or disks', async () => {
    const [disk] = receiptOf().disks as [Receipt['disks'][number]];
    const lies: Partial<Receipt>[] = [
      { epoch: 2 },
      { version: 2 },
      { vm: 'web-02' as never },
      { edge: other.id },
      { lazy: true },
      { teleport: edge.id },
      { disks: [disk, disk] },
      { disks: [{ ...disk, digest: digest('b') }] },
      { disks: [{ ...disk, diskBytes: { ...disk.diskBytes, origin: 0 } }] },
    ];
    for (const lie of lies) {
      const jws = await signReceipt(edge.key, edge.id, receiptOf(lie));
      await expect(send(jws)).rejects.toMatchObject({ code: 'invalid_input' });
    }
    expect(await refused()).toBe(lies.length);
    // Another edge, with its own key, of a teleport that it does not hold.
    const foreign = await signReceipt(other.key, other.id, receiptOf({ edge: other.id }));
    await expect(send(foreign, other.client)).rejects.toMatchObject({ code: 'invalid_input' });
    expect(await refused('ashburn')).toBe(1);
    await expect(kept()).rejects.toMatchObject({ code: 'not_found' });
  });

  it('is not found where there is no such teleport, and is no user’s to write', async () => {
    await expect(kept(edge.id)).rejects.toMatchObject({ code: 'not_found' });
    const jws = await signReceipt(edge.key, edge.id, receiptOf());
    await expect(send(jws, network.user)).rejects.toMatchObject({ code: 'forbidden' });
    await expect(
      edge.client.call(client.getReceipt, { params: { teleport } }),
    ).rejects.toMatchObject({ code: 'forbidden' });
  });
});
