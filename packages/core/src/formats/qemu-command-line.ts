/**
 * Room: formats. The command line of qemu-system-x86_64 for one VM: a typed value in, an argv out.
 *
 * I1: nothing is taken from QEMU's defaults or from a configuration file (-nodefaults,
 *     -no-user-config); no image is probed and no backing file is taken from a header: the block
 *     graph names every node, its driver and its file descriptor.
 * I2: a guest's network is restricted: nothing goes out, only the named forwards come in. What it reaches
 *     beside that are the tap devices that the operator gave by name.
 * I3: the sandbox denies new processes, changes of user and of resource limits.
 * I4: disks are file descriptors that the parent opened: the process needs no right to any path of
 *     the image store. Each set of descriptors says which file it is, so that it can be found later.
 * I5: a disk whose files are still being filled is read from an export alone: a guest's read waits as long
 *     as the export is away, and is never answered with an error. The files are open, and nothing reads them:
 *     a descriptor that no node uses is closed when the last monitor goes away (QEMU, monitor/fds.c).
 */

import type { DiskFormat } from '../domain/disk-format.ts';
import type { Id, Name } from '../domain/names.ts';
import type { EdgeNetwork } from '../domain/networks.ts';
import type { GuestNic } from './guest-nics.ts';

/** A forward from the machine to the guest; host port 0 takes a free one. */
export interface QemuForward {
  readonly hostAddress: string;
  readonly hostPort: number;
  readonly guestPort: number;
}

/** A file that the parent opened for QEMU. */
export interface QemuDescriptor {
  /** As the child process sees it. */
  readonly descriptor: number;
  /** Which file it is, in letters, digits and colons: what `query-fdsets` of the monitor says of it. */
  readonly file: string;
}

/** A read-only NBD export at a unix socket. */
export interface QemuExport {
  readonly socket: string;
  readonly name: string;
}

/** File descriptors of one disk. */
export interface QemuDiskDescriptors {
  /** The immutable image, the top layer first, each opened for reading. */
  readonly layers: readonly (QemuDescriptor & { readonly format: DiskFormat })[];
  /** What the image is read from while its files are being filled. */
  readonly export?: QemuExport | undefined;
  /** The VM's qcow2 overlay, opened for reading and writing. */
  readonly overlay: QemuDescriptor;
}

/** The networks that QEMU itself can put a card on: it may start no helper for others (I3). */
export type QemuNetwork = Extract<EdgeNetwork, { kind: 'user' | 'tap' }>;

export interface QemuMachine {
  /** By this the process is found again. */
  readonly vm: Id;
  /** As the guest sees it. */
  readonly uuid: Id;
  readonly name: Name;
  readonly vcpus: number;
  readonly memoryMiB: number;
  readonly accelerator: 'kvm' | 'tcg';
  readonly firmware:
    | { readonly kind: 'bios' }
    | {
        readonly kind: 'uefi';
        readonly code: QemuDescriptor;
        readonly variables: QemuDescriptor;
      };
  readonly disks: readonly QemuDiskDescriptors[];
  readonly nics: readonly GuestNic<QemuNetwork>[];
  readonly monitorSocket: string;
  readonly pidFile: string;
}

/** Bytes of serial output that QEMU keeps until somebody reads them; a power of two. */
export const CONSOLE_BUFFER_BYTES = 256 * 1024;
export const CONSOLE_DEVICE = 'console0';
/** Translated code that TCG keeps, in MiB: a small guest uses less, and it is not guest memory. */
export const TCG_CODE_MIB = 256;

export const QEMU_SANDBOX =
  'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny';

/** The argv after the program's name. */
export function qemuArguments(machine: QemuMachine): readonly string[] {
  return [
    ...['-name', `guest=${machine.name},debug-threads=on`],
    ...['-uuid', machine.vm],
    ...guestUuid(machine),
    ...['-nodefaults', '-no-user-config', '-nographic'],
    ...['-sandbox', QEMU_SANDBOX],
    ...['-msg', 'timestamp=on'],
    ...['-machine', 'q35,usb=off,vmport=off,hpet=off,dump-guest-core=off'],
    ...acceleratorArguments(machine.accelerator),
    ...['-smp', `cpus=${machine.vcpus}`],
    ...['-m', `size=${machine.memoryMiB}M`],
    ...['-rtc', 'base=utc'],
    ...['-boot', 'strict=on,menu=off'],
    ...firmwareArguments(machine.firmware),
    ...machine.disks.flatMap(diskArguments),
    ...machine.nics.flatMap(nicArguments),
    ...['-object', 'rng-builtin,id=random0', '-device', 'virtio-rng-pci,rng=random0'],
    ...['-chardev', `ringbuf,id=${CONSOLE_DEVICE},size=${CONSOLE_BUFFER_BYTES}`],
    ...['-serial', `chardev:${CONSOLE_DEVICE}`],
    ...[
      '-chardev',
      `socket,id=monitor0,path=${escapeValue(machine.monitorSocket)},server=on,wait=off`,
    ],
    ...['-mon', 'chardev=monitor0,mode=control'],
    ...['-pidfile', machine.pidFile],
  ];
}

/** What it takes for a guest to see a UUID that is not the VM's id. */
export function guestUuid({ vm, uuid }: { readonly vm: Id; readonly uuid: Id }): readonly string[] {
  return uuid === vm ? [] : ['-smbios', `type=1,uuid=${uuid}`];
}

/** The descriptors that `qemuArguments` speaks of, all of them. */
export function descriptorsOf(machine: QemuMachine): readonly QemuDescriptor[] {
  const disks = machine.disks.flatMap(({ layers, overlay }) => [...layers, overlay]);
  const { firmware } = machine;
  return firmware.kind === 'bios' ? disks : [...disks, firmware.code, firmware.variables];
}

function acceleratorArguments(accelerator: QemuMachine['accelerator']): readonly string[] {
  if (accelerator === 'kvm') return ['-accel', 'kvm', '-cpu', 'host'];
  return ['-accel', `tcg,thread=multi,tb-size=${TCG_CODE_MIB}`, '-cpu', 'max'];
}

function firmwareArguments(firmware: QemuMachine['firmware']): readonly string[] {
  if (firmware.kind === 'bios') return [];
  return [
    ...addDescriptor(firmware.code),
    ...addDescriptor(firmware.variables),
    ...blockNode(fileNode('firmware-code', firmware.code.descriptor, true)),
    ...blockNode(fileNode('firmware-variables', firmware.variables.descriptor, false)),
    ...['-machine', 'pflash0=firmware-code,pflash1=firmware-variables'],
  ];
}

function diskArguments(disk: QemuDiskDescriptors, index: number): readonly string[] {
  const overlay = overlayNodeName(index);
  const device = [`virtio-blk-pci,id=drive${index}`, `drive=${overlay}`, `bootindex=${index + 1}`];
  const image = imageNodeName(index);
  const files = fileNodes(disk.layers, image);
  const [above, backing] =
    disk.export === undefined
      ? [formatNodes(disk.layers, image), image]
      : [[exportNode(disk.export, exportNodeName(index))], exportNodeName(index)];
  return [
    ...disk.layers.flatMap(addDescriptor),
    ...addDescriptor(disk.overlay),
    ...[...files, ...above].flatMap(blockNode),
    ...blockNode(fileNode(`${overlay}-file`, disk.overlay.descriptor, false)),
    ...blockNode(overlayNode(index, backing)),
    // A read that fails stops the guest; it is tried again when the guest goes on (I5).
    ...['-device', [...device, 'rerror=stop'].join(',')],
  ];
}

/** Name of the node that a disk's overlay stands on, when the image lies in files. */
export function imageNodeName(index: number): string {
  return `image${index}`;
}

/** Name of the node that a disk's overlay stands on, while the image is read from an export. */
export function exportNodeName(index: number): string {
  return `export${index}`;
}

export function overlayNodeName(index: number): string {
  return `disk${index}`;
}

/** The node of a VM's overlay, on `backing`. */
export function overlayNode(index: number, backing: string): object {
  const name = overlayNodeName(index);
  const node = { driver: 'qcow2', 'node-name': name, discard: 'unmap' };
  return { ...node, file: `${name}-file`, backing };
}

/**
 * How long, in seconds, QEMU's NBD client keeps a read waiting for an export that went away: 20 years,
 * since after that it is an error (qapi/block-core.json, BlockdevOptionsNbd; the default is 0).
 */
const RECONNECT_SECONDS = 20 * 365 * 86_400;

function exportNode({ socket, name }: QemuExport, nodeName: string): object {
  return {
    driver: 'nbd',
    'node-name': nodeName,
    'read-only': true,
    server: { type: 'unix', path: socket },
    export: name,
    'reconnect-delay': RECONNECT_SECONDS,
  };
}

type Layers = QemuDiskDescriptors['layers'];

/** Name of the node of a layer, the image's own first. */
function layerNodeName(top: string, depth: number): string {
  return depth === 0 ? top : `${top}-base${depth}`;
}

/** Name of the node of a layer's file. */
export function fileNodeName(top: string, depth: number): string {
  return `${layerNodeName(top, depth)}-file`;
}

/** The nodes of an image's files. */
function fileNodes(layers: Layers, top: string): readonly object[] {
  return layers.map(({ descriptor }, depth) =>
    fileNode(fileNodeName(top, depth), descriptor, true),
  );
}

/** The nodes of an image on those of its files, the lowest first: QEMU knows only nodes that came before. */
export function formatNodes(
  layers: readonly Pick<Layers[number], 'format'>[],
  top: string,
): readonly object[] {
  return layers
    .map(({ format }, depth) => {
      const name = layerNodeName(top, depth);
      // Null, not left out: else a backing file would be taken from the header.
      const backing = depth + 1 < layers.length ? layerNodeName(top, depth + 1) : null;
      const file = fileNodeName(top, depth);
      const node = { driver: format, 'node-name': name, 'read-only': true, file };
      return { ...node, ...(format === 'raw' ? {} : { backing }) };
    })
    .reverse();
}

/**
 * A file by descriptor. The page cache is used (several guests share one image, and a guest's
 * flush is an fdatasync all the same); a writable file is locked against a second QEMU.
 */
function fileNode(nodeName: string, descriptor: number, readOnly: boolean): object {
  return {
    driver: 'file',
    'node-name': nodeName,
    filename: `/dev/fdset/${descriptor}`,
    'read-only': readOnly,
    'auto-read-only': false,
    cache: { direct: false, 'no-flush': false },
    ...(readOnly ? {} : { discard: 'unmap', locking: 'on' }),
  };
}

function blockNode(node: object): readonly string[] {
  return ['-blockdev', JSON.stringify(node)];
}

function addDescriptor({ descriptor, file }: QemuDescriptor): readonly string[] {
  return ['-add-fd', `fd=${descriptor},set=${descriptor},opaque=${file}`];
}

function nicArguments(nic: GuestNic<QemuNetwork>, index: number): readonly string[] {
  const { network, macAddress } = nic;
  const device = `virtio-net-pci,netdev=net${index},mac=${macAddress},romfile=`;
  if (network.kind === 'user') return [...userNetwork(nic.forwards, index), '-device', device];
  const tap = `tap,id=net${index},ifname=${network.device},script=no,downscript=no`;
  return ['-netdev', tap, '-device', device];
}

/** The back end of user networking for the card `index`. */
export function userNetwork(forwards: readonly QemuForward[], index: number): readonly string[] {
  const rules = forwards.map(
    (forward) => `,hostfwd=tcp:${forward.hostAddress}:${forward.hostPort}-:${forward.guestPort}`,
  );
  return ['-netdev', `user,id=net${index},restrict=on,ipv6=off${rules.join('')}`];
}

/** In QEMU's key=value syntax a comma inside a value is written twice. */
function escapeValue(value: string): string {
  return value.replaceAll(',', ',,');
}
