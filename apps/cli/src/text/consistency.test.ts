import type { Name } from '@vmdn/core/domain/names.ts';
import { describe, expect, it } from 'vitest';
import { DEBIAN } from '../forms/forms.fixture.ts';
import { teleportIn } from '../program.fixture.ts';
import { descriptionLines } from './lists.ts';
import { routedLines } from './teleports.ts';

describe('what a version holds of a VM that ran', () => {
  it('is said of a teleport and of a description, and nothing is said of one that was off', () => {
    const routed = (consistency: 'off' | 'agent' | 'crash'): string =>
      routedLines(teleportIn('routed', { consistency })).join('\n');
    const described = (consistency?: 'off' | 'agent' | 'crash'): string => {
      const description = { ...DEBIAN, consistency };
      const reply = {
        description,
        origin: 'origin-1' as Name,
        state: 'pinned',
        scores: [],
      } as const;
      return descriptionLines(reply as never, false).join('\n');
    };
    for (const say of [routed, described]) {
      expect(say('crash')).toContain('as after a power cut');
      expect(say('agent')).toContain('frozen for that by its agent');
      expect(say('off')).not.toContain('it ran');
    }
    expect(described(undefined)).toBe(described('off'));
  });
});
