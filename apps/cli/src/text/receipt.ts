/**
 * Room: text (pure). A receipt in words.
 */

import { addTierBytes, NO_TIER_BYTES } from '@vmdn/core/domain/tiers.ts';
import type { KeptReceipt } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import { formatBytes, formatSeconds, formatTime } from './sizes.ts';
import { bootWords, tierTable } from './teleports.ts';

/** What was delivered, from where, when, and who says so. */
export function receiptLines({ receipt, edge, receivedAt }: KeptReceipt): string[] {
  const { vm, version, lazy, skipFree, disks, times } = receipt;
  const how = [...(lazy ? ['lazy'] : []), ...(skipFree ? ['without free space'] : [])];
  const diskBytes = disks.reduce((sum, disk) => addTierBytes(sum, disk.diskBytes), NO_TIER_BYTES);
  const wireBytes = disks.reduce((sum, disk) => addTierBytes(sum, disk.wireBytes), NO_TIER_BYTES);
  const lines = [
    `${vm} version ${version} on ${edge.name}${how.length > 0 ? ` (${how.join(', ')})` : ''}`,
  ];
  for (const { digest, virtualSizeBytes } of disks) {
    lines.push(`disk ${digest}, ${formatBytes(virtualSizeBytes)} virtual`);
  }
  lines.push('', tierTable(diskBytes, wireBytes), '');
  const asked = Date.parse(times.requested);
  for (const [what, time] of Object.entries(times)) {
    const after =
      what === 'requested' ? '' : `, after ${formatSeconds(secondsBetween(asked, time))}`;
    lines.push(`${what.padEnd(12)} ${formatTime(time)}${after}`);
  }
  const boot = bootWords(receipt);
  if (boot !== null) lines.push('', boot);
  lines.push('', `signed by edge ${edge.node}, received ${formatTime(receivedAt)}`);
  return lines;
}

/** Clocks of two machines: never less than nothing. */
function secondsBetween(fromMs: number, to: string): number {
  return Math.max(0, (Date.parse(to) - fromMs) / 1000);
}
