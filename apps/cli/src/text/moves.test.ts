import { FENCE_STATES } from '@vmdn/core/domain/fence.ts';
import type { Teleport } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import { describe, expect, it } from 'vitest';
import { runTool, startStandIn, TELEPORT, TOKEN, teleportIn } from '../program.fixture.ts';
import { moveLines } from './moves.ts';

const SINCE = '2026-01-02T03:04:05.000Z';

function words(state: Teleport['state'], move: Partial<NonNullable<Teleport['move']>>): string {
  const whole = { fence: 'idle' as const, fencedAt: null, problem: null, ...move };
  const lines = moveLines(teleportIn(state, { move: whole }));
  expect(lines).toHaveLength(1);
  return lines[0]!;
}

describe('the words on a move', () => {
  it('I1: say of each whether the source can start', () => {
    for (const fence of FENCE_STATES)
      expect(words('running', { fence })).toMatch(/source of web-01/);
    expect(words('verified', { fence: 'idle' })).toContain('can start until paris-1 is ready');
    expect(words('running', { fence: 'held', fencedAt: SINCE })).toContain(
      `can't start since ${SINCE}`,
    );
    expect(words('cancelled', { fence: 'over' })).toContain('can start');
  });

  it('name the way out while an edge that failed keeps the source', () => {
    for (const state of ['cancelled', 'failed'] as const) {
      const line = words(state, { fence: 'held', fencedAt: SINCE });
      expect(line).toContain('until paris-1 has said that nothing of the VM is left');
      expect(line).toContain('vmdn origin unfence');
    }
  });

  it('say why the origin can’t', () => {
    expect(words('verified', { fence: 'wanted', problem: 'it runs' })).toContain('(it runs)');
  });

  it('are none for a copy, unless its VM was moved away', () => {
    expect(moveLines(teleportIn('running'))).toEqual([]);
    expect(moveLines(teleportIn('running', { movedBy: TELEPORT }))[0]).toContain(
      'what it was then',
    );
  });
});

describe('the tool, with a move', () => {
  it('asks for it, says how its source stands, and gives up writes only where that is said', async () => {
    const held = { fence: 'held' as const, fencedAt: SINCE, problem: null };
    await using standIn = await startStandIn({ events: [teleportIn('running', { move: held })] });
    const env = { VMDN_URL: standIn.url, VMDN_TOKEN: TOKEN };
    const { stdout } = await runTool(['teleport', 'web-01', '--near', 'paris', '--move'], env);
    expect(stdout).toContain(`move: the source of web-01 can't start since ${SINCE}`);
    const status = await runTool(['status', TELEPORT], env);
    expect(status.stdout.match(/^move: /gm)).toHaveLength(1);
    await runTool(['cancel', TELEPORT], env);
    await runTool(['cancel', TELEPORT, '--discard-writes'], env);
    const wish = { vm: 'web-01', near: { region: 'paris' }, move: true };
    expect(standIn.asked).toEqual([wish, { writes: 'discard' }]);
  });
});
