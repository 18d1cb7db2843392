import { describe, expect, it } from 'vitest';
import { distanceKm } from './geography.ts';
import { NAME_PATTERN } from './names.ts';
import { editDistance, findRegion, REGIONS, suggestRegions, unknownRegion } from './regions.ts';

describe('the built-in places', () => {
  it('are all named and located, each name once', () => {
    const names = REGIONS.map((region) => region.region.toLowerCase());
    expect(new Set(names).size).toBe(names.length);
    for (const { region, title, latitude, longitude } of REGIONS) {
      expect(region).toMatch(NAME_PATTERN);
      expect(title.length).toBeGreaterThan(0);
      expect(Math.abs(latitude)).toBeLessThanOrEqual(90);
      expect(Math.abs(longitude)).toBeLessThanOrEqual(180);
      expect(latitude === 0 && longitude === 0).toBe(false);
    }
  });

  it('hold the regions of three public clouds and several hundred cities', () => {
    const count = (kind: string): number => REGIONS.filter((one) => one.kind === kind).length;
    expect(count('aws')).toBeGreaterThanOrEqual(33);
    expect(count('gcp')).toBeGreaterThanOrEqual(40);
    expect(count('azure')).toBeGreaterThanOrEqual(50);
    expect(count('city')).toBeGreaterThanOrEqual(300);
  });

  it.each([
    ['eu-west-2', 'london'],
    ['europe-west3', 'frankfurt'],
    ['australiaeast', 'sydney'],
    ['ap-northeast-1', 'tokyo'],
    ['southamerica-west1', 'santiago'],
    ['southafricawest', 'cape-town'],
    ['us-west2', 'los-angeles'],
  ])('put the region %s beside the city %s', (region, city) => {
    expect(distanceKm(findRegion(region)!, findRegion(city)!)).toBeLessThan(30);
  });

  it('are found whatever the case (I1)', () => {
    expect(findRegion('EU-West')).toBe(findRegion('eu-west'));
    expect(findRegion('London')?.title).toBe('London');
  });
});

describe('a name that means nothing', () => {
  it.each([
    ['eu-wst', 'eu-west'],
    ['franfurt', 'frankfurt'],
    ['us-east-3', 'us-east-2'],
    ['sidney', 'sydney'],
  ])('%s is answered with %s among the suggestions (I2)', (wrong, right) => {
    expect(suggestRegions(wrong)).toContain(right);
  });

  it('is answered with the regions that only this network has', () => {
    expect(suggestRegions('basement', ['basement-1'])).toEqual(['basement-1']);
  });

  it('is an error that says where the names are when nothing is close', () => {
    expect(unknownRegion('xxxxxxxxxxxxxxx')).toMatchObject({
      code: 'not_found',
      data: { suggestions: [] },
    });
    expect(unknownRegion('xxxxxxxxxxxxxxx').message).toContain('/v1/regions');
  });

  it('is compared by letters added, left out and changed', () => {
    expect(editDistance('kitten', 'sitting')).toBe(3);
    expect(editDistance('', 'abc')).toBe(3);
    expect(editDistance('same', 'same')).toBe(0);
  });
});
