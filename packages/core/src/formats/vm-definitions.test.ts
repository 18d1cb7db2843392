import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Digest } from '../domain/digest.ts';
import type { Name } from '../domain/names.ts';
import {
  EXPORT_FORMATS,
  type ExportedVm,
  exportedDiskFile,
  exportFormat,
  HYPERVISORS,
} from '../domain/vm-export.ts';
import { libvirtDomain } from './libvirt-domain.ts';
import { ovfEnvelope, ovfManifest } from './ovf.ts';
import { readXml, type XmlNode } from './xml-tree.ts';
import { xml, xmlDocument } from './xml-writer.ts';

function all(element: XmlNode, name: string): XmlNode[] {
  const deeper = element.children.flatMap((child) => all(child, name));
  return element.name === name ? [element, ...deeper] : deeper;
}

function vmWith(firmware: 'bios' | 'uefi', disks: number): ExportedVm {
  const name = 'web-01' as Name;
  return {
    name,
    hardware: { vcpus: 2, memoryMiB: 1024, firmware, ports: [], ready: null },
    format: 'vmdk',
    disks: Array.from({ length: disks }, (_, index) => ({
      file: exportedDiskFile(name, index, 'vmdk'),
      digest: 'ab'.repeat(32) as Digest,
      virtualSizeBytes: 2 ** 30 + index * 512,
      fileBytes: 12_345 + index,
    })),
  };
}

describe('XML', () => {
  it('I1: reads back as it was written, whatever the strings hold', () => {
    const any = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('<&>"\'', ']]>', '\r\n\t', '\0'),
    );
    fc.assert(
      fc.property(any, any, (value, text) => {
        const held = (raw: string): string =>
          raw
            .toWellFormed()
            .replaceAll(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '\ufffd');
        const root = readXml(xmlDocument(xml('a', { b: value }, xml('c', {}, text))));
        expect(root.attributes.get('b')).toBe(held(value));
        expect(root.children[0]?.text).toBe(held(text));
      }),
    );
  });
});

describe('a definition for libvirt', () => {
  it.each(['kvm', 'xen'] as const)('has the hardware of the VM, under %s', (hypervisor) => {
    const root = readXml(libvirtDomain(vmWith('bios', 3), hypervisor, '/srv/exports/web-01'));
    expect(root.attributes.get('type')).toBe(hypervisor);
    const bus = hypervisor === 'kvm' ? 'virtio' : 'xen';
    const targets = all(root, 'target').map(({ attributes }) => Object.fromEntries(attributes));
    const prefix = hypervisor === 'kvm' ? 'vd' : 'xvd';
    expect(targets).toEqual(['a', 'b', 'c'].map((letter) => ({ dev: prefix + letter, bus })));
    const sources = all(root, 'source').map(({ attributes }) => attributes.get('file'));
    expect(sources[2]).toBe('/srv/exports/web-01/web-01-disk3.vmdk');
    expect(all(root, 'memory')[0]?.text).toBe('1024');
    expect(all(root, 'vcpu')[0]?.text).toBe('2');
  });

  it('starts by UEFI what is started by UEFI', () => {
    const os = (firmware: 'bios' | 'uefi', hypervisor: 'kvm' | 'xen'): XmlNode =>
      all(readXml(libvirtDomain(vmWith(firmware, 1), hypervisor, '/x')), 'os')[0]!;
    expect(os('uefi', 'kvm').attributes.get('firmware')).toBe('efi');
    expect(os('bios', 'kvm').attributes.get('firmware')).toBeUndefined();
    expect(all(os('uefi', 'xen'), 'loader')[0]?.text).toContain('ovmf');
    expect(all(os('bios', 'xen'), 'loader')).toEqual([]);
  });
});

describe('an OVF envelope', () => {
  it('I1: every reference resolves, and instances have numbers of their own', () => {
    for (const count of [1, 24]) {
      const vm = vmWith('uefi', count);
      const root = readXml(ovfEnvelope(vm));
      const files = all(root, 'File').map(({ attributes }) => attributes);
      expect(files.map((file) => file.get('ovf:href'))).toEqual(vm.disks.map(({ file }) => file));
      expect(files.map((file) => file.get('ovf:size'))).toEqual(
        vm.disks.map((disk) => String(disk.fileBytes)),
      );
      const fileIds = files.map((file) => file.get('ovf:id'));
      const disks = all(root, 'Disk').map(({ attributes }) => attributes);
      expect(disks.map((disk) => disk.get('ovf:fileRef'))).toEqual(fileIds);
      expect(disks.map((disk) => disk.get('ovf:capacity'))).toEqual(
        vm.disks.map((disk) => String(disk.virtualSizeBytes)),
      );
      const items = all(root, 'Item').map(
        (item) => new Map(item.children.map(({ name, text }) => [name.replace('rasd:', ''), text])),
      );
      const hosts = items.flatMap((item) => item.get('HostResource') ?? []);
      expect(hosts).toEqual(disks.map((disk) => `ovf:/disk/${disk.get('ovf:diskId')}`));
      const numbers = items.map((item) => item.get('InstanceID'));
      expect(new Set(numbers).size).toBe(items.length);
      for (const item of items) {
        if (item.has('Parent')) expect(numbers).toContain(item.get('Parent'));
        // The schema wants the order of the alphabet.
        expect([...item.keys()]).toEqual([...item.keys()].sort());
      }
      const networks = all(root, 'Network').map(({ attributes }) => attributes.get('ovf:name'));
      expect(networks).toContain(items.find((item) => item.has('Connection'))?.get('Connection'));
      const config = all(root, 'vmw:Config').find(
        ({ attributes }) => attributes.get('vmw:key') === 'firmware',
      );
      expect(config?.attributes.get('vmw:value')).toBe('efi');
    }
  });

  it('has a manifest with a line for each file', () => {
    expect(ovfManifest([{ file: 'web-01.ovf', sha256: 'ab' }])).toBe('SHA256(web-01.ovf)= ab\n');
  });
});

describe('formats of hypervisors', () => {
  it('I1: are those that each can run', () => {
    const takes = (hypervisor: (typeof HYPERVISORS)[number]): string[] =>
      EXPORT_FORMATS.filter((format) => {
        try {
          return exportFormat(hypervisor, format) === format;
        } catch {
          return false;
        }
      });
    expect(Object.fromEntries(HYPERVISORS.map((one) => [one, takes(one)]))).toEqual({
      kvm: ['qcow2', 'raw', 'vmdk'],
      xen: ['qcow2', 'raw'],
      vmware: ['vmdk'],
    });
    expect(HYPERVISORS.map((one) => exportFormat(one, null))).toEqual(['qcow2', 'raw', 'vmdk']);
    expect(() => exportFormat('vmware', 'qcow2')).toThrow(/vmdk/);
  });
});
