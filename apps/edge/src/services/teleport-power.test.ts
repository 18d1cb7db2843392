import type { Description } from '@vmdn/core/domain/description.ts';
import { parseDigest } from '@vmdn/core/domain/digest.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { type Id, parseName } from '@vmdn/core/domain/names.ts';
import type { Power } from '@vmdn/core/domain/power.ts';
import type { DesiredTeleport } from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import { describe, expect, it } from 'vitest';
import { createCapacity } from './capacity.ts';
import type { PursuitDeps, PursuitJob } from './teleport-pass.ts';
import { pursueTeleport } from './teleport-pursuit.ts';

const TELEPORT = '11111111-1111-4111-8111-111111111111' as Id;
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
  ...{ teleport: TELEPORT, epoch: 1, state: 'running', grant: 'none' },
  version: { vm: DESCRIPTION.vm, version: 1, state: 'live', holders: [], origin: {} },
} as unknown as DesiredTeleport;
const ENDPOINT = { port: 'web', host: '127.0.0.1', hostPort: 40_000 };

/** An edge with a delivered VM; `told` is what its coordinator heard of it while it was not away. */
function edgeWithVm(vm: 'defined' | 'running') {
  const edge = {
    ...{ vm: vm as 'defined' | 'running' | 'absent', power: 'on' as Power },
    state: 'running' as DesiredTeleport['state'],
    ...{ isHeld: false, isAwaited: false, isAway: (_: Power): boolean => false },
  };
  const told: { power: Power; endpoints: unknown }[] = [];
  const status = () => ({
    ...{ state: edge.vm, definition: { disks: [DISK] } },
    ...(edge.vm === 'running' && { endpoints: [ENDPOINT], accelerator: 'tcg' }),
  });
  let record: unknown = null;
  const deps = {
    client: {
      async call(_: unknown, { body }: { body: (typeof told)[number] & { state: string } }) {
        if (edge.isAway(body.power)) throw new VmdnError('unavailable', 'away');
        told.push({ power: body.power, endpoints: body.endpoints });
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
      define: async () => undefined,
      async start() {
        edge.vm = 'running';
        return status();
      },
      async stop() {
        edge.vm = 'defined';
      },
      async destroy() {
        edge.vm = 'absent';
      },
    },
    copies: { remove: async () => undefined },
    lazyDisks: { end: async () => undefined, record: () => undefined },
    engine: { making: () => [] },
    holds: { isHeld: () => edge.isHeld, isAwaited: () => edge.isAwaited },
    store: { intact: async () => IMAGE, find: () => IMAGE, release: () => undefined },
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
    desired: () => ({ ...DESIRED, state: edge.state, power: edge.power }),
    memory: {
      ...{ known: 'running', confirmed: false, ready: false, released: false },
      ...{ independent: false, unsettled: false, toldPower: null },
    },
    signal: new AbortController().signal,
    lose: () => undefined,
  };
  return { edge, told, pursue: () => pursueTeleport(deps, job) };
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
