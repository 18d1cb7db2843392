import type { Description } from '@vmdn/core/domain/description.ts';
import { parseDigest } from '@vmdn/core/domain/digest.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { type Id, parseName } from '@vmdn/core/domain/names.ts';
import type { Power } from '@vmdn/core/domain/power.ts';
import type { DesiredTeleport } from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import { reportProgress } from '@vmdn/core/http/contracts/coordinator-teleports.ts';
import type { VmDefinition } from '@vmdn/core/io/ports/hypervisor.ts';
import { describe, expect, it } from 'vitest';
import { localDelivery } from '../decisions/deliveries.ts';
import { createCapacity } from './capacity.ts';
import type { DiskOrder } from './deliver-disk.ts';
import type { PursuitDeps, PursuitJob } from './teleport-pass.ts';
import { pursueTeleport } from './teleport-pursuit.ts';

const TELEPORT = '11111111-1111-4111-8111-111111111111' as Id;
const NOW = '2026-01-02T03:04:05.000Z';
const DIGEST = parseDigest('ab'.repeat(32));
const DISK = { digest: DIGEST, virtualSizeBytes: 4096 };
const IMAGE = { ...DISK, nonZeroBytes: 4096, format: 'raw', layers: { files: [] } };
const DESCRIPTION = {
  vm: parseName('web-01', 'VM'),
  version: 1,
  hardware: { vcpus: 1, memoryMiB: 64, firmware: 'bios', ports: [], ready: null },
  disks: [{ ...DISK, nonZeroBytes: 4096 }],
} as unknown as Description;
const DESIRED = {
  ...{ teleport: TELEPORT, epoch: 1, state: 'running', grant: 'none', requestedAt: NOW },
  version: { vm: DESCRIPTION.vm, version: 1, state: 'live', holders: [], origin: {} },
} as unknown as DesiredTeleport;
const ENDPOINT = { port: 'web', host: '127.0.0.1', hostPort: 40_000 };

interface Told {
  readonly power: Power;
  readonly endpoints: unknown;
  readonly independent?: boolean;
}

/**
 * An edge with a delivered VM; `told` is what its coordinator heard of it while it was not away. The disk of
 * a lazy one is complete when `finish` was called; all that comes to pass is seen when `stir` is.
 */
function edgeWithVm(vm: 'defined' | 'running', { lazy = false } = {}) {
  const edge = {
    ...{ vm: vm as 'defined' | 'running' | 'absent', power: 'on' as Power },
    state: 'running' as DesiredTeleport['state'],
    ...{ isHeld: false, isAwaited: false, isAway: (_: Power): boolean => false },
    ...{ hasDisk: !lazy, reads: lazy, canOpen: true },
  };
  const whole = Promise.withResolvers<void>();
  let stirred = Promise.withResolvers<void>();
  const told: Told[] = [];
  const receipts: unknown[] = [];
  const done: string[] = [];
  const status = () => ({
    ...{ state: edge.vm, definition: { disks: [{ ...DISK, ...(edge.reads && { filling: {} }) }] } },
    ...(edge.vm === 'running' && { endpoints: [ENDPOINT], accelerator: 'tcg' }),
  });
  let record: unknown = {
    ...{ teleport: TELEPORT, epoch: 1, vm: DESCRIPTION.vm, version: 1, functional: null },
    ...{ deliveries: [], phases: {}, endpoints: [], accelerator: null, boot: null },
    times: { running: NOW },
  };
  const deps = {
    client: {
      async call({ id }: { id: string }, { body }: { body: Told & { state: string } }) {
        if (id !== reportProgress.id) return { traces: [] };
        if (edge.isAway(body.power)) throw new VmdnError('unavailable', 'away');
        const { power, endpoints, independent } = body;
        told.push({ power, endpoints, ...(lazy && independent && { independent }) });
        return { state: body.state, epoch: 1 };
      },
    },
    versions: { verify: async () => DESCRIPTION },
    records: {
      read: async () => record,
      write: async (_: string, now: unknown) => {
        record = now;
      },
      remove: async () => undefined,
    },
    capacity: createCapacity({ memoryMiB: 1024, vcpus: 4 }),
    hypervisor: {
      status: async () => status(),
      async define({ disks }: VmDefinition) {
        edge.reads = disks.some(({ filling }) => filling !== undefined);
      },
      async settle() {
        edge.reads = false;
        done.push('settle');
      },
      async start() {
        edge.vm = 'running';
        done.push('start');
        return status();
      },
      async stop() {
        edge.vm = 'defined';
        done.push('stop');
      },
      async destroy() {
        edge.vm = 'absent';
      },
    },
    copies: { remove: async () => undefined },
    lazyDisks: {
      end: async () => undefined,
      record: () => undefined,
      expect: () => undefined,
      serve: async () => ({ socket: '/export' }),
      ...{ stallSeconds: () => 1, ahead: () => null },
    },
    engine: {
      making: () => (edge.hasDisk ? [] : [{ digest: DIGEST, files: [] }]),
      onMaking: () => () => undefined,
    },
    deliveries: {
      async deliver({ onDelivered, signal }: DiskOrder) {
        if (!edge.canOpen) throw new VmdnError('unavailable', 'nobody has it');
        const calledOff = new Promise<never>((_, reject) =>
          signal.addEventListener('abort', () => reject(signal.reason)),
        );
        await Promise.race([whole.promise, calledOff]).catch((error) => {
          done.push('called off');
          throw error;
        });
        await onDelivered(localDelivery(IMAGE));
        return { seconds: {} };
      },
    },
    receipts: { write: async (receipt: unknown) => void receipts.push([receipt, told.length]) },
    holds: { isHeld: () => edge.isHeld, isAwaited: () => edge.isAwaited },
    store: {
      async intact() {
        if (!edge.hasDisk) throw new VmdnError('not_found', 'no such image');
        return IMAGE;
      },
      find: () => (edge.hasDisk ? IMAGE : undefined),
      release: () => undefined,
    },
    events: {
      teleportStep: () => undefined,
      vmStarted: () => undefined,
      vmRemoved: () => undefined,
      vmStopped: () => undefined,
    },
    sources: {},
    coordinatorKey: {},
  } as unknown as PursuitDeps;
  const job: PursuitJob = {
    desired: () => ({ ...DESIRED, lazy, state: edge.state, power: edge.power }),
    memory: {
      ...{ known: 'running', confirmed: false, ready: false, released: false },
      ...{ independent: false, unsettled: false, toldPower: null },
    },
    signal: new AbortController().signal,
    stirred: () => stirred.promise,
    lose: () => undefined,
  };
  const stir = (): void => {
    stirred.resolve();
    stirred = Promise.withResolvers();
  };
  const wish = (power: Power): void => {
    edge.power = power;
    stir();
  };
  const finish = (): void => {
    edge.hasDisk = true;
    whole.resolve();
  };
  const pursue = (): Promise<void> => pursueTeleport(deps, job);
  return { edge, told, receipts, done, pursue, wish, stir, finish };
}

describe('the power of a delivered VM', () => {
  it('is told when it was stopped, and when it was started: off until it is on', async () => {
    const { edge, told, pursue } = edgeWithVm('running');
    edge.power = 'off';
    await pursue();
    expect(told).toEqual([{ power: 'off', endpoints: [] }]);
    edge.power = 'on';
    await pursue();
    expect(told.slice(1)).toEqual([
      { power: 'off', endpoints: [] },
      { power: 'on', endpoints: [ENDPOINT] },
    ]);
    await pursue();
    expect(told).toHaveLength(3);
  });

  it('is told again when the coordinator was away at the moment of the start', async () => {
    const { edge, told, pursue } = edgeWithVm('defined');
    edge.isAway = (power) => power === 'on';
    await expect(pursue()).rejects.toMatchObject({ code: 'unavailable' });
    expect(edge.vm).toBe('running');
    edge.isAway = () => false;
    await pursue();
    expect(told.at(-1)).toEqual({ power: 'on', endpoints: [ENDPOINT] });
  });

  it('is told by the next process of an edge that was killed before it could', async () => {
    const { told, pursue } = edgeWithVm('running');
    await pursue();
    expect(told).toEqual([{ power: 'on', endpoints: [ENDPOINT] }]);
  });
});

describe('the power of a lazy VM whose disk is still coming', () => {
  const OFF = { power: 'off', endpoints: [] };
  const ON = { power: 'on', endpoints: [ENDPOINT] };

  it('I1: is as it is wished while the disk goes on coming, and in the end it needs nobody', async () => {
    const { told, receipts, done, pursue, wish, finish } = edgeWithVm('running', { lazy: true });
    const pursued = pursue();
    await expect.poll(() => told).toEqual([ON]);
    wish('off');
    await expect.poll(() => told).toEqual([ON, OFF]);
    wish('on');
    await expect.poll(() => told.slice(2)).toEqual([OFF, ON]);
    wish('off');
    await expect.poll(() => told.slice(4)).toEqual([OFF]);
    expect(done).toEqual(['stop', 'start', 'stop']);
    finish();
    await pursued;
    expect(done.slice(3)).toEqual(['settle']);
    expect(told.slice(5)).toEqual([{ ...OFF, independent: true }]);
    // I3
    expect(receipts).toMatchObject([[{ disks: [{ digest: DIGEST }] }, 5]]);
  });

  it('is off, and said to be, when nobody has the rest of its disk', async () => {
    const { edge, told, pursue } = edgeWithVm('running', { lazy: true });
    Object.assign(edge, { power: 'off', canOpen: false });
    await expect(pursue()).rejects.toMatchObject({ code: 'unavailable' });
    expect(edge.vm).toBe('defined');
    expect(told).toEqual([OFF]);
  });

  it('I2: is told when the coordinator is back; its being away stops no byte', async () => {
    const { edge, told, done, pursue, stir, finish } = edgeWithVm('running', { lazy: true });
    edge.power = 'off';
    edge.isAway = () => true;
    const pursued = pursue();
    await expect.poll(() => edge.vm).toBe('defined');
    stir();
    edge.isAway = () => false;
    await expect
      .poll(() => {
        stir();
        return told;
      })
      .toEqual([OFF]);
    finish();
    await pursued;
    expect(told.at(-1)).toEqual({ ...OFF, independent: true });
    expect(done).toEqual(['stop', 'settle']);
  });

  it('is read from its files when it was completed while the VM was off', async () => {
    const { edge, told, done, pursue, finish } = edgeWithVm('defined', { lazy: true });
    finish();
    await pursue();
    expect(edge).toMatchObject({ vm: 'running', reads: false });
    expect(done).toEqual(['start']);
    expect(told.at(-1)).toEqual({ ...ON, independent: true });
  });
});

describe('a VM that is being captured', () => {
  it('is not started meanwhile, and goes on afterwards', async () => {
    const { edge, pursue } = edgeWithVm('defined');
    edge.isHeld = true;
    await pursue();
    expect(edge.vm).toBe('defined');
    edge.isHeld = false;
    await pursue();
    expect(edge.vm).toBe('running');
  });

  it('I4: is removed when that is over', async () => {
    const { edge, pursue } = edgeWithVm('running');
    edge.state = 'cancelled';
    edge.isAwaited = true;
    await pursue();
    expect(edge.vm).toBe('running');
    edge.isAwaited = false;
    await pursue();
    expect(edge.vm).toBe('absent');
  });
});
