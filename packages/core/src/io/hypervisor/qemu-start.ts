/**
 * Room: io, hypervisor. Making a VM's files and starting its QEMU.
 *
 * I1: QEMU gets its disks as descriptors opened here: it can open nothing else of the store, and the
 *     image is opened for reading only.
 * I2: an overlay's header names its image for people's tools; QEMU is told every layer by the block
 *     graph and follows no header. The headers of an image's layers agree with the definition; those of
 *     files that are still being filled are looked at when they are complete, before QEMU does.
 */

import { chown, constants, copyFile, type FileHandle, mkdir, open, rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { isVmdnError, VmdnError } from '../../domain/errors.ts';
import type { Id } from '../../domain/names.ts';
import { type EdgeNetworks, guestNics } from '../../formats/guest-nics.ts';
import {
  descriptorsOf,
  type QemuDescriptor,
  type QemuForward,
  type QemuMachine,
  type QemuNetwork,
  qemuArguments,
} from '../../formats/qemu-command-line.ts';
import type { QemuImg } from '../command/qemu-img.ts';
import { startQemuSystem } from '../command/qemu-system.ts';
import { inspectLayers } from '../disk-export/inspect-layers.ts';
import { fileError } from '../files/files.ts';
import type { SocketUser } from '../ports/export-server.ts';
import type { Accelerator, PrepareOverlays, VmDefinition } from '../ports/hypervisor.ts';
import { readTail } from './console-log.ts';
import { guestUser } from './guest-user.ts';
import { freshVmDir, readPorts, type VmPaths, writeDefinition } from './vm-files.ts';

/** What both drivers are told. */
export interface DriverConfig {
  readonly dirs: {
    /** VMs and their overlays; durable, private. */
    readonly vms: string;
    /** Monitor sockets and pid files; a short path that other users may pass through (0711). */
    readonly sockets: string;
  };
  /** IPv4 address of this machine that guest ports are forwarded from. */
  readonly bindAddress: string;
  readonly accelerator: Accelerator;
  /** User id of every QEMU when this process is root; null: one of its own for each VM. */
  readonly guestUid: number | null;
  /** Group that may open /dev/kvm; null: none. */
  readonly kvmGroup: number | null;
  readonly qemuImg: Pick<QemuImg, 'createOverlay'>;
  /** Directory with OVMF_CODE_4M.fd and OVMF_VARS_4M.fd. */
  readonly firmwareDir?: string;
  readonly logger?: {
    debug(data: object, message: string): void;
  };
}

export interface QemuDriverConfig extends DriverConfig {
  readonly networks: EdgeNetworks<QemuNetwork>;
}

/** A machine under load takes seconds to start QEMU; one that never answers is broken. */
const START_TIMEOUT_MS = 30_000;
const CONNECT_RETRY_MS = 50;
const CHILD_FIRST_DESCRIPTOR = 3;
/** What QEMU says when a host port is taken. */
const PORT_TAKEN = /Could not set up host forwarding rule/;
const LOG_TAIL_CHARACTERS = 2000;

/** Opens a file for the child process. */
type PassFile = (path: string, flags: number) => Promise<QemuDescriptor>;

interface Firmware {
  readonly code: string;
  readonly variables: string;
}

/** Files of the UEFI firmware. Throws `tool_missing` when the node has none. */
export async function requireFirmware(
  config: Pick<DriverConfig, 'firmwareDir'>,
): Promise<Firmware> {
  const dir = config.firmwareDir ?? '/usr/share/OVMF';
  const firmware = { code: `${dir}/OVMF_CODE_4M.fd`, variables: `${dir}/OVMF_VARS_4M.fd` };
  for (const path of [firmware.code, firmware.variables]) {
    try {
      await (await open(path, 'r')).close();
    } catch (cause) {
      const message =
        'This VM needs UEFI firmware, which this edge lacks; install it with: apt-get install ovmf';
      throw new VmdnError('tool_missing', message, { data: { path }, cause });
    }
  }
  return firmware;
}

/** Makes the VM's directory and overlays, prepared; the definition, written last, makes it exist. */
export async function createQemuVm(
  config: Pick<DriverConfig, 'firmwareDir' | 'qemuImg'>,
  paths: VmPaths,
  definition: VmDefinition,
  prepare: PrepareOverlays = async () => undefined,
): Promise<void> {
  const firmware =
    definition.hardware.firmware === 'uefi' ? await requireFirmware(config) : undefined;
  try {
    await freshVmDir(paths);
    for (const [index, disk] of definition.disks.entries()) {
      const path = paths.overlay(index);
      const { virtualSizeBytes } = disk;
      if (disk.filling === undefined) await inspectLayers(disk.layers);
      await config.qemuImg.createOverlay({ path, backing: disk.layers[0]!, virtualSizeBytes });
    }
    const overlays = definition.disks.map((_, index) => paths.overlay(index));
    await prepare(overlays.map((path) => ({ path, format: 'qcow2' })));
    for (const path of overlays) await syncFile(path);
    if (firmware !== undefined) {
      await copyFile(firmware.variables, paths.uefiVariables);
      await syncFile(paths.uefiVariables);
    }
    await writeDefinition(paths, definition);
  } catch (error) {
    await rm(paths.dir, { recursive: true, force: true });
    throw fileError(error, paths.dir);
  }
}

/**
 * Starts the VM's QEMU and resolves once its monitor answers (`connect`). Takes the host ports of
 * the last start if they are free, others if not.
 */
export async function launchQemu(
  config: QemuDriverConfig,
  paths: VmPaths,
  definition: VmDefinition,
  connect: () => Promise<void>,
): Promise<void> {
  const lastPorts = await readPorts(paths);
  try {
    await launchOnce(config, paths, definition, connect, lastPorts);
  } catch (error) {
    const isPortTaken = isVmdnError(error, 'tool_failed') && PORT_TAKEN.test(error.message);
    if (!isPortTaken || Object.keys(lastPorts).length === 0) throw error;
    await launchOnce(config, paths, definition, connect, {});
  }
}

async function launchOnce(
  config: QemuDriverConfig,
  paths: VmPaths,
  definition: VmDefinition,
  connect: () => Promise<void>,
  hostPorts: Readonly<Record<string, number>>,
): Promise<void> {
  const user = await userOf(config, definition.vm);
  await rm(paths.socketDir, { recursive: true, force: true });
  await mkdir(paths.socketDir, { mode: 0o700 });
  if (user !== null) await chown(paths.socketDir, user.uid, user.gid);
  await using opened = new AsyncDisposableStack();
  const openFile = async (path: string, flags: number): Promise<FileHandle> => {
    try {
      return opened.use(await open(path, flags | constants.O_NOFOLLOW, 0o600));
    } catch (error) {
      throw fileError(error, path);
    }
  };
  const { machine, descriptors } = await openMachine(
    config,
    paths,
    definition,
    hostPorts,
    openFile,
  );
  await rm(paths.log, { force: true });
  const log = await openFile(
    paths.log,
    constants.O_CREAT | constants.O_WRONLY | constants.O_APPEND,
  );
  const started = await startQemuSystem({
    user,
    args: qemuArguments(machine),
    descriptors,
    log: log.fd,
  });
  await connected(connect, started.exited, paths, definition);
}

/** The user that the VM's QEMU runs as; null: the user of this process. */
export async function userOf(
  config: Pick<DriverConfig, 'guestUid' | 'kvmGroup'>,
  vm: Id,
): Promise<(SocketUser & { readonly groups: readonly number[] }) | null> {
  const groups = config.kvmGroup === null ? [] : [config.kvmGroup];
  return await guestUser(vm, { fixedUid: config.guestUid, groups });
}

/** Which file a descriptor or a path leads to, under whatever name. */
export function fileIdentity({ dev, ino }: { readonly dev: bigint; readonly ino: bigint }): string {
  return `${dev}:${ino}`;
}

/** Opens all that the machine needs; the descriptors become 3, 4, … in the child, in order. */
async function openMachine(
  config: QemuDriverConfig,
  paths: VmPaths,
  definition: VmDefinition,
  hostPorts: Readonly<Record<string, number>>,
  openFile: (path: string, flags: number) => Promise<FileHandle>,
): Promise<{ machine: QemuMachine; descriptors: readonly number[] }> {
  const descriptors: number[] = [];
  const pass: PassFile = async (path, flags) => {
    const file = await openFile(path, flags);
    const descriptor = CHILD_FIRST_DESCRIPTOR + descriptors.push(file.fd) - 1;
    return { descriptor, file: fileIdentity(await file.stat({ bigint: true })) };
  };
  const disks: QemuMachine['disks'][number][] = [];
  for (const [index, disk] of definition.disks.entries()) {
    const { filling } = disk;
    const layers: QemuMachine['disks'][number]['layers'][number][] = [];
    for (const [depth, { path, format }] of disk.layers.entries()) {
      const now = filling?.paths[depth] ?? path;
      layers.push({ ...(await pass(now, constants.O_RDONLY)), format });
    }
    disks.push({
      layers,
      export: filling && { socket: filling.socket, name: filling.exportName },
      overlay: await pass(paths.overlay(index), constants.O_RDWR),
    });
  }
  const firmware = await openFirmware(config, paths, definition, pass);
  const { hardware, vm } = definition;
  const forwards = hardware.ports.map(
    ({ name, guest }): QemuForward => ({
      hostAddress: config.bindAddress,
      hostPort: hostPorts[name] ?? 0,
      guestPort: guest,
    }),
  );
  const machine: QemuMachine = {
    vm,
    uuid: hardware.uuid ?? vm,
    name: definition.name,
    vcpus: hardware.vcpus,
    memoryMiB: hardware.memoryMiB,
    accelerator: config.accelerator,
    firmware,
    disks,
    nics: guestNics(vm, hardware, config.networks, forwards),
    monitorSocket: paths.monitor,
    pidFile: paths.pidFile,
  };
  if (descriptorsOf(machine).length !== descriptors.length) {
    throw new VmdnError('internal', 'The command line and the descriptors do not agree.');
  }
  return { machine, descriptors };
}

async function openFirmware(
  config: QemuDriverConfig,
  paths: VmPaths,
  definition: VmDefinition,
  pass: PassFile,
): Promise<QemuMachine['firmware']> {
  if (definition.hardware.firmware === 'bios') return { kind: 'bios' };
  const firmware = await requireFirmware(config);
  const code = await pass(firmware.code, constants.O_RDONLY);
  return { kind: 'uefi', code, variables: await pass(paths.uefiVariables, constants.O_RDWR) };
}

/** Waits for the monitor, or for QEMU to say why it ended. */
async function connected(
  connect: () => Promise<void>,
  exited: Promise<{ readonly exitCode: number | undefined }>,
  paths: VmPaths,
  definition: VmDefinition,
): Promise<void> {
  let exit: { readonly exitCode: number | undefined } | undefined;
  void exited.then((result) => {
    exit = result;
  });
  const deadline = performance.now() + START_TIMEOUT_MS;
  for (;;) {
    try {
      return await connect();
    } catch (error) {
      if (exit !== undefined || performance.now() >= deadline) {
        const words = (await readTail(paths.log)).toString('utf8').trim();
        throw startFailed(definition, words.slice(-LOG_TAIL_CHARACTERS), error);
      }
    }
    await delay(CONNECT_RETRY_MS);
  }
}

function startFailed(definition: VmDefinition, words: string, cause: unknown): VmdnError {
  const why = words === '' ? 'it said nothing' : words;
  return new VmdnError('tool_failed', `QEMU did not start the VM ${definition.name}: ${why}`, {
    data: { vm: definition.vm },
    cause,
  });
}

async function syncFile(path: string): Promise<void> {
  await using file = await open(path, 'r+');
  await file.sync();
}
