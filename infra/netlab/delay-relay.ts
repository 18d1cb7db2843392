/**
 * Room: infra. A cable with a delay, for kernels that have no netem: carries IP packets between two TUN
 * devices that were opened for it (delayed-cable.ts), each after the same time. TCP ends behind the devices,
 * never here.
 *
 *     node delay-relay.ts DELAY_MS FD FD
 *
 * I1: packets leave in the order in which they came; none is changed, cut or joined: a read or a write of a
 *     TUN device is one packet.
 * I2: nothing queues here beyond the delay: what limits the rate is the devices' own queueing.
 */

import { read, writeSync } from 'node:fs';

const PACKET_BYTES_MAX = 65_536;

interface Delayed {
  readonly packet: Buffer;
  readonly dueMs: number;
}

function carry(from: number, to: number, delayMs: number): void {
  const buffer = Buffer.allocUnsafe(PACKET_BYTES_MAX);
  let waiting: Delayed[] = [];
  let isTimed = false;
  const deliver = (): void => {
    const now = performance.now();
    let due = 0;
    for (; due < waiting.length && waiting[due]!.dueMs <= now; due += 1) {
      writeSync(to, waiting[due]!.packet);
    }
    waiting = waiting.slice(due);
    const [next] = waiting;
    isTimed = next !== undefined;
    // Timers count whole milliseconds.
    if (next !== undefined) setTimeout(deliver, Math.max(1, Math.round(next.dueMs - now)));
  };
  const take = (): void =>
    read(from, buffer, 0, buffer.length, null, (error, length) => {
      if (error !== null) throw error;
      const packet = Buffer.from(buffer.subarray(0, length));
      waiting.push({ packet, dueMs: performance.now() + delayMs });
      if (!isTimed) {
        isTimed = true;
        setTimeout(deliver, delayMs);
      }
      take();
    });
  take();
}

const [delayMs, one, other] = process.argv.slice(2).map(Number);
if (other === undefined) throw new TypeError('delay-relay.ts DELAY_MS FD FD');
carry(one!, other, delayMs!);
carry(other, one!, delayMs!);
