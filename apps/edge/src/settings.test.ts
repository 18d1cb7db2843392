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
    expect(readSettings(least).hypervisor).toEqual({ driver: 'qemu' });
    const libvirt = { ...least, VMDN_HYPERVISOR: 'libvirt', HOME: '/tmp/ada' };
    expect(readSettings(libvirt).hypervisor).toEqual({
      driver: 'libvirt',
      uri: process.getuid?.() === 0 ? 'qemu:///system' : 'qemu:///session',
      env: { HOME: '/tmp/ada' },
    });
    for (const uri of ['qemu+ssh://elsewhere/system', 'test:///default', 'qemu:///embed?root=/x']) {
      const other = { ...libvirt, VMDN_LIBVIRT_URI: uri };
      expect(() => readSettings(other)).toThrow('VMDN_LIBVIRT_URI');
    }
  });
});
