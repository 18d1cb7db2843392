import type { Description } from '@vmdn/core/domain/description.ts';
import { parseDigest } from '@vmdn/core/domain/digest.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { type Id, parseName } from '@vmdn/core/domain/names.ts';
import { OVERLAY_HEADROOM_BYTES } from '@vmdn/core/domain/overlay-room.ts';
import type { DesiredTeleport } from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import type { ReservationRequest } from '@vmdn/core/io/ports/image-store.ts';
import { describe, expect, it } from 'vitest';
import { localDelivery } from '../decisions/deliveries.ts';
import { createCapacity } from './capacity.ts';
import type { DiskOrder } from './deliver-disk.ts';
import type { PursuitDeps, PursuitJob } from './teleport-pass.ts';
import { pursueTeleport } from './teleport-pursuit.ts';

const TELEPORT = '11111111-1111-4111-8111-111111111111' as Id;
const DIGEST = parseDigest('ab'.repeat(32));
const DESCRIPTION = {
  vm: parseName('web-01', 'VM'),
  version: 1,
  hardware: { vcpus: 1, memoryMiB: 64, firmware: 'bios', ports: [], ready: null },
  disks: [{ digest: DIGEST, virtualSizeBytes: 4096, nonZeroBytes: 4096 }],
} as unknown as Description;
const NOW = '2026-01-02T03:04:05.000Z';
const IMAGE = { digest: DIGEST, virtualSizeBytes: 4096, nonZeroBytes: 4096, format: 'raw' };
const TRACE = { disks: Uint8Array.of(0), blocks: Uint32Array.of(0), keys: Uint32Array.of(1, 2) };
const DESIRED = {
  ...{ teleport: TELEPORT, epoch: 1, state: 'routed', power: 'on', grant: 'none' },
  version: { vm: DESCRIPTION.vm, version: 1, state: 'live', holders: [], origin: {} },
} as unknown as DesiredTeleport;

/** An edge whose store has `freeBytes` and none of the disks; tells what was done in which order. */
function edgeWith(freeBytes: number, stagings: readonly string[] = []) {
  const done: string[] = [];
  const deps = {
    client: { call: async ({ id }: { id: string }) => void done.push(id) },
    versions: { verify: async () => DESCRIPTION },
    records: { read: async () => null, write: async () => undefined },
    capacity: createCapacity({ memoryMiB: 1024, vcpus: 4 }),
    hypervisor: { status: async () => ({ state: 'absent' }) },
    store: {
      intact: async () => Promise.reject(new VmdnError('not_found', 'no such image')),
      stagings: async () => stagings,
      async reserve({ key, bytes }: ReservationRequest) {
        if (bytes > freeBytes) throw new VmdnError('no_room', 'no room');
        done.push(`${key} ${bytes}`);
      },
    },
    deliveries: {
      async deliver() {
        done.push('deliver');
        throw new VmdnError('cancelled', 'far enough');
      },
    },
    events: { teleportStep: () => undefined },
    holds: { isHeld: () => false, isAwaited: () => false },
    sources: {},
    coordinatorKey: {},
  } as unknown as PursuitDeps;
  const job: PursuitJob = {
    desired: () => DESIRED,
    memory: { confirmed: false, ready: false, released: false, state: null } as never,
    signal: new AbortController().signal,
    stirred: () => new Promise(() => undefined),
    lose: () => undefined,
  };
  return { done, pursue: () => pursueTeleport(deps, job) };
}

describe('an edge that takes a teleport on', () => {
  it('I3: reserves the room of the overlays before anything else', async () => {
    const { done, pursue } = edgeWith(OVERLAY_HEADROOM_BYTES);
    await expect(pursue()).rejects.toMatchObject({ code: 'cancelled' });
    expect(done[0]).toBe(`vm-${TELEPORT} ${OVERLAY_HEADROOM_BYTES}`);
    expect(done).toContain('deliver');
  });

  it('I3: without that room moves no byte and says nothing', async () => {
    const { done, pursue } = edgeWith(OVERLAY_HEADROOM_BYTES - 1);
    await expect(pursue()).rejects.toMatchObject({ code: 'no_room' });
    expect(done).toEqual([]);
  });

  it('waits for that room when its disk was begun before', async () => {
    const { done, pursue } = edgeWith(OVERLAY_HEADROOM_BYTES - 1, [DIGEST]);
    await expect(pursue()).rejects.toMatchObject({ code: 'disk_full' });
    expect(done).toEqual([]);
  });
});

describe('a lazy VM that boots', () => {
  const ready = { kind: 'tcp', port: parseName('web', 'port'), timeoutSeconds: 1 } as const;
  const description = { ...DESCRIPTION, hardware: { ...DESCRIPTION.hardware, ready } };

  /**
   * An edge whose VM runs and reads its disk from an export. The disk is complete at once, or as soon as the
   * guest is ready.
   */
  function edgeWithGuest(when: 'at once' | 'later') {
    const told: { id: string; body: Record<string, unknown> }[] = [];
    const receipts: unknown[] = [];
    const saved: Record<string, unknown>[] = [];
    const complete = Promise.withResolvers<void>();
    let heldUp: number | undefined;
    let isComplete = when === 'at once';
    let isSettled = false;
    let isEnded = false;
    const finish = (): void => {
      isComplete = true;
      complete.resolve();
    };
    const disk = () => ({ digest: DIGEST, ...(isSettled ? {} : { filling: {} }) });
    const deps = {
      client: {
        async call({ id }: { id: string }, { body }: { body?: Record<string, unknown> }) {
          told.push({ id, body: body ?? {} });
          return { state: body?.state, epoch: 1, traces: [] };
        },
      },
      versions: { verify: async () => description },
      records: {
        read: async () => saved.at(-1) ?? null,
        write: async (_: string, record: Record<string, unknown>) => void saved.push(record),
      },
      capacity: createCapacity({ memoryMiB: 1024, vcpus: 4 }),
      hypervisor: {
        status: async () => ({
          ...{ state: 'running', endpoints: [], accelerator: 'tcg' },
          definition: { disks: [disk()] },
        }),
        async waitReady(_: string, __: unknown, options: { heldUpSeconds: () => number }) {
          heldUp = options.heldUpSeconds();
          finish();
        },
        settle: async () => {
          isSettled = true;
        },
      },
      lazyDisks: {
        serve: async () => ({ socket: '' }),
        expect: () => undefined,
        end: async () => {
          isEnded = true;
        },
        stallSeconds: () => (isEnded ? 0 : 42),
        ahead: () => (isEnded ? null : { segments: 3, bytes: 9 }),
        recorded: () => (isEnded ? null : TRACE),
      },
      engine: {
        making: () => (isComplete ? [] : [{ digest: DIGEST, files: [] }]),
        onMaking: () => () => undefined,
      },
      deliveries: {
        async deliver(order: DiskOrder) {
          await complete.promise;
          await order.onDelivered(localDelivery(IMAGE));
          return { seconds: {} };
        },
      },
      store: {
        async intact() {
          if (!isComplete) throw new VmdnError('not_found', 'no such image');
          return { ...IMAGE, layers: { files: [] } };
        },
        find: () => (isComplete ? IMAGE : undefined),
      },
      receipts: { write: async (receipt: unknown) => void receipts.push([receipt, told.length]) },
      events: { teleportStep: () => undefined },
      holds: { isHeld: () => false, isAwaited: () => false },
      sources: {},
      coordinatorKey: {},
    } as unknown as PursuitDeps;
    const memory: PursuitJob['memory'] = {
      ...{ known: 'booting', confirmed: true, ready: false, released: false },
      ...{ independent: false, unsettled: false, toldPower: null },
    };
    const desired = { ...DESIRED, state: 'booting', lazy: true, skipFree: false, requestedAt: NOW };
    const job: PursuitJob = {
      desired: () => desired as DesiredTeleport,
      memory,
      signal: new AbortController().signal,
      stirred: () => new Promise(() => undefined),
      lose: () => undefined,
    };
    return { deps, job, told, receipts, saved, heldUp: () => heldUp };
  }

  it('is not charged for the time in which its reads wait, and tells how long that was', async () => {
    const { deps, job, told, heldUp } = edgeWithGuest('later');
    await pursueTeleport(deps, job);
    expect(heldUp()).toBe(42);
    const running = told.find(({ body }) => body.state === 'running')!.body;
    expect(running).toMatchObject({ stallSeconds: 42, trace: { segments: 3, bytes: 9 } });
  });

  it('is told of as it was, too, when it read from files before it was ready', async () => {
    const { deps, job, told, heldUp } = edgeWithGuest('at once');
    await pursueTeleport(deps, job);
    expect(heldUp()).toBe(0);
    const running = told.find(({ body }) => body.state === 'running')!.body;
    expect(running).toMatchObject({ stallSeconds: 42, trace: { segments: 3, bytes: 9 } });
    // What it read later nobody saw.
    expect(told.map(({ id }) => id)).not.toContain('putBootTrace');
  });

  it('gives others what it read, and signs for what came before anybody hears that it is there', async () => {
    const { deps, job, told, receipts, saved } = edgeWithGuest('later');
    await pursueTeleport(deps, job);
    expect(told.map(({ id }) => id)).toContain('putBootTrace');
    expect(job.memory.trace).toBeUndefined();
    const [[receipt, toldBefore]] = receipts as [[{ times: Record<string, string> }, number]];
    expect(told.slice(0, toldBefore).some(({ body }) => body.independent === true)).toBe(false);
    expect(told.some(({ body }) => body.independent === true)).toBe(true);
    expect(receipt).toMatchObject({ lazy: true, stallSeconds: 42, disks: [{ digest: DIGEST }] });
    // After a kill it is the same text, whatever the clock says.
    const again = edgeWithGuest('at once');
    again.saved.push(saved.at(-1)!);
    const memory = { ...again.job.memory, ready: true, known: 'running' as const };
    await pursueTeleport(again.deps, { ...again.job, memory });
    expect(again.receipts[0]).toMatchObject([receipt, expect.any(Number)]);
  });
});
