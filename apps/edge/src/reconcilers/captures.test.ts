import type { Description } from '@vmdn/core/domain/description.ts';
import type { Digest } from '@vmdn/core/domain/digest.ts';
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
const [OTHER_TELEPORT, OTHER_CAPTURE] = [
  '33333333-3333-4333-8333-333333333333' as Id,
  '44444444-4444-4444-8444-444444444444' as Id,
];
const HARDWARE = { vcpus: 1, memoryMiB: 64, firmware: 'bios', ports: [], ready: null };
const DISK = { digest: 'ab'.repeat(32) as Digest, virtualSizeBytes: 4096 };
const FACTS = { os: null, packages: [], services: [], databases: [], mounts: [], boots: [] };

interface Edge {
  /** What the hypervisor, the capture and the reports do instead of what they should. */
  stop?: () => Promise<void>;
  capture?: (order: CaptureOrder) => Promise<void>;
  report?: (body: { state: string }) => void;
  settle?: () => Promise<void>;
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
  const listeners = new Set<() => void>();
  const desired = {
    latest: () => state as DesiredState,
    onChange: (listener: () => void) => void listeners.add(listener),
  };
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
        expect(isForced).toBe(false);
        expect(holds.isHeld(vm), 'it is held').toBe(true);
        done.push(vm === TELEPORT ? 'stop' : 'stop the other');
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
    images: {
      async willMake(capture: Id, image: Digest) {
        expect([capture, image]).toEqual([CAPTURE, DISK.digest]);
        done.push('note');
      },
      keep: async () => void done.push('keep'),
      settle: async () => await edge.settle?.(),
    },
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
      for (const listener of listeners) listener();
    },
  };
}

describe('a capture', () => {
  it('I3: stops the guest, captures it, tells what is held, then what that is; it goes on', async () => {
    const { done, last, run, holds } = edgeWith();
    expect(holds.isHeld(TELEPORT)).toBe(true);
    await run();
    expect(done).toEqual(['stop', 'capture', 'go on', 'tell holdings', 'tell done', 'keep']);
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
    expect(done).toEqual([...first, 'tell holdings', 'tell done', 'keep']);
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
    expect(done.slice(-2)).toEqual(['tell done', 'keep']);
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
    expect(holds.isAwaited(TELEPORT)).toBe(true);
    await run();
    expect(done).toEqual(['stop', 'capture', 'tell holdings', 'tell done', 'keep']);
    expect([holds.isAwaited(TELEPORT), holds.isHeld(TELEPORT)]).toEqual([true, true]);
    become({ captures: [], teleports: [{ teleport: TELEPORT, state: 'cancelled', version: {} }] });
    expect([holds.isAwaited(TELEPORT), holds.isHeld(TELEPORT)]).toEqual([false, false]);
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

describe('a capture that its user ended', () => {
  const nothing = { captures: [], teleports: [{ teleport: TELEPORT, state: 'running' }] };

  it('I5: is broken off at once while it is under way, says nothing, and its VM goes on', async () => {
    const { done, reports, run, edge, become, holds } = edgeWith({ keepStopped: true });
    edge.capture = async ({ signal }) => {
      become(nothing);
      expect(signal.aborted).toBe(true);
      expect(holds.isHeld(TELEPORT), 'its disks are still read').toBe(true);
      signal.throwIfAborted();
    };
    await run();
    expect(done).toEqual(['stop', 'capture', 'go on']);
    expect(holds.isHeld(TELEPORT)).toBe(false);
    expect(reports.filter(({ state }) => state !== 'running')).toEqual([]);
  });

  it('I5: when it was through here is over as well: nothing of it is kept', async () => {
    const { done, run, edge, holds, become } = edgeWith({ keepStopped: true });
    edge.report = ({ state }) => {
      if (state !== 'running') throw new VmdnError('cancelled', 'The user ended this capture.');
    };
    await run();
    expect(done).toEqual(['stop', 'capture', 'tell holdings', 'go on']);
    expect(holds.isHeld(TELEPORT)).toBe(false);
    become(nothing);
    await run();
    expect(done).not.toContain('keep');
  });

  it('I5: before its turn came is not begun', async () => {
    const { done, run, edge, become } = edgeWith();
    const first = { capture: OTHER_CAPTURE, teleport: OTHER_TELEPORT, vm: 'other', version: 1 };
    const both = [first, { capture: CAPTURE, teleport: TELEPORT, vm: 'used', version: 1 }];
    const teleports = [OTHER_TELEPORT, TELEPORT].map((teleport) => {
      return { teleport, state: 'running', version: {} };
    });
    become({ captures: both, teleports });
    edge.capture = async () => become({ captures: [first], teleports });
    await run();
    expect(done.filter((word) => word.startsWith('stop'))).toEqual(['stop the other']);
  });
});

describe('what captures made', () => {
  it('I6: is noted before it is made', async () => {
    const { done, run, edge } = edgeWith();
    edge.capture = async ({ willMake }) => await willMake(DISK.digest);
    await run();
    expect(done.slice(0, 3)).toEqual(['stop', 'capture', 'note']);
  });

  it('I6: is settled before the next is begun, and what fails there keeps none waiting', async () => {
    const { done, run, edge } = edgeWith();
    edge.settle = async () => {
      done.push('settle');
      throw new VmdnError('unavailable', 'away');
    };
    await expect(run()).rejects.toMatchObject({ code: 'unavailable' });
    expect(done.slice(0, 2)).toEqual(['settle', 'stop']);
    expect(done.at(-1)).toBe('keep');
  });
});
