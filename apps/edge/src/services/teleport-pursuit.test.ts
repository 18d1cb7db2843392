import type { Description } from '@vmdn/core/domain/description.ts';
import { parseDigest } from '@vmdn/core/domain/digest.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { type Id, parseName } from '@vmdn/core/domain/names.ts';
import { OVERLAY_HEADROOM_BYTES } from '@vmdn/core/domain/overlay-room.ts';
import type { DesiredTeleport } from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import type { ReservationRequest } from '@vmdn/core/io/ports/image-store.ts';
import { describe, expect, it } from 'vitest';
import { createCapacity } from './capacity.ts';
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
const DESIRED = {
  ...{ teleport: TELEPORT, epoch: 1, state: 'routed', grant: 'none' },
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
    sources: {},
    coordinatorKey: {},
  } as unknown as PursuitDeps;
  const job: PursuitJob = {
    desired: () => DESIRED,
    memory: { confirmed: false, ready: false, released: false, state: null } as never,
    signal: new AbortController().signal,
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
