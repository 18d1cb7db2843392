import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { distanceKm, FARTHEST_KM, parseLocation } from './geography.ts';

const point = fc.record({
  latitude: fc.double({ min: -90, max: 90, noNaN: true }),
  longitude: fc.double({ min: -180, max: 180, noNaN: true }),
});

describe('distances on the earth', () => {
  it.each([
    // Independent figures: great-circle calculators of airports and geodesists, to 0.6 % (I1).
    ['London to Paris', [51.5074, -0.1278], [48.8566, 2.3522], 344],
    ['New York to Los Angeles', [40.7128, -74.006], [34.0522, -118.2437], 3936],
    ['Sydney to Auckland, across no date line', [-33.8688, 151.2093], [-36.8485, 174.7633], 2156],
    ['Suva to Apia, across the date line', [-18.1416, 178.4419], [-13.8333, -171.7667], 1146],
    ['pole to pole', [90, 0], [-90, 0], 20_015],
  ] as const)('are right for %s', (_, [fromLat, fromLon], [toLat, toLon], km) => {
    const from = { latitude: fromLat, longitude: fromLon };
    const to = { latitude: toLat, longitude: toLon };
    expect(Math.abs(distanceKm(from, to) - km)).toBeLessThan(km * 0.006 + 1);
  });

  it('are the same both ways, zero to oneself and never beyond the antipodes', () => {
    fc.assert(
      fc.property(point, point, (from, to) => {
        const there = distanceKm(from, to);
        expect(there).toBeCloseTo(distanceKm(to, from), 6);
        expect(distanceKm(from, from)).toBe(0);
        expect(there).toBeGreaterThanOrEqual(0);
        expect(there).toBeLessThanOrEqual(FARTHEST_KM);
      }),
    );
  });

  it('are never longer than a detour, near the antipodes either', () => {
    fc.assert(
      fc.property(point, point, point, (from, via, to) => {
        const detour = distanceKm(from, via) + distanceKm(via, to);
        expect(distanceKm(from, to)).toBeLessThanOrEqual(detour + 1e-6);
      }),
    );
  });
});

describe('a location', () => {
  it.each([
    [90.01, 0],
    [0, -180.5],
    [Number.NaN, 0],
  ])('is refused at %d, %d', (latitude, longitude) => {
    expect(() => parseLocation(latitude, longitude)).toThrow(/latitude/);
  });
});
