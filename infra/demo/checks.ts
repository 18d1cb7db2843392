/**
 * Room: infra, demo. What must hold of a teleport, decided from numbers alone.
 *
 * I1: a check that was not made is not a check that passed: each one is in the list with its figures.
 * I2: bytes are counted at both ends: what the edges say they took from the origin's link, and what the
 *     origin's limiter let through.
 */

import { TIERS, type TierBytes, totalTierBytes } from '@vmdn/core/domain/tiers.ts';
import type { Teleport } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import type { DiskComparison } from '../lab/disk-proof.ts';
import type { SiteProof } from '../lab/site-proof.ts';
import type { DemoRequest } from './scenario.ts';

export interface Check {
  readonly what: string;
  readonly isGood: boolean;
  /** The figures behind it. */
  readonly detail: string;
}

function check(what: string, isGood: boolean, detail: string): Check {
  return { what, isGood, detail };
}

const count = (bytes: number): string => bytes.toLocaleString('en');

function tierWords(bytes: TierBytes): string {
  return TIERS.map((tier) => `${tier} ${count(bytes[tier])}`).join(' + ');
}

/** That the coordinator chose the edge near the user, and that it runs there. */
export function checkRouting(request: DemoRequest, teleport: Teleport): Check[] {
  const chosen = `${teleport.edge}: ${teleport.chosen.reason}`;
  return [
    check(`near ${request.near} means ${request.edge}`, teleport.edge === request.edge, chosen),
    check('it runs', teleport.state === 'running', teleport.message ?? teleport.state),
  ];
}

/** That the tiers add up to each disk, and that the outcome is the one expected. */
export function checkTiers(request: DemoRequest, teleport: Teleport): Check[] {
  const checks = teleport.disks.map((disk) => {
    const total = totalTierBytes(disk.diskBytes);
    const virtual = count(disk.virtualSizeBytes);
    const words = `${tierWords(disk.diskBytes)} = ${count(total)}, virtual size ${virtual}`;
    const isWhole = total === disk.virtualSizeBytes && disk.verifiedBytes === disk.virtualSizeBytes;
    return check('the tiers add up to the disk', isWhole, words);
  });
  const near = teleport.disks.reduce(
    (sum, { diskBytes }) => sum + diskBytes.local + diskBytes.package + diskBytes.peer,
    0,
  );
  const fromOrigin = teleport.disks.reduce((sum, { diskBytes }) => sum + diskBytes.origin, 0);
  const outcome = fromOrigin === 0 ? 'hit' : near === 0 ? 'miss' : 'partial';
  const words = `${count(near)} bytes from near, ${count(fromOrigin)} from the origin`;
  checks.push(check(`it is a ${request.outcome}`, outcome === request.outcome, words));
  checks.push(
    check('there is a disk', teleport.disks.length > 0, `${teleport.disks.length} disks`),
  );
  return checks;
}

/** That the delivered disk is the source's, by three independent ways. */
export function checkDisk(comparison: DiskComparison): Check[] {
  const { virtualSizeBytes, sha256, compare } = comparison;
  const isSameSize = virtualSizeBytes.source === virtualSizeBytes.delivered;
  const sizes = `${count(virtualSizeBytes.source)} and ${count(virtualSizeBytes.delivered)} bytes`;
  const isSameHash = sha256.source === sha256.delivered && sha256.source.length === 64;
  return [
    check('equal virtual sizes', isSameSize, sizes),
    check('qemu-img compare', compare === 'Images are identical.', compare),
    check(
      'equal SHA-256 of the guest-visible bytes',
      isSameHash,
      `${sha256.source} and ${sha256.delivered}`,
    ),
  ];
}

/** That the booted guest serves what its builder put there. */
export function checkSite(proof: SiteProof): Check {
  const words = `${proof.files} files, ${count(proof.bytes)} bytes`;
  const { differences } = proof;
  const shown = [words, ...differences.slice(0, 10)].join('\n');
  return check('the web site, file by file', differences.length === 0 && proof.files > 0, shown);
}

/** The two ends of the origin's link, counted since it started. */
export interface LinkCount {
  /** What edges took from the origin before anybody asked, by their own count: recipes and seeds. */
  readonly aheadBytes: number;
  /** What the limiter has let through. */
  readonly sentBytes: number;
  /** What the teleports took from the origin, by their own count. */
  readonly teleportBytes: number;
}

/** That what was received is what was sent, to the byte. */
export function checkLink({ aheadBytes, sentBytes, teleportBytes }: LinkCount): Check {
  const words =
    `${count(sentBytes)} bytes sent, ${count(teleportBytes)} received by teleports` +
    ` and ${count(aheadBytes)} ahead of them, in recipes read for planning`;
  const isEqual = sentBytes === teleportBytes + aheadBytes;
  return check("the origin's own counter agrees", isEqual, words);
}
