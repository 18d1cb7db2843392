/**
 * Room: io, hypervisor. Defining and starting a VM's domain.
 *
 * I1: as root each VM's QEMU has a user of its own, whom no file is given to but its own: overlays and UEFI
 *     variables. Images are readable to it by their own rights (readable-files.ts), and written by nobody.
 * I2: libvirt follows no header: the domain names every layer (formats/libvirt-guest.ts).
 * I3: of two overlays of one disk, left by a switch that was broken off, the one is right that libvirt starts
 *     from: it moves there at the very moment of the switch.
 */

import { chmod, chown, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { isVmdnError, VmdnError } from '../../domain/errors.ts';
import { type EdgeNetworks, guestNics } from '../../formats/guest-nics.ts';
import { virtioDisk } from '../../formats/libvirt-domain.ts';
import {
  guestDomain,
  type LibvirtDisk,
  type LibvirtNetwork,
  readDomainState,
} from '../../formats/libvirt-guest.ts';
import { QEMU_SYSTEM } from '../command/qemu-system.ts';
import type { Virsh } from '../command/virsh.ts';
import type { SocketUser } from '../ports/export-server.ts';
import type { VmDefinition } from '../ports/hypervisor.ts';
import { type DriverConfig, requireFirmware, userOf } from './qemu-start.ts';
import { readPorts, type VmPaths, writePorts } from './vm-files.ts';

export interface LibvirtDriverConfig extends DriverConfig {
  readonly networks: EdgeNetworks<LibvirtNetwork>;
  readonly virsh: Virsh;
}

export const EMULATOR = `/usr/bin/${QEMU_SYSTEM}`;
/** What QEMU says when a host port is taken. */
const PORT_TAKEN = /Could not set up host forwarding rule/;
const START_ATTEMPTS = 3;
/** virtlogd.conf has 3 by default. */
const CONSOLE_BACKUPS_MAX = 10;

/** A named port as a domain forwards it. */
export interface Forwarded {
  readonly port: string;
  readonly hostPort: number;
}

/** The user of a VM's QEMU as libvirt's label names it; null: libvirt's own. */
export async function libvirtUser(
  config: Pick<LibvirtDriverConfig, 'guestUid' | 'kvmGroup'>,
  vm: VmDefinition['vm'],
): Promise<SocketUser | null> {
  const user = await userOf(config, vm);
  // A label has one group.
  return user && { uid: user.uid, gid: user.groups[0] ?? user.gid };
}

/** Gives the domain its definition; one that runs keeps what it runs with. */
export async function defineDomain(
  config: LibvirtDriverConfig,
  paths: VmPaths,
  definition: VmDefinition,
  forwards: readonly Forwarded[],
): Promise<void> {
  const { hardware, vm, name } = definition;
  const firmware = hardware.firmware === 'uefi' ? await requireFirmware(config) : null;
  const disks: LibvirtDisk[] = [];
  for (const [index, { layers, filling }] of definition.disks.entries()) {
    disks.push({
      overlay: await currentOverlay(config, paths, definition, index),
      layers,
      export: filling && { socket: filling.socket, name: filling.exportName },
    });
  }
  const user = await libvirtUser(config, vm);
  if (user !== null) await giveFiles(paths, user, disks, firmware !== null);
  const ports = hardware.ports.map((port) => ({
    port: port.name,
    hostAddress: config.bindAddress,
    hostPort: forwards.find((forward) => forward.port === port.name)?.hostPort ?? 0,
    guestPort: port.guest,
  }));
  await config.virsh.define(
    guestDomain({
      ...{ vm, name, hardware, disks, user },
      home: config.dirs.vms,
      accelerator: config.accelerator,
      emulator: EMULATOR,
      uefi: firmware && { code: firmware.code, variables: paths.uefiVariables },
      uuid: hardware.uuid ?? vm,
      nics: guestNics(vm, hardware, config.networks, ports),
      consoleLog: paths.consoleLog,
      forwards: ports,
    }),
  );
}

/** Starts the domain, on the host ports of the last start if they are free, on others if not. */
export async function startDomain(
  config: LibvirtDriverConfig,
  paths: VmPaths,
  definition: VmDefinition,
): Promise<void> {
  let known = await readPorts(paths);
  for (let attempt = 1; ; attempt += 1) {
    const forwards: Forwarded[] = [];
    for (const { name } of definition.hardware.ports) {
      forwards.push({ port: name, hostPort: await freePort(config.bindAddress, known[name]) });
    }
    await defineDomain(config, paths, definition, forwards);
    await writePorts(paths, Object.fromEntries(forwards.map((one) => [one.port, one.hostPort])));
    try {
      return await config.virsh.start(definition.vm);
    } catch (error) {
      // Somebody took a port between our look and QEMU's.
      const isTaken = isVmdnError(error, 'tool_failed') && PORT_TAKEN.test(error.message);
      if (!isTaken || attempt === START_ATTEMPTS) throw startFailed(definition, error);
      known = {};
    }
  }
}

function startFailed(definition: VmDefinition, cause: unknown): unknown {
  if (!isVmdnError(cause, 'tool_failed')) return cause;
  const message = `libvirt did not start the VM ${definition.name}: ${cause.message}`;
  return new VmdnError('tool_failed', message, { data: { vm: definition.vm }, cause });
}

/** A VM's earlier consoles, for a new boot. */
export async function clearLibvirtConsole({ consoleLog }: VmPaths): Promise<void> {
  await rm(consoleLog, { force: true });
  for (let backup = 0; backup < CONSOLE_BACKUPS_MAX; backup += 1) {
    await rm(`${consoleLog}.${backup}`, { force: true });
  }
}

/** The overlay that a disk has now (I3). Throws `conflict` when nobody knows. */
export async function currentOverlay(
  { virsh }: LibvirtDriverConfig,
  paths: VmPaths,
  { vm }: VmDefinition,
  index: number,
): Promise<string> {
  const [first, settled] = [paths.overlay(index), paths.settledOverlay(index)];
  if (!(await isThere(settled))) return first;
  if (!(await isThere(first))) return settled;
  const document = await virsh.dumpXml(vm, { inactive: true });
  const disks = document === null ? undefined : readDomainState(document).disks;
  const file = disks?.get(virtioDisk(index))?.file;
  if (file === first || file === settled) return file;
  const message =
    `Disk ${index + 1} of the VM ${vm} has two overlays, and libvirt no longer knows which is right. ` +
    `Move one of them away: ${first}, ${settled}`;
  throw new VmdnError('conflict', message, { data: { vm, first, settled } });
}

/** After a switch: removes the overlays that the domain neither runs on nor starts from. */
export async function dropOldOverlays(
  config: LibvirtDriverConfig,
  paths: VmPaths,
  definition: VmDefinition,
): Promise<void> {
  for (const index of definition.disks.keys()) {
    const current = await currentOverlay(config, paths, definition, index);
    const both = [paths.overlay(index), paths.settledOverlay(index)];
    for (const path of both) if (path !== current) await rm(path, { force: true });
  }
}

async function isThere(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}

/** I1. */
async function giveFiles(
  paths: VmPaths,
  { uid, gid }: SocketUser,
  disks: readonly LibvirtDisk[],
  hasVariables: boolean,
): Promise<void> {
  await chmod(paths.dir, 0o711);
  const files = disks.map(({ overlay }) => overlay);
  for (const path of [...files, ...(hasVariables ? [paths.uefiVariables] : [])]) {
    await chown(path, uid, gid);
    await chmod(path, 0o600);
  }
}

/** The wished port when it is free, any other if not. */
async function freePort(host: string, wished = 0): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const server = createServer();
  server.once('error', reject);
  server.listen({ host, port: wished, exclusive: true }, () => {
    const address = server.address();
    server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
  });
  try {
    return await promise;
  } catch (error) {
    if (wished === 0) throw error;
    return await freePort(host);
  }
}
