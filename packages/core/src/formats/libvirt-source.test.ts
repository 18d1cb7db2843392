import { describe, expect, it } from 'vitest';
import { isEdgeDomain, readSourceDomain } from './libvirt-source.ts';

/** As libvirt 9.0 prints a domain that is shut off. */
function domainXml(changes: { readonly [of: string]: string } = {}): string {
  const text = `<domain type='kvm'>
  <name>web-01</name>
  <uuid>0c0ffee0-0000-4000-8000-000000000001</uuid>
  <metadata>
    <vmdn:source xmlns:vmdn="urn:vmdn:source:1">
      <vmdn:port name="web" guest="80"/>
      <vmdn:ready kind="http" port="web" path="/" timeoutSeconds="120"/>
    </vmdn:source>
  </metadata>
  <memory unit='KiB'>1048576</memory>
  <currentMemory unit='KiB'>1048576</currentMemory>
  <vcpu placement='static'>2</vcpu>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type><boot dev='hd'/></os>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file='/srv/vms/web-01.qcow2'/>
      <backingStore type='file'>
        <format type='raw'/>
        <source file='/srv/vms/base.raw'/>
        <backingStore/>
      </backingStore>
      <target dev='vda' bus='virtio'/>
    </disk>
    <disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>
    <interface type='network'><mac address='52:54:00:AB:cd:01'/><source network='default'/></interface>
  </devices>
</domain>`;
  return Object.entries(changes).reduce((now, [of, to]) => now.replace(of, to), text);
}

describe('a domain as a source', () => {
  it('is the VM that libvirt would start', () => {
    expect(readSourceDomain(domainXml())).toEqual({
      name: 'web-01',
      disks: [
        {
          layers: [
            { path: '/srv/vms/web-01.qcow2', format: 'qcow2' },
            { path: '/srv/vms/base.raw', format: 'raw' },
          ],
        },
      ],
      hardware: {
        ...{ vcpus: 2, memoryMiB: 1024, firmware: 'bios' },
        ports: [{ name: 'web', guest: 80 }],
        ready: { kind: 'http', port: 'web', path: '/', timeoutSeconds: 120 },
        uuid: '0c0ffee0-0000-4000-8000-000000000001',
        interfaces: [{ network: 'default', mac: '52:54:00:ab:cd:01' }],
      },
    });
  });

  it('I3: is on networks by their names', () => {
    const card = "<interface type='network'>";
    const more = `<interface type='bridge'><source bridge='br0'/></interface><interface type='user'/>${card}`;
    const { interfaces } = readSourceDomain(domainXml({ [card]: more })).hardware;
    expect(interfaces?.map(({ network }) => network)).toEqual(['br0', 'user', 'default']);
    const none = { '<interface type': '<x type', '</interface>': '</x>' };
    expect(readSourceDomain(domainXml(none)).hardware).not.toHaveProperty('interfaces');
  });

  it('has the firmware that its definition names', () => {
    const asked = domainXml({ '<os>': "<os firmware='efi'>" });
    const named = domainXml({ "<boot dev='hd'/>": "<loader type='pflash'>/x.fd</loader>" });
    for (const document of [asked, named]) {
      expect(readSourceDomain(document).hardware.firmware).toBe('uefi');
    }
  });

  it.each([
    ['a name that is an option', { 'web-01<': '--help<' }, 'invalid_input'],
    ['a format that nobody reads', { "type='qcow2'": "type='luks'" }, 'invalid_input'],
    ['no format', { " type='qcow2'": '' }, 'invalid_input'],
    ['no processors', { '>2</vcpu>': '>0</vcpu>' }, 'invalid_input'],
    [
      'memory in a unit of its own',
      { "unit='KiB'>1048576</mem": "unit='x'>1</mem" },
      'invalid_input',
    ],
    ['a port that is none', { 'guest="80"': 'guest="http"' }, 'invalid_input'],
    [
      'a ready check for a port that it lacks',
      { 'port="web" path': 'port="x" path' },
      'invalid_input',
    ],
    ['another architecture', { "arch='x86_64'": "arch='aarch64'" }, 'unsupported_format'],
    ['a disk on a block device', { "disk type='file'": "disk type='block'" }, 'unsupported_format'],
    [
      'a layer on the network',
      { "Store type='file'": "Store type='network'" },
      'unsupported_format',
    ],
    [
      'a device of the host as card',
      { "face type='network'": "face type='hostdev'" },
      'unsupported_format',
    ],
    ['a network without a name', { "<source network='default'/>": '' }, 'unsupported_format'],
    ['an address of many cards', { '52:54:00:AB': '53:54:00:AB' }, 'invalid_input'],
    ['a document type', { '<domain type': '<!DOCTYPE x><domain type' }, 'hostile_format'],
  ] as const)('I1, I2, I3: is refused with %s', (_, changes, code) => {
    expect(() => readSourceDomain(domainXml(changes))).toThrow(expect.objectContaining({ code }));
  });

  it('is none when an edge runs it', () => {
    expect(isEdgeDomain(domainXml())).toBe(false);
    const edges = { '<metadata>': '<metadata><vmdn:vm xmlns:vmdn="urn:vmdn:vm:1" home="/x"/>' };
    expect(isEdgeDomain(domainXml(edges))).toBe(true);
  });
});
