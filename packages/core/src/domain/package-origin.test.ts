import { describe, expect, it } from 'vitest';
import type { OperatingSystem } from './description.ts';
import {
  isOfRelease,
  packageFormatOf,
  type RepositoryFacts,
  servesGuest,
} from './package-origin.ts';

const os = (id: string, versionId = '12'): OperatingSystem => ({
  id,
  versionId,
  prettyName: id,
  architecture: 'amd64',
});
const debian: RepositoryFacts = {
  format: 'deb',
  origin: 'Debian',
  codename: 'bookworm',
  version: '12.11',
  osIds: [],
};
const rpm: RepositoryFacts = { format: 'rpm', origin: '', codename: '', version: '', osIds: [] };

describe('which repositories count for a guest', () => {
  it('I1: the origin in the signed index decides, and the operator goes before it', () => {
    expect(servesGuest(os('debian'), debian)).toBe(true);
    expect(servesGuest(os('ubuntu'), debian)).toBe(false);
    expect(servesGuest(os('fedora'), debian)).toBe(false);
    expect(servesGuest(os('fedora'), rpm)).toBe(true);
    expect(servesGuest(os('toString'), debian)).toBe(false);
    expect(servesGuest(os('debian'), { ...debian, origin: 'Somebody' })).toBe(false);
    expect(servesGuest(os('our-os'), { ...debian, osIds: ['our-os'] })).toBe(true);
    expect(servesGuest(os('debian'), { ...debian, osIds: ['ubuntu'] })).toBe(false);
    expect(packageFormatOf('plan9')).toBeNull();
  });

  it('I2: the version only says which are searched first', () => {
    expect(isOfRelease(os('debian'), debian)).toBe(true);
    expect(isOfRelease(os('debian'), { ...debian, version: '12-updates' })).toBe(true);
    expect(isOfRelease(os('debian'), { ...debian, version: '12' })).toBe(true);
    expect(isOfRelease(os('debian'), { ...debian, version: '120' })).toBe(false);
    expect(isOfRelease(os('debian', ''), { ...debian, version: '' })).toBe(false);
    expect(servesGuest(os('debian', '11'), debian)).toBe(true);
  });
});
