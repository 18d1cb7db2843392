/** Room: test, bench. The figures of the benchmark `link`: from a meter's samples to what people read. */

import type { Segments } from '@vmdn/infra/netlab/netlab.ts';
import type { BenchmarkReport } from './benchmark.ts';
import type { Critical } from './methods/method.ts';
import type { Bar } from './plot.ts';
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
  /** From the request until the disk is verified and durable; of bare TCP until the last byte. */
  readonly seconds: number;
  /** Share of the origin's TCP segments that were sent again. */
  readonly sentAgain: number;
}

export interface MeasuredLink {
  readonly vmdn: LinkFigures;
  /** As many bytes over one TCP connection between two small programs: what there is to be had. */
  readonly bareTcp: LinkFigures;
}

/** What crossed between the request and the last block, and in what time. */
export function linkFigures(
  link: Link,
  samples: readonly Sample[],
  segments: Segments,
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
    sentAgain: segments.sentAgain / Math.max(1, segments.sent),
  };
}

export function linkReport(all: readonly MeasuredLink[]): BenchmarkReport {
  const heading = ['wire', 'of link', 'payload', 'seconds', 'sent again'];
  const tables = all.map(({ vmdn, bareTcp }) => {
    const rows = [rowOf('VMDN, a disk that does not compress', vmdn), rowOf('bare TCP', bareTcp)];
    return formatTable([[nameOf(vmdn.link), ...heading], ...rows]);
  });
  const promised = all.map(({ vmdn: { link, ofLink } }) => ({
    words: `${link.key}: ${ofLink.toFixed(3)} of the link ≥ ${OF_LINK_MIN}`,
    holds: ofLink >= OF_LINK_MIN,
  }));
  const lines = promised.map(({ words, holds }) => `${words}: ${holds ? 'yes' : 'NO'}`);
  const groups = all.map(({ vmdn, bareTcp }) => ({
    title: nameOf(vmdn.link),
    bars: [barOf('VMDN', vmdn, true), barOf('bare TCP', bareTcp, false)],
  }));
  const json = all.map(({ vmdn, bareTcp }) => {
    return [vmdn.link.key, { ...jsonOf(vmdn), bareTcp: jsonOf(bareTcp) }] as const;
  });
  return {
    json: Object.fromEntries(json),
    table: [...tables, lines.join('\n')].join('\n\n'),
    plot: { title: 'How much of the link is used', groups },
    promised,
  };
}

function rowOf(words: string, figures: LinkFigures): string[] {
  return [
    words,
    `${formatMegabytes(figures.bytesPerSecond)}/s`,
    figures.ofLink.toFixed(3),
    `${formatMegabytes(figures.diskBytesPerSecond)}/s`,
    figures.seconds.toFixed(2),
    percent(figures.sentAgain, 2),
  ];
}

function barOf(label: string, { ofLink }: LinkFigures, isOurs: boolean): Bar {
  return { label, value: ofLink, words: percent(ofLink, 1), isOurs };
}

function jsonOf({ link: _, ...figures }: LinkFigures): object {
  return figures;
}

function percent(share: number, digits: number): string {
  return `${(100 * share).toFixed(digits)} %`;
}

function nameOf({ bytesPerSecond, delayMs = 0, diskBytes }: Link): string {
  const trip = delayMs === 0 ? '' : `, a round trip of ${2 * delayMs} ms`;
  return `${formatMegabytes(diskBytes)} over ${formatMegabytes(bytesPerSecond)}/s${trip}`;
}
