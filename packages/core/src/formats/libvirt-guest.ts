/**
 * Room: formats. The libvirt domain of a VM that an edge runs, from a typed value, and what libvirt says of
 * it.
 *
 * I1: nothing comes from libvirt's defaults that a guest could meet: every device is named, with the place on
 *     the bus that it has under the driver `qemu`, so that a guest finds its devices under either.
 * I2: every layer of a disk is named and the last one says that nothing follows: libvirt probes no header,
 *     and QEMU is given a block graph.
 * I3: a guest's network is restricted: nothing goes out, only the named forwards come in. libvirt 9.0 has no
 *     words for that, so this device alone is QEMU's own (`qemu:commandline`), of numbers and addresses.
 * I4: a read or a write that fails stops the guest; it is made again when the guest goes on. libvirt 9.0
 *     has no words for QEMU's `reconnect-delay`.
 * I5: a domain says whose it is: the edge's folder of VMs stands in its metadata.
 */

import type { DiskLayer } from '../domain/disk-format.ts';
import type { Id, Name } from '../domain/names.ts';
import type { VmHardware } from '../domain/vm-specification.ts';
import { FEATURES, headElements, Q35_TYPE, virtioDisk } from './libvirt-domain.ts';
import type { QemuExport, QemuForward } from './qemu-command-line.ts';
import { TCG_CODE_MIB } from './qemu-command-line.ts';
import { childrenOf, elementAt, readXml, type XmlNode } from './xml-tree.ts';
import { type XmlElement, xml, xmlDocument } from './xml-writer.ts';

export interface LibvirtDisk {
  /** The VM's own qcow2 file. */
  readonly overlay: string;
  /** What the overlay stands on, the top layer first. */
  readonly layers: readonly DiskLayer[];
  /** What it stands on instead while the layers are being filled. */
  readonly export?: QemuExport | undefined;
}

export interface LibvirtGuest {
  readonly vm: Id;
  readonly name: Name;
  /** The edge's folder of VMs. */
  readonly home: string;
  readonly hardware: Pick<VmHardware, 'vcpus' | 'memoryMiB'>;
  readonly accelerator: 'kvm' | 'tcg';
  readonly emulator: string;
  /** Null: BIOS. */
  readonly uefi: { readonly code: string; readonly variables: string } | null;
  readonly macAddress: string;
  readonly disks: readonly LibvirtDisk[];
  /** Every host port is a number: libvirt does not say which one QEMU took. */
  readonly forwards: readonly (QemuForward & { readonly port: Name })[];
  readonly consoleLog: string;
  /** The user that QEMU runs as; null: libvirt's own. */
  readonly user: { readonly uid: number; readonly gid: number } | null;
}

const VMDN_SPACE = 'urn:vmdn:vm:1';
const QEMU_SPACE = 'http://libvirt.org/schemas/domain/qemu/1.0';

/** Names are the operator's too; ids are not. */
export function domainName(vm: Id): string {
  return `vmdn-${vm}`;
}

/** The definition of a guest. */
export function guestDomain(guest: LibvirtGuest): string {
  const { accelerator, uefi } = guest;
  const isKvm = accelerator === 'kvm';
  const cache = xml('tcg', {}, xml('tb-cache', { unit: 'MiB' }, String(TCG_CODE_MIB)));
  return xmlDocument(
    xml(
      'domain',
      { type: isKvm ? 'kvm' : 'qemu', 'xmlns:qemu': QEMU_SPACE },
      ...headElements(domainName(guest.vm), guest.hardware),
      xml('uuid', {}, guest.vm),
      xml('title', {}, guest.name),
      xml('metadata', {}, metadata(guest)),
      xml('os', {}, Q35_TYPE, ...firmware(uefi)),
      xml('features', {}, ...FEATURES, xml('vmport', { state: 'off' }), ...(isKvm ? [] : [cache])),
      xml('cpu', { mode: isKvm ? 'host-passthrough' : 'maximum' }),
      xml('clock', { offset: 'utc' }, xml('timer', { name: 'hpet', present: 'no' })),
      xml('on_poweroff', {}, 'destroy'),
      xml('on_reboot', {}, 'restart'),
      xml('on_crash', {}, 'destroy'),
      xml('devices', {}, ...devices(guest)),
      ...confinement(guest),
      xml('qemu:commandline', {}, ...network(guest)),
    ),
  );
}

/** What a disk is to be copied to, for `blockcopy --xml`. */
export function copyTarget(index: number, disk: LibvirtDisk): string {
  return xmlDocument(diskElement(index, disk));
}

function metadata({ home, forwards }: LibvirtGuest): XmlElement {
  const ports = forwards.map(({ port, hostAddress, hostPort }) =>
    xml('vmdn:forward', { port, host: hostAddress, hostPort }),
  );
  return xml('vmdn:vm', { 'xmlns:vmdn': VMDN_SPACE, home }, ...ports);
}

function firmware(uefi: LibvirtGuest['uefi']): XmlElement[] {
  if (uefi === null) return [];
  return [
    xml('loader', { readonly: 'yes', type: 'pflash' }, uefi.code),
    xml('nvram', {}, uefi.variables),
  ];
}

function devices(guest: LibvirtGuest): XmlElement[] {
  const { disks } = guest;
  return [
    xml('emulator', {}, guest.emulator),
    ...disks.map((disk, index) =>
      diskElement(index, disk, xml('boot', { order: index + 1 }), pciSlot(index + 1)),
    ),
    xml('controller', { type: 'usb', model: 'none' }),
    xml('controller', { type: 'pci', model: 'pcie-root', index: 0 }),
    xml(
      'serial',
      { type: 'file' },
      xml('source', { path: guest.consoleLog, append: 'off' }),
      xml('target', { port: 0 }),
    ),
    xml(
      'rng',
      { model: 'virtio' },
      xml('backend', { model: 'builtin' }),
      pciSlot(disks.length + 2),
    ),
    xml('memballoon', { model: 'none' }),
  ];
}

function pciSlot(slot: number): XmlElement {
  return xml('address', { type: 'pci', domain: 0, bus: 0, slot, function: 0 });
}

function diskElement(index: number, disk: LibvirtDisk, ...more: XmlElement[]): XmlElement {
  const driver = { name: 'qemu', type: 'qcow2', discard: 'unmap', error_policy: 'stop' };
  return xml(
    'disk',
    { type: 'file', device: 'disk' },
    xml('driver', driver),
    xml('source', { file: disk.overlay }),
    disk.export === undefined ? layerElement(disk.layers) : exportElement(disk.export),
    xml('target', { dev: virtioDisk(index), bus: 'virtio' }),
    ...more,
  );
}

/** I2: each layer in the one above it. */
function layerElement([layer, ...below]: readonly DiskLayer[]): XmlElement {
  if (layer === undefined) return xml('backingStore');
  return xml(
    'backingStore',
    { type: 'file' },
    xml('format', { type: layer.format }),
    xml('source', { file: layer.path }),
    layerElement(below),
  );
}

function exportElement({ socket, name }: QemuExport): XmlElement {
  return xml(
    'backingStore',
    { type: 'network' },
    xml('format', { type: 'raw' }),
    xml('source', { protocol: 'nbd', name }, xml('host', { transport: 'unix', socket })),
    xml('backingStore'),
  );
}

/** No file is given to the user: those that it may touch are its own or readable already. */
function confinement({ user }: LibvirtGuest): XmlElement[] {
  if (user === null) return [];
  const label = xml('label', {}, `+${user.uid}:+${user.gid}`);
  return [xml('seclabel', { type: 'static', model: 'dac', relabel: 'no' }, label)];
}

function network({ forwards, macAddress, disks }: LibvirtGuest): XmlElement[] {
  const rules = forwards.map(
    ({ hostAddress, hostPort, guestPort }) =>
      `,hostfwd=tcp:${hostAddress}:${hostPort}-:${guestPort}`,
  );
  const place = `bus=pcie.0,addr=0x${(disks.length + 1).toString(16)}`;
  return [
    ...['-netdev', `user,id=net0,restrict=on,ipv6=off${rules.join('')}`],
    ...['-device', `virtio-net-pci,netdev=net0,mac=${macAddress},romfile=,${place}`],
  ].map((value) => xml('qemu:arg', { value }));
}

/** A domain as libvirt says that it is. */
export interface LibvirtDomainState {
  /** The folder of VMs of the edge that it belongs to; null: it is not an edge's. */
  readonly home: string | null;
  readonly isRunning: boolean;
  readonly accelerator: 'kvm' | 'tcg';
  readonly forwards: readonly {
    readonly port: string;
    readonly host: string;
    readonly hostPort: number;
  }[];
  /** By the name of the disk (vda): the file on top, and whether a copy of it is being made. */
  readonly disks: ReadonlyMap<string, { readonly file: string; readonly isCopied: boolean }>;
}

/** Reads what `virsh dumpxml` prints. Throws `hostile_format`. */
export function readDomainState(document: string): LibvirtDomainState {
  const root = readXml(document);
  const ours = childrenOf(elementAt(root, 'metadata'), 'vmdn:vm').find(
    ({ attributes }) => attributes.get('xmlns:vmdn') === VMDN_SPACE,
  );
  const disks = childrenOf(elementAt(root, 'devices'), 'disk').map(diskState);
  return {
    home: ours?.attributes.get('home') ?? null,
    isRunning: root.attributes.has('id'),
    accelerator: root.attributes.get('type') === 'kvm' ? 'kvm' : 'tcg',
    forwards: childrenOf(ours, 'vmdn:forward').map(({ attributes }) => ({
      port: attributes.get('port') ?? '',
      host: attributes.get('host') ?? '',
      hostPort: Number(attributes.get('hostPort')),
    })),
    disks: new Map(disks),
  };
}

function diskState(disk: XmlNode) {
  const target = elementAt(disk, 'target')?.attributes.get('dev') ?? '';
  const file = elementAt(disk, 'source')?.attributes.get('file') ?? '';
  return [target, { file, isCopied: elementAt(disk, 'mirror') !== undefined }] as const;
}
