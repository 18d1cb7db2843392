/**
 * Room: test, harness. A gate in front of nodes: blocks of a disk pass it as far as a test lets them. Links
 * run by the clock and guests by the processor; a test that looks at the middle of a transfer holds the rest
 * of it here, and need not be quick.
 *
 * I1: what is not a request for blocks passes as it is.
 * I2: a request passes whole or waits whole: when none is under way, all that left a node has come through.
 * I3: once as many bytes of a disk as it may bring have passed or are passing, requests wait, in their order,
 *     for as long as whoever asked does. So no more passes than that and the rest of one request.
 * I4: what a request brought counts: all that it asked for, or, when it broke off, the bytes that came.
 */

import type { IncomingMessage } from 'node:http';
import { buffer } from 'node:stream/consumers';
import type { Name } from '@vmdn/core/domain/names.ts';
import { BLOCK_BYTES } from '@vmdn/core/domain/units.ts';
import { decodeBlockRequest } from '@vmdn/core/formats/block-request.ts';
import { describeVm } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import type { Network } from '@vmdn/infra/lab/network.ts';
import { askOn, type Exchange, giveBack, type HttpProxy, startProxy } from './proxy.ts';

/** Where the nodes behind a gate are now. */
interface Behind {
  node(name: string): { readonly service: { readonly url: string } };
}

export interface Gate extends AsyncDisposable {
  /** By these a node says that it is reached through the gate. */
  settings(node: string): Readonly<Record<string, string>>;
  /** Before this the nodes behind the gate are out of reach: they are not there yet. */
  leadTo(network: Behind): void;
  /** How many bytes of a disk's blocks may pass in all; it is as many as wanted unless said. */
  allow(digest: string, bytes: number): void;
  /** Lets all pass. */
  open(digest: string): void;
  /** Refuses what waits now: whoever asked asks anew, by what it knows then. */
  refuse(digest: string): void;
  /** Bytes of a disk's blocks that have passed, from whatever node. */
  passedBytes(digest: string): number;
  /** Somebody waits for blocks of the disk, and none are under way. */
  isStill(digest: string): boolean;
  /** Nodes that were asked which part of a disk they have, and have said so. */
  tellers(digest: string): readonly string[];
}

const DISK_PATH = /^\/v1\/disks\/([0-9a-f]{64})\/(blocks|segments)$/;
/** Larger than any disk: the gate need not know how large this one is. */
const SIZE_BYTES_MAX = 2 ** 43;

/** Starts a gate in front of the nodes of these names. */
export async function startGate(nodes: readonly string[]): Promise<Gate> {
  const disks = new Map<string, GatedDisk>();
  const fronts = new Map<string, HttpProxy>();
  let behind: Behind | undefined;
  const diskOf = (digest: string): GatedDisk => {
    const disk = disks.get(digest) ?? new GatedDisk();
    disks.set(digest, disk);
    return disk;
  };
  for (const node of nodes) {
    const base = (): string | undefined => behind?.node(node).service.url;
    const front = await startProxy((exchange) => {
      const [, digest, what] = DISK_PATH.exec(exchange.incoming.url ?? '') ?? [];
      if (digest === undefined) pass(exchange, base);
      else if (what === 'segments') pass(exchange, base, () => diskOf(digest).tellers.add(node));
      else serveBlocks(exchange, base, diskOf(digest));
    });
    fronts.set(node, front);
  }
  return {
    settings: (node) => ({ VMDN_ADVERTISE_URL: fronts.get(node)!.url }),
    leadTo(network) {
      behind = network;
    },
    allow: (digest, bytes) => diskOf(digest).allow(bytes),
    open: (digest) => diskOf(digest).allow(Number.POSITIVE_INFINITY),
    refuse: (digest) => diskOf(digest).refuse(),
    passedBytes: (digest) => diskOf(digest).passedBytes,
    isStill: (digest) => diskOf(digest).isStill,
    tellers: (digest) => [...diskOf(digest).tellers],
    async [Symbol.asyncDispose]() {
      for (const front of fronts.values()) await front[Symbol.asyncDispose]();
    },
  };
}

/** Digests of a VM's disks, in the order of its newest description. */
export async function digestsOf(network: Network, vm: string): Promise<readonly string[]> {
  const { description } = await network.client.call(describeVm, { params: { vm: vm as Name } });
  return description.disks.map(({ digest }) => digest);
}

/** A request for blocks. */
interface Passage {
  readonly bytes: number;
  readonly go: () => void;
  readonly refuse: () => void;
}

class GatedDisk {
  readonly tellers = new Set<string>();
  passedBytes = 0;
  #bytesMax = Number.POSITIVE_INFINITY;
  readonly #underWay = new Set<Passage>();
  readonly #waiting = new Set<Passage>();

  get isStill(): boolean {
    return this.#underWay.size === 0 && this.#waiting.size > 0;
  }

  allow(bytes: number): void {
    this.#bytesMax = bytes;
    this.#admit();
  }

  enter(passage: Passage): void {
    this.#waiting.add(passage);
    this.#admit();
  }

  leave(passage: Passage, passedBytes: number): void {
    this.#waiting.delete(passage);
    this.#underWay.delete(passage);
    this.passedBytes += passedBytes;
    this.#admit();
  }

  refuse(): void {
    for (const passage of this.#waiting) passage.refuse();
    this.#waiting.clear();
  }

  #admit(): void {
    for (const passage of this.#waiting) {
      const underWay = [...this.#underWay].reduce((sum, { bytes }) => sum + bytes, 0);
      if (this.passedBytes + underWay >= this.#bytesMax) return;
      this.#waiting.delete(passage);
      this.#underWay.add(passage);
      passage.go();
    }
  }
}

type Base = () => string | undefined;

function pass(exchange: Exchange, base: Base, onGood: () => void = () => undefined): void {
  const asked = askOn(base(), exchange, (answer) => {
    if (answer.statusCode === 200) onGood();
    giveBack(answer, exchange.outgoing);
  });
  if (asked !== undefined) exchange.incoming.pipe(asked);
}

/** Puts a request for blocks in the queue; its body is read first, since it says how much is asked for. */
function serveBlocks(exchange: Exchange, base: Base, disk: GatedDisk): void {
  const { incoming, outgoing } = exchange;
  let came: Came = { bytes: 0, isWhole: false };
  const enter = (body: Buffer): void => {
    if (outgoing.destroyed) return;
    const passage: Passage = {
      bytes: askedBytes(body),
      go: () => {
        // Where the node is now: it may have moved while the request waited.
        const asked = askOn(base(), exchange, (answer) => {
          came = countBlocks(answer);
          giveBack(answer, outgoing);
        });
        asked?.end(body);
      },
      refuse: () => outgoing.writeHead(503).end(),
    };
    outgoing.on('close', () => {
      const isAll = came.isWhole && outgoing.writableFinished;
      disk.leave(passage, isAll ? passage.bytes : Math.min(came.bytes, passage.bytes));
    });
    disk.enter(passage);
  };
  buffer(incoming).then(enter, () => outgoing.destroy());
}

/** What came of an answer. */
interface Came {
  bytes: number;
  isWhole: boolean;
}

function countBlocks(answer: IncomingMessage): Came {
  const came = { bytes: 0, isWhole: false };
  // An error brings no blocks.
  if (answer.statusCode !== 200) return came;
  answer.on('data', (piece: Buffer) => {
    came.bytes += piece.length;
  });
  answer.on('end', () => {
    came.isWhole = true;
  });
  return came;
}

function askedBytes(body: Buffer): number {
  const runs = decodeBlockRequest(body, SIZE_BYTES_MAX);
  return runs.reduce((sum, value, i) => (i % 2 === 0 ? sum : sum + value * BLOCK_BYTES), 0);
}
