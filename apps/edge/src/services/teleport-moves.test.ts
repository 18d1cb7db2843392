import type { Description } from '@vmdn/core/domain/description.ts';
import { parseDigest } from '@vmdn/core/domain/digest.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { type Id, parseName } from '@vmdn/core/domain/names.ts';
import type { DesiredTeleport } from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import { describe, expect, it } from 'vitest';
import { createCapacity } from './capacity.ts';
import type { PursuitDeps, PursuitJob } from './teleport-pass.ts';
import { pursueTeleport } from './teleport-pursuit.ts';

const TELEPORT = '11111111-1111-4111-8111-111111111111' as Id;
const DIGEST = parseDigest('ab'.repeat(32));
const IMAGE = { digest: DIGEST, virtualSizeBytes: 4096, nonZeroBytes: 4096, format: 'raw' };
const DESCRIPTION = {
  vm: parseName('web-01', 'VM'),
  version: 1,
  hardware: { vcpus: 1, memoryMiB: 64, firmware: 'bios', ports: [], ready: null },
  disks: [{ digest: DIGEST, virtualSizeBytes: 4096, nonZeroBytes: 4096 }],
} as unknown as Description;
const DESIRED = {
  ...{ teleport: TELEPORT, epoch: 1, state: 'syncing', grant: 'none' },
  version: { vm: DESCRIPTION.vm, version: 1, state: 'live', holders: [], origin: {} },
} as unknown as DesiredTeleport;

/**
 * An edge that has all bytes of a moved VM; its coordinator lets it boot when it asked `asks` times. Tells
 * what was reported and done, in order.
 */
function edgeThatAsks(asks: number, state: DesiredTeleport['state'] = 'syncing') {
  const done: string[] = [];
  const bodies: Record<string, unknown>[] = [];
  const controller = new AbortController();
  let asked = 0;
  const deps = {
    client: {
      async call(_: unknown, { body }: { body: Record<string, unknown> }) {
        done.push(String(body.state));
        bodies.push(body);
        if (body.state === 'booting') asked += 1;
        const awaits = body.state === 'booting' && asked <= asks;
        if (awaits && asked === 9) controller.abort(new VmdnError('cancelled', 'stopped'));
        return {
          state: awaits ? 'verified' : body.state,
          epoch: 1,
          ...(awaits && { awaits: 'it' }),
        };
      },
    },
    versions: { verify: async () => DESCRIPTION },
    records: {
      read: async () => null,
      write: async () => undefined,
      remove: async () => undefined,
    },
    capacity: createCapacity({ memoryMiB: 1024, vcpus: 4 }),
    hypervisor: {
      status: async () => ({ state: 'absent' }),
      async define() {
        done.push('define');
        throw new VmdnError('cancelled', 'far enough');
      },
      destroy: async () => void done.push('destroy'),
    },
    lazyDisks: { end: async () => undefined },
    copies: { remove: async () => undefined },
    engine: { making: () => [] },
    holds: { isHeld: () => false, isAwaited: () => false },
    store: {
      intact: async () => ({ ...IMAGE, layers: { files: [] } }),
      find: () => IMAGE,
      stagings: async () => [],
      reserve: async () => undefined,
      release: () => undefined,
    },
    events: {
      teleportStep: () => undefined,
      teleportAwaits: () => void done.push('awaits'),
      vmRemoved: () => undefined,
    },
    sources: {},
    coordinatorKey: {},
  } as unknown as PursuitDeps;
  const job: PursuitJob = {
    desired: () => ({ ...DESIRED, state }),
    memory: {
      ...{ known: state, confirmed: false, ready: false, released: false },
      ...{ independent: false, unsettled: false, toldPower: null },
    },
    signal: controller.signal,
    stirred: () => new Promise(() => undefined),
    lose: () => undefined,
  };
  return { done, bodies, pursue: () => pursueTeleport(deps, job) };
}

describe('an edge with a moved VM', () => {
  it('I2: defines it only when the coordinator lets it boot, and asks until then', async () => {
    const { done, pursue } = edgeThatAsks(3);
    await expect(pursue()).rejects.toMatchObject({ message: 'far enough' });
    expect(done).toEqual([
      'verified',
      'booting',
      'awaits',
      'booting',
      'booting',
      'booting',
      'define',
    ]);
  });

  it('I2: asks no more when its job ends', async () => {
    const { done, pursue } = edgeThatAsks(100);
    await expect(pursue()).rejects.toMatchObject({ message: 'stopped' });
    expect(done.filter((one) => one === 'booting')).toHaveLength(9);
    expect(done).not.toContain('define');
  });

  it('says of one that failed that it is gone, after it has removed it', async () => {
    const { done, bodies, pursue } = edgeThatAsks(0, 'failed');
    await pursue();
    expect(done).toEqual(['destroy', 'failed']);
    expect(bodies[0]).toMatchObject({ gone: true });
  });
});
