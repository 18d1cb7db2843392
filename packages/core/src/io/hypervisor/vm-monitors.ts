/**
 * Room: io, hypervisor. The connections to the monitors of the running VMs: one for each VM, opened
 * when first needed and forgotten when the VM ends.
 *
 * I1: while a VM is connected its console is moved from QEMU's ring to the disk every second, so
 *     that a fast console loses nothing and a VM that dies leaves its last words. One move at a time: what is
 *     read first is written first.
 * I2: a guest that was stopped because a read failed is told to go on, every second, until it does.
 */

import type { Id } from '../../domain/names.ts';
import { createTurns } from '../../domain/turns.ts';
import { CONSOLE_BUFFER_BYTES, CONSOLE_DEVICE } from '../../formats/qemu-command-line.ts';
import { parseRunState } from '../../formats/qmp-blocks.ts';
import { parseUsernetConnections, type UsernetConnection } from '../../formats/qmp-usernet.ts';
import { appendConsole, boundForeignLog } from './console-log.ts';
import { connectQmp, type QmpClient } from './qmp-client.ts';
import type { VmPaths } from './vm-files.ts';

/** The console ring holds some 20 s of the fastest serial line (115,200 baud). */
const PUMP_MS = 1000;

export interface VmMonitors extends AsyncDisposable {
  /** Connects, if need be, and runs a command. Throws as QmpClient does. */
  execute(
    vm: Id,
    command: string,
    parameters?: Readonly<Record<string, unknown>>,
  ): Promise<unknown>;
  /** The guest's TCP connections and forwards. */
  connections(vm: Id): Promise<readonly UsernetConnection[]>;
  /** Moves what the guest wrote since the last time to the console log. */
  drainConsole(vm: Id): Promise<void>;
  /** Resolves when no move to the console log is under way. */
  drained(vm: Id): Promise<void>;
  forget(vm: Id): void;
}

/** Monitors of the VMs whose files are at `paths`. */
export function createVmMonitors(paths: (vm: Id) => VmPaths): VmMonitors {
  const clients = new Map<Id, Promise<QmpClient>>();
  const drains = createTurns<Id>();
  const connect = (vm: Id): Promise<QmpClient> => {
    const known = clients.get(vm);
    if (known !== undefined) return known;
    const client = connectQmp(paths(vm).monitor);
    clients.set(vm, client);
    const forget = (): void => {
      if (clients.get(vm) === client) clients.delete(vm);
    };
    client.then(({ closed }) => closed.then(forget), forget);
    return client;
  };
  const drainOnce = async (vm: Id): Promise<void> => {
    const request = { device: CONSOLE_DEVICE, size: CONSOLE_BUFFER_BYTES, format: 'base64' };
    const text = await monitors.execute(vm, 'ringbuf-read', request);
    await appendConsole(paths(vm).consoleLog, Buffer.from(String(text), 'base64'));
    await boundForeignLog(paths(vm).log);
  };
  const monitors: VmMonitors = {
    async execute(vm, command, parameters) {
      return await (await connect(vm)).execute(command, parameters);
    },
    async connections(vm) {
      const parameters = { 'command-line': 'info usernet' };
      const table = await monitors.execute(vm, 'human-monitor-command', parameters);
      return parseUsernetConnections(String(table));
    },
    drainConsole: (vm) => drains.inTurn(vm, () => drainOnce(vm)),
    drained: (vm) => drains.inTurn(vm, async () => undefined),
    forget(vm) {
      clients.get(vm)?.then(
        (client) => client.close(),
        () => undefined,
      );
      clients.delete(vm);
    },
    async [Symbol.asyncDispose]() {
      clearInterval(pump);
      await Promise.allSettled([...clients.keys()].map((vm) => monitors.drainConsole(vm)));
      for (const vm of [...clients.keys()]) monitors.forget(vm);
    },
  };
  const pump = setInterval(() => {
    // A VM that has just ended fails here; whoever looks at it next sees that.
    for (const vm of clients.keys()) {
      if (!drains.isTaken(vm)) monitors.drainConsole(vm).catch(() => undefined);
      goOn(monitors, vm).catch(() => undefined);
    }
  }, PUMP_MS);
  pump.unref();
  return monitors;
}

/** The device's request is made again when the guest goes on (rerror=stop). */
async function goOn(monitors: Pick<VmMonitors, 'execute'>, vm: Id): Promise<void> {
  const answer = await monitors.execute(vm, 'query-status');
  if (parseRunState(answer) === 'io-error') await monitors.execute(vm, 'cont');
}
