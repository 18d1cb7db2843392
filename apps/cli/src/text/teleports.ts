/**
 * Room: text (pure). A teleport, a plan and a delivery in words and tables.
 *
 * I1: the chosen edge comes with its reason, and so do the edges that were not chosen.
 * I2: the bytes of the disk by tier add up to the virtual size, and the table says so.
 */

import { isStranded } from '@vmdn/core/domain/teleport.ts';
import {
  addTierBytes,
  NO_TIER_BYTES,
  TIERS,
  type TierBytes,
  totalTierBytes,
} from '@vmdn/core/domain/tiers.ts';
import type { Destination, Teleport } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import { type Place, placeWords } from '../arguments.ts';
import { consistencyLines } from './consistency.ts';
import { moveLines } from './moves.ts';
import { plannedTable } from './planned.ts';
import { DASH, formatBytes, formatBytesOrDash, formatSeconds, formatShare } from './sizes.ts';
import { renderTable } from './table.ts';

/** Where a plan comes to, besides the edge's own disk. */
function destinationRow(destination: Destination, mark: string): string[] {
  const { plan } = destination;
  const near = plan === null ? null : plan.diskBytes.zero + plan.diskBytes.local;
  const fetched = plan === null ? null : totalTierBytes(plan.diskBytes) - (near ?? 0);
  return [
    `${mark}${destination.edge}`,
    destination.region ?? DASH,
    `${Math.round(destination.distanceKm).toLocaleString('en')} km`,
    fetched === null ? 'not planned yet' : formatBytes(fetched),
    plan === null ? DASH : formatBytesOrDash(plan.wireBytes),
    plan === null ? DASH : formatBytesOrDash(plan.copy.wireBytes),
    formatSeconds(destination.estimatedSeconds),
    destination.reason,
  ];
}

/** The chosen edge (marked `*`) and the others, each with its reason. */
export function destinationTable(chosen: Destination, others: readonly Destination[]): string {
  return renderTable(
    [
      { title: '  edge' },
      { title: 'region' },
      { title: 'distance', align: 'right' },
      { title: 'to fetch', align: 'right' },
      { title: 'over the wire', align: 'right' },
      { title: 'a plain copy', align: 'right' },
      { title: 'estimated', align: 'right' },
      { title: 'why' },
    ],
    [destinationRow(chosen, '* '), ...others.map((other) => destinationRow(other, '  '))],
    'There is no edge.',
  );
}

/** What each method would cost on the chosen edge; the one that is used is marked. */
export function methodTable({ plan, functional, method, estimatedSeconds }: Destination): string {
  const mark = (name: string): string => `${name === method ? '* ' : '  '}${name}`;
  const copy = plan?.copy;
  const exactSeconds = plan?.estimatedSeconds ?? (method === 'exact' ? estimatedSeconds : null);
  const row = (
    name: string,
    cost: { readonly wireBytes: number } | null | undefined,
    seconds: number | null | undefined,
    words: string,
  ): string[] => [
    mark(name),
    cost ? formatBytes(cost.wireBytes) : DASH,
    typeof seconds === 'number' ? formatSeconds(seconds) : DASH,
    words,
  ];
  return renderTable(
    [
      { title: '  method' },
      { title: 'over the wire', align: 'right' },
      { title: 'estimated', align: 'right' },
      { title: '' },
    ],
    [
      row('exact', plan, exactSeconds, plan === null ? 'not planned yet' : 'bit for bit'),
      row('plain copy', copy, copy?.estimatedSeconds, 'what exact does where nothing is near'),
      row('functional', functional, functional?.estimatedSeconds, copyWords(functional)),
    ],
    'There is no method.',
  );
}

function copyWords(functional: Destination['functional']): string {
  if (functional === null) return 'not to be had there, or not estimated yet';
  const { image, installed, removed } = functional;
  const from = image === null ? 'from scratch; ' : '';
  return `at most; ${from}${installed} packages to install, ${removed} to remove`;
}

/** The sum over all disks of a teleport. */
export function deliveredBytes(teleport: Teleport): {
  diskBytes: TierBytes;
  wireBytes: TierBytes;
  virtualSizeBytes: number;
  verifiedBytes: number;
} {
  return teleport.disks.reduce(
    (sum, disk) => ({
      diskBytes: addTierBytes(sum.diskBytes, disk.diskBytes),
      wireBytes: addTierBytes(sum.wireBytes, disk.wireBytes),
      virtualSizeBytes: sum.virtualSizeBytes + disk.virtualSizeBytes,
      verifiedBytes: sum.verifiedBytes + disk.verifiedBytes,
    }),
    { diskBytes: NO_TIER_BYTES, wireBytes: NO_TIER_BYTES, virtualSizeBytes: 0, verifiedBytes: 0 },
  );
}

/** Whether more of its disk is still to come. */
export function isComing({ state, independentAt }: Teleport): boolean {
  return state === 'syncing' || (state === 'running' && independentAt === null);
}

/** Bytes of the disk and bytes transferred, by tier. */
export function tierTable(diskBytes: TierBytes, wireBytes: TierBytes): string {
  const total = totalTierBytes(diskBytes);
  const rows = TIERS.filter((tier) => diskBytes[tier] > 0 || wireBytes[tier] > 0).map((tier) => [
    tier,
    formatBytes(diskBytes[tier]),
    formatShare(diskBytes[tier], total),
    formatBytesOrDash(wireBytes[tier]),
  ]);
  rows.push(['total', formatBytes(total), '', formatBytesOrDash(totalTierBytes(wireBytes))]);
  return renderTable(
    [
      { title: 'tier' },
      { title: 'of the virtual disk', align: 'right' },
      { title: 'share', align: 'right' },
      { title: 'transferred', align: 'right' },
    ],
    rows,
    'nothing',
  );
}

/** What stays home, or that nothing does and why; no line when it was not asked for. */
export function skippedLines(skipFree: Teleport['skipFree']): string[] {
  if (skipFree === null) return [];
  const { skippedBytes, kept } = skipFree;
  const why = kept.join('; ');
  if (skippedBytes === 0) {
    return [`skip-free: nothing to skip: ${why === '' ? 'what is free is zero already' : why}`];
  }
  const rest = why === '' ? '' : `; kept whole: ${why}`;
  return [`skip-free: ${formatBytes(skippedBytes)} of free space stay home${rest}`];
}

/** Whose identity it has and on which networks it is, where that is not as its source has it. */
export function identityLines({
  identity,
  hostname,
  networks,
}: Pick<Teleport, 'identity' | 'hostname' | 'networks'>): string[] {
  const fresh =
    `identity: fresh; ${hostname} by name, with a UUID, MAC addresses, machine-id and SSH host keys ` +
    'of its own';
  const mapped = Object.entries(networks).map(([own, edges]) => `${own} is ${edges}`);
  return [
    ...(identity === 'fresh' ? [fresh] : []),
    ...(mapped.length === 0 ? [] : [`networks: ${mapped.join(', ')} at the edge`]),
  ];
}

/** How a functional copy was made, and what is known of it; no line when there is none. */
export function functionalLines(copy: Teleport['functional']): string[] {
  if (copy === null) return [];
  const { image, installed, removed, files, seconds, checkedBy } = copy;
  const of =
    image === null ? 'from scratch' : `of ${image.name ?? `image ${image.digest.slice(0, 12)}`}`;
  const count = (value: number): string => value.toLocaleString('en');
  return [
    `functional copy ${of}: ${count(installed)} packages installed ` +
      `(${formatBytesOrDash(copy.packageBytes)} from mirrors), ${count(removed)} removed; ` +
      `${count(files)} files, ${formatBytesOrDash(copy.fileBytes)}; ` +
      `${formatSeconds(seconds.appliance)} in the appliance`,
    ...copy.databases.map(databaseLine),
    `not bit-identical with its source (digest ${copy.digest.slice(0, 12)}); ` +
      `checked by: ${checkedBy.length === 0 ? 'nothing yet' : checkedBy.join(', ')}`,
  ];
}

function databaseLine(database: NonNullable<Teleport['functional']>['databases'][number]): string {
  const { engine, version, dataDirectory, tables, rows } = database;
  const what = [engine, version, dataDirectory].filter((word) => word !== null).join(' ');
  if (tables === null || rows === null) return `${what}: by its files`;
  const [count, sum] = [tables, rows].map((value) => value.toLocaleString('en'));
  return `${what}: dumped and restored; ${count} tables, ${sum} rows, each with the source's content`;
}

/** What is said as soon as the coordinator answered. */
export function routedLines(teleport: Teleport): string[] {
  const { vm, version, near, chosen, others, spilled } = teleport;
  const km = Math.round(chosen.distanceKm).toLocaleString('en');
  const where = `${chosen.edge}, ${km} km from ${placeWords(near as Place)}`;
  return [
    `${vm} version ${version} goes to ${where}${spilled ? ' (spilled: no nearer edge has room)' : ''}`,
    ...consistencyLines(teleport.consistency),
    ...skippedLines(teleport.skipFree),
    ...identityLines(teleport),
    destinationTable(chosen, others),
  ];
}

/** The end of a teleport: bytes by tier, what was planned, times, where it answers. */
export function finishedLines(teleport: Teleport): string[] {
  const { diskBytes, wireBytes } = deliveredBytes(teleport);
  const lines: string[] = [];
  if (teleport.disks.length > 0) lines.push('', tierTable(diskBytes, wireBytes));
  const functional = functionalLines(teleport.functional);
  if (functional.length > 0) lines.push('', ...functional);
  const planned = plannedTable(teleport.disks);
  if (planned !== null) lines.push('', planned);
  const phases = Object.entries(teleport.phases);
  if (phases.length > 0) {
    const words = phases.map(([phase, seconds]) => `${phase} ${formatSeconds(seconds)}`);
    lines.push('', `phases: ${words.join(', ')}`);
  }
  const boot = bootWords(teleport);
  if (boot !== null) lines.push(boot);
  lines.push(...moveLines(teleport));
  if (teleport.state === 'running') {
    const accelerator = teleport.accelerator === null ? '' : ` (${teleport.accelerator})`;
    const coming = isStranded(teleport)
      ? '; what is missing of its disk is nowhere to be had'
      : '; what is missing of its disk still comes';
    const rest = teleport.independentAt === null ? coming : '';
    lines.push('', `${teleport.vm} runs on ${teleport.edge}${accelerator}${rest}`);
    for (const { port, host, hostPort } of teleport.endpoints) {
      lines.push(
        `  ${port}: ${port === 'http' ? `http://${host}:${hostPort}/` : `${host}:${hostPort}`}`,
      );
    }
    lines.push(`To stop and remove it: vmdn cancel ${teleport.teleport}`);
  }
  return lines;
}

/** How a lazy VM's boot went; null when there is nothing to say. */
export function bootWords({
  stallSeconds,
  trace,
}: Pick<Teleport, 'stallSeconds' | 'trace'>): string | null {
  if (stallSeconds === null) return null;
  const stall = `boot: reads of the guest waited ${formatSeconds(stallSeconds)}`;
  if (trace === null) return `${stall}; nothing of an earlier boot came first`;
  const { segments, bytes } = trace;
  const count = segments.toLocaleString('en');
  return `${stall}; ${count} segments (${formatBytes(bytes)} of the disk) of an earlier boot came first`;
}

/** A teleport in one row of a list. */
export function teleportRow(teleport: Teleport): string[] {
  const { diskBytes, wireBytes, verifiedBytes, virtualSizeBytes } = deliveredBytes(teleport);
  return [
    teleport.teleport,
    teleport.vm,
    String(teleport.version),
    teleport.edge,
    isComing(teleport) && virtualSizeBytes > 0
      ? `${teleport.state} ${formatShare(verifiedBytes, virtualSizeBytes)}`
      : teleport.state,
    teleport.skipFree === null ? teleport.method : `${teleport.method}, skip-free`,
    formatBytesOrDash(virtualSizeBytes),
    formatBytesOrDash(diskBytes.local + diskBytes.package + diskBytes.peer),
    formatBytesOrDash(totalTierBytes(wireBytes)),
    teleport.message ?? '',
  ];
}
