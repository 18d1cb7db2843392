import { describe, expect, it } from 'vitest';
import { overlaySnapshot, readDomainDisks } from './libvirt-running.ts';

/** As libvirt 9.0 prints a domain that runs on an overlay while that is committed. */
const RUNNING = `<domain type='kvm' id='7'><name>web-01</name><devices>
  <disk type='file' device='disk'>
    <driver name='qemu' type='qcow2' cache='none'/>
    <source file='/srv/vms/a &amp; b.over.qcow2' index='2'/>
    <backingStore type='file' index='1'><format type='raw'/><source file='/srv/vms/a &amp; b.raw'/>
      <backingStore/></backingStore>
    <mirror type='file' job='active-commit' ready='yes'><format type='raw'/>
      <source file='/srv/vms/a &amp; b.raw' index='1'/></mirror>
    <target dev='vda' bus='virtio'/><alias name='virtio-disk0'/>
    <address type='pci' domain='0x0000' bus='0x02' slot='0x00' function='0x0'/>
  </disk>
  <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/srv/vms/s.raw'/>
    <target dev='vdb'/><shareable/><readonly/></disk>
  <disk type='network' device='disk'><driver name='qemu' type='raw'/>
    <source protocol='nbd' name='x'/><target dev='vdc'/><mirror type='network'/></disk>
  <disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>
</devices></domain>`;

describe("a domain's disks as they are", () => {
  it('are its files, what is being made of them, and what others are', () => {
    const { run, disks, others } = readDomainDisks(RUNNING);
    expect({ run, others }).toEqual({ run: '7', others: ['sda'] });
    expect(disks.map(({ document: _, ...disk }) => disk)).toEqual([
      {
        ...{ target: 'vda', file: '/srv/vms/a & b.over.qcow2', format: 'qcow2' },
        ...{ mirror: '/srv/vms/a & b.raw', isShareable: false, isReadOnly: false },
      },
      {
        ...{ target: 'vdb', file: '/srv/vms/s.raw', format: 'raw' },
        ...{ mirror: null, isShareable: true, isReadOnly: true },
      },
      // I1: neither is a file.
      {
        ...{ target: 'vdc', file: '', format: 'raw', mirror: '' },
        ...{ isShareable: false, isReadOnly: false },
      },
    ]);
    expect(readDomainDisks(RUNNING.replace(" id='7'", '')).run).toBeNull();
  });

  it('can be given back to libvirt as they were, without what belongs to one run', () => {
    const { document } = readDomainDisks(RUNNING).disks[0]!;
    expect(document).toContain('<driver name="qemu" type="qcow2" cache="none"/>');
    expect(document).toContain('<source file="/srv/vms/a &amp; b.raw"/>');
    expect(document).not.toMatch(/mirror|alias/);
    const again = readDomainDisks(`<domain><devices>${document.slice(39)}</devices></domain>`);
    expect(again.disks[0]!.document).toBe(document);
  });

  it('I2: a snapshot names an overlay for each disk and leaves the others out', () => {
    const document = overlaySnapshot([{ target: 'vda', overlay: '/srv/a & b.qcow2' }], ['sda']);
    expect(document.split('\n').slice(1).join('').replaceAll(/ {2,}/g, '')).toBe(
      '<domainsnapshot><disks><disk name="vda" snapshot="external"><driver type="qcow2"/>' +
        '<source file="/srv/a &amp; b.qcow2"/></disk><disk name="sda" snapshot="no"/>' +
        '</disks></domainsnapshot>',
    );
  });
});
