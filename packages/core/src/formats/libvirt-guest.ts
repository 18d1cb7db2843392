/**
 * Room: formats. The libvirt domain of a VM that an edge runs, from a typed value, and what libvirt says of
 * it.
 *
 * I1: nothing comes from libvirt's defaults that a guest could meet: every device is named, with the place on
 *     the bus that it has under the driver `qemu`, so that a guest finds its devices under either.
 * I2: every layer of a disk is named and the last one says that nothing follows: libvirt probes no header,
 *     and QEMU is given a block graph.
 * I3: user networking is restricted: nothing goes out, only the named forwards come in. libvirt 9.0 has no
 *     words for that, nor for a guest's UUID that is not the domain's, so these alone are QEMU's own
 *     (`qemu:commandline`), of numbers and addresses. A card on a bridge or a libvirt network is libvirt's.
 * I4: a read or a write that fails stops the guest; it is made again when the guest goes on. libvirt 9.0
 *     has no words for QEMU's `reconnect-delay`.
 * I5: a domain says whose it is: the edge's folder of VMs stands in its metadata.
 */

import type { DiskLayer } from '../domain/disk-format.ts';
import type { Id, Name } from '../domain/names.ts';
import type { EdgeNetwork } from '../domain/networks.ts';
import type { VmHardware } from '../domain/vm-specification.ts';
import type { GuestNic } from './guest-nics.ts';
import { FEATURES, headElements, Q35_TYPE, virtioDisk } from './libvirt-domain.ts';
import {
  guestUuid,
  type QemuExport,
  type QemuForward,
  TCG_CODE_MIB,
  userNetwork,
} from './qemu-command-line.ts';
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

/** The networks that libvirt puts a card on. */
export type LibvirtNetwork = Exclude<EdgeNetwork, { kind: 'tap' }>;

export interface LibvirtGuest {
  /** The domain's id. */
  readonly vm: Id;
  /** As the guest sees it. */
  readonly uuid: Id;
  readonly name: Name;
  /** The edge's folder of VMs. */
  readonly home: string;
  readonly hardware: Pick<VmHardware, 'vcpus' | 'memoryMiB'>;
  readonly accelerator: 'kvm' | 'tcg';
  readonly emulator: string;
  /** Null: BIOS. */
  readonly uefi: { readonly code: string; readonly variables: string } | null;
  readonly disks: readonly LibvirtDisk[];
  readonly nics: readonly GuestNic<LibvirtNetwork>[];
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
      xml('qemu:commandline', {}, ...ownArguments(guest)),
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
  const { disks, nics } = guest;
  return [
    xml('emulator', {}, guest.emulator),
    ...disks.map((disk, index) =>
      diskElement(index, disk, xml('boot', { order: index + 1 }), pciSlot(index + 1)),
    ),
    xml('controller', { type: 'usb', model: 'none' }),
    xml('controller', { type: 'pci', model: 'pcie-root', index: 0 }),
    ...nics.flatMap((nic, index) => interfaceElement(nic, nicSlot(disks, index))),
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
      pciSlot(nicSlot(disks, nics.length)),
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

/** Cards follow the disks on the bus. */
function nicSlot(disks: LibvirtGuest['disks'], index: number): number {
  return disks.length + 1 + index;
}

/** A card that is libvirt's; none for user networking (I3). */
function interfaceElement({ network, macAddress }: GuestNic<LibvirtNetwork>, slot: number) {
  if (network.kind === 'user') return [];
  const { kind } = network;
  const source = kind === 'bridge' ? { bridge: network.device } : { network: network.name };
  const what = [xml('mac', { address: macAddress }), xml('source', source)];
  const card = [xml('model', { type: 'virtio' }), xml('rom', { enabled: 'no' }), pciSlot(slot)];
  return [xml('interface', { type: kind }, ...what, ...card)];
}

/** I3. */
function ownArguments({ vm, uuid, nics, disks }: LibvirtGuest): XmlElement[] {
  const cards = nics.flatMap(({ network, macAddress, forwards }, index) => {
    if (network.kind !== 'user') return [];
    const place = `bus=pcie.0,addr=0x${nicSlot(disks, index).toString(16)}`;
    const device = `virtio-net-pci,netdev=net${index},mac=${macAddress},romfile=,${place}`;
    return [...userNetwork(forwards, index), '-device', device];
  });
  return [...guestUuid({ vm, uuid }), ...cards].map((value) => xml('qemu:arg', { value }));
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
