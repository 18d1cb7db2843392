/**
 * Room: infra, lab. Ports for the services of networks.
 *
 * I1: a port is one that the kernel gives to nobody by itself: while its service is killed and not started
 *     again, neither somebody else's `listen(0)` nor a connection that goes out takes it.
 * I2: processes that start networks at the same moment try different ports, and a process none twice.
 */

import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';

const RANGE = '/proc/sys/net/ipv4/ip_local_port_range';
const FIRST = 20_000;
/** More than the services of one network; processes with neighbouring numbers begin this far apart. */
const STRIDE = 64;

let tried = 0;

async function isFree(host: string, port: number): Promise<boolean> {
  const server = createServer().listen(port, host);
  try {
    await once(server, 'listening');
  } catch {
    return false;
  }
  server.close();
  await once(server, 'close');
  return true;
}

/** A port that is free on `host`. Where the kernel gives out all from FIRST on: 0, any of its own. */
export async function freePort(host: string): Promise<number> {
  const count = Number.parseInt(await readFile(RANGE, 'latin1'), 10) - FIRST;
  while (tried < count) {
    const port = FIRST + ((process.pid * STRIDE + tried) % count);
    // Before anything is awaited: services of one network ask at the same moment.
    tried += 1;
    if (await isFree(host, port)) return port;
  }
  return 0;
}
