import { describe, expect, it } from 'vitest';
import { parseId, parseName } from '../domain/names.ts';
import type { GuestNic } from './guest-nics.ts';
import {
  descriptorsOf,
  type QemuMachine,
  type QemuNetwork,
  qemuArguments,
} from './qemu-command-line.ts';

const given = (descriptor: number) => ({ descriptor, file: `2049:${descriptor}` });

const VM = parseId('0b6f5a4e-0d6c-4c61-8a43-111111111111', 'VM');
const CARD: GuestNic<QemuNetwork> = {
  macAddress: '52:54:00:01:02:03',
  network: { kind: 'user' },
  forwards: [
    { hostAddress: '127.0.0.1', hostPort: 0, guestPort: 80 },
    { hostAddress: '127.0.0.1', hostPort: 2222, guestPort: 22 },
  ],
};

const MACHINE: QemuMachine = {
  ...{ vm: VM, uuid: VM },
  name: parseName('web-01', 'VM'),
  vcpus: 2,
  memoryMiB: 512,
  accelerator: 'tcg',
  firmware: { kind: 'bios' },
  disks: [{ layers: [{ ...given(3), format: 'raw' }], overlay: given(4) }],
  nics: [CARD],
  monitorSocket: '/run/vmdn/a,b/monitor',
  pidFile: '/run/vmdn/a,b/pid',
};

describe('the QEMU command line', () => {
  it('is exactly this', () => {
    const text = qemuArguments(MACHINE).join(' ').replaceAll(' -', '\n-');
    expect(text.replaceAll(',"', ',\n  "')).toMatchInlineSnapshot(`
      "-name guest=web-01,debug-threads=on
      -uuid 0b6f5a4e-0d6c-4c61-8a43-111111111111
      -nodefaults
      -no-user-config
      -nographic
      -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
      -msg timestamp=on
      -machine q35,usb=off,vmport=off,hpet=off,dump-guest-core=off
      -accel tcg,thread=multi,tb-size=256
      -cpu max
      -smp cpus=2
      -m size=512M
      -rtc base=utc
      -boot strict=on,menu=off
      -add-fd fd=3,set=3,opaque=2049:3
      -add-fd fd=4,set=4,opaque=2049:4
      -blockdev {"driver":"file",
        "node-name":"image0-file",
        "filename":"/dev/fdset/3",
        "read-only":true,
        "auto-read-only":false,
        "cache":{"direct":false,
        "no-flush":false}}
      -blockdev {"driver":"raw",
        "node-name":"image0",
        "read-only":true,
        "file":"image0-file"}
      -blockdev {"driver":"file",
        "node-name":"disk0-file",
        "filename":"/dev/fdset/4",
        "read-only":false,
        "auto-read-only":false,
        "cache":{"direct":false,
        "no-flush":false},
        "discard":"unmap",
        "locking":"on"}
      -blockdev {"driver":"qcow2",
        "node-name":"disk0",
        "discard":"unmap",
        "file":"disk0-file",
        "backing":"image0"}
      -device virtio-blk-pci,id=drive0,drive=disk0,bootindex=1,rerror=stop
      -netdev user,id=net0,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:0-:80,hostfwd=tcp:127.0.0.1:2222-:22
      -device virtio-net-pci,netdev=net0,mac=52:54:00:01:02:03,romfile=
      -object rng-builtin,id=random0
      -device virtio-rng-pci,rng=random0
      -chardev ringbuf,id=console0,size=262144
      -serial chardev:console0
      -chardev socket,id=monitor0,path=/run/vmdn/a,,b/monitor,server=on,wait=off
      -mon chardev=monitor0,mode=control
      -pidfile /run/vmdn/a,b/pid"
    `);
  });

  it('I1: takes nothing from defaults, probes nothing and follows no header', () => {
    const args = qemuArguments({
      ...MACHINE,
      disks: [
        { layers: [{ ...given(3), format: 'raw' }], overlay: given(4) },
        {
          layers: [
            { ...given(5), format: 'qcow2' },
            { ...given(6), format: 'raw' },
          ],
          overlay: given(7),
        },
        { layers: [{ ...given(8), format: 'qcow2' }], overlay: given(9) },
      ],
    });
    expect(args).toContain('-nodefaults');
    expect(args).toContain('-no-user-config');
    const nodes = valuesOf(args, '-blockdev').map((json) => JSON.parse(json));
    const names = new Set<string>();
    for (const node of nodes) {
      expect(node.driver).toMatch(/^(file|raw|qcow2)$/);
      if (node.driver === 'file') expect(node.filename).toMatch(/^\/dev\/fdset\/\d+$/);
      if (node.backing !== null && node.driver === 'qcow2') expect(names).toContain(node.backing);
      if (node.driver !== 'file') expect(names).toContain(node.file);
      // QEMU knows only the nodes that came before.
      names.add(node['node-name']);
    }
    expect(nodes.filter(({ driver }) => driver === 'qcow2').map(({ backing }) => backing)).toEqual([
      'image0',
      'image1-base1',
      'image1',
      null,
      'image2',
    ]);
    expect(args.join(' ')).not.toMatch(/ -(drive|hda|cdrom) /);
  });

  it('I2: restricts the network and forwards only what is named', () => {
    const nics = [{ ...CARD, forwards: [] }];
    const [network] = valuesOf(qemuArguments({ ...MACHINE, nics }), '-netdev');
    expect(network).toBe('user,id=net0,restrict=on,ipv6=off');
  });

  it('I2: puts a card on a tap device that was given, and runs no program for it', () => {
    const tap = { macAddress: '02:00:00:00:00:01', forwards: [] };
    const nics = [{ ...tap, network: { kind: 'tap', device: 'vmdn0' } } as const, CARD];
    const args = qemuArguments({ ...MACHINE, nics });
    expect(valuesOf(args, '-netdev')).toEqual([
      'tap,id=net0,ifname=vmdn0,script=no,downscript=no',
      expect.stringMatching(/^user,id=net1,restrict=on,/),
    ]);
    expect(valuesOf(args, '-device').filter((device) => device.includes('net-pci'))).toEqual([
      'virtio-net-pci,netdev=net0,mac=02:00:00:00:00:01,romfile=',
      'virtio-net-pci,netdev=net1,mac=52:54:00:01:02:03,romfile=',
    ]);
  });

  it("shows the guest a UUID that is not the VM's id, by which the process is found all the same", () => {
    expect(valuesOf(qemuArguments(MACHINE), '-smbios')).toEqual([]);
    const uuid = parseId('0c0ffee0-0d6c-4c61-8a43-111111111111', 'UUID');
    const args = qemuArguments({ ...MACHINE, uuid });
    expect(valuesOf(args, '-uuid')).toEqual([VM]);
    expect(valuesOf(args, '-smbios')).toEqual([`type=1,uuid=${uuid}`]);
  });

  it('I4: names every descriptor once', () => {
    const uefi = { kind: 'uefi', code: given(5), variables: given(6) } as const;
    const machine = { ...MACHINE, firmware: uefi };
    const sets = valuesOf(qemuArguments(machine), '-add-fd').sort();
    const all = descriptorsOf(machine);
    expect(sets).toEqual(all.map(({ descriptor: fd }) => `fd=${fd},set=${fd},opaque=2049:${fd}`));
    expect(all).toHaveLength(4);
  });

  it('I5: reads a disk that is still being filled from its export alone, and waits for that', () => {
    const [disk] = MACHINE.disks;
    const lazy = { ...disk!, export: { socket: '/run/vmdn/e,x', name: 'abc' } };
    const args = qemuArguments({ ...MACHINE, disks: [lazy] });
    const nodes = valuesOf(args, '-blockdev').map((json) => JSON.parse(json));
    expect(nodes.map((node) => node['node-name'])).toEqual([
      ...['image0-file', 'export0', 'disk0-file', 'disk0'],
    ]);
    expect(nodes[1]).toMatchObject({
      driver: 'nbd',
      server: { type: 'unix', path: '/run/vmdn/e,x' },
      export: 'abc',
      'reconnect-delay': 630_720_000,
    });
    expect(nodes[3]).toMatchObject({ backing: 'export0' });
    // The file is open, and nothing stands on it before it is complete.
    expect(nodes[0]).toMatchObject({ driver: 'file', filename: '/dev/fdset/3' });
    expect(args.join(' ')).toContain('drive=disk0,bootindex=1,rerror=stop');
  });
});

function valuesOf(args: readonly string[], option: string): string[] {
  return args.flatMap((arg, index) => (arg === option ? [args[index + 1]!] : []));
}
