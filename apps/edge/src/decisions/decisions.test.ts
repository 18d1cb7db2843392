import { parseDigest } from '@vmdn/core/domain/digest.ts';
import { ERROR_CODES, VmdnError } from '@vmdn/core/domain/errors.ts';
import {
  isFinal,
  mayMove,
  TELEPORT_STATES,
  type TeleportState,
} from '@vmdn/core/domain/teleport.ts';
import { totalTierBytes } from '@vmdn/core/domain/tiers.ts';
import { describe, expect, it } from 'vitest';
import { localDelivery } from './deliveries.ts';
import { HopelessError, meaningOf, pauseMs } from './failure.ts';
import {
  leadsToNewVm,
  nextTeleportStep,
  reportPath,
  type TeleportActual,
} from './teleport-step.ts';

const DIGEST = parseDigest('ab'.repeat(32));
const OTHER = parseDigest('cd'.repeat(32));

const FRESH: TeleportActual = {
  missing: [DIGEST, OTHER],
  opened: false,
  vm: 'absent',
  filling: false,
  independent: false,
  confirmed: false,
  ready: false,
  toldPower: null,
  released: false,
};
const eager = (state: TeleportState) => ({ state, lazy: false, power: 'on' }) as const;
const lazily = (state: TeleportState) => ({ ...eager(state), lazy: true });
const HELD: TeleportActual = { ...FRESH, missing: [] };
const LIVE = TELEPORT_STATES.filter((state) => !isFinal(state));

describe('the next step of a teleport', () => {
  it('walks from nothing to a running VM, each step seen by the next look', () => {
    const steps: string[] = [];
    let actual = FRESH;
    for (;;) {
      const step = nextTeleportStep(eager('routed'), actual);
      steps.push(step.do);
      if (step.do === 'deliver') actual = { ...actual, missing: actual.missing.slice(1) };
      else if (step.do === 'confirm') actual = { ...actual, confirmed: true };
      else if (step.do === 'define') actual = { ...actual, vm: 'defined' };
      else if (step.do === 'start') actual = { ...actual, vm: 'running' };
      else if (step.do === 'await-ready') actual = { ...actual, ready: true };
      else break;
    }
    expect(steps).toEqual([
      ...['deliver', 'deliver', 'confirm', 'define', 'start', 'await-ready', 'announce'],
    ]);
  });

  it.each(LIVE)('I2: never defines or starts unconfirmed, whatever else is true (%s)', (state) => {
    for (const vm of ['absent', 'other', 'defined'] as const) {
      for (const missing of [[], [DIGEST]]) {
        const step = nextTeleportStep(eager(state), { ...FRESH, missing, vm, confirmed: false });
        expect(['define', 'start']).not.toContain(step.do);
      }
    }
  });

  it('I1: takes up a VM that still runs after a restart where it was', () => {
    expect(nextTeleportStep(eager('booting'), { ...HELD, vm: 'running' })).toEqual({
      do: 'await-ready',
    });
    const told = { ...HELD, vm: 'running', toldPower: 'on' } as const;
    expect(nextTeleportStep(eager('running'), told)).toEqual({ do: 'nothing' });
  });

  it('asks again before it starts a VM that should run and does not', () => {
    expect(nextTeleportStep(eager('running'), { ...HELD, vm: 'defined' })).toEqual({
      do: 'confirm',
    });
    const confirmed = { ...HELD, vm: 'defined', confirmed: true } as const;
    expect(nextTeleportStep(eager('running'), confirmed)).toEqual({ do: 'start' });
  });

  it('makes a disk again that the store lost, before it starts the VM', () => {
    const lost = { ...HELD, missing: [DIGEST], vm: 'defined' } as const;
    expect(nextTeleportStep(eager('running'), lost)).toEqual({ do: 'deliver', digest: DIGEST });
  });

  it('I4: removes a VM of another version only once the new disks are there', () => {
    const other = { ...HELD, vm: 'other' } as const;
    expect(nextTeleportStep(eager('syncing'), { ...other, missing: [DIGEST] }).do).toBe('deliver');
    expect(nextTeleportStep(eager('syncing'), other).do).toBe('discard');
  });

  it('I5: walks from nothing to a lazy VM that runs, and on until it needs nobody', () => {
    const steps: string[] = [];
    let actual = FRESH;
    let state: TeleportState = 'routed';
    for (let step = ''; step !== 'nothing'; ) {
      step = nextTeleportStep(lazily(state), actual).do;
      steps.push(step);
      if (step === 'open') actual = { ...actual, opened: true };
      else if (step === 'confirm') actual = { ...actual, confirmed: true };
      else if (step === 'define') actual = { ...actual, vm: 'defined', filling: true };
      else if (step === 'start') actual = { ...actual, vm: 'running' };
      else if (step === 'await-ready') actual = { ...actual, ready: true };
      else if (step === 'complete') actual = { ...actual, missing: [], opened: false };
      else if (step === 'settle') actual = { ...actual, filling: false };
      else if (step === 'announce') {
        actual = { ...actual, independent: !actual.filling, toldPower: 'on' };
        state = 'running';
      }
    }
    expect(steps).toEqual([
      ...['open', 'confirm', 'define', 'start', 'await-ready', 'announce'],
      ...['complete', 'settle', 'announce', 'nothing'],
    ]);
  });

  it('I5: opens the disks of a lazy VM again after a restart, whether or not it runs', () => {
    for (const vm of ['defined', 'running'] as const) {
      const actual = { ...FRESH, vm, filling: true };
      expect(nextTeleportStep(lazily('running'), actual).do).toBe('open');
    }
  });

  it('I5: a lazy VM that is complete before it is ready is settled first', () => {
    const actual = { ...HELD, vm: 'running', filling: true } as const;
    expect(nextTeleportStep(lazily('booting'), actual).do).toBe('settle');
  });

  it('asks for room for overlays until the VM exists, and never to remove one', () => {
    for (const step of ['confirm', 'define'] as const) {
      expect(leadsToNewVm({ do: step }, 'absent')).toBe(true);
      expect(leadsToNewVm({ do: step }, 'other')).toBe(true);
      expect(leadsToNewVm({ do: step }, 'defined')).toBe(false);
    }
    expect(leadsToNewVm({ do: 'deliver', digest: DIGEST }, 'running')).toBe(false);
    expect(leadsToNewVm({ do: 'remove' }, 'absent')).toBe(false);
  });

  it('I6: keeps a VM off that should be, says so once, and starts it when it should be on again', () => {
    const off = { ...eager('running'), power: 'off' } as const;
    const runs = { ...HELD, vm: 'running', confirmed: true, ready: true } as const;
    expect(nextTeleportStep(off, runs).do).toBe('stop');
    const stopped = { ...runs, vm: 'defined' } as const;
    expect(nextTeleportStep(off, stopped).do).toBe('tell-off');
    const told = { ...stopped, toldPower: 'off' } as const;
    expect(nextTeleportStep(off, told).do).toBe('nothing');
    expect(nextTeleportStep(eager('running'), told).do).toBe('start');
    // What is on its way arrives first.
    expect(nextTeleportStep({ ...off, state: 'booting' }, stopped).do).toBe('start');
    expect(nextTeleportStep({ ...off, state: 'cancelled' }, told).do).toBe('remove');
  });

  it('I6: says that a VM is off of which nothing is left, too', () => {
    const off = { ...eager('running'), power: 'off' } as const;
    expect(nextTeleportStep(off, HELD).do).toBe('tell-off');
  });

  it('I6: stops a VM whatever its disks lack', () => {
    for (const wish of [eager('running'), lazily('running')]) {
      const runs = { ...FRESH, vm: 'running', filling: true } as const;
      expect(nextTeleportStep({ ...wish, power: 'off' }, runs).do).toBe('stop');
      expect(nextTeleportStep({ ...wish, power: 'held' }, runs).do).not.toBe('stop');
    }
  });

  it('I8: goes on with the disks of a lazy VM that is off, until it needs nobody', () => {
    const steps: string[] = [];
    const off = { ...lazily('running'), power: 'off' } as const;
    let actual: TeleportActual = { ...FRESH, vm: 'running', filling: true };
    for (let step = ''; step !== 'nothing'; ) {
      step = nextTeleportStep(off, actual).do;
      steps.push(step);
      if (step === 'stop') actual = { ...actual, vm: 'defined' };
      else if (step === 'open') actual = { ...actual, opened: true };
      else if (step === 'complete') actual = { ...actual, missing: [], toldPower: 'off' };
      else if (step === 'settle') actual = { ...actual, filling: false };
      else if (step === 'tell-off') actual = { ...actual, independent: true };
    }
    expect(steps).toEqual(['stop', 'open', 'complete', 'settle', 'tell-off', 'nothing']);
  });

  it('I8: starts a lazy VM again that is still to be read from its export', () => {
    const opened = { ...FRESH, opened: true, vm: 'defined', filling: true } as const;
    expect(nextTeleportStep(lazily('running'), opened).do).toBe('confirm');
    expect(nextTeleportStep(lazily('running'), { ...opened, confirmed: true }).do).toBe('start');
  });

  it('I8: makes a disk whole that the store lost while its VM was off', () => {
    const off = { ...lazily('running'), power: 'off' } as const;
    const lost = { ...FRESH, vm: 'defined', toldPower: 'off', independent: true } as const;
    expect(nextTeleportStep(off, lost).do).toBe('open');
    expect(nextTeleportStep(off, { ...lost, opened: true }).do).toBe('complete');
    expect(nextTeleportStep(off, { ...lost, missing: [] }).do).toBe('nothing');
  });

  it('I7: says that a VM is on, and where, until that was heard, after its disk is there', () => {
    for (const heard of [null, 'off'] as const) {
      const runs = { ...HELD, vm: 'running', independent: true, toldPower: heard } as const;
      for (const wish of [eager('running'), lazily('running')]) {
        expect(nextTeleportStep(wish, runs).do).toBe('tell-on');
        expect(nextTeleportStep(wish, { ...runs, toldPower: 'on' }).do).toBe('nothing');
      }
      const comes = { ...runs, missing: [DIGEST], opened: true, independent: false };
      expect(nextTeleportStep(lazily('running'), comes).do).toBe('complete');
    }
  });

  it('I6: neither starts nor stops a VM that is held', () => {
    const held = { ...eager('running'), power: 'held' } as const;
    const off = { ...HELD, vm: 'defined', confirmed: true } as const;
    expect(nextTeleportStep(held, off).do).toBe('nothing');
    const runs = { ...off, vm: 'running', toldPower: 'on' } as const;
    expect(nextTeleportStep(held, runs).do).toBe('nothing');
    expect(nextTeleportStep({ ...held, state: 'cancelled' }, off).do).toBe('remove');
  });

  it.each(['cancelled', 'failed'] as const)('I3: removes what is left of a %s one', (state) => {
    for (const vm of ['absent', 'other', 'defined', 'running'] as const) {
      expect(nextTeleportStep(eager(state), { ...FRESH, vm })).toEqual({ do: 'remove' });
    }
    expect(nextTeleportStep(eager(state), { ...HELD, released: true })).toEqual({ do: 'nothing' });
  });
});

describe('the path of reports', () => {
  it('is one that the table of moves takes, from every state to every state that can be reached', () => {
    for (const from of TELEPORT_STATES) {
      for (const to of TELEPORT_STATES) {
        const path = reportPath(from, to, false);
        expect(path.at(-1)).toBe(to);
        if (isFinal(from) && from !== to) continue;
        // Nothing leads back to `routed` but a new epoch.
        if (to === 'routed' && from !== 'routed') continue;
        [from, ...path].reduce((before, after) => {
          expect(mayMove(before, after, false), `${before} to ${after}`).toBe(true);
          return after;
        });
      }
    }
  });

  it('says the present state once, so that a report may be repeated', () => {
    expect(reportPath('syncing', 'syncing', false)).toEqual(['syncing']);
    expect(reportPath('routed', 'running', false)).toEqual([
      ...['syncing', 'verified', 'booting', 'running'],
    ]);
    expect(reportPath('routed', 'running', true)).toEqual(['syncing', 'booting', 'running']);
  });
});

describe('the meaning of a failure', () => {
  it('is known for every code', () => {
    for (const code of ERROR_CODES) {
      expect(['wait', 'fail', 'lost', 'stop']).toContain(meaningOf(new VmdnError(code, '')));
    }
    expect(meaningOf(new TypeError('a defect'))).toBe('fail');
  });

  it('I1: waits for what may pass', () => {
    for (const code of ['unavailable', 'timeout', 'busy', 'disk_full', 'withdrawn'] as const) {
      expect(meaningOf(new VmdnError(code, ''))).toBe('wait');
    }
    expect(meaningOf(new VmdnError('stale_epoch', ''))).toBe('lost');
    // But not for what is said to be in vain, whatever its code.
    expect(meaningOf(new HopelessError('not_found', ''))).toBe('fail');
    expect(meaningOf(new VmdnError('not_found', ''))).toBe('wait');
  });

  it('pauses longer and longer, up to a limit', () => {
    expect([1, 2, 3, 4, 50].map((attempt) => pauseMs(attempt, 1000, 5000))).toEqual([
      1000, 2000, 4000, 5000, 5000,
    ]);
  });
});

describe('the numbers of a delivery', () => {
  const disk = { digest: DIGEST, virtualSizeBytes: 10_240, nonZeroBytes: 4096 };

  it('add up to the disk when it was here already, and nothing crossed a network', () => {
    const delivery = localDelivery(disk);
    expect(totalTierBytes(delivery.diskBytes)).toBe(disk.virtualSizeBytes);
    expect(delivery.diskBytes).toMatchObject({ zero: 6144, local: 4096, origin: 0 });
    expect(totalTierBytes(delivery.wireBytes)).toBe(0);
  });
});
