/**
 * Room: formats. The command line of qemu-system-x86_64 for one VM: a typed value in, an argv out.
 *
 * I1: nothing is taken from QEMU's defaults or from a configuration file (-nodefaults,
 *     -no-user-config); no image is probed and no backing file is taken from a header: the block
 *     graph names every node, its driver and its file descriptor.
 * I2: a guest's network is restricted: nothing goes out, only the named forwards come in.
 * I3: the sandbox denies new processes, changes of user and of resource limits.
 * I4: disks are file descriptors that the parent opened: the process needs no right to any path of
 *     the image store.
 */

import type { DiskFormat } from '../domain/disk-format.ts';
import type { Id, Name } from '../domain/names.ts';

/** A forward from the machine to the guest; host port 0 takes a free one. */
export interface QemuForward {
  readonly hostAddress: string;
  readonly hostPort: number;
  readonly guestPort: number;
}

/** File descriptors of one disk, as the child process sees them. */
export interface QemuDiskDescriptors {
  /** The immutable image, the top layer first, each opened for reading. */
  readonly layers: readonly { readonly descriptor: number; readonly format: DiskFormat }[];
  /** The VM's qcow2 overlay, opened for reading and writing. */
  readonly overlay: number;
}

export interface QemuMachine {
  readonly vm: Id;
  readonly name: Name;
  readonly vcpus: number;
  readonly memoryMiB: number;
  readonly accelerator: 'kvm' | 'tcg';
  readonly firmware:
    | { readonly kind: 'bios' }
    | { readonly kind: 'uefi'; readonly code: number; readonly variables: number };
  readonly macAddress: string;
  readonly disks: readonly QemuDiskDescriptors[];
  readonly forwards: readonly QemuForward[];
  readonly monitorSocket: string;
  readonly pidFile: string;
}

/** Bytes of serial output that QEMU keeps until somebody reads them; a power of two. */
export const CONSOLE_BUFFER_BYTES = 256 * 1024;
export const CONSOLE_DEVICE = 'console0';
/** Translated code that TCG keeps, in MiB: a small guest uses less, and it is not guest memory. */
const TCG_CODE_MIB = 256;

export const QEMU_SANDBOX =
  'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny';

/** The argv after the program's name. */
export function qemuArguments(machine: QemuMachine): readonly string[] {
  return [
    ...['-name', `guest=${machine.name},debug-threads=on`],
    ...['-uuid', machine.vm],
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
    ...networkArguments(machine),
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

/** The descriptors that `qemuArguments` speaks of, all of them. */
export function descriptorsOf(machine: QemuMachine): readonly number[] {
  const disks = machine.disks.flatMap(({ layers, overlay }) => [
    ...layers.map(({ descriptor }) => descriptor),
    overlay,
  ]);
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
    ...blockNode(fileNode('firmware-code', firmware.code, true)),
    ...blockNode(fileNode('firmware-variables', firmware.variables, false)),
    ...['-machine', 'pflash0=firmware-code,pflash1=firmware-variables'],
  ];
}

function diskArguments(disk: QemuDiskDescriptors, index: number): readonly string[] {
  const [image, overlay] = [`image${index}`, `disk${index}`];
  return [
    ...disk.layers.flatMap(({ descriptor }) => addDescriptor(descriptor)),
    ...addDescriptor(disk.overlay),
    ...imageNodes(disk.layers, image),
    ...blockNode(fileNode(`${overlay}-file`, disk.overlay, false)),
    ...blockNode({
      driver: 'qcow2',
      'node-name': overlay,
      discard: 'unmap',
      file: `${overlay}-file`,
      backing: image,
    }),
    ...['-device', `virtio-blk-pci,id=drive${index},drive=${overlay},bootindex=${index + 1}`],
  ];
}

/** The nodes of an image, the lowest first: a node is named before another stands on it. */
function imageNodes(layers: QemuDiskDescriptors['layers'], top: string): readonly string[] {
  const nodeName = (depth: number): string => (depth === 0 ? top : `${top}-base${depth}`);
  return layers
    .map(({ descriptor, format }, depth) => {
      const name = nodeName(depth);
      // Null, not left out: else a backing file would be taken from the header.
      const backing = depth + 1 < layers.length ? nodeName(depth + 1) : null;
      const node = {
        driver: format,
        'node-name': name,
        'read-only': true,
        file: `${name}-file`,
        ...(format === 'raw' ? {} : { backing }),
      };
      return [...blockNode(fileNode(`${name}-file`, descriptor, true)), ...blockNode(node)];
    })
    .reverse()
    .flat();
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

function addDescriptor(descriptor: number): readonly string[] {
  return ['-add-fd', `fd=${descriptor},set=${descriptor}`];
}

function networkArguments(machine: QemuMachine): readonly string[] {
  const forwards = machine.forwards.map(
    (forward) => `,hostfwd=tcp:${forward.hostAddress}:${forward.hostPort}-:${forward.guestPort}`,
  );
  return [
    ...['-netdev', `user,id=net0,restrict=on,ipv6=off${forwards.join('')}`],
    ...['-device', `virtio-net-pci,netdev=net0,mac=${machine.macAddress},romfile=`],
  ];
}

/** In QEMU's key=value syntax a comma inside a value is written twice. */
function escapeValue(value: string): string {
  return value.replaceAll(',', ',,');
}
