/**
 * Room: io, hypervisor. A client of a running QEMU's monitor.
 *
 * I1: every command has a time limit; a monitor that answers nonsense or not at all fails the
 *     command and closes the connection.
 */

import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { VmdnError } from '../../domain/errors.ts';
import { createQmpDecoder, encodeQmpCommand, type QmpMessage } from '../../formats/qmp.ts';

/** QEMU answers at once, unless the machine is badly overloaded: TCG guests and hashing share it. */
const COMMAND_TIMEOUT_MS = 20_000;

export interface QmpClient {
  /** Runs a command. Throws `tool_failed` with QEMU's words, `unavailable` when the VM is gone. */
  execute(command: string, parameters?: Readonly<Record<string, unknown>>): Promise<unknown>;
  /** Settles when the connection is gone: the VM ended, or `close` was called. */
  readonly closed: Promise<void>;
  close(): void;
}

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/** Connects to a monitor socket and leaves the negotiation mode. Throws `unavailable`, `timeout`. */
export async function connectQmp(
  socketPath: string,
  options: { readonly timeoutMs?: number } = {},
): Promise<QmpClient> {
  const timeoutMs = options.timeoutMs ?? COMMAND_TIMEOUT_MS;
  const socket = createConnection(socketPath);
  socket.unref();
  const client = attach(socket, timeoutMs);
  try {
    await once(socket, 'connect', { signal: AbortSignal.timeout(timeoutMs) });
    await client.greeted;
    await client.execute('qmp_capabilities');
    return client;
  } catch (cause) {
    client.close();
    if (cause instanceof VmdnError) throw cause;
    throw new VmdnError('unavailable', "The VM's monitor can't be reached.", { cause });
  }
}

function attach(socket: Socket, timeoutMs: number): QmpClient & { greeted: Promise<void> } {
  const decoder = createQmpDecoder();
  const waiting = new Map<number, Waiting>();
  const greeting = Promise.withResolvers<void>();
  greeting.promise.catch(() => undefined);
  const closed = Promise.withResolvers<void>();
  let nextId = 1;
  const fail = (error: VmdnError): void => {
    greeting.reject(error);
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
    socket.destroy();
    closed.resolve();
  };
  const gone = (cause?: unknown): void =>
    fail(new VmdnError('unavailable', 'The VM ended.', { cause }));
  const deliver = (message: QmpMessage): void => {
    if (message.kind === 'greeting') greeting.resolve();
    if (message.kind !== 'return' && message.kind !== 'error') return;
    const waiter = message.id === undefined ? undefined : waiting.get(message.id);
    if (waiter === undefined) return;
    waiting.delete(message.id!);
    if (message.kind === 'return') waiter.resolve(message.value);
    else waiter.reject(new VmdnError('tool_failed', `QEMU: ${message.description}`));
  };
  socket.on('data', (chunk) => {
    try {
      for (const message of decoder.push(chunk)) deliver(message);
    } catch (error) {
      fail(error as VmdnError);
    }
  });
  socket.on('error', gone);
  socket.on('close', () => gone());
  const limited = <T>(promise: Promise<T>, what: string): Promise<T> => {
    const timer = setTimeout(
      () => fail(new VmdnError('timeout', `The VM's monitor did not answer ${what} in time.`)),
      timeoutMs,
    );
    return promise.finally(() => clearTimeout(timer));
  };
  return {
    get greeted() {
      return limited(greeting.promise, 'the greeting');
    },
    closed: closed.promise,
    close: () => fail(new VmdnError('cancelled', 'The connection to the monitor was closed.')),
    async execute(command, parameters) {
      if (socket.destroyed) throw new VmdnError('unavailable', 'The VM ended.');
      const id = nextId++;
      const { promise, resolve, reject } = Promise.withResolvers<unknown>();
      waiting.set(id, { resolve, reject });
      socket.write(encodeQmpCommand(id, command, parameters));
      return await limited(promise, command);
    },
  };
}
