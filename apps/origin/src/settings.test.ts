import { describe, expect, it } from 'vitest';
import { readSettings } from './settings.ts';

const least = { VMDN_VMS_DIR: '/srv/vms', VMDN_NAME: 'origin-1', HOME: '/root' };

describe('settings', () => {
  it('need only to know where the VMs are', () => {
    expect(readSettings(least)).toMatchObject({
      vmsDir: '/srv/vms',
      coordinatorUrl: 'http://127.0.0.1:7070',
      listen: { host: '127.0.0.1', port: 7072 },
      uplinkBytesPerSecond: null,
      pin: 'never',
      plaintextAllowed: false,
    });
  });

  it('are read from the environment', () => {
    const given = readSettings({
      ...least,
      VMDN_UPLINK_BYTES_PER_SECOND: '10M',
      VMDN_PIN: 'while-teleporting',
      VMDN_LATITUDE: '47.37',
      VMDN_LONGITUDE: '8.54',
      VMDN_STATE_DIR: '/tmp/origin',
      VMDN_ADVERTISE_URL: 'https://origin.example:7072/',
      VMDN_PLAINTEXT: 'allow',
    });
    expect(given).toMatchObject({
      uplinkBytesPerSecond: 10_000_000,
      pin: 'while-teleporting',
      location: { latitude: 47.37, longitude: 8.54 },
      stateDir: '/tmp/origin',
      advertiseUrl: 'https://origin.example:7072',
      plaintextAllowed: true,
    });
  });

  it('leave VMs that run alone unless they are told otherwise, and describe them once an hour then', () => {
    expect(readSettings(least).running).toBeNull();
    const libvirt = { VMDN_LIBVIRT_URI: 'qemu:///system', VMDN_LIBVIRT_STORAGE: '/srv/disks' };
    const wished = { ...least, ...libvirt, VMDN_RUNNING_SOURCES: 'snapshot' };
    expect(readSettings(wished).running).toEqual({ everyMs: 3_600_000 });
    const seldom = { ...wished, VMDN_RUNNING_EVERY: '0' };
    expect(readSettings(seldom).running).toEqual({ everyMs: null });
  });

  it('keep the sockets of two origins on one machine apart', () => {
    const one = readSettings({ ...least, VMDN_STATE_DIR: '/tmp/one' }).runtimeDir;
    const two = readSettings({ ...least, VMDN_STATE_DIR: '/tmp/two' }).runtimeDir;
    expect(one).not.toBe(two);
    expect(readSettings({ ...least, VMDN_STATE_DIR: '/tmp/one' }).runtimeDir).toBe(one);
  });

  it.each([
    [{ VMDN_VMS_DIR: '' }, /VMDN_VMS_DIR must be set/],
    [{ VMDN_VMS_DIR: 'vms' }, /VMDN_VMS_DIR: an absolute path/],
    [{ VMDN_PIN: 'sometimes' }, /VMDN_PIN/],
    [{ VMDN_RUNNING_SOURCES: 'snapshot' }, /VMDN_LIBVIRT_URI/],
    [{ VMDN_RUNNING_SOURCES: 'yes' }, /VMDN_RUNNING_SOURCES/],
    [{ VMDN_RUNNING_EVERY: '-1' }, /VMDN_RUNNING_EVERY/],
    [{ VMDN_LATITUDE: '47' }, /VMDN_LONGITUDE must be set/],
    [{ VMDN_LATITUDE: '91', VMDN_LONGITUDE: '0' }, /VMDN_LATITUDE/],
    [{ VMDN_TLS_KEY: '/etc/key.pem' }, /VMDN_TLS_CERTIFICATE must be set/],
    [{ VMDN_UPLINK_BYTES_PER_SECOND: 'fast' }, /VMDN_UPLINK_BYTES_PER_SECOND/],
    [{ VMDN_COORDINATOR_URL: 'ftp://x' }, /VMDN_COORDINATOR_URL/],
    [{ VMDN_NAME: '--help' }, /VMDN_NAME/],
  ])('%j are refused by name', (changes, words) => {
    expect(() => readSettings({ ...least, ...changes })).toThrow(words);
  });
});
