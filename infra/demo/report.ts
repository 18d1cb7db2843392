/**
 * Room: infra, demo. The report: where every byte came from, beside what a whole copy would have
 * cost, and everything that was proved.
 */

import { TIERS, type TierBytes, totalTierBytes } from '@vmdn/core/domain/tiers.ts';
import type { Check } from './checks.ts';
import type { StepTime } from './journal.ts';
import { UPLINK_BYTES_PER_SECOND } from './scenario.ts';

export interface TeleportReport {
  readonly vm: string;
  readonly near: string;
  readonly edge: string;
  readonly why: string;
  readonly virtualSizeBytes: number;
  readonly diskBytes: TierBytes;
  readonly wireBytes: TierBytes;
  /** The whole disk through zstd -3. */
  readonly wholeCopyBytes: number;
  /** Of its phases as the edge reports them. */
  readonly phases: Readonly<Record<string, number>>;
  readonly url: string | null;
  readonly checks: readonly Check[];
}

export interface SeedReport {
  readonly image: string;
  readonly edge: string;
  readonly diskBytes: TierBytes;
  readonly wireBytes: TierBytes;
}

export interface DemoReport {
  readonly isGood: boolean;
  readonly seconds: number;
  readonly accelerator: string | null;
  readonly uplinkBytesPerSecond: number;
  readonly seed: SeedReport;
  readonly teleports: readonly TeleportReport[];
  readonly checks: readonly Check[];
  readonly steps: readonly StepTime[];
}

const WIDTH = 100;

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toLocaleString('en', { minimumFractionDigits: 1, maximumFractionDigits: 1 })} MB`;
}

function linkSeconds(bytes: number): string {
  return `${(bytes / UPLINK_BYTES_PER_SECOND).toFixed(1)} s`;
}

function row(...cells: readonly string[]): string {
  const [first = '', ...others] = cells;
  return `  ${first.padEnd(34)}${others.map((cell) => cell.padStart(18)).join('')}`;
}

function checkLines(checks: readonly Check[]): string[] {
  return checks.map(({ what, isGood, detail }) => {
    const [head = '', ...rest] = detail.split('\n');
    const more = isGood ? [] : rest.map((line) => `\n           ${line}`);
    const shown = isGood && head.length > WIDTH ? `${head.slice(0, WIDTH)}…` : head;
    return `  ${isGood ? 'ok    ' : 'WRONG '} ${what}: ${shown}${more.join('')}`;
  });
}

function teleportLines(report: TeleportReport): string[] {
  const { diskBytes, wireBytes, phases } = report;
  const fetched = totalTierBytes(wireBytes);
  const lines = [
    '',
    `${report.vm} near ${report.near} -> ${report.edge}`,
    `  ${report.why}`,
    '',
    row('source tier', 'of virtual disk', 'share', 'transferred'),
  ];
  for (const tier of TIERS) {
    if (diskBytes[tier] === 0 && wireBytes[tier] === 0) continue;
    const share = `${((100 * diskBytes[tier]) / report.virtualSizeBytes).toFixed(1)} %`;
    const wire = wireBytes[tier] === 0 ? '-' : megabytes(wireBytes[tier]);
    lines.push(row(tier, megabytes(diskBytes[tier]), share, wire));
  }
  lines.push(row('together', megabytes(totalTierBytes(diskBytes)), '', megabytes(fetched)));
  const { wholeCopyBytes } = report;
  const saved = (100 * (1 - wireBytes.origin / wholeCopyBytes)).toFixed(1);
  lines.push(
    '',
    row('over the 10 MB/s link', 'transferred', 'takes at least'),
    row('by VMDN, from the origin', megabytes(wireBytes.origin), linkSeconds(wireBytes.origin)),
    row('the whole disk (zstd -3)', megabytes(wholeCopyBytes), linkSeconds(wholeCopyBytes)),
    `  saved: ${saved} % of the bytes`,
    '',
    `  phases: ${Object.entries(phases)
      .map(([phase, seconds]) => `${phase} ${seconds.toFixed(1)} s`)
      .join(', ')}`,
    '',
    ...checkLines(report.checks),
  );
  return lines;
}

/** The report for people. */
export function reportText(report: DemoReport): string {
  const { seed } = report;
  const rule = '='.repeat(WIDTH);
  const all = [...report.teleports.flatMap(({ checks }) => checks), ...report.checks];
  const bad = all.filter(({ isGood }) => !isGood);
  return [
    rule,
    'Where every byte came from',
    rule,
    '',
    `${seed.image} seeded to ${seed.edge} ahead of time: ` +
      `${megabytes(seed.wireBytes.peer)} from a neighbour, ` +
      `${megabytes(seed.wireBytes.origin)} from the origin`,
    ...report.teleports.flatMap(teleportLines),
    '',
    'The network as a whole',
    ...checkLines(report.checks),
    '',
    rule,
    bad.length === 0
      ? `All ${all.length} checks hold. ${report.seconds.toFixed(0)} s in all.`
      : `${bad.length} of ${all.length} checks do NOT hold: ${bad.map(({ what }) => what).join('; ')}.`,
    rule,
  ].join('\n');
}
