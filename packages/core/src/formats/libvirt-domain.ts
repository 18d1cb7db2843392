/**
 * Room: formats. A domain as libvirt defines it, for KVM and for Xen (libvirt: formatdomain). What runs
 * here by libvirt is made of the same parts (libvirt-guest.ts).
 *
 * I1: devices are those that the VM ran with here: q35, virtio, serial console; under Xen its own disk bus.
 */

import type { ExportedVm } from '../domain/vm-export.ts';
import type { VmHardware } from '../domain/vm-specification.ts';
import { type XmlElement, xml, xmlDocument } from './xml-writer.ts';

/** Where Xen has its UEFI firmware, by libvirt's documentation of the xl driver. */
const XEN_UEFI = '/usr/lib/xen/boot/ovmf.bin';

/** The definition of a VM whose disk files lie in `folder`. */
export function libvirtDomain(vm: ExportedVm, hypervisor: 'kvm' | 'xen', folder: string): string {
  const isKvm = hypervisor === 'kvm';
  return xmlDocument(
    xml(
      'domain',
      { type: hypervisor },
      ...headElements(vm.name, vm.hardware),
      bootElement(vm, isKvm),
      xml('features', {}, ...FEATURES),
      ...(isKvm ? [xml('cpu', { mode: 'host-model' })] : []),
      xml('devices', {}, ...devices(vm, isKvm, folder)),
    ),
  );
}

/** Name, memory and processors. */
export function headElements(
  name: string,
  { vcpus, memoryMiB }: Pick<VmHardware, 'vcpus' | 'memoryMiB'>,
): XmlElement[] {
  return [
    xml('name', {}, name),
    xml('memory', { unit: 'MiB' }, String(memoryMiB)),
    xml('vcpu', {}, String(vcpus)),
  ];
}

/** The machine of every guest under QEMU. */
export const Q35_TYPE = xml('type', { arch: 'x86_64', machine: 'q35' }, 'hvm');
export const FEATURES = [xml('acpi'), xml('apic')] as const;

/** Name of the nth disk on virtio: vda, vdb, … A VM has 24 disks at most. */
export function virtioDisk(index: number): string {
  return `vd${letter(index)}`;
}

function bootElement({ hardware }: ExportedVm, isKvm: boolean): XmlElement {
  const isUefi = hardware.firmware === 'uefi';
  const type = isKvm ? Q35_TYPE : xml('type', { arch: 'x86_64', machine: 'xenfv' }, 'hvm');
  const loader =
    isUefi && !isKvm ? [xml('loader', { readonly: 'yes', type: 'pflash' }, XEN_UEFI)] : [];
  return xml(
    'os',
    isUefi && isKvm ? { firmware: 'efi' } : {},
    type,
    ...loader,
    xml('boot', { dev: 'hd' }),
  );
}

function devices(vm: ExportedVm, isKvm: boolean, folder: string): XmlElement[] {
  const bus = isKvm ? 'virtio' : 'xen';
  const disks = vm.disks.map(({ file }, index) =>
    xml(
      'disk',
      { type: 'file', device: 'disk' },
      xml('driver', { name: 'qemu', type: vm.format }),
      xml('source', { file: `${folder}/${file}` }),
      xml('target', { dev: isKvm ? virtioDisk(index) : `xvd${letter(index)}`, bus }),
    ),
  );
  const network = xml(
    'interface',
    { type: 'network' },
    xml('source', { network: 'default' }),
    ...(isKvm ? [xml('model', { type: 'virtio' })] : []),
  );
  return [...disks, network, xml('serial', { type: 'pty' }), xml('console', { type: 'pty' })];
}

function letter(index: number): string {
  return String.fromCharCode('a'.charCodeAt(0) + index);
}
