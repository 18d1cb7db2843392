import { describe, expect, it } from 'vitest';
import { readSettings } from './settings.ts';

const least = { VMDN_COORDINATOR_URL: 'http://127.0.0.1:7070', VMDN_NAME: 'dublin' };

describe('the settings of an edge', () => {
  it('leave background work half of the processors and all of the network', () => {
    const { backgroundBytesPerSecond, backgroundCpuShare } = readSettings(least);
    expect([backgroundBytesPerSecond, backgroundCpuShare]).toEqual([null, 0.5]);
  });

  it('say what background work may take', () => {
    const more = { VMDN_BACKGROUND_BYTES_PER_SECOND: '2M', VMDN_BACKGROUND_CPU: '0.1' };
    expect(readSettings({ ...least, ...more })).toMatchObject({
      backgroundBytesPerSecond: 2_000_000,
      backgroundCpuShare: 0.1,
    });
  });

  it('refuse budgets with which nothing would ever be done', () => {
    for (const [name, value] of [
      ['VMDN_BACKGROUND_BYTES_PER_SECOND', '0'],
      ['VMDN_BACKGROUND_CPU', '0'],
      ['VMDN_BACKGROUND_CPU', '1.5'],
    ] as const) {
      expect(() => readSettings({ ...least, [name]: value })).toThrow(name);
    }
  });

  it('take plain QEMU, or the libvirt of this machine', () => {
    const networks = new Map([['user', { kind: 'user' }]]);
    expect(readSettings(least).hypervisor).toEqual({ driver: 'qemu', networks });
    const libvirt = { ...least, VMDN_HYPERVISOR: 'libvirt', HOME: '/tmp/ada' };
    expect(readSettings(libvirt).hypervisor).toEqual({
      ...{ driver: 'libvirt', networks },
      uri: process.getuid?.() === 0 ? 'qemu:///system' : 'qemu:///session',
      env: { HOME: '/tmp/ada' },
    });
    for (const uri of ['qemu+ssh://elsewhere/system', 'test:///default', 'qemu:///embed?root=/x']) {
      const other = { ...libvirt, VMDN_LIBVIRT_URI: uri };
      expect(() => readSettings(other)).toThrow('VMDN_LIBVIRT_URI');
    }
  });

  it('name networks, each of a kind that the hypervisor knows', () => {
    const qemu = { ...least, VMDN_NETWORKS: 'lab=tap:vmdn0, old=user' };
    expect([...readSettings(qemu).hypervisor.networks]).toEqual([
      ['user', { kind: 'user' }],
      ['lab', { kind: 'tap', device: 'vmdn0' }],
      ['old', { kind: 'user' }],
    ]);
    const libvirt = { ...least, VMDN_HYPERVISOR: 'libvirt' };
    const two = { ...libvirt, VMDN_NETWORKS: 'lan=bridge:br0,dmz=network:dmz' };
    expect([...readSettings(two).hypervisor.networks].slice(1)).toEqual([
      ['lan', { kind: 'bridge', device: 'br0' }],
      ['dmz', { kind: 'network', name: 'dmz' }],
    ]);
    const wrong = { ...libvirt, VMDN_NETWORKS: 'lab=tap:vmdn0' };
    expect(() => readSettings(wrong)).toThrow(/VMDN_NETWORKS: lab: .* bridge or a network/);
    for (const [value, words] of [
      ['lan=bridge:br0', /no helper .* \(tap:DEVICE\)/],
      ['dmz=network:dmz', /needs VMDN_HYPERVISOR=libvirt/],
    ] as const) {
      expect(() => readSettings({ ...least, VMDN_NETWORKS: value })).toThrow(words);
    }
  });

  it.each([
    ['lan', /should be NAME=KIND:WHAT/],
    ['lan=tap', /should be/],
    ['lan=user:x', /should be/],
    ['lan=tap:a,b=c', /should be/],
    ['lan=tap:br0/x', /should be/],
    ['lan=tap:a-name-too-long-for-a-device', /should be/],
    ['-lan=user', /should be/],
    ['user=tap:vmdn0', /which every edge has/],
    ['a=user,a=tap:vmdn0', /a second time/],
  ])('refuse %s as networks', (value, words) => {
    expect(() => readSettings({ ...least, VMDN_NETWORKS: value })).toThrow(words);
  });
});
