/**
 * Databases of a functional copy by dump and restore: a guest with MariaDB and PostgreSQL, whose servers were
 * stopped by a crash, is made anew on its own image, with fresh data directories; and guests whose databases
 * can't be had so.
 */

import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DiskFormat, DiskLayer } from '@vmdn/core/domain/disk-format.ts';
import { runner, testAppliance } from '@vmdn/core/io/appliance/guest-disks.fixture.ts';
import { createQemuImg } from '@vmdn/core/io/command/qemu-img.ts';
import { openDiskExport } from '@vmdn/core/io/disk-export/disk-export.ts';
import { createFunctionalCopier } from '@vmdn/core/io/functional/functional-copier.ts';
import { inspectByTools } from '@vmdn/core/io/inspect/inspect-by-tools.ts';
import type { FunctionalCopier, FunctionalCopyJob } from '@vmdn/core/io/ports/functional-copy.ts';
import { createStoreLedger } from '@vmdn/core/io/store/store-space.ts';
import { findGuest, type Guest } from '@vmdn/infra/lab/guests.ts';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { changeGuest, debugfs, replaceProgram } from '../harness/changed-guests.ts';

const GUEST = 'db-01';
const MYSQL = '/var/lib/mysql';
const COPY_MS_MAX = 1_200_000;
const timeoutMs = 120_000;

let dir: string;
let guest: Guest;
let copier: FunctionalCopier;
let job: Omit<FunctionalCopyJob, 'targetPath'>;
let cluster: string;

/** What an inspector says of a disk. */
async function inspect(layers: readonly DiskLayer[]) {
  const exported = await openDiskExport({ layers, socketDir: join(dir, 's'), runner });
  try {
    const options = { socketPaths: [exported.socketPath], workDir: join(dir, 'inspect'), runner };
    return { ...(await inspectByTools(options)), virtualSizeBytes: exported.virtualSizeBytes };
  } finally {
    await exported.close();
  }
}

/** A copy of the guest's disk, changed; its file. */
async function changed(name: string, ...lines: readonly string[]): Promise<string> {
  const path = join(dir, `${name}.raw`);
  await changeGuest(guest, path, ...lines);
  return path;
}

/** Of files in one disk, the bytes by path. */
async function read(layers: readonly DiskLayer[], paths: readonly string[]): Promise<Buffer[]> {
  const raw = join(dir, 'read.raw');
  const { path, format } = layers[0]!;
  await runner.run('qemu-img', ['convert', '-f', format, '-O', 'raw', '--', path, raw], {
    timeoutMs,
  });
  const found: Buffer[] = [];
  for (const [i, from] of paths.entries()) {
    const to = join(dir, `read-${i}`);
    await debugfs(raw, `dump ${from} ${to}`);
    found.push(await readFile(to));
  }
  await rm(raw);
  return found;
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmdn-databases-'));
  await chmod(dir, 0o711);
  for (const name of ['jobs', 'out']) await mkdir(join(dir, name));
  guest = await findGuest(GUEST);
  const layers: DiskLayer[] = [{ path: guest.disk.path, format: guest.disk.format as DiskFormat }];
  const { os, packages, databases, virtualSizeBytes } = await inspect(layers);
  cluster = databases.find(({ engine }) => engine === 'postgresql')!.dataDirectory!;
  const known = { virtualSizeBytes, os: os!, packages };
  copier = createFunctionalCopier({
    appliance: testAppliance(join(dir, 'jobs'), process.env),
    ...{ runner, qemuImg: createQemuImg(runner), workDir: join(dir, 'work') },
    // Before the test is over: the error says what the appliance was doing.
    timeoutMs: COPY_MS_MAX - 60_000,
    store: createStoreLedger({ root: dir, quotaBytes: null, usedBytes: () => 0 }),
    mirrors: {
      resolve: () => Promise.reject(new Error('nothing is to be installed')),
      open: () => Promise.reject(new Error('nothing is to be installed')),
    },
  });
  job = {
    source: { ...known, disks: [{ path: guest.disk.path }], firmware: 'bios', databases },
    ...{ databases: 'dump', images: [{ ...known, name: GUEST, layers }] },
  };
});
afterAll(() => rm(dir, { recursive: true, force: true }));
beforeEach(async () => {
  await rm(join(dir, 'out'), { recursive: true });
  await mkdir(join(dir, 'out'));
});

const copyOf = (disk: string, databases = job.source.databases, image = guest.disk.path) =>
  copier({
    ...job,
    source: { ...job.source, disks: [{ path: disk }], databases },
    images: job.images.map((each) => ({ ...each, layers: [{ path: image, format: 'raw' }] })),
    targetPath: join(dir, 'out', 'disk.qcow2'),
  });

describe('databases by dump and restore', () => {
  it(
    'are restored into fresh data directories, every row, user and grant as it was',
    async () => {
      const { databases, layers } = await copyOf(guest.disk.path);
      expect(databases).toEqual([
        // product and purchase, the odd one and the compressed one.
        expect.objectContaining({ engine: 'mariadb', how: 'dump', tables: 4, rows: 20_503 }),
        expect.objectContaining({ engine: 'postgresql', how: 'dump', tables: 2, rows: 20_002 }),
      ]);
      const marks = [`${cluster}/global/pg_control`, `${MYSQL}/orders/purchase.frm`];
      const [ours, theirs] = [
        await read(layers, marks),
        await read([{ path: guest.disk.path, format: 'raw' }], marks),
      ];
      // The first eight bytes of pg_control are the identifier that initdb gives a cluster.
      expect(ours[0]!.subarray(0, 8)).not.toEqual(theirs[0]!.subarray(0, 8));
      expect(ours[1]!.length).toBeGreaterThan(0);
    },
    COPY_MS_MAX,
  );
});

describe('a guest whose databases cannot be had so', () => {
  const failure = /could not be dumped and restored.*databases by their files, or .*method exact/;
  const nothingLeft = async () => {
    expect(await readdir(join(dir, 'out'))).toEqual([]);
    expect(await readdir(join(dir, 'work'))).toEqual([]);
  };
  const only = (engine: string) => job.source.databases.filter((each) => each.engine === engine);

  it.each([
    [
      'for its data is of another version',
      'postgresql',
      () => [`rm ${cluster}/PG_VERSION`, `write ${join(dir, 'version')} ${cluster}/PG_VERSION`],
      /no server of PostgreSQL 14/,
    ],
    [
      'for its data is damaged',
      'mariadb',
      () => [`rm ${MYSQL}/ibdata1`, `write ${join(dir, 'version')} ${MYSQL}/ibdata1`],
      /mariadb server of the guest does not start/,
    ],
  ])(
    '%s fails clearly, and nothing is left',
    async (_, engine, lines, words) => {
      await writeFile(join(dir, 'version'), '14\n');
      const disk = await changed('bad', ...lines());
      const failed = copyOf(disk, only(engine));
      await expect(failed).rejects.toMatchObject({ code: 'tool_failed' });
      await expect(failed).rejects.toThrow(failure);
      await expect(failed).rejects.toThrow(words);
      await nothingLeft();
    },
    COPY_MS_MAX,
  );

  it.each([
    [
      'a value',
      'mariadb',
      () => '/usr/bin/mariadb-dump',
      // The name of the first product: md5(1).
      'sed s/c4ca4238a0b923820dcc509a6f75849b/d4ca4238a0b923820dcc509a6f75849b/',
      /< `orders`\.`product` 500 \d+ > `orders`\.`product` 500 \d+/,
    ],
    [
      'a row',
      'postgresql',
      () => `/usr/lib/postgresql/${cluster.split('/').at(-2)}/bin/pg_dumpall`,
      // The seventh purchase: md5(7).
      'grep -av 8f14e45fceea167a5a36dedd4bea2543',
      /purchase 20000 \d+ > .*purchase 19999 \d+/,
    ],
  ])(
    'for its dump has lost %s fails, names the table, and nothing is left',
    async (_, engine, program, spoil, words) => {
      const script = join(dir, 'spoilt');
      await writeFile(script, `#!/bin/sh\n${program()}.real "$@" | ${spoil}\n`);
      const disk = await changed('spoilt', ...replaceProgram(program(), script));
      const failed = copyOf(disk, only(engine));
      await expect(failed).rejects.toMatchObject({ code: 'tool_failed' });
      await expect(failed).rejects.toThrow(failure);
      await expect(failed).rejects.toThrow(words);
      await nothingLeft();
    },
    COPY_MS_MAX,
  );

  it(
    'for the clone has no room says so',
    async () => {
      const full = join(dir, 'full');
      await runner.run('dd', ['if=/dev/urandom', `of=${full}`, 'bs=1M', 'count=1400'], {
        timeoutMs,
      });
      // Both runs leave /mnt out. debugfs writes as much as there is room for.
      const image = await changed('full', `write ${full} /mnt/full`);
      const failed = copyOf(guest.disk.path, only('mariadb'), image);
      await expect(failed).rejects.toMatchObject({ code: 'no_room' });
      await nothingLeft();
    },
    COPY_MS_MAX,
  );
});
