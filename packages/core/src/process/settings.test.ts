import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { bytes, flag, integer, listenAddress, parseSettings, pathList } from './settings.ts';

describe('settings', () => {
  const schema = z.object({
    LISTEN: listenAddress(),
    RATE: bytes().optional(),
    COUNT: integer({ min: 1, max: 9 }).default(3),
    DIRS: pathList().default([]),
    ON: flag().default(false),
  });

  it('are read into values with defaults', () => {
    expect(
      parseSettings(schema, {
        LISTEN: '[::1]:0',
        RATE: '10M',
        DIRS: '/a:/b',
        ON: 'yes',
        OTHER: 'x',
      }),
    ).toEqual({
      LISTEN: { host: '::1', port: 0 },
      RATE: 10_000_000,
      COUNT: 3,
      DIRS: ['/a', '/b'],
      ON: true,
    });
  });

  it('report every problem at once, and never fall back to a default for a wrong value', () => {
    const read = () => parseSettings(schema, { RATE: 'fast', COUNT: '12', ON: 'maybe' });
    expect(read).toThrow(/LISTEN must be set/);
    expect(read).toThrow(/RATE/);
    expect(read).toThrow(/COUNT/);
    expect(read).toThrow(/ON/);
  });

  it.each([
    ['10000000', 10_000_000],
    ['10M', 10_000_000],
    ['4GiB', 4 * 2 ** 30],
    ['1.5k', 1500],
    ['0', 0],
  ])('take %s as %d bytes', (raw, expected) => {
    expect(bytes().parse(raw)).toBe(expected);
  });

  it.each(['-1', '10 MBit', 'M', '1e99'])('refuse %s as a number of bytes', (raw) => {
    expect(bytes().safeParse(raw).success).toBe(false);
  });
});
