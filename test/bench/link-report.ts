/** Room: test, bench. The figures of the benchmark `link`: from a meter's samples to what people read. */

import type { BenchmarkReport } from './benchmark.ts';
import type { Critical } from './methods/method.ts';
import { formatMegabytes, formatTable } from './table.ts';

/** So much of the link is to be used. */
const OF_LINK_MIN = 0.9;
/** The block stream has ended when so much has crossed; what follows is talk with the coordinator. */
const NEARLY_ALL = 0.998;

export interface Link {
  readonly key: string;
  readonly bytesPerSecond: number;
  /** Each direction; undefined: none. */
  readonly delayMs?: number;
  /** Size of the disk that crosses. */
  readonly diskBytes: number;
}

/** What the edge's interface had received at a moment. */
export interface Sample {
  readonly atMs: number;
  readonly receivedBytes: number;
}

export interface LinkFigures {
  readonly link: Link;
  /** On the wire, headers included, towards the edge. */
  readonly bytesPerSecond: number;
  readonly ofLink: number;
  /** Of the disk. */
  readonly diskBytesPerSecond: number;
  /** From the request until the disk is verified and durable. */
  readonly seconds: number;
}

/** What crossed between the request and the last block, and in what time. */
export function linkFigures(
  link: Link,
  samples: readonly Sample[],
  { startMs, endMs }: Pick<Critical, 'startMs' | 'endMs'>,
): LinkFigures {
  const before = samples.findLast(({ atMs }) => atMs <= startMs)?.receivedBytes ?? 0;
  const total = (samples.at(-1)?.receivedBytes ?? 0) - before;
  const last = samples.find(({ receivedBytes }) => receivedBytes - before >= NEARLY_ALL * total);
  if (last === undefined || last.atMs <= startMs) throw new RangeError('nothing crossed');
  const seconds = (last.atMs - startMs) / 1000;
  const crossed = last.receivedBytes - before;
  return {
    link,
    bytesPerSecond: crossed / seconds,
    ofLink: crossed / seconds / link.bytesPerSecond,
    diskBytesPerSecond: (link.diskBytes * (crossed / total)) / seconds,
    seconds: (endMs - startMs) / 1000,
  };
}

export function linkReport(all: readonly LinkFigures[]): BenchmarkReport {
  const rows = all.map(({ link, bytesPerSecond, ofLink, diskBytesPerSecond, seconds }) => [
    nameOf(link),
    `${formatMegabytes(bytesPerSecond)}/s`,
    ofLink.toFixed(3),
    `${formatMegabytes(diskBytesPerSecond)}/s`,
    seconds.toFixed(2),
  ]);
  const promised = all.map(({ link, ofLink }) => ({
    words: `${link.key}: ${ofLink.toFixed(3)} of the link ≥ ${OF_LINK_MIN}`,
    holds: ofLink >= OF_LINK_MIN,
  }));
  const heading = ['a disk that does not compress', 'wire', 'of link', 'disk', 'verified after s'];
  const lines = promised.map(({ words, holds }) => `${words}: ${holds ? 'yes' : 'NO'}`);
  const bars = all.map(({ link, ofLink }) => ({
    label: link.key,
    value: ofLink,
    words: `${(100 * ofLink).toFixed(1)} %`,
    isOurs: true,
  }));
  return {
    json: Object.fromEntries(all.map(({ link, ...figures }) => [link.key, figures])),
    table: [formatTable([heading, ...rows]), ...lines].join('\n'),
    plot: { title: 'How much of the link is used', groups: [{ title: 'of the link', bars }] },
    promised,
  };
}

function nameOf({ bytesPerSecond, delayMs = 0, diskBytes }: Link): string {
  const trip = delayMs === 0 ? '' : `, a round trip of ${2 * delayMs} ms`;
  return `${formatMegabytes(diskBytes)} over ${formatMegabytes(bytesPerSecond)}/s${trip}`;
}
