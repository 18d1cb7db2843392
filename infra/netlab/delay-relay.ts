/**
 * Room: infra. A cable with a delay, for kernels that have no netem: carries IP packets between two TUN
 * devices that were opened for it (delayed-cable.ts), each after the same time. TCP ends behind the devices,
 * never here.
 *
 *     node delay-relay.ts DELAY_MS FD FD
 *
 * I1: packets leave in the order in which they came; none is changed, cut or joined: a read or a write of a
 *     TUN device is one packet.
 * I2: nothing queues here beyond the delay: what limits the rate, and drops, is the devices' own queueing.
 * I3: the devices never block: all that came is read once in a tick, and all that is due is written. A read
 *     per packet in a thread of its own costs the machine more than the packet is worth.
 */

import { readSync, writeSync } from 'node:fs';

const PACKET_BYTES_MAX = 65_536;
/** The shortest time that Node's timers know; packets are late by so much at the most. */
const TICK_MS = 1;

interface Delayed {
  readonly packet: Buffer;
  readonly dueMs: number;
}

// Each tick ends with an error that says that there is nothing more to read: nobody looks at its stack.
Error.stackTraceLimit = 0;

/** One direction: returns what is to be done in each tick. */
function carry(from: number, to: number, delayMs: number): () => void {
  const buffer = Buffer.allocUnsafe(PACKET_BYTES_MAX);
  let waiting: Delayed[] = [];
  let first = 0;
  const take = (now: number): void => {
    try {
      for (;;) {
        const length = readSync(from, buffer);
        waiting.push({ packet: Buffer.from(buffer.subarray(0, length)), dueMs: now + delayMs });
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
  };
  const deliver = (now: number): void => {
    for (; first < waiting.length && waiting[first]!.dueMs <= now; first += 1) {
      writeSync(to, waiting[first]!.packet);
    }
    // The part that has left is cut off when it is the greater one: each packet is moved once or twice.
    if (first <= waiting.length / 2) return;
    waiting = waiting.slice(first);
    first = 0;
  };
  return () => {
    const now = performance.now();
    take(now);
    deliver(now);
  };
}

const [delayMs, one, other] = process.argv.slice(2).map(Number);
if (other === undefined) throw new TypeError('delay-relay.ts DELAY_MS FD FD');
const directions = [carry(one!, other, delayMs!), carry(other, one!, delayMs!)];
setInterval(() => {
  for (const work of directions) work();
}, TICK_MS);
