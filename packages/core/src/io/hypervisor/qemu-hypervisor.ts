/**
 * Room: io, hypervisor. The driver for plain QEMU: every VM is one qemu-system-x86_64 process that
 * this or an earlier process of the node started.
 *
 * I1: what is true of a VM is read from the machine each time (its process, its monitor), never
 *     from memory: a restart of the node loses nothing.
 * I2: steps on one VM never overlap; steps on different VMs do.
 * I3: a second QEMU on the same overlay is refused three times over: by the process that is found,
 *     by QEMU's lock on the pid file, by its lock on the overlay.
 */

import type { DiskLayer } from '../../domain/disk-format.ts';
import { VmdnError } from '../../domain/errors.ts';
import type { Id } from '../../domain/names.ts';
import { createTurns } from '../../domain/turns.ts';
import { forwardedPorts, type UsernetConnection } from '../../formats/qmp-usernet.ts';
import { hasEnded } from '../command/process-mark.ts';
import { inspectLayers } from '../disk-export/inspect-layers.ts';
import type {
  Hypervisor,
  PrepareOverlays,
  RunningVm,
  StopOptions,
  VmDefinition,
  VmEndpoint,
  VmStatus,
} from '../ports/hypervisor.ts';
import { clearConsole, readConsole } from './console-log.ts';
import { takeDefinition } from './known-definition.ts';
import { requireGoneOrForced, requireOff } from './power-off.ts';
import { findQemuProcess, signalProcess, waitEndingQemu, waitProcessGone } from './qemu-process.ts';
import { readFromFiles } from './qemu-settle.ts';
import { createQemuVm, launchQemu, type QemuDriverConfig, userOf } from './qemu-start.ts';
import {
  listVmDirs,
  readDefinition,
  removeVmFiles,
  type VmPaths,
  vmPaths,
  writePorts,
} from './vm-files.ts';
import { createVmMonitors, type VmMonitors } from './vm-monitors.ts';
import { waitReady } from './wait-ready.ts';

export type { QemuDriverConfig } from './qemu-start.ts';

/** QEMU flushes its disks when told to quit; a disk that is busy takes this long at most. */
const QUIT_TIMEOUT_MS = 15_000;
/** A guest's memory is given back meanwhile, and a drive may have to answer. */
const KILL_TIMEOUT_MS = 30_000;

interface Driver {
  readonly config: QemuDriverConfig;
  readonly monitors: VmMonitors;
  at(vm: Id): VmPaths;
}

/** The driver. Disposing it lets go of the VMs and leaves them running. */
export function createQemuHypervisor(config: QemuDriverConfig): Hypervisor & AsyncDisposable {
  const at = (vm: Id): VmPaths => vmPaths(config.dirs, vm);
  const driver: Driver = { config, at, monitors: createVmMonitors(at) };
  const { inTurn, idle } = createTurns<Id>();
  const consoleLog = async (vm: Id): Promise<string> => {
    // A VM that has ended left what there is on disk.
    await driver.monitors.drainConsole(vm).catch(() => undefined);
    return await readConsole(at(vm).consoleLog);
  };
  return {
    define: (definition, prepare) =>
      inTurn(definition.vm, () => define(driver, definition, prepare)),
    start: (vm) => inTurn(vm, () => start(driver, vm)),
    settle: (definition) => inTurn(definition.vm, () => settle(driver, definition)),
    async exportUser(vm) {
      const user = await userOf(config, vm);
      return user && { uid: user.uid, gid: user.gid };
    },
    stop: (vm, options) => inTurn(vm, () => end(driver, vm, options)),
    diskFiles: (vm) => inTurn(vm, () => diskFiles(driver, vm)),
    destroy: (vm) =>
      inTurn(vm, async () => {
        await end(driver, vm, { graceMs: 0 });
        await removeVmFiles(at(vm));
      }),
    status: (vm) => inTurn(vm, () => status(driver, vm)),
    list: () => listVmDirs(config.dirs.vms),
    consoleLog,
    waitReady: (vm, check, { signal, heldUpSeconds }) =>
      waitReady({
        ...{ vm, check, signal, heldUpSeconds },
        look: () => inTurn(vm, () => status(driver, vm)),
        connections: () => driver.monitors.connections(vm),
        consoleLog: () => consoleLog(vm),
      }),
    async [Symbol.asyncDispose]() {
      await driver.monitors[Symbol.asyncDispose]();
      await idle();
    },
  };
}

async function define(
  { config, at }: Driver,
  definition: VmDefinition,
  prepare?: PrepareOverlays,
): Promise<void> {
  const paths = at(definition.vm);
  await takeDefinition(paths, definition, () => createQemuVm(config, paths, definition, prepare));
}

async function settle(driver: Driver, definition: VmDefinition): Promise<void> {
  const { vm } = definition;
  const known = await readDefinition(driver.at(vm));
  if (known === null) throw new VmdnError('not_found', `The VM ${vm} is not defined here.`);
  const process = await findQemuProcess(vm, driver.at(vm).pidFile);
  for (const [index, disk] of definition.disks.entries()) {
    await inspectLayers(disk.layers);
    if (process !== null && known.disks[index]?.filling !== undefined) {
      await readFromFiles(driver.monitors, vm, index, disk.layers);
    }
  }
  await define(driver, definition);
}

async function status(driver: Driver, vm: Id): Promise<VmStatus> {
  const definition = await readDefinition(driver.at(vm));
  if (definition === null) return { state: 'absent' };
  const process = await findQemuProcess(vm, driver.at(vm).pidFile);
  if (process === null) return { state: 'defined', definition };
  const connections = await driver.monitors.connections(vm).catch(async (error: unknown) => {
    // It ended between the two looks.
    if (await hasEnded(process)) return null;
    throw error;
  });
  if (connections === null) return { state: 'defined', definition };
  const endpoints = endpointsOf(driver.config, definition, connections);
  return { state: 'running', definition, accelerator: process.accelerator, endpoints };
}

async function start(driver: Driver, vm: Id): Promise<RunningVm> {
  const before = await status(driver, vm);
  if (before.state === 'running') return before;
  const paths = driver.at(vm);
  if (before.state === 'absent') {
    throw new VmdnError('not_found', `The VM ${vm} is not defined here.`, { data: { vm } });
  }
  // One that was killed has the disks and the ports for a moment more (qemu-process.ts I2).
  if (!(await waitEndingQemu(paths.pidFile, KILL_TIMEOUT_MS))) throw doesNotEnd(vm);
  await driver.monitors.drained(vm);
  await clearConsole(paths.consoleLog);
  const { definition } = before;
  const connect = async (): Promise<void> => {
    await driver.monitors.execute(vm, 'query-status');
  };
  await launchQemu(driver.config, paths, definition, connect);
  const after = await status(driver, vm);
  if (after.state !== 'running') {
    throw new VmdnError('tool_failed', `The VM ${definition.name} ended right after its start.`);
  }
  const ports = after.endpoints.map(({ port, hostPort }) => [port, hostPort]);
  await writePorts(paths, Object.fromEntries(ports));
  return after;
}

/** Ends the VM's process: by the power button, by telling QEMU to quit, by SIGKILL. */
async function end(
  driver: Driver,
  vm: Id,
  { graceMs, isForced = true, signal }: StopOptions,
): Promise<void> {
  const { monitors, config } = driver;
  const process = await findQemuProcess(vm, driver.at(vm).pidFile);
  if (process === null) return;
  const tell = async (command: string, timeoutMs: number): Promise<boolean> => {
    // A monitor that does not answer, as while QEMU waits for a read, is why the next, harsher way exists.
    monitors.execute(vm, command).catch((error: unknown) => {
      config.logger?.debug({ vm, command, err: error }, 'the monitor did not take a command');
    });
    return await waitProcessGone(process, timeoutMs, signal);
  };
  try {
    await monitors.drainConsole(vm).catch(() => undefined);
    if (graceMs > 0 && (await tell('system_powerdown', graceMs))) return;
    requireGoneOrForced(vm, { graceMs, isForced, signal });
    if (await tell('quit', QUIT_TIMEOUT_MS)) return;
    await signalProcess(process, 'SIGKILL');
    if (await waitProcessGone(process, KILL_TIMEOUT_MS)) return;
    throw doesNotEnd(vm);
  } finally {
    monitors.forget(vm);
  }
}

function doesNotEnd(vm: Id): VmdnError {
  return new VmdnError('timeout', "The VM's process does not end; a drive may not answer.", {
    data: { vm },
  });
}

async function diskFiles(driver: Driver, vm: Id): Promise<readonly (readonly DiskLayer[])[]> {
  const definition = requireOff(vm, await status(driver, vm));
  const { overlay } = driver.at(vm);
  return definition.disks.map(({ layers }, index) => [
    { path: overlay(index), format: 'qcow2' },
    ...layers,
  ]);
}

function endpointsOf(
  config: QemuDriverConfig,
  definition: VmDefinition,
  connections: readonly UsernetConnection[],
): readonly VmEndpoint[] {
  const hostPorts = forwardedPorts(connections);
  return definition.hardware.ports.flatMap(({ name, guest }) => {
    const hostPort = hostPorts.get(guest);
    return hostPort === undefined ? [] : [{ port: name, host: config.bindAddress, hostPort }];
  });
}
