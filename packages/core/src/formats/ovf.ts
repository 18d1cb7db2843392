/**
 * Room: formats. A VM as an OVF package (DMTF DSP0243, Open Virtualization Format 1.1), as VMware imports it:
 * the envelope, and the manifest with the SHA-256 of every file.
 *
 * I1: every reference resolves: disk to file, item to disk and to controller; instances have numbers of
 *     their own.
 * I2: disks lie on a SATA controller, which has room for 30 of them and which any guest has a driver for.
 */

import type { ExportedVm } from '../domain/vm-export.ts';
import { type XmlElement, xml, xmlDocument } from './xml-writer.ts';

const NAMESPACES = {
  xmlns: 'http://schemas.dmtf.org/ovf/envelope/1',
  'xmlns:ovf': 'http://schemas.dmtf.org/ovf/envelope/1',
  'xmlns:rasd':
    'http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData',
  'xmlns:vssd': 'http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData',
  'xmlns:vmw': 'http://www.vmware.com/schema/ovf',
} as const;
/** The format of a sparse VMDK that is read from its beginning to its end. */
const STREAM_OPTIMIZED =
  'http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized';
/** The first with SATA and EFI: ESXi 5.5, Workstation 10. */
const HARDWARE_VERSION = 'vmx-10';
const NETWORK = 'VM Network';
/** Resource types of CIM (DMTF DSP1041). */
const PROCESSOR = 3;
const MEMORY = 4;
const ETHERNET = 10;
const DISK = 17;
const SATA = 20;
const CONTROLLER_INSTANCE = 3;

/** The envelope. */
export function ovfEnvelope(vm: ExportedVm): string {
  return xmlDocument(
    xml(
      'Envelope',
      NAMESPACES,
      xml(
        'References',
        {},
        ...vm.disks.map(({ file, fileBytes }, index) =>
          xml('File', { 'ovf:id': fileId(index), 'ovf:href': file, 'ovf:size': fileBytes }),
        ),
      ),
      xml(
        'DiskSection',
        {},
        xml('Info', {}, 'Virtual disks'),
        ...vm.disks.map(({ virtualSizeBytes }, index) =>
          xml('Disk', {
            'ovf:diskId': diskId(index),
            'ovf:fileRef': fileId(index),
            'ovf:capacity': virtualSizeBytes,
            'ovf:capacityAllocationUnits': 'byte',
            'ovf:format': STREAM_OPTIMIZED,
          }),
        ),
      ),
      xml(
        'NetworkSection',
        {},
        xml('Info', {}, 'Networks'),
        xml('Network', { 'ovf:name': NETWORK }, xml('Description', {}, NETWORK)),
      ),
      virtualSystem(vm),
    ),
  );
}

const fileId = (index: number): string => `file${index + 1}`;
const diskId = (index: number): string => `vmdisk${index + 1}`;

function virtualSystem(vm: ExportedVm): XmlElement {
  const { vcpus, memoryMiB, firmware } = vm.hardware;
  return xml(
    'VirtualSystem',
    { 'ovf:id': vm.name },
    xml('Info', {}, 'A virtual machine'),
    xml('Name', {}, vm.name),
    xml(
      'OperatingSystemSection',
      // CIM: Linux 64-Bit. What it is exactly is the guest's own business.
      { 'ovf:id': 101, 'vmw:osType': 'otherLinux64Guest' },
      xml('Info', {}, 'The operating system'),
    ),
    xml(
      'VirtualHardwareSection',
      {},
      xml('Info', {}, 'Virtual hardware'),
      xml(
        'System',
        {},
        xml('vssd:ElementName', {}, 'Virtual hardware'),
        xml('vssd:InstanceID', {}, '0'),
        xml('vssd:VirtualSystemIdentifier', {}, vm.name),
        xml('vssd:VirtualSystemType', {}, HARDWARE_VERSION),
      ),
      item({
        ElementName: `${vcpus} processors`,
        InstanceID: 1,
        ResourceType: PROCESSOR,
        VirtualQuantity: vcpus,
      }),
      item({
        AllocationUnits: 'byte * 2^20',
        ElementName: `${memoryMiB} MiB of memory`,
        InstanceID: 2,
        ResourceType: MEMORY,
        VirtualQuantity: memoryMiB,
      }),
      ...storage(vm),
      xml('vmw:Config', {
        'ovf:required': 'false',
        'vmw:key': 'firmware',
        'vmw:value': firmware === 'uefi' ? 'efi' : 'bios',
      }),
    ),
  );
}

/** Controller, disks and the network card; its number comes after all disks. */
function storage({ disks }: ExportedVm): XmlElement[] {
  const first = CONTROLLER_INSTANCE + 1;
  return [
    item({
      Address: 0,
      ElementName: 'SATA controller',
      InstanceID: CONTROLLER_INSTANCE,
      ResourceSubType: 'vmware.sata.ahci',
      ResourceType: SATA,
    }),
    ...disks.map((_, index) =>
      item({
        AddressOnParent: index,
        ElementName: `Disk ${index + 1}`,
        HostResource: `ovf:/disk/${diskId(index)}`,
        InstanceID: first + index,
        Parent: CONTROLLER_INSTANCE,
        ResourceType: DISK,
      }),
    ),
    item({
      AutomaticAllocation: 'true',
      Connection: NETWORK,
      ElementName: 'Network card',
      InstanceID: first + disks.length,
      ResourceSubType: 'E1000',
      ResourceType: ETHERNET,
    }),
  ];
}

/** An item with its elements in the order of the schema, which is that of the alphabet. */
function item(fields: Readonly<Record<string, string | number>>): XmlElement {
  const names = Object.keys(fields).sort();
  return xml('Item', {}, ...names.map((name) => xml(`rasd:${name}`, {}, String(fields[name]))));
}

/** The manifest: `SHA256(file)= hex`, a line for each file (DSP0243, 5.1). */
export function ovfManifest(
  files: readonly { readonly file: string; readonly sha256: string }[],
): string {
  return files.map(({ file, sha256 }) => `SHA256(${file})= ${sha256}\n`).join('');
}
