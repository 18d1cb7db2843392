/**
 * Room: test, bench. How much of the link VMDN uses for a disk that does not compress, between the request
 * and the last block: on a short link of 1 Gbit/s, and on one of 10 MB/s with a round trip of 100 ms. Beside
 * it, over the same link, one bare TCP connection: what the link and this machine have to give.
 *
 * I1: TCP itself sees the delay, at both ends: packets are delayed, no connection ends on the way.
 * I2: coordinator, origin and edge are the processes they are, as in `bytes`; a figure stands only when the
 *     disk is verified.
 * I3: the window begins with the request, so slow start counts, and whatever is done before the first block.
 */

import { readFile } from 'node:fs/promises';
import type { Metered, Netlab, Segments } from '@vmdn/infra/netlab/netlab.ts';
import type { BenchmarkOptions, BenchmarkReport } from './benchmark.ts';
import { ensureGuests } from './guests.ts';
import {
  type Link,
  type LinkFigures,
  linkFigures,
  linkReport,
  type MeasuredLink,
  type Sample,
} from './link-report.ts';
import { bareTcp } from './methods/bare-tcp.ts';
import { type Method, measure, type Observer, type Task } from './methods/method.ts';
import { vmdn } from './methods/vmdn.ts';
import { randomDisk } from './random-disk.ts';
import { openWorkbench } from './workbench.ts';

/** Small: what the edge has does not matter here. */
const BASE = 'tiny';
const MIB = 2 ** 20;
const LINKS: readonly Link[] = [
  { key: 'gigabit', bytesPerSecond: 125_000_000, diskBytes: 1536 * MIB },
  { key: 'delayed', bytesPerSecond: 10_000_000, delayMs: 50, diskBytes: 384 * MIB },
];
const SAMPLE_MS = 100;

export async function run(options: BenchmarkOptions): Promise<BenchmarkReport> {
  const all: MeasuredLink[] = [];
  for (const link of LINKS) all.push(await measureLink(link, options));
  return linkReport(all);
}

async function measureLink(link: Link, given: BenchmarkOptions): Promise<MeasuredLink> {
  const options = { ...given, rateBytesPerSecond: link.bytesPerSecond };
  await using bench = await openWorkbench(options);
  const [base] = await ensureGuests([BASE], options);
  const baseDisk = await bench.disk(base!);
  const wanted = await randomDisk(options, bench, baseDisk.source, link.diskBytes);
  const task = { base: baseDisk, wanted, bench, options };
  return {
    bareTcp: await measureMethod(bareTcp, link, task),
    vmdn: await measureMethod(vmdn, link, task),
  };
}

async function measureMethod(method: Method, link: Link, task: Task): Promise<LinkFigures> {
  const watched: Watched = { samples: [], segments: { sent: 0, sentAgain: 0 } };
  const observer: Observer = {
    // A relay carries packet by packet; 125 MB/s take what a network card does.
    ...(link.delayMs === undefined ? { offload: true } : { delayMs: link.delayMs }),
    watch: (lab) => watch(lab, watched),
  };
  const [cost] = await measure(method, task, observer);
  return linkFigures(link, watched.samples, watched.segments, cost!.critical);
}

interface Watched {
  readonly samples: Sample[];
  segments: Segments;
}

/** Notes again and again how much has crossed, and at the end how much of it was sent again. */
function watch(lab: Netlab, watched: Watched): AsyncDisposable {
  const { samples } = watched;
  // What a process in there sees of its interface costs one read; asking a tool costs a process each time.
  const eye = lab.start('edge', 'sleep', ['infinity']);
  const stop = new AbortController();
  const loop = async (): Promise<void> => {
    const atStart = await lab.meter();
    while (!stop.signal.aborted) {
      const table = await readFile(`/proc/${eye.pid}/net/dev`, 'latin1');
      const received = /^ *cable: *(\d+)/m.exec(table)?.[1];
      // Until it has entered the lab it sees this machine's interfaces.
      if (received !== undefined) {
        samples.push({ atMs: Date.now(), receivedBytes: Number(received) });
      }
      await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
    }
    watched.segments = await lab.segments('origin');
    const atEnd = await lab.meter();
    watched.samples.splice(0, samples.length, ...asMetered(samples, atStart, atEnd));
  };
  const ended = loop();
  return {
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await ended;
      await eye.stop();
    },
  };
}

/** The interface says when bytes came; the meter says how many they were on the wire, headers included. */
function asMetered(samples: readonly Sample[], atStart: Metered, atEnd: Metered): Sample[] {
  const first = samples[0]?.receivedBytes ?? 0;
  const seen = (samples.at(-1)?.receivedBytes ?? 0) - first;
  const ratio = (atEnd.receivedBytes - atStart.receivedBytes) / Math.max(1, seen);
  return samples.map(({ atMs, receivedBytes }) => ({
    atMs,
    receivedBytes: (receivedBytes - first) * ratio,
  }));
}
