/**
 * Room: test, bench. The longest stall that a guest sees when its running VM is switched from the export of a
 * disk in the making to the complete files. The guest (infra/guests/recipes/pacer) reads and writes in a
 * loop, past every cache, and notes how long each turn took; its second disk keeps the switch away from its
 * boot.
 *
 * I1: what the guest itself saw counts: no clock of ours does but to find the switch among its turns.
 * I2: the switch is measured on several edges, one after the other, each of which holds nothing.
 */

import { join } from 'node:path';
import type { Teleport } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import { waitFor } from '@vmdn/infra/lab/wait-for.ts';
import { type Netlab, openNetlab } from '@vmdn/infra/netlab/netlab.ts';
import type { BenchmarkOptions, BenchmarkReport } from './benchmark.ts';
import { ensureGuests } from './guests.ts';
import { STEP_TIMEOUT_MS, wireScript } from './methods/method.ts';
import { VmdnNetwork } from './methods/vmdn-network.ts';
import {
  clockOffsetMs,
  type Page,
  type PauseFigures,
  parseTurns,
  pausesOf,
} from './pause-figures.ts';
import { pauseReport } from './pause-report.ts';
import { randomDisk } from './random-disk.ts';
import { openWorkbench } from './workbench.ts';

const GUEST = 'pacer';
/** At 10 MB/s it is there a minute after the request; the guest is up long before. */
const DATA_BYTES = 640 * 2 ** 20;
const EDGES = ['first', 'second', 'third'] as const;
/** So long after the switch the guest goes on being watched. */
const AFTER_MS = 20_000;

export async function run(options: BenchmarkOptions): Promise<BenchmarkReport> {
  const { runner, signal, progress } = options;
  await using bench = await openWorkbench(options);
  const [guest] = await ensureGuests([GUEST], options);
  const wanted = await bench.disk(guest!);
  const data = await randomDisk(options, bench, guest!, DATA_BYTES);
  const rateBytesPerSecond = options.rateBytesPerSecond ?? undefined;
  await using lab = await openNetlab({ runner, signal, rateBytesPerSecond });
  await using network = await VmdnNetwork.start({ base: wanted, wanted, bench, options }, lab);
  const figures: PauseFigures[] = [];
  for (const name of EDGES) {
    const edge = await network.startEdge(name, { hasMirror: false, hasBase: false, isAlone: true });
    if (figures.length === 0) {
      const placed = join(network.vmsDir, 'data.raw');
      const copy = ['--sparse=always', '--', data.rawPath, placed];
      await runner.run('cp', copy, { timeoutMs: STEP_TIMEOUT_MS, signal });
      await network.announce([{ path: placed, format: 'raw' }]);
    }
    progress(`${GUEST} on the ${name} edge`);
    const booted = (await network.control('boot', GUEST, edge.region, 'lazy')) as Teleport;
    const up = await turnsOf(lab, booted);
    const settled = (await network.control('independent', booted.teleport)) as Teleport;
    const switchedMs = Date.parse(settled.independentAt!);
    const last = await waitFor(
      'the guest has been watched for long enough',
      async () => {
        const page = await turnsOf(lab, booted);
        return page.atMs > switchedMs + AFTER_MS ? page : undefined;
      },
      { timeoutMs: STEP_TIMEOUT_MS, intervalMs: 2000 },
    );
    const offsetMs = clockOffsetMs([up, last]);
    figures.push(pausesOf(parseTurns(last.text), switchedMs - offsetMs));
    await network.control('cancel', booted.teleport);
  }
  return pauseReport(figures);
}

async function turnsOf(lab: Netlab, { endpoints }: Teleport): Promise<Page> {
  const [endpoint] = endpoints;
  if (endpoint === undefined) throw new Error(`${GUEST} has no port`);
  const url = `http://${endpoint.host}:${endpoint.hostPort}/loop/turns`;
  const { stdout } = await lab.run('edge', process.execPath, [wireScript('get-text.ts'), url], {
    timeoutMs: STEP_TIMEOUT_MS,
  });
  return JSON.parse(stdout) as Page;
}
