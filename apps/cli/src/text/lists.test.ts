import type { Id, Name } from '@vmdn/core/domain/names.ts';
import { NO_TIER_BYTES } from '@vmdn/core/domain/tiers.ts';
import { PROTOCOL_VERSION } from '@vmdn/core/http/contracts/schemas.ts';
import { describe, expect, it } from 'vitest';
import { edgeTable, statisticsLines, vmTable } from './lists.ts';

const row = {
  requests: { hit: 0, partial: 0, miss: 0 },
  diskBytes: NO_TIER_BYTES,
  wireBytes: NO_TIER_BYTES,
};
const text = (ahead: Parameters<typeof statisticsLines>[0]['ahead']): string =>
  statisticsLines({ total: row, byEdge: [], byVm: [], ahead }).join('\n');

describe('the statistics', () => {
  it('show apart what crossed before anybody asked, and nothing when nothing did', () => {
    const recipes = { ...NO_TIER_BYTES, origin: 2_300_000 };
    const seeds = { ...NO_TIER_BYTES, peer: 150_000_000 };
    const packages = { ...NO_TIER_BYTES, package: 15_100_000 };
    const some = { recipes, packages, seeds };
    const shown = text({ total: some, byEdge: [{ edge: 'dublin' as Name, ...some }] });
    expect(shown).toMatch(
      /ahead of time.*recipes from origins.*packages from mirrors.*seeds from origins/,
    );
    expect(shown).toMatch(/edge dublin +2\.30 MB +\S+ +15\.1 MB +\S+ +150 MB/);
    const none = { recipes: NO_TIER_BYTES, packages: NO_TIER_BYTES, seeds: NO_TIER_BYTES };
    const onlyPackages = { ...none, packages };
    expect(text({ total: onlyPackages, byEdge: [] })).toContain('ahead of time');
    expect(text({ total: none, byEdge: [] })).not.toContain('ahead of time');
  });
});

describe('the table of VMs', () => {
  it('says of a version whose VM ran what its disks hold, and whether it was moved away', () => {
    const vm = {
      ...{ vm: 'web-01' as Name, version: 4, origin: 'origin-1' as Name, os: null, packages: 0 },
      ...{ virtualSizeBytes: 2 ** 30, nonZeroBytes: 2 ** 20, describedAt: '2026-01-02T03:04:05Z' },
      movedBy: null,
    };
    const shown = (consistency: 'off' | 'agent' | 'crash'): string =>
      vmTable([{ ...vm, state: consistency === 'off' ? 'live' : 'pinned', consistency }]);
    expect(shown('off')).toMatch(/ live +origin-1/);
    expect(shown('crash')).toMatch(/ pinned, ran \(crash\) +origin-1/);
    expect(shown('agent')).toMatch(/ pinned, ran \(agent\) +origin-1/);
    const movedBy = '018f0000-0000-7000-8000-000000000001' as Id;
    const moved = vmTable([{ ...vm, state: 'live', consistency: 'off', movedBy }]);
    expect(moved).toMatch(/ live, moved +origin-1/);
  });
});

describe('the table of nodes', () => {
  it('is followed by the trouble that nodes had with others, a line for each pair', () => {
    const node = {
      ...{ node: '018f0000-0000-7000-8000-000000000001' as Id, name: 'dublin' as Name },
      ...{ kind: 'edge' as const, region: null, location: null, healthy: true, lastSeenAt: null },
      ...{
        protocol: PROTOCOL_VERSION,
        freeStoreBytes: null,
        freeMemoryMiB: null,
        accelerator: null,
      },
      networks: ['user', 'lan'] as Name[],
      ...{ images: 0, runningVms: 0, uplinkBytes: null, uplinkLimitBytesPerSecond: null },
    };
    const holderFaults = [
      { holder: 'edge paris', code: 'timeout' as const, count: 3 },
      { holder: 'edge paris', code: 'corrupt' as const, count: 1 },
    ];
    const shown = edgeTable([{ ...node, holderFaults, refusedReceipts: 2 }]);
    expect(shown).toContain('dublin had trouble with edge paris: timeout 3, corrupt 1');
    expect(shown).toMatch(/dublin .* user lan *$/m);
    expect(shown).toContain('dublin sent 2 receipts that were refused');
    const fine = edgeTable([{ ...node, holderFaults: [], refusedReceipts: 0 }]);
    expect(fine).not.toMatch(/trouble|refused|protocol/);
    const old = edgeTable([{ ...node, protocol: 1, holderFaults: [], refusedReceipts: 0 }]);
    expect(old).toContain('dublin speaks protocol 1, not 2: install the same VMDN everywhere');
  });
});
