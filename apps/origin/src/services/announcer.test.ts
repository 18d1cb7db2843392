import type { Description, VersionState } from '@vmdn/core/domain/description.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Name } from '@vmdn/core/domain/names.ts';
import { createLogger } from '@vmdn/core/process/logger.ts';
import { describe, expect, it } from 'vitest';
import { createAnnouncer } from './announcer.ts';
import type { VersionBook, VersionStanding } from './version-book.ts';

const logger = createLogger('test', { level: 'silent' });

function standing(version: number, state: VersionState, isNewest: boolean): VersionStanding {
  const description = isNewest ? ({ vm: 'web', version } as unknown as Description) : null;
  return {
    vm: 'web' as Name,
    version,
    digests: [],
    skipFreeDigests: [],
    consistency: 'off',
    isNewest,
    description,
    state,
    pin: 'none',
  };
}

/** A book with these standings, and a coordinator that writes down what it is told. */
function setUp(
  standings: VersionStanding[],
  refuse: (what: string) => Error | undefined = () => undefined,
) {
  const said: string[] = [];
  const renumbered: number[] = [];
  const say = async (what: string): Promise<void> => {
    const refusal = refuse(what);
    if (refusal !== undefined) throw refusal;
    said.push(what);
  };
  const book = {
    standings: () => standings,
    renumber: async (_vm: Name, version: number) => void renumbered.push(version),
  } as unknown as VersionBook;
  const announcer = createAnnouncer({
    book,
    logger,
    announcements: {
      announce: ({ version }, state) => say(`announce ${version} ${state}`),
      setState: (_vm, version, state) => say(`state ${version} ${state}`),
    },
  });
  return { announcer, said, renumbered, standings };
}

describe('an announcer', () => {
  it('I2: tells older versions first, and each state once', async () => {
    const { announcer, said, standings } = setUp([
      standing(1, 'pinned', false),
      standing(2, 'live', true),
    ]);
    await announcer.push();
    await announcer.push();
    expect(said).toEqual(['state 1 pinned', 'announce 2 live']);
    standings[1] = standing(2, 'withdrawn', true);
    await announcer.push();
    expect(said.at(-1)).toBe('state 2 withdrawn');
  });

  it('I1: tells everything again after it was told to forget', async () => {
    const { announcer, said } = setUp([standing(1, 'live', true)]);
    await announcer.push();
    announcer.forget();
    await announcer.push();
    expect(said).toEqual(['announce 1 live', 'announce 1 live']);
  });

  it('I3: stops at a coordinator that is away, and tells the rest when it is back', async () => {
    let away = true;
    const { announcer, said } = setUp(
      [standing(1, 'withdrawn', false), standing(2, 'live', true)],
      () => (away ? new VmdnError('unavailable', 'away') : undefined),
    );
    await announcer.push();
    expect(said).toEqual([]);
    away = false;
    await announcer.push();
    expect(said).toEqual(['state 1 withdrawn', 'announce 2 live']);
  });

  it('takes a higher number when the coordinator knows more', async () => {
    const conflict = new VmdnError('conflict', 'older', {
      data: { vm: 'web', version: 1, known: 6 },
    });
    const { announcer, renumbered } = setUp([standing(1, 'live', true)], () => conflict);
    await announcer.push();
    expect(renumbered).toEqual([7]);
  });

  it('does not take a number when the VM is another origin’s', async () => {
    const conflict = new VmdnError('conflict', 'another origin', { data: { vm: 'web' } });
    const { announcer, renumbered } = setUp([standing(1, 'live', true)], () => conflict);
    await announcer.push();
    expect(renumbered).toEqual([]);
  });
});
