import { describe, expect, it } from 'vitest';
import type { Id, Name } from '../domain/names.ts';
import { copyTarget, guestDomain, type LibvirtGuest, readDomainState } from './libvirt-guest.ts';
import { childrenOf, elementAt, readXml, textAt, type XmlNode } from './xml-tree.ts';

const layers = [
  { path: '/store/a/disk.qcow2', format: 'qcow2' },
  { path: '/store/b/disk.raw', format: 'raw' },
] as const;
const forwards = [
  { port: 'web' as Name, hostAddress: '127.0.0.1', hostPort: 40_000, guestPort: 80 },
  { port: 'ssh' as Name, hostAddress: '127.0.0.1', hostPort: 40_001, guestPort: 22 },
];
const vm = '4d9c8d3f-5a51-4b3f-9d26-6c1f0fd4e111' as Id;
const guest: LibvirtGuest = {
  ...{ vm, uuid: vm },
  name: 'web-01' as Name,
  home: '/var/lib/vmdn/edge/v<m>s',
  hardware: { vcpus: 2, memoryMiB: 512 },
  accelerator: 'tcg',
  emulator: '/usr/bin/qemu-system-x86_64',
  uefi: null,
  disks: [
    { overlay: '/vms/1/disk-0.qcow2', layers },
    { overlay: '/vms/1/disk-1.qcow2', layers, export: { socket: '/run/s', name: 'digest' } },
  ],
  nics: [{ macAddress: '52:54:00:01:02:03', network: { kind: 'user' }, forwards }],
  forwards,
  consoleLog: '/vms/1/console',
  user: { uid: 1_900_000_001, gid: 1_900_000_001 },
};
const domain = readXml(guestDomain(guest));

/** A disk's chain from its overlay down: kinds and places. */
function chainOf(disk: XmlNode): string[] {
  const below = elementAt(disk, 'backingStore');
  const source = elementAt(disk, 'source');
  const place =
    source?.attributes.get('file') ?? elementAt(source, 'host')?.attributes.get('socket');
  if (below === undefined) return place === undefined ? ['end'] : [place];
  return [place ?? '?', ...chainOf(below)];
}

describe('the domain of a guest', () => {
  it('I1: gives each device the place that it has under the driver qemu', () => {
    const slots = [...childrenOf(elementAt(domain, 'devices'), 'disk')]
      .concat(childrenOf(elementAt(domain, 'devices'), 'rng'))
      .map((device) => elementAt(device, 'address')?.attributes.get('slot'));
    expect(slots).toEqual(['1', '2', '4']);
    const args = childrenOf(elementAt(domain, 'qemu:commandline'), 'qemu:arg');
    expect(args.at(-1)?.attributes.get('value')).toContain('bus=pcie.0,addr=0x3');
  });

  it('I2: names every layer, and that nothing follows', () => {
    const disks = childrenOf(elementAt(domain, 'devices'), 'disk');
    expect(disks.map(chainOf)).toEqual([
      ['/vms/1/disk-0.qcow2', '/store/a/disk.qcow2', '/store/b/disk.raw', 'end'],
      ['/vms/1/disk-1.qcow2', '/run/s', 'end'],
    ]);
    const target = readXml(copyTarget(0, { overlay: '/vms/1/settled-0.qcow2', layers }));
    expect(chainOf(target).at(0)).toBe('/vms/1/settled-0.qcow2');
    expect(chainOf(target).at(-1)).toBe('end');
  });

  it('I3: lets nothing out, and in only what is forwarded', () => {
    const args = childrenOf(elementAt(domain, 'qemu:commandline'), 'qemu:arg');
    expect(args[1]?.attributes.get('value')).toBe(
      'user,id=net0,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:40000-:80,' +
        'hostfwd=tcp:127.0.0.1:40001-:22',
    );
    expect(childrenOf(elementAt(domain, 'devices'), 'interface')).toEqual([]);
  });

  it('I3: puts cards where their names say, at their places on the bus, under a UUID of the guest', () => {
    const card = { forwards: [] };
    const document = guestDomain({
      ...guest,
      uuid: '0c0ffee0-5a51-4b3f-9d26-6c1f0fd4e111' as Id,
      nics: [
        { ...card, macAddress: '02:00:00:00:00:01', network: { kind: 'bridge', device: 'br0' } },
        ...guest.nics,
        {
          ...card,
          macAddress: '02:00:00:00:00:02',
          network: { kind: 'network', name: 'dmz' as Name },
        },
      ],
    });
    const root = readXml(document);
    const cards = childrenOf(elementAt(root, 'devices'), 'interface').map((one) => [
      one.attributes.get('type'),
      Object.fromEntries(elementAt(one, 'source')?.attributes ?? []),
      elementAt(one, 'mac')?.attributes.get('address'),
      elementAt(one, 'address')?.attributes.get('slot'),
    ]);
    expect(cards).toEqual([
      ['bridge', { bridge: 'br0' }, '02:00:00:00:00:01', '3'],
      ['network', { network: 'dmz' }, '02:00:00:00:00:02', '5'],
    ]);
    const args = childrenOf(elementAt(root, 'qemu:commandline'), 'qemu:arg').map((one) =>
      one.attributes.get('value'),
    );
    expect(args.slice(0, 2)).toEqual([
      '-smbios',
      'type=1,uuid=0c0ffee0-5a51-4b3f-9d26-6c1f0fd4e111',
    ]);
    expect(args.at(-1)).toMatch(/netdev=net1,mac=52:54:00:01:02:03,.*addr=0x4$/);
    expect(textAt(root, 'uuid')).toBe(vm);
    const random = childrenOf(elementAt(root, 'devices'), 'rng')[0];
    expect(elementAt(random, 'address')?.attributes.get('slot')).toBe('6');
  });

  it('I4: stops the guest when a read or a write fails', () => {
    for (const disk of childrenOf(elementAt(domain, 'devices'), 'disk')) {
      expect(elementAt(disk, 'driver')?.attributes.get('error_policy')).toBe('stop');
    }
  });

  it('I5: says whose it is, and where its ports are, and is read back so', () => {
    const running = guestDomain(guest).replace('<domain ', "<domain id='7' ");
    expect(readDomainState(running)).toMatchObject({
      home: '/var/lib/vmdn/edge/v<m>s',
      isRunning: true,
      accelerator: 'tcg',
      forwards: [
        { port: 'web', host: '127.0.0.1', hostPort: 40_000 },
        { port: 'ssh', host: '127.0.0.1', hostPort: 40_001 },
      ],
    });
    const foreign = '<domain type="kvm"><name>x</name></domain>';
    expect(readDomainState(foreign)).toMatchObject({ home: null, isRunning: false });
  });

  it('runs as the user of the guest, to whom libvirt gives no file', () => {
    const label = elementAt(domain, 'seclabel');
    expect(label?.attributes.get('relabel')).toBe('no');
    expect(textAt(label, 'label')).toBe('+1900000001:+1900000001');
  });
});
