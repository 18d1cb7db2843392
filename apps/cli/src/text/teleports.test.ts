import type { Name } from '@vmdn/core/domain/names.ts';
import type { Teleport } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import { describe, expect, it } from 'vitest';
import { teleportIn } from '../program.fixture.ts';
import {
  bootWords,
  finishedLines,
  functionalLines,
  identityLines,
  methodTable,
  routedLines,
  skippedLines,
} from './teleports.ts';

const kept = ['volume 2: XFS is not understood', 'volume 3: FAT is not understood'];

describe('a teleport without free space', () => {
  it('says what stays home and what was kept whole, or that there is nothing to skip and why', () => {
    const line = (skippedBytes: number, why: string[]): string =>
      skippedLines({ skippedBytes, kept: why }).join('\n');
    expect(skippedLines(null)).toEqual([]);
    expect(line(42_000_000, [])).toBe('skip-free: 42.0 MB of free space stay home');
    expect(line(42_000_000, kept)).toBe(
      `skip-free: 42.0 MB of free space stay home; kept whole: ${kept.join('; ')}`,
    );
    expect(line(0, kept)).toBe(`skip-free: nothing to skip: ${kept.join('; ')}`);
    expect(line(0, [])).toBe('skip-free: nothing to skip: what is free is zero already');
  });
});

describe('the methods of a teleport', () => {
  it('stand side by side, the one that is used marked, and what is not known as unknown', () => {
    const { chosen } = teleportIn('routed');
    const rows = (of: typeof chosen): string[][] =>
      methodTable(of)
        .split('\n')
        .slice(1)
        .map((line) => line.trim().split(/ {2,}/));
    expect(rows(chosen)).toEqual([
      ['* exact', '107 MB', '11 s', 'bit for bit'],
      ['plain copy', '268 MB', '27 s', 'what exact does where nothing is near'],
      ['functional', '53.7 MB', '4 min 10 s', 'at most; 22 packages to install, 1 to remove'],
    ]);
    expect(rows({ ...chosen, plan: null, functional: null })).toEqual([
      ['* exact', '–', '51 s', 'not planned yet'],
      ['plain copy', '–', '–', 'what exact does where nothing is near'],
      ['functional', '–', '–', 'not to be had there, or not estimated yet'],
    ]);
  });
});

describe('the boot of a lazy VM', () => {
  it('is told by how long reads waited and what came first, and not at all for others', () => {
    expect(bootWords({ stallSeconds: null, trace: null })).toBeNull();
    expect(bootWords({ stallSeconds: 3.25, trace: null })).toBe(
      'boot: reads of the guest waited 3.3 s; nothing of an earlier boot came first',
    );
    const trace = { segments: 1200, bytes: 49_000_000 };
    expect(finishedLines(teleportIn('running', { stallSeconds: 0.4, trace })).join('\n')).toContain(
      'waited 0.4 s; 1,200 segments (49.0 MB of the disk) of an earlier boot came first',
    );
  });

  it('says when what is missing of its disk is nowhere to be had', () => {
    const change = { lazy: true, independentAt: null };
    const words = (errorCode: string | null): string =>
      finishedLines(teleportIn('running', { ...change, errorCode })).join('\n');
    expect(words(null)).toContain('still comes');
    expect(words('withdrawn')).toContain('nowhere to be had');
  });
});

describe('who a VM is and where', () => {
  it('is told where that is not as with its source', () => {
    const nothing = { identity: 'same', hostname: null, networks: {} } as const;
    expect(identityLines(nothing)).toEqual([]);
    const networks = { default: 'lan' as Name, dmz: 'user' as Name };
    const lines = routedLines(
      teleportIn('routed', { identity: 'fresh', hostname: 'web-01-abc', networks }),
    );
    expect(lines).toContainEqual(
      expect.stringMatching(/^identity: fresh; web-01-abc by name, with a UUID/),
    );
    expect(lines).toContain('networks: default is lan, dmz is user at the edge');
  });
});

describe('a functional copy', () => {
  const image = { digest: 'ab'.repeat(32), name: 'debian-12-base' };
  const copy = {
    ...{ image, digest: 'cd'.repeat(32), virtualSizeBytes: 2 ** 30, installed: 22, removed: 1 },
    ...{ packageBytes: 4_400_000, files: 1494, fileBytes: 149_900_000 },
    ...{ seconds: { packages: 2, appliance: 206 }, databases: [], checkedBy: [] },
  } as unknown as NonNullable<Teleport['functional']>;

  it('says of what it was made, that it is not bit-identical, and by what it was checked', () => {
    expect(functionalLines(null)).toEqual([]);
    const [made, checked] = functionalLines(copy);
    expect(made).toBe(
      'functional copy of debian-12-base: 22 packages installed (4.40 MB from mirrors), 1 removed; ' +
        '1,494 files, 150 MB; 3 min 26 s in the appliance',
    );
    expect(checked).toBe(
      'not bit-identical with its source (digest cdcdcdcdcdcd); checked by: nothing yet',
    );
    const [scratch] = functionalLines({ ...copy, image: null });
    expect(scratch).toContain('functional copy from scratch: 22 packages installed');
    const checks = ['it boots', 'http answers at http/'];
    expect(functionalLines({ ...copy, checkedBy: checks })[1]).toContain(
      `by: ${checks.join(', ')}`,
    );
    const lines = finishedLines(teleportIn('running', { method: 'functional', functional: copy }));
    expect(lines).toContain(made);
  });

  it('says how each database came', () => {
    const database = {
      engine: 'mariadb',
      version: '10.11',
      dataDirectory: '/var/lib/mysql',
    } as const;
    const databases = [
      { ...database, how: 'dump', tables: 30, rows: 103_461 } as const,
      { ...database, how: 'files', tables: null, rows: null, version: null } as const,
    ];
    expect(functionalLines({ ...copy, databases }).slice(1, 3)).toEqual([
      'mariadb 10.11 /var/lib/mysql: dumped and restored; 30 tables, 103,461 rows, ' +
        "each with the source's content",
      'mariadb /var/lib/mysql: by its files',
    ]);
  });
});
