import { describe, expect, it } from 'vitest';
import type { InstalledPackage, OperatingSystem } from './description.ts';
import type { Digest } from './digest.ts';
import {
  FIRST_RUN_EXCLUDES,
  functionalObstacle,
  listImages,
  listStarts,
  packageDifference,
  pickCandidate,
  SECOND_RUN_EXCLUDES,
  scratchPackages,
} from './functional.ts';

const debian: OperatingSystem = {
  ...{ id: 'debian', versionId: '12', prettyName: 'Debian 12', architecture: 'amd64' },
};
const pkg = (name: string, version = '1'): InstalledPackage => ({
  ...{ name, version, architecture: 'amd64' },
});

describe('listImages (report, pickCandidate details: same distribution and version only)', () => {
  it('I1: takes images of the same distribution, version and architecture, and no others', () => {
    const images = [
      debian,
      { ...debian, prettyName: 'Debian 12 of somebody' },
      { ...debian, versionId: '11' },
      { ...debian, id: 'ubuntu' },
      { ...debian, architecture: 'arm64' },
      null,
    ].map((os) => ({ os, packages: [] }));
    expect(listImages(debian, images)).toEqual(images.slice(0, 2));
    expect(listImages(debian, [])).toEqual([]);
  });
});

describe('pickCandidate (report: the one with the least amount of differences)', () => {
  const bare = { os: debian, packages: [pkg('a')] };
  const near = { os: debian, packages: [pkg('a'), pkg('b'), pkg('c')] };
  const source = [pkg('a'), pkg('b')];

  it('goes by the dry runs, whatever the packages say', () => {
    const measured = [
      { image: near, differingBytes: 100 },
      { image: bare, differingBytes: 99 },
    ];
    expect(pickCandidate(source, measured)).toBe(bare);
  });

  it('goes by packages among images of equal or unknown difference, then by their order', () => {
    const far = { os: debian, packages: [pkg('x'), pkg('y')] };
    const all = [far, bare, near].map((image) => ({ image, differingBytes: null }));
    expect(pickCandidate(source, all)).toBe(bare);
    expect(pickCandidate(source, [...all, { image: far, differingBytes: 5 }])).toBe(far);
  });

  it('is null without images: then the VM is made from scratch', () => {
    expect(pickCandidate(source, [])).toBeNull();
  });
});

describe('packageDifference (report, swPrepare: install what is missing, remove what is extra)', () => {
  it('names what is missing or of another version, and what is extra', () => {
    const source = [pkg('same'), pkg('newer', '2'), pkg('missing')];
    const candidate = [pkg('same'), pkg('newer', '1'), pkg('extra')];
    expect(packageDifference(source, candidate)).toEqual({
      install: [pkg('newer', '2'), pkg('missing')],
      remove: [pkg('extra')],
    });
    expect(packageDifference(source, source)).toEqual({ install: [], remove: [] });
  });

  it('tells architectures apart', () => {
    const foreign = { ...pkg('libc6'), architecture: 'i386' };
    expect(packageDifference([pkg('libc6'), foreign], [pkg('libc6')])).toEqual({
      install: [foreign],
      remove: [],
    });
  });

  it.each([
    'linux-image-6.1.0-18-cloud-amd64',
    'linux-image-amd64',
    'linux-modules-5.15.0-91-generic',
    'grub-pc',
    'grub2-common',
    'shim-signed',
    'kernel-core',
    'kernel',
  ])('I2: leaves %s as the destination has it', (name) => {
    expect(packageDifference([pkg(name, '2')], [pkg(name, '1')])).toEqual({
      install: [],
      remove: [],
    });
    expect(packageDifference([], [pkg(name)]).remove).toEqual([]);
  });

  it.each(['linux-libc-dev', 'kernelshark', 'linux-base', 'shimmer'])('moves %s', (name) => {
    expect(packageDifference([pkg(name)], []).install).toEqual([pkg(name)]);
  });
});

describe('the runs of smartSync', () => {
  it('I3: leave out what the report lists', () => {
    const report =
      '/dev /tmp /proc /sys /var/tmp /run /mnt /media /lost+found /usr /lib /etc/fstab /lib32 /lib64 /boot';
    expect(FIRST_RUN_EXCLUDES).toEqual(report.split(' '));
    const second = '/dev /tmp /proc /sys /var/tmp /run /mnt /media /lost+found /boot';
    expect(SECOND_RUN_EXCLUDES).toEqual(second.split(' '));
  });
});

describe('what a functional copy can start from', () => {
  it('is the images of the release, the fewest packages to change first', () => {
    const wanted = [pkg('a'), pkg('b'), pkg('c')];
    const [far, near] = [
      { os: debian, packages: [pkg('z')] },
      { os: debian, packages: [pkg('a'), pkg('b')] },
    ];
    const other = { os: { ...debian, versionId: '11' }, packages: wanted };
    expect(listStarts(debian, wanted, [far, other, near])).toEqual([near, far]);
  });

  it('I1: is nothing but packages without an image of the release, if a kernel is among them', () => {
    const other = { os: { ...debian, versionId: '11' }, packages: [pkg('a')] };
    const wanted = [pkg('a'), pkg('linux-image-6.1.0-18-cloud-amd64'), pkg('grub-pc')];
    expect(listStarts(debian, wanted, [other])).toEqual([]);
    const none = () => listStarts(debian, [pkg('a'), pkg('grub-pc')], [other]);
    expect(none).toThrow(/No image here is of Debian 12 \(amd64\).*no kernel.*method exact/);
  });

  it('I2: from scratch it has the kernel of the source, and a boot loader of its own', () => {
    const names = ['a', 'linux-image-amd64', 'kernel-core', 'grub-pc', 'shim-signed'];
    const { install, remove } = scratchPackages(names.map((name) => pkg(name)));
    expect(install.map(({ name }) => name)).toEqual(names.slice(0, 3));
    expect(remove).toEqual([]);
  });
});

describe('a guest that can not be copied functionally', () => {
  const disk = { digest: 'ab'.repeat(32) as Digest, virtualSizeBytes: 1, nonZeroBytes: 1 };
  const disks = [{ ...disk, keysRoot: disk.digest, recipeBytes: 1 }];
  const guest = { os: debian, packages: [pkg('a')], disks };
  const crypt = { source: '/dev/mapper/sda5_crypt', target: '/', type: 'ext4', options: '' };

  it.each([
    ['an unknown system', { os: null }, /not known/],
    ['a package format', { os: { ...debian, id: 'alpine', prettyName: 'Alpine 3' } }, /Alpine 3/],
    ['no packages', { packages: [] }, /could not be read/],
    ['two disks', { disks: [...disks, ...disks] }, /2 disks/],
    ['an encrypted volume', { mounts: [crypt] }, /\/ is encrypted/],
  ])('is told from its description: %s', (_, change, words) => {
    expect(functionalObstacle({ ...guest, ...change })).toMatch(words);
  });

  it('is none of those that have all that it takes', () => {
    const mounts = [{ ...crypt, source: '/dev/mapper/vg-root' }];
    expect(functionalObstacle({ ...guest, mounts })).toBeNull();
    for (const id of ['ubuntu', 'fedora', 'centos']) {
      expect(functionalObstacle({ ...guest, os: { ...debian, id } })).toBeNull();
    }
  });
});
