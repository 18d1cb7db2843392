import { createHash } from 'node:crypto';
import {
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createCommandRunner } from '../command/command-runner.ts';
import { openDiskExport } from '../disk-export/disk-export.ts';
import { connectNbd } from '../nbd/nbd-client.ts';
import { type InspectionByTools, inspectByTools } from './inspect-by-tools.ts';
import { type DiskReader, findVolumes } from './volumes.ts';

const MIB = 2 ** 20;
const runner = createCommandRunner();
let dir: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmdn-inspect-'));
  const root = join(dir, 'root');
  const wants = join(root, 'etc/systemd/system/multi-user.target.wants');
  await mkdir(wants, { recursive: true });
  await mkdir(join(root, 'usr/lib'), { recursive: true });
  await mkdir(join(root, 'var/lib/dpkg'), { recursive: true });
  await writeFile(
    join(root, 'usr/lib/os-release'),
    'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian 12"\n',
  );
  await symlink('../usr/lib/os-release', join(root, 'etc/os-release'));
  await symlink('/lib/systemd/system/nginx.service', join(wants, 'nginx.service'));
  await writeFile(
    join(root, 'var/lib/dpkg/status'),
    ['dpkg', 'nginx']
      .map(
        (name) =>
          `Package: ${name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.2-3\n`,
      )
      .join('\n'),
  );
});
afterAll(async () => await rm(dir, { recursive: true, force: true }));

const expected = {
  os: { id: 'debian', versionId: '12', prettyName: 'Debian 12', architecture: 'amd64' },
  packages: [
    { name: 'dpkg', version: '1.2-3', architecture: 'amd64' },
    { name: 'nginx', version: '1.2-3', architecture: 'amd64' },
  ],
  services: ['nginx.service'],
  databases: [],
  mounts: [],
  remarks: [],
  unread: [],
};

/** Makes a disk with the guest's tree in a partition that `layout` (sfdisk) puts at `offsetBytes`. */
async function makeDisk(
  name: string,
  layout: string | null,
  offsetBytes: number,
  mkfs: readonly string[] = ['-b', '4096'],
): Promise<string> {
  const path = join(dir, name);
  const file = await open(path, 'wx');
  await file.truncate(96 * MIB);
  await file.close();
  if (layout !== null)
    await runner.run('sfdisk', ['-q', path], { timeoutMs: 60_000, input: layout });
  const offset = offsetBytes === 0 ? [] : ['-E', `offset=${offsetBytes}`];
  const blocks = `${(60 * MIB) / 1024}k`;
  const tree = ['-d', join(dir, 'root')];
  await runner.run(
    'mke2fs',
    ['-q', '-F', '-t', 'ext4', ...mkfs, ...tree, ...offset, path, blocks],
    {
      timeoutMs: 60_000,
    },
  );
  return path;
}

async function inspect(path: string, fuse = true): Promise<InspectionByTools> {
  const layers = [{ path, format: 'raw' as const }];
  const exported = await openDiskExport({ layers, socketDir: join(dir, 's'), runner });
  try {
    const workDir = join(dir, 'work');
    return await inspectByTools({ socketPaths: [exported.socketPath], workDir, runner, fuse });
  } finally {
    await exported.close();
  }
}

async function hashAndTimes(path: string): Promise<readonly unknown[]> {
  const { mtimeNs, ctimeNs, ino } = await stat(path, { bigint: true });
  return [
    createHash('sha256')
      .update(await readFile(path))
      .digest('hex'),
    mtimeNs,
    ctimeNs,
    ino,
  ];
}

const GPT = 'label: gpt\nstart=2048, size=2048\nstart=4096, size=131072\n';
const LOGICAL =
  'label: dos\nstart=2048, size=2048, type=83\nstart=6144, type=5\nstart=8192, size=131072, type=83\n';

describe('a guest', () => {
  it.each([
    ['in a GPT partition', 'gpt.raw', GPT, 4096 * 512, undefined],
    ['in a logical partition', 'logical.raw', LOGICAL, 8192 * 512, undefined],
    ['on a disk without partitions', 'whole.raw', null, 0, undefined],
    [
      'with 1 KiB blocks at an odd offset',
      'odd.raw',
      'label: dos\nstart=63, size=131072, type=83\n',
      63 * 512,
      ['-b', '1024'],
    ],
  ])('%s is described, by FUSE and by copy alike, and its disk is not changed', async (...row) => {
    const [, name, layout, offsetBytes, mkfs] = row;
    const path = await makeDisk(name, layout, offsetBytes, mkfs);
    const before = await hashAndTimes(path);
    expect(await inspect(path)).toEqual({ ...expected, boots: [] });
    expect(await inspect(path, false)).toEqual({ ...expected, boots: [] });
    expect(await hashAndTimes(path)).toEqual(before);
    expect(await readdir(join(dir, 'work'))).toEqual([]);
    expect(await readFile('/proc/self/mountinfo', 'utf8')).not.toContain(dir);
  });

  it('that is unknown is described as far as it can be', async () => {
    const path = join(dir, 'unknown.raw');
    await writeFile(path, Buffer.alloc(4 * MIB, 0xa5));
    const found = await inspect(path);
    expect(found).toMatchObject({ os: null, packages: [], services: [] });
    expect(found.remarks.join()).toMatch(/no operating system/);
  });

  // The bounds of its time are the product's own, of each request.
  it('with damaged metadata never makes the inspection fail', { timeout: 600_000 }, async () => {
    const good = await readFile(await makeDisk('base.raw', null, 0));
    const path = join(dir, 'damaged.raw');
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.integer({ min: 1024, max: 400_000 }), fc.nat(255)), {
          minLength: 50,
          maxLength: 400,
        }),
        async (writes) => {
          const bytes = Buffer.from(good);
          for (const [at, value] of writes) bytes[at] = value;
          bytes.writeUInt16LE(0xef53, 1024 + 56);
          await writeFile(path, bytes);
          expect(await inspect(path)).toHaveProperty('remarks');
        },
      ),
      { numRuns: 8 },
    );
  });
});

describe('a partition table', () => {
  const reader = (bytes: Uint8Array): DiskReader => ({
    sizeBytes: bytes.length,
    async read(target, offsetBytes) {
      expect(offsetBytes + target.length).toBeLessThanOrEqual(bytes.length);
      target.set(bytes.subarray(offsetBytes, offsetBytes + target.length));
    },
  });

  it('damaged at its start is read from its backup', async () => {
    const path = await makeDisk('backup.raw', GPT, 4096 * 512);
    const exported = await openDiskExport({
      layers: [{ path, format: 'raw' }],
      socketDir: join(dir, 's'),
      runner,
    });
    const disk = await connectNbd({ socketPath: exported.socketPath });
    const whole = new Uint8Array(disk.sizeBytes);
    for (let at = 0; at < whole.length; at += 16 * MIB) {
      await disk.read(whole.subarray(at, at + 16 * MIB), at);
    }
    await disk.close();
    await exported.close();
    const volumes = await findVolumes(reader(whole));
    expect(volumes.map((volume) => volume.offsetBytes / 512)).toEqual([2048, 4096]);
    whole.fill(0xff, 512, 600);
    expect(await findVolumes(reader(whole))).toEqual(volumes);
  });

  it('whatever its bytes gives volumes within the disk, or the whole disk', async () => {
    const signed = fc.uint8Array({ minLength: 4096, maxLength: 8192 }).map((bytes) => {
      bytes.set([0x55, 0xaa], 510);
      for (let at = 446; at < 510; at += 16) bytes[at]! &= 0x80;
      return bytes;
    });
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.uint8Array({ maxLength: 5000 }), signed), async (bytes) => {
        for (const { offsetBytes, lengthBytes } of await findVolumes(reader(bytes))) {
          expect(offsetBytes + lengthBytes).toBeLessThanOrEqual(bytes.length);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('whose logical partitions form a ring is read to its end', async () => {
    const bytes = new Uint8Array(64 * 512);
    const view = new DataView(bytes.buffer);
    const entry = (sector: number, slot: number, type: number, start: number, count: number) => {
      const at = sector * 512 + 446 + slot * 16;
      bytes[at + 4] = type;
      view.setUint32(at + 8, start, true);
      view.setUint32(at + 12, count, true);
      bytes.set([0x55, 0xaa], sector * 512 + 510);
    };
    entry(0, 0, 5, 8, 56);
    entry(8, 0, 0x83, 1, 2);
    entry(8, 1, 5, 8, 8);
    entry(16, 0, 0x83, 1, 2);
    entry(16, 1, 5, 0, 8);
    const volumes = await findVolumes(reader(bytes));
    expect(volumes.map((volume) => volume.offsetBytes / 512)).toEqual([9, 17]);
  });
});
