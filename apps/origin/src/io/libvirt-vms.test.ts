import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Id, Name } from '@vmdn/core/domain/names.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createLibvirtVms } from './libvirt-vms.ts';
import { severalPlaces } from './several-places.ts';
import { createVmFolder } from './vm-folder.ts';

let root: string;
let outside: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'vmdn-domains-'));
  outside = await mkdtemp(join(tmpdir(), 'vmdn-outside-'));
});
afterEach(async () => {
  for (const dir of [root, outside]) await rm(dir, { recursive: true, force: true });
});

const idOf = (number: number): Id => `00000000-0000-4000-8000-00000000000${number}` as Id;

function domainXml(name: string, file: string): string {
  return `<domain type='kvm'><name>${name}</name><memory unit='MiB'>512</memory><vcpu>1</vcpu>
    <os><type arch='x86_64'>hvm</type></os><devices><disk type='file' device='disk'>
    <driver name='qemu' type='raw'/><source file='${file}'/></disk></devices></domain>`;
}

/** A libvirt with these domains. */
function placeOf(
  documents: readonly string[],
  options: Partial<Pick<Parameters<typeof createLibvirtVms>[0], 'below' | 'fencedAs'>> = {},
) {
  const domains = documents.map((document, at) => [idOf(at), document] as const);
  const known = new Map(domains);
  const virsh = {
    persistent: async () => [...known.keys()],
    dumpXml: async (domain: Id) => known.get(domain) ?? null,
  };
  return createLibvirtVms({
    ...{ virsh, uri: 'qemu:///session', roots: [root], fencedAs: () => undefined, ...options },
  });
}

describe('VMs that libvirt has', () => {
  it('I1: are offered when their files lie in a storage root, wherever links lead', async () => {
    await writeFile(join(root, 'disk.raw'), 'disk');
    await writeFile(join(outside, 'secret'), 'secret');
    await symlink(join(outside, 'secret'), join(root, 'link.raw'));
    const found = await placeOf([
      domainXml('inside', join(root, 'disk.raw')),
      domainXml('outside', join(outside, 'secret')),
      domainXml('linked', join(root, 'link.raw')),
      domainXml('dotted', `${root}/../${outside.split('/').at(-1)}/secret`),
    ]).find();
    expect(found.vms.map(({ name }) => name)).toEqual(['inside']);
    expect(found.problems).toMatchObject(
      [1, 2, 3].map((at) => ({ where: idOf(at), error: { code: 'forbidden' } })),
    );
  });

  it('I2: are found although another domain is wrong, and are none of an edge', async () => {
    await writeFile(join(root, 'disk.raw'), 'disk');
    const good = domainXml('good', join(root, 'disk.raw'));
    const edges = good.replace('<vcpu>', '<metadata><vmdn:vm home="/x"/></metadata><vcpu>');
    const found = await placeOf([good.replace('x86_64', 's390x'), edges, good]).find();
    expect(found.vms.map(({ name }) => name)).toEqual(['good']);
    expect(found.problems).toMatchObject([
      { where: idOf(0), error: { code: 'unsupported_format' } },
    ]);
  });

  it('I4: have the disks below overlays of ours, whatever name those have now', async () => {
    const path = join(root, 'disk.raw');
    await writeFile(path, 'disk');
    const layers = [{ path, format: 'raw' }] as const;
    const below = (file: string) => (file === `${path}.over` ? layers : undefined);
    const place = placeOf([domainXml('over', `${path}.over`)], { below });
    const { vms } = await place.find();
    expect(vms.map(({ name, disks }) => [name, disks])).toEqual([['over', [{ layers }]]]);
    expect(place.domainOf('over' as Name)).toBe(idOf(0));
    expect(place.domainOf('other' as Name)).toBeUndefined();
  });

  it('are what their fence says while they are moved away, whatever their domains say', async () => {
    const gone = join(root, 'gone.raw');
    const layers = [{ path: `${gone}.moved`, format: 'raw' as const }];
    const hardware = { vcpus: 7, memoryMiB: 64, firmware: 'bios', ports: [], ready: null } as const;
    const fenced = { name: 'moved' as Name, hardware, disks: [{ layers }] };
    const place = placeOf([domainXml('moved', gone)], {
      fencedAs: (vm) => (vm === fenced.name ? fenced : undefined),
    });
    expect(await place.find()).toMatchObject({ vms: [fenced], problems: [] });
  });

  it('stand beside those of a folder, which keeps a name that both have', async () => {
    await writeFile(join(root, 'disk.raw'), 'disk');
    const disks = [{ file: 'disk.raw', format: 'raw' }];
    const specification = { name: 'both', disks, vcpus: 3, memoryMiB: 512 };
    await writeFile(join(root, 'both.vm.json'), JSON.stringify(specification));
    const path = join(root, 'disk.raw');
    const domains = placeOf([domainXml('both', path), domainXml('other', path)]);
    const found = await severalPlaces([createVmFolder(root, () => undefined), domains]).find();
    expect(found.vms.map(({ name, hardware }) => [name, hardware.vcpus])).toEqual([
      ['both', 3],
      ['other', 1],
    ]);
    expect(found.problems).toMatchObject([{ where: 'both', error: { code: 'conflict' } }]);
  });
});
