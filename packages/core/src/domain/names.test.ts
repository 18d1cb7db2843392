import { describe, expect, it } from 'vitest';
import { parseId, parseName } from './names.ts';

describe('a name', () => {
  it.each(['web-01', 'a', '0', 'A.b_c-d', 'x'.repeat(63)])('may be %s', (raw) => {
    expect(parseName(raw, 'VM')).toBe(raw);
  });

  it.each([
    '',
    '--help',
    '-rf',
    '.hidden',
    '_x',
    'a b',
    'a/b',
    '../x',
    'x$(id)',
    '; rm',
    '<x>',
    'a\n',
    'a\0',
    'ä',
    'x'.repeat(64),
    7,
    null,
  ])('may not be %j (I1)', (raw) => {
    expect(() => parseName(raw, 'VM')).toThrow(/The VM must be/);
  });
});

describe('an identifier', () => {
  it('is a lower-case UUID (I2)', () => {
    const id = '0f8fad5b-d9cb-469f-a165-70867728950e';
    expect(parseId(id, 'teleport')).toBe(id);
    for (const raw of [id.toUpperCase(), id.slice(1), `${id}0`, 'web-01', undefined]) {
      expect(() => parseId(raw, 'teleport')).toThrow(/must be a lower-case UUID/);
    }
  });
});
