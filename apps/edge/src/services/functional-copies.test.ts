import type { Description } from '@vmdn/core/domain/description.ts';
import { type Digest, parseDigest } from '@vmdn/core/domain/digest.ts';
import { type ErrorCode, VmdnError } from '@vmdn/core/domain/errors.ts';
import { type Id, parseName } from '@vmdn/core/domain/names.ts';
import { NO_TIER_BYTES } from '@vmdn/core/domain/tiers.ts';
import type { FunctionalCopier } from '@vmdn/core/io/ports/functional-copy.ts';
import type { StoredImage } from '@vmdn/core/io/ports/image-store.ts';
import { describe, expect, it } from 'vitest';
import { HopelessError } from '../decisions/failure.ts';
import type { LoanOrder } from './deliver-disk.ts';
import { createFunctionalCopies } from './functional-copies.ts';

const VM = '0b8c1f0e-6a53-4d8f-9a3e-5d1c2b7a9e10' as Id;
const [SOURCE, BASE, COPY] = ['a', 'b', 'c'].map((c) => parseDigest(c.repeat(64))) as [
  Digest,
  Digest,
  Digest,
];
const debian = { id: 'debian', versionId: '12', prettyName: 'Debian 12', architecture: 'amd64' };
const packages = [{ name: 'dpkg', version: '1.21', architecture: 'amd64' }];
const guest = {
  ...{ os: debian, packages },
  hardware: { firmware: 'bios' },
  disks: [{ digest: SOURCE, virtualSizeBytes: 2 ** 20, nonZeroBytes: 4096 }],
} as unknown as Description;
const image = {
  ...{ digest: BASE, name: parseName('base', 'image'), kind: 'base', format: 'raw' },
  layers: { files: [{ path: '/store/base/disk.raw' }], fileOfSegment: null },
  virtualSizeBytes: 2 ** 20,
} as unknown as StoredImage;

/** A copier's answer: what it threw, or a copy. */
function edge(answer: FunctionalCopier, options: { readonly os?: typeof debian } = {}) {
  const log: string[] = [];
  const learned: object[] = [];
  const retained = new Set<object>();
  const note = (what: string) => async () => void log.push(what);
  const copies = createFunctionalCopies({
    store: {
      find: () => image,
      intact: async () => image,
      retain: () => {
        const one = {};
        retained.add(one);
        return { [Symbol.dispose]: () => void retained.delete(one) };
      },
      reserve: note('reserve'),
      release: () => void log.push('release'),
      stagings: async () => [],
    },
    guests: { images: async () => [{ image, os: options.os ?? debian, packages }] },
    deliveries: {
      async lend(order, use) {
        log.push('lend');
        const tiers = { ...NO_TIER_BYTES };
        const sizes = { virtualSizeBytes: 2 ** 20, verifiedBytes: 4096 };
        const delivery = { digest: SOURCE, ...sizes, diskBytes: tiers, wireBytes: tiers };
        const value = await use('/run/nbd', order.signal);
        return { value, delivery, seconds: { recipe: 1, plan: 2 } };
      },
      discard: note('discard'),
    },
    copy: answer,
    files: {
      path: () => '/copies/disk.qcow2',
      prepare: note('prepare'),
      seal: async () => ({ digest: COPY, seal: { inode: '7' } }),
      isSealed: async (_, seal) => seal.inode === '7',
      remove: note('remove'),
    },
    costs: { observe: (source, sample) => void learned.push({ source, ...sample }) },
    events: { functionalCopied: () => undefined },
  });
  const order = { digest: SOURCE, virtualSizeBytes: 2 ** 20, signal: new AbortController().signal };
  const make = (of = guest) => copies.make(VM, of, order as unknown as LoanOrder, 'dump');
  return { copies, make, log, retained, learned };
}

const failing =
  (error: unknown): FunctionalCopier =>
  () =>
    Promise.reject(error);
const made: FunctionalCopier = async ({ targetPath }) => ({
  ...{ image: BASE, layers: [{ path: targetPath, format: 'qcow2' }], virtualSizeBytes: 2 ** 20 },
  ...{ installed: 3, removed: 0, packageBytes: 500, files: 2, fileBytes: 40, databases: [] },
  ...{ seconds: { packages: 1, appliance: 60 }, steps: { packages: 20 } },
});

describe('a functional copy of a VM', () => {
  it('I1: keeps its image while it is there, and counts packages among its wire bytes', async () => {
    const { copies, make, retained } = edge(made);
    const { report, seal, delivery } = await make();
    expect(report).toMatchObject({ image: { digest: BASE, name: 'base' }, digest: COPY });
    expect(report).not.toHaveProperty('layers');
    expect(delivery.wireBytes.package).toBe(500);
    expect(retained.size).toBe(1);
    const disk = await copies.diskOf(VM, { report, seal });
    expect(disk).toMatchObject({ digest: COPY, layers: [{ format: 'qcow2' }, { format: 'raw' }] });
    const changed = copies.diskOf(VM, { report, seal: { inode: '8' } });
    await expect(changed).rejects.toMatchObject({ code: 'corrupt' });
    await copies.remove(VM, SOURCE);
    expect(retained.size).toBe(0);
  });

  it('says what it showed of what such copies cost, and nothing when it failed', async () => {
    const { make, learned } = edge(made);
    await make();
    expect(learned).toEqual([
      {
        ...{ source: SOURCE, wireBytes: 0, changedPackages: 3 },
        ...{ applianceSeconds: 60, packageSeconds: 20 },
      },
    ]);
    const failed = edge(failing(new VmdnError('timeout', 'It failed.')));
    await expect(failed.make()).rejects.toMatchObject({ code: 'timeout' });
    expect(failed.learned).toEqual([]);
  });

  it('stands on no image where it was made from scratch', async () => {
    const scratch: FunctionalCopier = async (job) => {
      expect(job.source.firmware).toBe('bios');
      return { ...(await made(job)), image: null, steps: { bootstrap: 30, packages: 5 } };
    };
    const kernel = { name: 'linux-image-amd64', version: '6.1', architecture: 'amd64' };
    const { copies, make, retained, learned } = edge(scratch, {
      os: { ...debian, versionId: '11' },
    });
    const copy = await make({ ...guest, packages: [...packages, kernel] });
    expect(copy.report.image).toBeNull();
    expect(learned).toMatchObject([{ packageSeconds: 35 }]);
    copies.keep(VM, copy);
    expect(retained.size).toBe(0);
    const { layers } = await copies.diskOf(VM, copy);
    expect(layers).toEqual([{ path: '/copies/disk.qcow2', format: 'qcow2' }]);
  });

  it('hands on how the databases are to come, and says how they came', async () => {
    const database = {
      engine: 'mariadb',
      version: '10.11',
      dataDirectory: '/var/lib/mysql',
    } as const;
    const restored = { ...database, how: 'dump', tables: 30, rows: 7 } as const;
    const jobs: Parameters<FunctionalCopier>[0][] = [];
    const { make } = edge(async (job) => {
      jobs.push(job);
      return { ...(await made(job)), databases: [restored] };
    });
    const { report } = await make({ ...guest, databases: [database] });
    expect(jobs).toMatchObject([{ databases: 'dump', source: { databases: [database] } }]);
    expect(report.databases).toEqual([restored]);
  });

  it.each<[string, ErrorCode, Readonly<Record<string, unknown>>, boolean]>([
    ['a package that no repository has', 'not_found', {}, true],
    ['a script of a package that failed', 'tool_failed', { exitCode: 13, log: 'E: ill' }, true],
    ['an appliance that hangs', 'timeout', {}, true],
    ['a package that is not what its index says', 'corrupt', {}, true],
    ['an appliance that did not start', 'tool_failed', { exitCode: 1, tool: 'guestfish' }, false],
    ['a mirror that is away', 'unavailable', {}, false],
  ])('I3: is given up for good or not: %s', async (_, code, data, isHopeless) => {
    const { make, log, retained } = edge(failing(new VmdnError(code, 'It failed.', { data })));
    const error = await make().then(
      () => undefined,
      (thrown: VmdnError) => thrown,
    );
    expect(error).toMatchObject({ code });
    expect(error instanceof HopelessError).toBe(isHopeless);
    if (isHopeless) expect(error?.message).toContain('method exact');
    expect(log).toEqual(['reserve', 'prepare', 'lend', 'remove', 'release']);
    expect(retained.size).toBe(0);
  });

  it('I3: is not begun where it is known to be in vain', async () => {
    const other = edge(made, { os: { ...debian, versionId: '11' } });
    await expect(other.make()).rejects.toThrow(/No image here is of Debian 12.*method exact/);
    const unknown = edge(made);
    const stranger = unknown.make({ ...guest, os: null });
    await expect(stranger).rejects.toBeInstanceOf(HopelessError);
    await expect(stranger).rejects.toThrow(/system is not known.*method exact/);
    expect([...other.log, ...unknown.log]).toEqual([]);
  });
});
