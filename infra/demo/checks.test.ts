import type { Id, Name } from '@vmdn/core/domain/names.ts';
import { NO_TIER_BYTES } from '@vmdn/core/domain/tiers.ts';
import type { Teleport } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import { describe, expect, it } from 'vitest';
import { type Check, checkDisk, checkLink, checkRouting, checkSite, checkTiers } from './checks.ts';
import { type DemoReport, reportText } from './report.ts';
import { REQUESTS } from './scenario.ts';

const REQUEST = REQUESTS[0]!;
const MISS = REQUESTS[2]!;
const DISK = {
  digest: 'ab'.repeat(32) as Teleport['disks'][number]['digest'],
  virtualSizeBytes: 1000,
  verifiedBytes: 1000,
  diskBytes: { ...NO_TIER_BYTES, zero: 400, local: 350, origin: 250 },
  wireBytes: { ...NO_TIER_BYTES, origin: 120 },
};

function teleport(change: Partial<Teleport> = {}): Teleport {
  const edge = REQUEST.edge as Name;
  const chosen = {
    edge,
    region: null,
    distanceKm: 1,
    plan: null,
    functional: null,
    method: 'exact' as const,
    estimatedSeconds: 1,
    eligible: true,
    reason: 'near',
  };
  return {
    teleport: '0b8c1f0e-6a53-4d8f-9a3e-5d1c2b7a9e10' as Id,
    vm: 'web-01' as Name,
    version: 1,
    consistency: 'off',
    near: { region: 'london' as Name },
    method: 'exact',
    skipFree: null,
    ...{ lazy: false, identity: 'same', hostname: null, networks: {} },
    ...{ move: null, movedBy: null },
    power: 'on',
    functional: null,
    state: 'running',
    epoch: 1,
    edge,
    spilled: false,
    chosen,
    others: [],
    disks: [DISK],
    endpoints: [],
    message: null,
    errorCode: null,
    phases: {},
    accelerator: 'tcg',
    stallSeconds: null,
    trace: null,
    createdAt: '2026-01-01T00:00:00Z',
    updatedAt: '2026-01-01T00:00:00Z',
    finishedAt: null,
    independentAt: '2026-01-01T00:00:00Z',
    released: false,
    ...change,
  };
}

const bad = (checks: readonly Check[]): string[] =>
  checks.filter(({ isGood }) => !isGood).map(({ what }) => what);

describe('the checks of a teleport', () => {
  it('hold when all is as it should be', () => {
    expect(bad([...checkRouting(REQUEST, teleport()), ...checkTiers(REQUEST, teleport())])).toEqual(
      [],
    );
  });

  it('notice the wrong edge and a guest that does not run', () => {
    const elsewhere = teleport({ edge: 'tokyo-1' as Name, state: 'failed' });
    expect(bad(checkRouting(REQUEST, elsewhere))).toEqual([
      'near london means dublin-1',
      'it runs',
    ]);
  });

  it('notice a byte that no tier accounts for, or that was not verified', () => {
    const tiers = { ...DISK.diskBytes, local: 349 };
    expect(
      bad(checkTiers(REQUEST, teleport({ disks: [{ ...DISK, diskBytes: tiers }] }))),
    ).toHaveLength(1);
    expect(
      bad(checkTiers(REQUEST, teleport({ disks: [{ ...DISK, verifiedBytes: 999 }] }))),
    ).toHaveLength(1);
  });

  it('notice a miss that was none, and a teleport without disks', () => {
    expect(bad(checkTiers(MISS, teleport()))).toEqual(['it is a miss']);
    expect(bad(checkTiers(REQUEST, teleport({ disks: [] })))).toContain('there is a disk');
  });

  it.each([
    ['the sizes', { virtualSizeBytes: { source: 1, delivered: 2 } }],
    ['the hashes', { sha256: { source: 'a'.repeat(64), delivered: 'b'.repeat(64) } }],
    ['what qemu-img finds', { compare: 'Content mismatch at offset 0!' }],
  ])('notice a difference in %s', (_, change) => {
    const sha256 = { source: 'a'.repeat(64), delivered: 'a'.repeat(64) };
    const virtualSizeBytes = { source: 1, delivered: 1 };
    const equal = { virtualSizeBytes, sha256, compare: 'Images are identical.', isEqual: true };
    expect(bad(checkDisk(equal))).toEqual([]);
    expect(bad(checkDisk({ ...equal, ...change }))).toHaveLength(1);
  });

  it('notice a file of the site that differs, and a site without files', () => {
    expect(checkSite({ files: 2, bytes: 3, differences: [] }).isGood).toBe(true);
    expect(checkSite({ files: 2, bytes: 3, differences: ['a'] }).isGood).toBe(false);
    expect(checkSite({ files: 0, bytes: 0, differences: [] }).isGood).toBe(false);
  });

  it('notice one byte between the two ends of the link', () => {
    const link = { aheadBytes: 10, sentBytes: 130, teleportBytes: 120 };
    expect(checkLink(link).isGood).toBe(true);
    expect(checkLink({ ...link, sentBytes: 131 }).isGood).toBe(false);
  });
});

describe('the report', () => {
  const report = (checks: readonly Check[]): DemoReport => ({
    isGood: true,
    seconds: 100,
    accelerator: 'tcg',
    uplinkBytesPerSecond: 10_000_000,
    seed: {
      image: 'base',
      edge: 'ashburn-1',
      diskBytes: NO_TIER_BYTES,
      wireBytes: { ...NO_TIER_BYTES, peer: 2e8 },
    },
    teleports: [
      {
        vm: 'web-01',
        near: 'london',
        edge: 'dublin-1',
        why: 'because',
        virtualSizeBytes: 1e9,
        diskBytes: { ...NO_TIER_BYTES, zero: 4e8, local: 3.5e8, origin: 2.5e8 },
        wireBytes: { ...NO_TIER_BYTES, origin: 1.2e8 },
        wholeCopyBytes: 2.8e8,
        phases: { sync: 12.5 },
        url: null,
        checks,
      },
    ],
    checks: [],
    steps: [],
  });

  it('puts what was transferred beside what a whole copy would have cost', () => {
    const text = reportText(report([{ what: 'x', isGood: true, detail: 'y' }]));
    expect(text).toMatch(/origin +250\.0 MB +25\.0 % +120\.0 MB/);
    expect(text).toMatch(/by VMDN, from the origin +120\.0 MB +12\.0 s/);
    expect(text).toMatch(/the whole disk \(zstd -3\) +280\.0 MB +28\.0 s/);
    expect(text).toContain('saved: 57.1 % of the bytes');
    expect(text).toContain('All 1 checks hold.');
  });

  it('says what does not hold', () => {
    const text = reportText(report([{ what: 'the tiers', isGood: false, detail: 'one\ntwo' }]));
    expect(text).toMatch(/WRONG +the tiers: one\n +two/);
    expect(text).toContain('1 of 1 checks do NOT hold: the tiers.');
  });
});
