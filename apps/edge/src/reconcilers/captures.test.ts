import type { Description } from '@vmdn/core/domain/description.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import type { DesiredState } from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import type { CaptureOrder } from '@vmdn/core/io/ports/capture-vm.ts';
import type { StopOptions } from '@vmdn/core/io/ports/hypervisor.ts';
import { describe, expect, it } from 'vitest';
import { createVmHolds } from '../services/vm-holds.ts';
import { createCapturesReconciler } from './captures.ts';

const TELEPORT = '11111111-1111-4111-8111-111111111111' as Id;
const CAPTURE = '22222222-2222-4222-8222-222222222222' as Id;
const HARDWARE = { vcpus: 1, memoryMiB: 64, firmware: 'bios', ports: [], ready: null };
const DISK = { digest: 'ab'.repeat(32), virtualSizeBytes: 4096 };
const FACTS = { os: null, packages: [], services: [], databases: [], mounts: [], boots: [] };

interface Edge {
  /** What the hypervisor, the capture and the reports do instead of what they should. */
  stop?: () => Promise<void>;
  capture?: (order: CaptureOrder) => Promise<void>;
  report?: (body: { state: string }) => void;
  readonly keepStopped?: boolean;
}

/** An edge with one VM that is to be captured, and all that it does, in order. */
function edgeWith({ keepStopped = false, ...ways }: Edge = {}) {
  const done: string[] = [];
  const reports: { state: string; message?: string; errorCode?: string; description?: string }[] =
    [];
  const order = { capture: CAPTURE, teleport: TELEPORT, vm: 'used', version: 3, keepStopped };
  let state: unknown = {
    captures: [order],
    teleports: [{ teleport: TELEPORT, state: 'running', version: {} }],
  };
  const desired = { latest: () => state as DesiredState };
  const holds = createVmHolds({ desired });
  const edge: Edge = ways;
  const run = createCapturesReconciler({
    ...{ desired, holds, shutdownGraceMs: 1000 },
    client: {
      async call(_: unknown, { body }: { body: { state: string } }) {
        edge.report?.(body);
        if (body.state !== 'running') done.push(`tell ${body.state}`);
        reports.push(body);
        return { accepted: true };
      },
    },
    hypervisor: {
      async stop(vm: Id, { isForced }: StopOptions) {
        expect([vm, isForced]).toEqual([TELEPORT, false]);
        done.push('stop');
        await edge.stop?.();
      },
      diskFiles: async () => [[{ path: '/overlay', format: 'qcow2' }]],
    },
    async captureVm(captureOrder: CaptureOrder) {
      done.push('capture');
      await edge.capture?.(captureOrder);
      const guest = { ...FACTS, remarks: ['a remark'] };
      return { disks: [DISK], guest, readBytes: 1, ownBytes: 1 };
    },
    sign: async (description: Description) => JSON.stringify(description),
    versions: { verify: async () => ({ hardware: HARDWARE }) },
    reportHoldings: async () => void done.push('tell holdings'),
    onEnd: () => void done.push('go on'),
    events: { vmCaptured: () => undefined, captureFailed: () => undefined },
  } as unknown as Parameters<typeof createCapturesReconciler>[0]);
  return {
    ...{ done, reports, edge, holds },
    last: () => reports.at(-1)!,
    run: (signal = new AbortController().signal) => run(signal),
    become: (next: unknown) => {
      state = next;
    },
  };
}

describe('a capture', () => {
  it('I3: stops the guest, captures it, tells what is held, then what that is; it goes on', async () => {
    const { done, last, run, holds } = edgeWith();
    expect(holds.isHeld(TELEPORT)).toBe(true);
    await run();
    expect(done).toEqual(['stop', 'capture', 'go on', 'tell holdings', 'tell done']);
    expect(holds.isHeld(TELEPORT)).toBe(false);
    const { description, ...rest } = last();
    expect(rest).toEqual({ state: 'done' });
    const { describedAt, ...said } = JSON.parse(description!);
    const subject = { schema: 'vmdn-description/1', vm: 'used', version: 3, consistency: 'off' };
    expect(said).toEqual({ ...subject, ...FACTS, hardware: HARDWARE, disks: [DISK] });
    expect(Date.parse(describedAt)).toBeGreaterThan(0);
  });

  it('I1: that fails says why, once, and its VM goes on', async () => {
    const { done, last, run, edge, holds } = edgeWith();
    edge.stop = async () =>
      Promise.reject(new VmdnError('timeout', 'The guest did not shut down.'));
    await run();
    expect(done).toEqual(['stop', 'go on', 'tell failed']);
    expect(last()).toMatchObject({ errorCode: 'timeout', message: 'The guest did not shut down.' });
    expect(holds.isHeld(TELEPORT)).toBe(false);
  });

  it('I2: is not made again when the coordinator did not hear of its end', async () => {
    const { done, run, edge, holds } = edgeWith();
    edge.report = ({ state }) => {
      if (state === 'done') throw new VmdnError('unavailable', 'away');
    };
    await expect(run()).rejects.toMatchObject({ code: 'unavailable' });
    expect(holds.isHeld(TELEPORT)).toBe(false);
    delete edge.report;
    await run();
    const first = ['stop', 'capture', 'go on', 'tell holdings'];
    expect(done).toEqual([...first, 'tell holdings', 'tell done']);
  });

  it('failed when the coordinator does not take its description', async () => {
    const { last, run, edge } = edgeWith();
    edge.report = ({ state }) => {
      if (state === 'done') throw new VmdnError('conflict', 'Another node announces a VM "used".');
    };
    await run();
    expect(last()).toMatchObject({ state: 'failed', errorCode: 'conflict' });
  });

  it('keeps a VM off that is to stay off, until the coordinator names it no more', async () => {
    const { done, run, holds, become, edge } = edgeWith({ keepStopped: true });
    edge.report = ({ state }) => {
      if (state === 'done') throw new VmdnError('unavailable', 'away');
    };
    await expect(run()).rejects.toMatchObject({ code: 'unavailable' });
    expect(done).not.toContain('go on');
    expect(holds.isHeld(TELEPORT)).toBe(true);
    delete edge.report;
    await run();
    expect(done.at(-1)).toBe('tell done');
    become({ captures: [], teleports: [] });
    expect(holds.isHeld(TELEPORT)).toBe(false);
  });

  it('of a VM that is to stay off goes on when it fails', async () => {
    const { done, run, edge } = edgeWith({ keepStopped: true });
    edge.capture = async () => Promise.reject(new VmdnError('no_room', 'no room'));
    await run();
    expect(done).toEqual(['stop', 'capture', 'go on', 'tell failed']);
  });

  it('that is broken off by the end of this process says nothing and is begun anew by the next', async () => {
    const { done, run, edge, holds } = edgeWith();
    const stop = new AbortController();
    edge.capture = async () => {
      stop.abort();
      throw new VmdnError('cancelled', 'stopping');
    };
    await expect(run(stop.signal)).rejects.toMatchObject({ code: 'cancelled' });
    expect(done).toEqual(['stop', 'capture']);
    expect(holds.isHeld(TELEPORT)).toBe(true);
  });

  it('I4: of a VM that is to be removed comes before that', async () => {
    const { run, become, done, holds } = edgeWith();
    become({
      captures: [{ capture: CAPTURE, teleport: TELEPORT, vm: 'used', version: 1 }],
      teleports: [{ teleport: TELEPORT, state: 'cancelled', version: {} }],
    });
    expect(holds.isHeld(TELEPORT)).toBe(true);
    await run();
    expect(done).toEqual(['stop', 'capture', 'tell holdings', 'tell done']);
    expect(holds.isHeld(TELEPORT)).toBe(true);
    become({ captures: [], teleports: [{ teleport: TELEPORT, state: 'cancelled', version: {} }] });
    expect(holds.isHeld(TELEPORT)).toBe(false);
  });

  it('of a VM that was removed meanwhile says so', async () => {
    const { run, become, last } = edgeWith();
    become({
      captures: [{ capture: CAPTURE, teleport: TELEPORT, vm: 'used', version: 1 }],
      teleports: [],
    });
    await run();
    expect(last()).toMatchObject({ state: 'failed', errorCode: 'not_found' });
  });
});
