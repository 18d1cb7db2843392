import { NO_TIER_BYTES } from '@vmdn/core/domain/tiers.ts';
import { describe, expect, it } from 'vitest';
import { teleportIn } from '../program.fixture.ts';
import { plannedTable } from './planned.ts';

const MIB = 2 ** 20;

describe('a plan beside what came of it', () => {
  it('I1: sums the disks that were planned, and leaves out those that were here', () => {
    const [disk] = teleportIn('running').disks;
    const planned = {
      diskBytes: { ...NO_TIER_BYTES, local: 200 * MIB, package: 56 * MIB, origin: 100 * MIB },
      wireBytes: 30 * MIB,
      estimatedSeconds: 3,
      copy: { wireBytes: 140 * MIB, estimatedSeconds: 14 },
    };
    const came = {
      ...disk!,
      diskBytes: { ...NO_TIER_BYTES, local: 250 * MIB, package: 6 * MIB, peer: 100 * MIB },
      wireBytes: { ...NO_TIER_BYTES, package: 9 * MIB, peer: 31 * MIB },
      seconds: 2.5,
      planned,
    };
    const lines = plannedTable([came, came, disk!])!.split('\n');
    expect(lines.map((line) => line.trim().split(/ {2,}/))).toEqual([
      ['near', 'from others', 'transferred', 'time'],
      ['planned', '537 MB', '210 MB', '62.9 MB', '6.0 s'],
      ['came', '537 MB', '210 MB', '65.0 MB', '5.0 s'],
      ['a plain copy', '–', '–', '294 MB', '28 s'],
    ]);
  });

  it('says nothing where nothing had to be planned', () => {
    expect(plannedTable(teleportIn('running').disks)).toBeNull();
  });
});
