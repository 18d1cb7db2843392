import { describe, expect, it } from 'vitest';
import { freshHostname, HOSTNAME_PATTERN, identityObstacle } from './identity.ts';
import { type Id, type Name, parseName } from './names.ts';
import { checkNetworkMap, lackedNetworks, neededNetworks } from './networks.ts';

const name = (raw: string): Name => parseName(raw, 'test');
const onLanAndDmz = {
  interfaces: [
    { network: name('lan') },
    { network: name('dmz') },
    { network: name('lan'), mac: '52:54:00:00:00:01' },
  ],
};

describe('networks by name', () => {
  it('I1: are needed under their own names, each once, or under those of a map', () => {
    expect(neededNetworks(onLanAndDmz, {})).toEqual(['lan', 'dmz']);
    expect(neededNetworks(onLanAndDmz, { [name('lan')]: name('user') })).toEqual(['user', 'dmz']);
    expect(neededNetworks({}, {})).toEqual([]);
  });

  it('I2: are mapped only where the VM is on them', () => {
    const wrong = { [name('wan')]: name('user') };
    expect(() => checkNetworkMap(onLanAndDmz, wrong)).toThrow(/no network "wan".*lan, dmz/);
    expect(() => checkNetworkMap({}, wrong)).toThrow(/it names none/);
    checkNetworkMap(onLanAndDmz, { [name('lan')]: name('user') });
    const odd = { interfaces: [{ network: name('constructor') }] };
    expect(neededNetworks(odd, {})).toEqual(['constructor']);
  });

  it('I3: of an edge are `user` and those that it said', () => {
    const needed = [name('user'), name('lan')];
    expect(lackedNetworks(needed, null)).toEqual(['lan']);
    expect(lackedNetworks(needed, [name('lan')])).toEqual([]);
  });
});

describe('a fresh identity', () => {
  const id = '0b6f5a4e-0d6c-4c61-8a43-111111111111' as Id;

  it('has a host name that is one, and tells two teleports of a VM apart', () => {
    expect(freshHostname(name('web-01'), id)).toBe('web-01-0b6f5a4e');
    expect(freshHostname(name('Web_1.example'), id)).toBe('web-1-example-0b6f5a4e');
    for (const vm of ['a', 'x'.repeat(63), '0.-_', `a${'-'.repeat(62)}`]) {
      expect(freshHostname(name(vm), id)).toMatch(HOSTNAME_PATTERN);
    }
    const other = '1b6f5a4e-0d6c-4c61-8a43-111111111111' as Id;
    expect(freshHostname(name('web-01'), other)).not.toBe(freshHostname(name('web-01'), id));
  });

  it('takes the host names that Linux takes', () => {
    for (const good of ['a', 'web-01', 'Web.example.org', 'x'.repeat(63)]) {
      expect(good).toMatch(HOSTNAME_PATTERN);
    }
    for (const bad of [
      '',
      '-a',
      'a-',
      'a..b',
      'a.',
      'a b',
      'a\n',
      'ü',
      'x'.repeat(64),
      `${'ab.'.repeat(21)}cd`,
    ]) {
      expect(bad).not.toMatch(HOSTNAME_PATTERN);
    }
  });

  it('is not for a guest that nobody can look into', () => {
    const os = { id: 'debian', versionId: '12', prettyName: 'Debian', architecture: 'amd64' };
    expect(identityObstacle({ os })).toBeNull();
    expect(identityObstacle({ os: null })).toMatch(/operating system is not known/);
    const mount = { source: '/dev/mapper/sda3_crypt', target: '/', type: 'ext4', options: '' };
    expect(identityObstacle({ os, mounts: [mount] })).toMatch(/is encrypted/);
  });
});
