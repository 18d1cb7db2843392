import { describe, expect, it } from 'vitest';
import { type Name, parseId } from '../domain/names.ts';
import type { EdgeNetwork } from '../domain/networks.ts';
import { deliveredHardware } from './delivered-hardware.ts';
import { cardAddress, guestNics } from './guest-nics.ts';

const VM = parseId('0b6f5a4e-0d6c-4c61-8a43-111111111111', 'VM');
const OTHER = parseId('0b6f5a4e-0d6c-4c61-8a43-222222222222', 'VM');
const UUID = parseId('0c0ffee0-0d6c-4c61-8a43-333333333333', 'UUID');
const name = (raw: string): Name => raw as Name;
const networks = new Map<Name, EdgeNetwork>([
  [name('user'), { kind: 'user' }],
  [name('lan'), { kind: 'bridge', device: 'br0' }],
]);
const forwards = [{ hostAddress: '127.0.0.1', hostPort: 0, guestPort: 80 }];
const on = (...wanted: string[]) => ({ interfaces: wanted.map((one) => ({ network: name(one) })) });
const kindsOf = (...wanted: string[]) =>
  guestNics(VM, on(...wanted), networks, forwards).map((nic) => [
    nic.network.kind,
    nic.forwards.length,
  ]);

describe('the network cards of a guest', () => {
  it('I1: are one on user networking where none is named', () => {
    const [nic, ...more] = guestNics(VM, {}, networks, forwards);
    expect(nic).toMatchObject({ network: { kind: 'user' }, forwards });
    expect(more).toEqual([]);
  });

  it('I2: let the named ports in by user networking, behind all others if need be', () => {
    expect(kindsOf('lan', 'user', 'user')).toEqual([
      ['bridge', 0],
      ['user', 1],
      ['user', 0],
    ]);
    expect(kindsOf('lan')).toEqual([
      ['bridge', 0],
      ['user', 1],
    ]);
    expect(guestNics(VM, on('lan'), networks, [])).toHaveLength(1);
  });

  it('I3: have addresses of their own, locally administered and of one card', () => {
    const addresses = [VM, OTHER].flatMap((vm) => [0, 1, 2, 3].map((at) => cardAddress(vm, at)));
    expect(new Set(addresses).size).toBe(8);
    for (const address of addresses) expect(address).toMatch(/^[0-9a-f][26ae](:[0-9a-f]{2}){5}$/);
    expect(guestNics(VM, on('lan'), networks, [])[0]?.macAddress).toBe(cardAddress(VM, 0));
  });

  it('are refused on a network that is not there', () => {
    expect(() => kindsOf('constructor')).toThrow(/no network "constructor" \(it has user, lan\)/);
  });
});

describe('delivered hardware', () => {
  const plain = { vcpus: 1, memoryMiB: 64, firmware: 'bios', ports: [], ready: null } as const;
  const mac = '52:54:00:00:00:01';
  const hardware = { ...plain, uuid: UUID, interfaces: [{ network: name('default'), mac }] };
  const networksTo = { [name('default')]: name('lan') };

  it('is what it was, on the networks of the edge', () => {
    const wish = { identity: 'same', networks: networksTo } as const;
    const interfaces = [{ network: 'lan', mac }];
    expect(deliveredHardware(hardware, VM, wish)).toEqual({ ...hardware, interfaces });
    expect(deliveredHardware(plain, VM, { identity: 'same', networks: {} })).toEqual(plain);
  });

  it('I1: has an identity that follows from the teleport where a fresh one is asked for', () => {
    const fresh = (vm: typeof VM) =>
      deliveredHardware(hardware, vm, { identity: 'fresh', networks: {} });
    const interfaces = [{ network: 'default', mac: cardAddress(VM, 0) }];
    expect(fresh(VM)).toEqual({ ...hardware, uuid: VM, interfaces });
    expect(fresh(VM)).toEqual(fresh(VM));
    expect(fresh(OTHER).interfaces?.[0]?.mac).not.toBe(cardAddress(VM, 0));
  });
});
