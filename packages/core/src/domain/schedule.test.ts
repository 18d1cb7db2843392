import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PRIORITY } from './raised-rows.ts';
import { ROW_DONE, Schedule } from './schedule.ts';
import { SourceHealth } from './schedule-retry.ts';

interface Setup {
  readonly remote?: readonly number[];
  readonly self?: readonly number[];
  readonly firstRows?: readonly number[];
  readonly done?: readonly number[];
}

/** Rows 0..n-1 in segments 0..n-1; row r's repeated blocks come first in row firstRows[r]. */
function scheduleOf(rows: number, setup: Setup = {}) {
  const states = new Uint8Array(rows);
  for (const row of setup.done ?? []) states[row] = ROW_DONE;
  const column = (values: readonly number[] = []) =>
    Uint16Array.from({ length: rows }, (_, i) => values[i] ?? 0);
  return new Schedule({
    segmentOfRow: Uint32Array.from({ length: rows }, (_, i) => i),
    remoteMasks: column(setup.remote),
    selfMasks: column(setup.self),
    firstRowOf: (row) => setup.firstRows?.[row] ?? row,
    states,
  });
}

const anyRow = { blocksMax: 1000, runsMax: 1000, accepts: () => true };

describe('the schedule', () => {
  it('gives ready rows in disk order, and leaves out what is done', () => {
    const schedule = scheduleOf(6, { remote: [0, 1, 0, 0, 0, 0], done: [3] });
    expect([...schedule.takeReady(2)]).toEqual([0, 2]);
    expect([...schedule.takeReady(9)]).toEqual([4, 5]);
    expect([...schedule.takeReady(9)]).toEqual([]);
    expect(schedule.left).toBe(5);
  });

  it('asks a remote source for exactly the missing blocks, joined to runs, bounded in blocks', () => {
    const schedule = scheduleOf(3, { remote: [0x8001, 0x0003, 0x00f0] });
    expect(schedule.wantingRemote).toEqual({ rows: 3, blocks: 8 });
    const batch = schedule.takeRemote({ ...anyRow, blocksMax: 4 });
    expect([...batch!.rows]).toEqual([0, 1]);
    expect([...batch!.runs]).toEqual([0, 1, 15, 3]);
    expect(batch!.blockCount).toBe(4);
    expect([...schedule.takeRemote(anyRow)!.runs]).toEqual([36, 4]);
    expect(schedule.takeRemote(anyRow)).toBeUndefined();
    expect(schedule.wantingRemote).toEqual({ rows: 0, blocks: 0 });
  });

  it('passes over rows that a source does not accept, and gives them to the next', () => {
    const schedule = scheduleOf(4, { remote: [1, 1, 1, 1] });
    const odd = schedule.takeRemote({ ...anyRow, accepts: (row) => row % 2 === 1 });
    expect([...odd!.rows]).toEqual([1, 3]);
    expect([...schedule.takeRemote(anyRow)!.rows]).toEqual([0, 2]);
  });

  it('I2: looks at the rows that a source names, forward or backward, one range for a batch', () => {
    const schedule = scheduleOf(8, { remote: Array(8).fill(0xffff) });
    const order = [
      { from: 5, to: 7, isBackward: false },
      { from: 1, to: 5, isBackward: true },
    ];
    const take = () => schedule.takeRemote({ ...anyRow, blocksMax: 48, order });
    expect([...take()!.rows]).toEqual([5, 6]);
    expect([...take()!.rows]).toEqual([2, 3, 4]);
    expect([...take()!.rows]).toEqual([1]);
    expect(take()).toBeUndefined();
    expect([...schedule.takeRemote(anyRow)!.rows]).toEqual([0, 7]);
  });

  it('I2: looks at rows that come first before the rest, and after those that were raised', () => {
    const schedule = scheduleOf(8, { remote: Array(8).fill(0xffff) });
    schedule.raise(7, PRIORITY.bootTrace);
    const first = Uint32Array.of(6, 7, 2, 4);
    const take = () => schedule.takeRemote({ ...anyRow, blocksMax: 32, first });
    expect([...take()!.rows]).toEqual([7]);
    expect([...take()!.rows]).toEqual([2, 6]);
    // It travels alone.
    expect([...take()!.rows]).toEqual([4]);
    expect([...take()!.rows]).toEqual([0, 1]);
  });

  it('I3: a row that repeats a block waits until the first copy is verified', () => {
    const schedule = scheduleOf(3, { remote: [1], self: [0, 0, 2], firstRows: [0, 1, 0] });
    expect([...schedule.takeReady(9)]).toEqual([1]);
    schedule.takeRemote(anyRow);
    expect(schedule.isReadyToAssemble(2)).toBe(false);
    schedule.done(0);
    expect([...schedule.takeReady(9)]).toEqual([2]);
  });

  it('I1: a row in flight comes back with what it lacks', () => {
    const schedule = scheduleOf(1);
    schedule.takeReady(1);
    schedule.staged(0, 0b0111);
    schedule.lacks(0, 0b1000);
    schedule.settle(0);
    expect(schedule.stagedMask(0)).toBe(0b0111);
    expect([...schedule.takeRemote(anyRow)!.runs]).toEqual([3, 1]);
    schedule.staged(0, 0b1000);
    schedule.settle(0);
    expect([...schedule.takeReady(1)]).toEqual([0]);
    schedule.done(0);
    expect(schedule.left).toBe(0);
  });

  it('I2: raised rows go first, by priority, with the rows that they wait for, and travel alone', () => {
    const remote = Array<number>(10).fill(1);
    remote[8] = 0;
    const self = Array<number>(10).fill(0);
    self[8] = 2;
    const schedule = scheduleOf(10, { remote, self, firstRows: [0, 1, 2, 3, 4, 5, 6, 7, 4, 9] });
    schedule.raise(9, PRIORITY.bootTrace);
    schedule.raise(8, PRIORITY.guestRead);
    expect([...schedule.takeRemote({ ...anyRow, blocksMax: 1 })!.rows]).toEqual([4]);
    expect([...schedule.takeRemote(anyRow)!.rows]).toEqual([9]);
    schedule.done(4);
    expect([...schedule.takeReady(5)]).toEqual([8]);
    expect([...schedule.takeRemote(anyRow)!.rows]).toEqual([0, 1, 2, 3, 5, 6, 7]);
  });

  it('I2: rows of one priority travel together, in the order in which they were raised', () => {
    const schedule = scheduleOf(10, { remote: Array(10).fill(1) });
    for (const row of [7, 1, 5, 3]) schedule.raise(row, PRIORITY.bootTrace);
    for (const row of [9, 3]) schedule.raise(row, PRIORITY.guestRead);
    schedule.raise(8, PRIORITY.readAhead);
    // What is urgent already stays so.
    schedule.raise(3, PRIORITY.readAhead);
    expect([3, 8, 7, 0].map((row) => schedule.priorityOf(row))).toEqual([0, 1, 2, 3]);
    const urgent = { ...anyRow, upTo: PRIORITY.guestRead };
    expect([...schedule.takeRemote({ ...urgent, blocksMax: 1 })!.rows]).toEqual([9]);
    expect([...schedule.takeRemote(urgent)!.rows]).toEqual([3]);
    expect(schedule.takeRemote(urgent)).toBeUndefined();
    expect([...schedule.takeRemote(anyRow)!.rows]).toEqual([8]);
    expect([...schedule.takeRemote({ ...anyRow, blocksMax: 2 })!.rows]).toEqual([1, 7]);
    // One that comes back is before those that were raised after it.
    schedule.settle(1);
    expect([...schedule.takeRemote({ ...anyRow, blocksMax: 2 })!.rows]).toEqual([1, 5]);
    expect([...schedule.takeRemote(anyRow)!.rows]).toEqual([0, 2, 4, 6]);
  });

  it('I2: what a raised row turns out to wait for is raised too', () => {
    const schedule = scheduleOf(6, { remote: [1, 1, 1, 1], firstRows: [0, 1, 2, 3, 4, 3] });
    schedule.raise(5, PRIORITY.guestRead);
    expect([...schedule.takeReady(1)]).toEqual([5]);
    schedule.repeats(5, 1);
    schedule.settle(5);
    expect([...schedule.takeRemote({ ...anyRow, blocksMax: 1 })!.rows]).toEqual([3]);
    schedule.done(3);
    expect([...schedule.takeReady(1)]).toEqual([5]);
  });

  it('I1, I3: whatever is lost on the way, every row gets done, and nothing is given out twice', () => {
    const row = fc.record({
      remote: fc.integer({ min: 0, max: 0xffff }),
      self: fc.integer({ min: 0, max: 0xffff }),
      first: fc.nat(),
    });
    const luck = fc.infiniteStream(fc.nat({ max: 9 }));
    fc.assert(
      fc.property(fc.array(row, { minLength: 1, maxLength: 40 }), luck, (rows, dice) => {
        const roll = () => dice.next().value as number;
        const schedule = scheduleOf(rows.length, {
          remote: rows.map(({ remote }) => remote),
          self: rows.map(({ remote, self }) => self & ~remote),
          firstRows: rows.map(({ first }, i) => first % (i + 1)),
        });
        const flying = new Set<number>();
        const fly = (taken: Iterable<number>) => {
          for (const one of taken) {
            expect(flying.has(one)).toBe(false);
            flying.add(one);
          }
        };
        for (let step = 0; schedule.left > 0; step += 1) {
          expect(step).toBeLessThan(5000);
          fly(schedule.takeReady(1 + roll()));
          fly(schedule.takeRemote({ ...anyRow, blocksMax: 1 + 5 * roll() })?.rows ?? []);
          const [one] = flying;
          if (one === undefined) continue;
          flying.delete(one);
          if (roll() < 3) {
            schedule.lacks(one, 1 << roll());
            schedule.settle(one);
          } else if (schedule.remoteMask(one) !== 0 && !schedule.isReadyToAssemble(one)) {
            schedule.staged(one, schedule.remoteMask(one));
            schedule.settle(one);
          } else {
            schedule.done(one);
          }
        }
        expect(flying.size).toBe(0);
      }),
    );
  });
});

describe('the health of a source', () => {
  const at = (request: number, lastRequest = request) => ({ request, lastRequest });

  it('I1: waits longer after each failure, at most ten seconds, and never gives up', () => {
    const health = new SourceHealth();
    const waits: number[] = [];
    for (let i = 0; i < 12; i += 1) {
      health.failed('unavailable', at(1), 1000, 0.999_999);
      waits.push(Math.round(health.retryAtMs - 1000));
    }
    expect(waits.slice(0, 4)).toEqual([250, 500, 1000, 2000]);
    expect(waits.at(-1)).toBe(10_000);
    expect(health.isAside).toBe(false);
    health.answered();
    expect(health.isAway).toBe(false);
    health.failed('busy', at(1), 0, 0);
    expect(health.retryAtMs).toBe(125);
  });

  it('I2: is set aside at the second strike; requests on their way at the first do not count', () => {
    const health = new SourceHealth();
    health.failed('corrupt', at(3, 5), 0, 0);
    health.strike(at(4, 6));
    health.strike(at(5, 6));
    expect(health.isAside).toBe(false);
    health.strike(at(6, 7));
    expect(health.asideCode).toBe('corrupt');
  });

  it('is set aside at once for what no retry mends', () => {
    const health = new SourceHealth();
    health.failed('withdrawn', at(1), 0, 0);
    expect(health.asideCode).toBe('withdrawn');
  });
});
