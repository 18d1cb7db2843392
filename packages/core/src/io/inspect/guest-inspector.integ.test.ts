import { mkdir, mkdtemp, open, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { GuestFacts } from '../../domain/description.ts';
import { VmdnError } from '../../domain/errors.ts';
import { guestDisks, runner, testAppliance } from '../appliance/guest-disks.fixture.ts';
import { createApplianceInspector } from '../appliance/inspect-in-appliance.ts';
import type { DiskInspector } from '../ports/guest-inspector.ts';
import {
  guestInspectorContract,
  inspectFiles,
  type KnownGuest,
} from './guest-inspector.contract.ts';
import { inspectByTools } from './inspect-by-tools.ts';
import { createDiskInspector } from './inspect-guest.ts';

const MIB = 2 ** 20;
const ROOT = '6f2d3a52-9a7e-4f6e-8c9a-1d2e3f4a5b6c';
const VAR = 'b1c2d3e4-0f1e-4d2c-9b3a-4a5b6c7d8e9f';
let dir: string;
let disks: ReadonlyMap<string, string>;
let appliance: DiskInspector;

const byTools: DiskInspector = async (socketPaths, signal) => {
  const workDir = join(dir, 'work');
  const { unread, ...found } = await inspectByTools({ socketPaths, workDir, runner, signal });
  expect(unread).toEqual([]);
  return found;
};
const disk = (name: string) => disks.get(name)!;
const x86 = (name: string, version: string) => ({ name, version, architecture: 'x86_64' });
const amd64 = (name: string, version: string) => ({ name, version, architecture: 'amd64' });

const debianFacts: GuestFacts = {
  os: { id: 'debian', versionId: '12', prettyName: 'Debian 12', architecture: 'amd64' },
  packages: [
    amd64('dpkg', '1.21.22'),
    amd64('mariadb-server', '1:10.11.6-0+deb12u1'),
    amd64('postgresql-15', '15.6-0+deb12u1'),
  ],
  services: ['nginx.service'],
  databases: [
    { engine: 'mariadb', version: '10.11.6', dataDirectory: '/srv/mysql' },
    { engine: 'postgresql', version: '15.6', dataDirectory: '/var/lib/postgresql/15/main' },
  ],
  mounts: [
    { source: `UUID=${ROOT}`, target: '/', type: 'ext4', options: 'errors=remount-ro' },
    { source: `UUID=${VAR}`, target: '/var', type: 'ext4', options: 'defaults' },
  ],
  boots: ['bios'],
};

/** Lays the tree of the Debian guest below `root` and what belongs on its second disk below `more`. */
async function makeTrees(root: string, more: string): Promise<void> {
  const write = async (path: string, text: string): Promise<void> => {
    await mkdir(join(path, '..'), { recursive: true });
    await writeFile(path, text);
  };
  const release = 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian 12"\n';
  await write(join(root, 'usr/lib/os-release'), release);
  const wants = join(root, 'etc/systemd/system/multi-user.target.wants');
  await mkdir(wants, { recursive: true });
  await mkdir(join(root, 'var'));
  await symlink('../usr/lib/os-release', join(root, 'etc/os-release'));
  await symlink('/lib/systemd/system/nginx.service', join(wants, 'nginx.service'));
  const mounts = debianFacts.mounts.map((line) => Object.values(line).join(' '));
  await write(join(root, 'etc/fstab'), `# <source> <target>\n${mounts.join(' 0 1\n')} 0 1\n`);
  await write(
    join(root, 'etc/mysql/mariadb.conf.d/50-server.cnf'),
    '[mysqld]\ndatadir = /srv/mysql\n',
  );
  const status = debianFacts.packages.map(
    ({ name, version }) =>
      `Package: ${name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: ${version}\n`,
  );
  await write(join(more, 'lib/dpkg/status'), status.join('\n'));
  await write(join(more, 'lib/postgresql/15/main/PG_VERSION'), '15\n');
}

/** An ext4 file system from a tree, in an image at a place. */
async function makeExt(path: string, tree: string, uuid: string, offset = 0): Promise<void> {
  const at = offset === 0 ? [] : ['-E', `offset=${offset}`];
  const args = ['-q', '-F', '-t', 'ext4', '-b', '4096', '-U', uuid, '-d', tree, ...at, path, '40M'];
  await runner.run('mke2fs', args, { timeoutMs: 60_000 });
}

async function makeDebian(): Promise<void> {
  const [root, more] = [join(dir, 'root'), join(dir, 'more')];
  await makeTrees(root, more);
  for (const name of ['debian-1', 'debian-2']) {
    const file = await open(join(dir, name), 'wx');
    await file.truncate(48 * MIB);
    await file.close();
  }
  const layout =
    'label: gpt\nstart=2048, size=2048, type=21686148-6449-6E6F-744E-656564454649\nstart=4096\n';
  const first = join(dir, 'debian-1');
  await runner.run('sfdisk', ['-q', first], { timeoutMs: 60_000, input: layout });
  await makeExt(first, root, ROOT, 4096 * 512);
  await makeExt(join(dir, 'debian-2'), more, VAR);
}

const debian: KnownGuest = {
  title: 'Debian with /var on a second disk, found by its UUID',
  paths: () => [join(dir, 'debian-1'), join(dir, 'debian-2')],
  facts: debianFacts,
};

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmdn-inspector-'));
  const jobs = testAppliance(join(dir, 'jobs'), process.env);
  await mkdir(join(dir, 'jobs'));
  disks = await guestDisks(jobs, process.env);
  appliance = createApplianceInspector(jobs);
  await makeDebian();
}, 900_000);
afterAll(async () => {
  expect(await readdir(join(dir, 'jobs'))).not.toContainEqual(expect.stringMatching(/^job-/));
  await rm(dir, { recursive: true, force: true });
});

const socketDir = () => join(dir, 's');

describe('the inspector by e2fsprogs', () => {
  guestInspectorContract(() => byTools, [debian], socketDir);
});

describe('the inspector in the appliance', { timeout: 600_000 }, () => {
  guestInspectorContract(
    () => appliance,
    [
      debian,
      {
        title: 'Ubuntu on LVM over two disks, with xfs and ext4, started by UEFI',
        paths: () => [disk('diska'), disk('diskb')],
        facts: {
          os: {
            ...{ id: 'ubuntu', versionId: '22.04', prettyName: 'Ubuntu 22.04.4 LTS' },
            architecture: 'amd64',
          },
          packages: [amd64('dpkg', '1.21.1'), amd64('postgresql-14', '14.11-0ubuntu0.22.04.1')],
          services: ['ssh.service'],
          databases: [
            {
              engine: 'postgresql',
              version: '14.11',
              dataDirectory: '/var/lib/postgresql/14/main',
            },
          ],
          mounts: expect.arrayContaining([
            expect.objectContaining({ source: '/dev/mapper/ubuntu--vg-root', target: '/' }),
            expect.objectContaining({ source: '/dev/ubuntu-vg/var', target: '/var' }),
            expect.objectContaining({ target: '/boot/efi', type: 'vfat' }),
          ]),
          boots: ['uefi'],
        },
      },
      {
        title: 'CentOS on xfs with /var found by its label, started by BIOS',
        paths: () => [disk('diskc')],
        facts: {
          os: {
            ...{ id: 'centos', versionId: '9', prettyName: 'CentOS Stream 9' },
            architecture: 'x86_64',
          },
          packages: [
            x86('httpd', '2.4.57-1.el9'),
            x86('mariadb-server', '3:10.5.22-1.el9'),
            x86('rpm', '4.16.1.3-1.el9'),
          ],
          services: ['mariadb.service'],
          databases: [{ engine: 'mariadb', version: '10.5.22', dataDirectory: '/var/lib/mysql' }],
          mounts: expect.arrayContaining([
            { source: 'LABEL=var', target: '/var', type: 'ext4', options: 'defaults' },
          ]),
          boots: ['bios'],
        },
      },
      {
        title: 'Fedora on btrfs subvolumes without partitions',
        paths: () => [disk('diskd')],
        facts: {
          os: {
            ...{ id: 'fedora', versionId: '40', prettyName: 'Fedora Linux 40' },
            architecture: 'x86_64',
          },
          packages: [x86('bash', '5.2.26-1.el9'), x86('rpm', '4.19.1-1.el9')],
          services: ['sshd.service'],
          databases: [],
          mounts: expect.arrayContaining([
            expect.objectContaining({ target: '/var', type: 'btrfs', options: 'subvol=/@/var' }),
          ]),
          boots: [],
        },
      },
    ],
    socketDir,
  );
});

describe('the choice between them', () => {
  /** The real inspector by tools, and an appliance that tells whether it was asked. */
  function chooser(reply: DiskInspector): { inspect: DiskInspector; asked: () => number } {
    let count = 0;
    const counted: DiskInspector = (sockets, signal) => {
      count += 1;
      return reply(sockets, signal);
    };
    const means = { runner, workDir: join(dir, 'work'), appliance: counted };
    return { inspect: createDiskInspector(means), asked: () => count };
  }
  const missing: DiskInspector = () =>
    Promise.reject(new VmdnError('tool_missing', 'libguestfs is not installed'));

  it('takes the tools where all that matters lies on ext volumes', async () => {
    const { inspect, asked } = chooser(missing);
    const { remarks, ...facts } = await inspectFiles(inspect, debian.paths(), socketDir());
    expect([facts, remarks, asked()]).toEqual([debianFacts, [], 0]);
  });

  it.each([
    ['LVM', ['diska', 'diskb'], /LVM/, ['uefi']],
    ['xfs', ['diskc'], /XFS/, ['bios']],
    ['btrfs', ['diskd'], /Btrfs/, []],
  ])('asks the appliance for %s, and names the reason where there is none', async (...row) => {
    const [, names, reason, boots] = row;
    const { inspect, asked } = chooser(missing);
    const found = await inspectFiles(inspect, names.map(disk), socketDir());
    expect(asked()).toBe(1);
    expect(found).toMatchObject({ os: null, packages: [], boots });
    expect(found.remarks.at(-1)).toMatch(reason);
    expect(found.remarks.at(-1)).toMatch(/libguestfs is not installed/);
  });

  it('asks the appliance when a volume that matters is missing, and keeps what it read', async () => {
    const { inspect, asked } = chooser(missing);
    const found = await inspectFiles(inspect, [debian.paths()[0]!], socketDir());
    expect(asked()).toBe(1);
    expect(found).toMatchObject({
      os: { id: 'debian' },
      packages: [],
      services: ['nginx.service'],
    });
    expect(found.remarks.join()).toMatch(/\/var lies on UUID=/);
  });

  it('leaves an encrypted disk and one of random bytes alone', async () => {
    for (const head of ['LUKS\xba\xbe\0\x02', '\xa5'.repeat(4096)]) {
      const path = join(dir, `odd-${head.length}`);
      await writeFile(path, Buffer.concat([Buffer.from(head, 'latin1'), Buffer.alloc(4 * MIB)]));
      const { inspect, asked } = chooser(missing);
      expect(await inspectFiles(inspect, [path], socketDir())).toMatchObject({ os: null });
      expect(asked()).toBe(0);
    }
  });

  it('passes on that it was cancelled', async () => {
    const cancelled: DiskInspector = () => Promise.reject(new VmdnError('cancelled', 'stop'));
    const { inspect } = chooser(cancelled);
    const found = inspectFiles(inspect, [disk('diskd')], socketDir());
    await expect(found).rejects.toMatchObject({ code: 'cancelled' });
  });
});
