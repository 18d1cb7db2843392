import { describe, expect, it } from 'vitest';
import { formatBytes, formatKm, formatSeconds } from './routing-words.ts';

describe('numbers in words', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.0 kB'],
    [154_700_000, '154.7 MB'],
    [999_960, '1.0 MB'],
    [4.5e15, '4500.0 TB'],
  ])('%d bytes are %s', (bytes, words) => expect(formatBytes(bytes)).toBe(words));

  it.each([
    [7.25, '7.3 s'],
    [200.4, '3 min 20 s'],
    [59.99, '60 s'],
  ])('%d seconds are %s', (seconds, words) => expect(formatSeconds(seconds)).toBe(words));

  it('are rounded for distances', () => expect(formatKm(464.2)).toBe('464 km'));
});
