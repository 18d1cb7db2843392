import { describe, expect, it } from 'vitest';
import { parseEdges, parseKm, parsePlace, placeWords } from './arguments.ts';
import { EXIT_CODES } from './exit-codes.ts';
import { formatBytes, formatSeconds, formatTiers } from './text/sizes.ts';

describe('a place', () => {
  it.each([
    ['eu-west-1', { region: 'eu-west-1' }],
    [' New York ', { region: 'New-York' }],
    ['São Paulo', { region: 'Sao-Paulo' }],
    ['48.85,2.35', { latitude: 48.85, longitude: 2.35 }],
    ['-33.9, 151', { latitude: -33.9, longitude: 151 }],
  ])('may be written as %j', (raw, place) => {
    expect(parsePlace(raw)).toEqual(place);
  });

  it.each(['', '-x', '90.1,0', '0,181', 'a/b', '1,2,3'])('may not be %j', (raw) => {
    expect(() => parsePlace(raw)).toThrow(expect.objectContaining({ code: 'invalid_input' }));
  });

  it('has words of its own', () => {
    expect(placeWords({ latitude: 1, longitude: -2 })).toBe('1,-2');
  });
});

describe('numbers and lists', () => {
  it('take distances within the Earth', () => {
    expect(parseKm('250.5')).toBe(250.5);
    for (const raw of ['', '0', '-3', '30000', 'x'])
      expect(() => parseKm(raw)).toThrow(/kilometres/);
  });

  it('take edges once each', () => {
    expect(parseEdges('a, b,,a')).toEqual(['a', 'b']);
    expect(() => parseEdges(' , ')).toThrow(/at least one/);
  });
});

describe('sizes for people', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.00 kB'],
    [999_499, '999 kB'],
    [999_500, '1.00 MB'],
    [35_200_000, '35.2 MB'],
    [403_000_000, '403 MB'],
    [8 * 2 ** 40, '8.80 TB'],
  ])('say %i as %s', (bytes, words) => {
    expect(formatBytes(bytes)).toBe(words);
  });

  it.each([
    [0.42, '0.4 s'],
    [12.4, '12 s'],
    [185, '3 min 5 s'],
    [7380, '2 h 3 min'],
  ])('say %d seconds as %s', (seconds, words) => {
    expect(formatSeconds(seconds)).toBe(words);
  });

  it('leave out the tiers that gave nothing', () => {
    expect(formatTiers({ zero: 0, local: 2_000_000, package: 0, peer: 0, origin: 5 })).toBe(
      'local 2.00 MB, origin 5 B',
    );
  });
});

describe('exit codes', () => {
  it('are neither success nor a signal for any error', () => {
    for (const code of Object.values(EXIT_CODES)) {
      expect(code).toBeGreaterThanOrEqual(64);
      expect(code).toBeLessThan(128);
    }
  });
});
