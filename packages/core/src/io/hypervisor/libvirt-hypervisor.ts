/**
 * Room: io, hypervisor. The driver for libvirt: every VM is a persistent domain, defined and driven by virsh.
 *
 * I1: what is true of a VM is asked of libvirt each time, never of memory: a restart of the node loses
 *     nothing.
 * I2: a domain is touched only when its metadata name this edge's folder of VMs; one of the same id that
 *     is somebody else's is `conflict`.
 * I3: libvirt knows all that happens to a domain: nothing changes one by a command to QEMU's monitor.
 * I4: a guest that was stopped because a read or a write failed is told to go on, every second, until it
 *     does: that is how it waits for an export that is away. One that somebody else paused stays so.
 */

import { setTimeout as delay } from 'node:timers/promises';
import type { DiskLayer } from '../../domain/disk-format.ts';
import { VmdnError } from '../../domain/errors.ts';
import type { Id } from '../../domain/names.ts';
import { createTurns } from '../../domain/turns.ts';
import { type LibvirtDomainState, readDomainState } from '../../formats/libvirt-guest.ts';
import { parseUsernetConnections } from '../../formats/qmp-usernet.ts';
import type { Virsh } from '../command/virsh.ts';
import type {
  Hypervisor,
  PrepareOverlays,
  RunningVm,
  StopOptions,
  VmDefinition,
  VmStatus,
} from '../ports/hypervisor.ts';
import { readTail } from './console-log.ts';
import { takeDefinition } from './known-definition.ts';
import { settleLibvirtVm } from './libvirt-settle.ts';
import {
  clearLibvirtConsole,
  currentOverlay,
  defineDomain,
  dropOldOverlays,
  type LibvirtDriverConfig,
  startDomain,
} from './libvirt-start.ts';
import { requireGoneOrForced, requireOff } from './power-off.ts';
import { createQemuVm, userOf } from './qemu-start.ts';
import { listVmDirs, readDefinition, removeVmFiles, type VmPaths, vmPaths } from './vm-files.ts';
import { waitReady } from './wait-ready.ts';

export type { LibvirtDriverConfig } from './libvirt-start.ts';

/** How often stopped guests are looked for. */
const GO_ON_MS = 1000;
/** How often a domain that was asked to end is looked at. */
const POLL_MS = 250;

interface Driver {
  readonly config: LibvirtDriverConfig;
  readonly virsh: Virsh;
  at(vm: Id): VmPaths;
}

/** The driver. Disposing it lets go of the VMs and leaves them running. */
export function createLibvirtHypervisor(config: LibvirtDriverConfig): Hypervisor & AsyncDisposable {
  const at = (vm: Id): VmPaths => vmPaths(config.dirs, vm);
  const driver: Driver = { config, at, virsh: config.virsh };
  const { inTurn, idle } = createTurns<Id>();
  const list = (): Promise<readonly Id[]> => listVmDirs(config.dirs.vms);
  const pump = startGoOn(driver, list);
  const consoleLog = (vm: Id): Promise<string> => readLibvirtConsole(at(vm));
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
    destroy: (vm) => inTurn(vm, () => destroy(driver, vm)),
    status: (vm) => inTurn(vm, () => status(driver, vm)),
    list,
    consoleLog,
    waitReady: (vm, check, { signal, heldUpSeconds }) =>
      waitReady({
        ...{ vm, check, signal, heldUpSeconds },
        look: () => inTurn(vm, () => status(driver, vm)),
        connections: async () => parseUsernetConnections(await config.virsh.userNetwork(vm)),
        consoleLog: () => consoleLog(vm),
      }),
    async [Symbol.asyncDispose]() {
      await pump[Symbol.asyncDispose]();
      await idle();
    },
  };
}

/** What libvirt says of a VM, or null when it knows none. Throws `conflict` (I2). */
async function domainOf({ config, virsh }: Driver, vm: Id): Promise<LibvirtDomainState | null> {
  const document = await virsh.dumpXml(vm);
  if (document === null) return null;
  const state = readDomainState(document);
  if (state.home === config.dirs.vms) return state;
  const message = `libvirt has a domain with the id ${vm} that is not this edge's; it stays as it is.`;
  throw new VmdnError('conflict', message, { data: { vm } });
}

async function define(
  driver: Driver,
  definition: VmDefinition,
  prepare?: PrepareOverlays,
): Promise<void> {
  const paths = driver.at(definition.vm);
  await domainOf(driver, definition.vm);
  await takeDefinition(paths, definition, () =>
    createQemuVm(driver.config, paths, definition, prepare),
  );
}

async function status(driver: Driver, vm: Id): Promise<VmStatus> {
  const definition = await readDefinition(driver.at(vm));
  if (definition === null) return { state: 'absent' };
  const domain = await domainOf(driver, vm);
  if (domain?.isRunning !== true) return { state: 'defined', definition };
  const endpoints = definition.hardware.ports.flatMap(({ name }) => {
    const forward = domain.forwards.find(({ port }) => port === name);
    if (forward === undefined) return [];
    return [{ port: name, host: forward.host, hostPort: forward.hostPort }];
  });
  return { state: 'running', definition, accelerator: domain.accelerator, endpoints };
}

async function start(driver: Driver, vm: Id): Promise<RunningVm> {
  const before = await status(driver, vm);
  if (before.state === 'running') return before;
  if (before.state === 'absent') {
    throw new VmdnError('not_found', `The VM ${vm} is not defined here.`, { data: { vm } });
  }
  const paths = driver.at(vm);
  await clearLibvirtConsole(paths);
  await startDomain(driver.config, paths, before.definition);
  const after = await status(driver, vm);
  if (after.state === 'running') return after;
  const { name } = before.definition;
  throw new VmdnError('tool_failed', `The VM ${name} ended right after its start.`);
}

async function settle(driver: Driver, definition: VmDefinition): Promise<void> {
  const { vm } = definition;
  const paths = driver.at(vm);
  const known = await readDefinition(paths);
  if (known === null) throw new VmdnError('not_found', `The VM ${vm} is not defined here.`);
  const domain = await domainOf(driver, vm);
  await settleLibvirtVm(driver.config, paths, { known, definition, domain });
  await define(driver, definition);
  // From here on the domain's next start is of the same files as what runs.
  if (domain === null) return;
  await defineDomain(driver.config, paths, definition, domain.forwards);
  await dropOldOverlays(driver.config, paths, definition);
}

/** Ends the VM: by the power button, then by libvirt's destroy. */
async function end(
  driver: Driver,
  vm: Id,
  { graceMs, isForced = true, signal }: StopOptions,
): Promise<void> {
  const { virsh } = driver;
  const isOver = async (): Promise<boolean> => (await domainOf(driver, vm))?.isRunning !== true;
  if (await isOver()) return;
  if (graceMs > 0) {
    await virsh.shutDown(vm);
    const deadline = performance.now() + graceMs;
    for (;;) {
      if (await isOver()) return;
      const leftMs = deadline - performance.now();
      if (leftMs <= 0 || signal?.aborted) break;
      await delay(Math.min(POLL_MS, Math.max(1, leftMs)));
    }
  }
  requireGoneOrForced(vm, { graceMs, isForced, signal });
  await virsh.destroy(vm);
}

async function diskFiles(driver: Driver, vm: Id): Promise<readonly (readonly DiskLayer[])[]> {
  const definition = requireOff(vm, await status(driver, vm));
  const files: (readonly DiskLayer[])[] = [];
  for (const [index, { layers }] of definition.disks.entries()) {
    const path = await currentOverlay(driver.config, driver.at(vm), definition, index);
    files.push([{ path, format: 'qcow2' }, ...layers]);
  }
  return files;
}

async function destroy(driver: Driver, vm: Id): Promise<void> {
  await end(driver, vm, { graceMs: 0 });
  if ((await domainOf(driver, vm)) !== null) await driver.virsh.undefine(vm);
  await removeVmFiles(driver.at(vm));
}

/** virtlogd keeps the older half in a file of its own. */
async function readLibvirtConsole({ consoleLog }: VmPaths): Promise<string> {
  const [older, newer] = [await readTail(`${consoleLog}.0`), await readTail(consoleLog)];
  return Buffer.concat([older, newer]).toString('utf8');
}

/** I4. */
function startGoOn(driver: Driver, list: () => Promise<readonly Id[]>): AsyncDisposable {
  const { virsh, config } = driver;
  const look = async (): Promise<void> => {
    const ours = await list();
    if (ours.length === 0) return;
    for (const vm of await virsh.paused()) {
      if (!ours.includes(vm) || (await virsh.stateReason(vm)) !== 'paused (I/O error)') continue;
      await domainOf(driver, vm);
      await virsh.resume(vm);
    }
  };
  let running: Promise<void> | undefined;
  const timer = setInterval(() => {
    running ??= look()
      // It ended or went on meanwhile, or libvirt is away: the next second tells.
      .catch((error: unknown) => config.logger?.debug({ err: error }, 'guests could not go on'))
      .finally(() => {
        running = undefined;
      });
  }, GO_ON_MS);
  timer.unref();
  return {
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      await running;
    },
  };
}
