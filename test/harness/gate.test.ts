import { encodeBlockRequest } from '@vmdn/core/formats/block-request.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Gate, startGate } from './gate.ts';
import { type HttpProxy, startProxy } from './proxy.ts';
import { MIB } from './vms.ts';

const NODE = 'node-1';
const [DISK, OTHER] = ['ab'.repeat(32), 'cd'.repeat(32)];
const MIB_REQUEST = encodeBlockRequest(Uint32Array.from([0, MIB / 4096]), MIB);

let gate: Gate;
let node: HttpProxy;
/** What the node behind the gate was asked for, in order. */
let asked: string[];

beforeEach(async () => {
  asked = [];
  node = await startProxy(({ incoming, outgoing }) => {
    asked.push(incoming.url!);
    outgoing.end(Buffer.alloc(1000));
  });
  gate = await startGate([NODE]);
  gate.leadTo({ node: () => ({ service: node }) });
});
afterEach(async () => {
  await gate[Symbol.asyncDispose]();
  await node[Symbol.asyncDispose]();
});

const urlOf = (path: string): string => `${gate.settings(NODE).VMDN_ADVERTISE_URL}${path}`;

/** Asks for one MiB of a disk. Returns the status once the answer is whole. */
async function askForMib(digest: string, signal?: AbortSignal): Promise<number> {
  const url = urlOf(`/v1/disks/${digest}/blocks`);
  const reply = await fetch(url, { method: 'POST', body: MIB_REQUEST, signal: signal ?? null });
  await reply.arrayBuffer();
  return reply.status;
}

async function somebodyWaits(digest: string): Promise<void> {
  await expect.poll(() => gate.isStill(digest)).toBe(true);
}

describe('a gate', () => {
  it('I3: lets through as much as may pass, and the rest when it may', async () => {
    gate.allow(DISK, 2 * MIB);
    expect(await askForMib(DISK)).toBe(200);
    expect(await askForMib(DISK)).toBe(200);
    expect(gate.isStill(DISK)).toBe(false);
    const third = askForMib(DISK);
    await somebodyWaits(DISK);
    expect(gate.passedBytes(DISK)).toBe(2 * MIB);
    expect(asked).toHaveLength(2);
    gate.allow(DISK, 2 * MIB + 1);
    expect(await third).toBe(200);
    expect(gate.passedBytes(DISK)).toBe(3 * MIB);
    const fourth = askForMib(DISK);
    await somebodyWaits(DISK);
    gate.open(DISK);
    expect(await fourth).toBe(200);
  });

  it('I1: holds nothing else: no other disk, and not what is said of this one', async () => {
    gate.allow(DISK, 0);
    const held = askForMib(DISK);
    await somebodyWaits(DISK);
    expect(await askForMib(OTHER)).toBe(200);
    for (const what of ['recipe', 'blocks-size', 'segments']) {
      expect(await fetch(urlOf(`/v1/disks/${DISK}/${what}`))).toMatchObject({ status: 200 });
    }
    expect(asked).toHaveLength(4);
    expect(gate.tellers(DISK)).toEqual([NODE]);
    expect(gate.tellers(OTHER)).toEqual([]);
    gate.open(DISK);
    expect(await held).toBe(200);
  });

  it('I3: forgets who has gone: nothing is asked for them', async () => {
    gate.allow(DISK, 0);
    const gone = new AbortController();
    const held = askForMib(DISK, gone.signal);
    await somebodyWaits(DISK);
    gone.abort();
    await expect(held).rejects.toThrow();
    await expect.poll(() => gate.isStill(DISK)).toBe(false);
    gate.open(DISK);
    expect(await askForMib(DISK)).toBe(200);
    expect(asked).toHaveLength(1);
    expect(gate.passedBytes(DISK)).toBe(MIB);
  });

  it('I4: counts of an answer that breaks off what came of it', async () => {
    await using broken = await startProxy(({ outgoing }) => {
      outgoing.writeHead(200, { 'content-length': String(MIB) });
      outgoing.write(Buffer.alloc(1000), () => outgoing.destroy());
    });
    gate.leadTo({ node: () => ({ service: broken }) });
    gate.allow(DISK, MIB);
    await expect(askForMib(DISK)).rejects.toThrow();
    await expect.poll(() => gate.passedBytes(DISK)).toBe(1000);
    gate.leadTo({ node: () => ({ service: node }) });
    expect(await askForMib(DISK)).toBe(200);
  });

  it('sends away who waits when it is told to, and not who comes then', async () => {
    gate.allow(DISK, 0);
    const held = askForMib(DISK);
    await somebodyWaits(DISK);
    gate.refuse(DISK);
    expect(await held).toBe(503);
    expect(asked).toEqual([]);
    const again = askForMib(DISK);
    await somebodyWaits(DISK);
    gate.open(DISK);
    expect(await again).toBe(200);
  });
});
