/**
 * A fresh identity for a real guest (Debian with a server for SSH) and for one whose file systems lie on
 * several volumes, in the appliance; what it leaves is read back by programs that are not the appliance's.
 */

import { createHash } from 'node:crypto';
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cacheDir } from '../../process/paths.ts';
import { createQemuImg } from '../command/qemu-img.ts';
import { debugfs, fsck } from '../inspect/free-space.fixture.ts';
import type { FreshIdentityJob } from '../ports/fresh-identity.ts';
import type { Appliance } from './appliance.ts';
import { createFreshIdentity } from './fresh-identity.ts';
import { guestDisks, runner, testAppliance } from './guest-disks.fixture.ts';

const qemuImg = createQemuImg(runner);
const never = new AbortController().signal;
/** Where the file system of a guest of infra/guests begins. */
const OFFSET_BYTES = 2048 * 512;
const OLD_MAC = '52:54:00:00:00:01';
const NEW_MAC = '02:aa:bb:cc:dd:ee';
const OLD_ID = '0123456789abcdef0123456789abcdef';
const KINDS = ['ecdsa', 'ed25519', 'rsa'] as const;
let dir: string;
let appliance: Appliance;
let source: string;
let overlays = 0;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmdn-fresh-'));
  appliance = testAppliance(dir, process.env);
  source = join(dir, 'source.raw');
  const guest = join(cacheDir(process.env), 'guests', 'who-01.raw');
  await runner.run('cp', ['--sparse=always', '--', guest, source], { timeoutMs: 120_000 });
  // As a guest that ran: it has a machine-id, leases, and files that mean its card.
  const files = {
    'machine-id': `${OLD_ID}\n`,
    '10-lan.link': `[Match]\nMACAddress=${OLD_MAC.toUpperCase()}\n[Link]\nName=lan0\n`,
    'random-seed': 'not random',
    'some.leases': `lease { interface "ens2"; }\n`,
    '70-persistent-net.rules': `ATTR{address}=="${OLD_MAC}", NAME="eth7"\n`,
    hosts: '127.0.0.1 localhost\n127.0.1.1 who-01.example.org who-01 who-011\n# who-01\n',
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(dir, name), text);
  const put = (name: string, path: string) => [`rm ${path}`, `write ${join(dir, name)} ${path}`];
  await debugfs(
    runner,
    { path: source, offsetBytes: OFFSET_BYTES },
    ...put('machine-id', '/etc/machine-id'),
    ...['rm /var/lib/dbus/machine-id', `write ${join(dir, 'machine-id')} /var/lib/dbus/machine-id`],
    `write ${join(dir, '10-lan.link')} /etc/systemd/network/10-lan.link`,
    `write ${join(dir, 'random-seed')} /var/lib/systemd/random-seed`,
    ...['mkdir /var/lib/dhcp', `write ${join(dir, 'some.leases')} /var/lib/dhcp/some.leases`],
    `write ${join(dir, '70-persistent-net.rules')} /etc/udev/rules.d/70-persistent-net.rules`,
    ...put('hosts', '/etc/hosts'),
  );
}, 300_000);
afterAll(async () => await rm(dir, { recursive: true, force: true }));

/** A fresh identity on a new overlay of an image; the guest's file system then, as a raw disk. */
async function freshOn(images: readonly string[], job: Partial<FreshIdentityJob> = {}) {
  const disks: FreshIdentityJob['disks'][number][] = [];
  for (const path of images) {
    overlays += 1;
    const overlay = join(dir, `overlay-${overlays}.qcow2`);
    await qemuImg.createOverlay({ path: overlay, backing: { path, format: 'raw' } });
    disks.push({ path: overlay, format: 'qcow2' });
  }
  const done = await createFreshIdentity(appliance)({
    ...{ disks, hostname: 'web-02', macs: [{ from: OLD_MAC, to: NEW_MAC }], signal: never, ...job },
  });
  const raw = `${disks[0]!.path}.raw`;
  const args = ['convert', '-f', 'qcow2', '-O', 'raw', '--', disks[0]!.path, raw];
  await runner.run('qemu-img', args, { timeoutMs: 120_000 });
  return { done, raw };
}

/** What lies at a path of a guest; null: nothing. */
async function contentOf(raw: string, path: string): Promise<string | null> {
  const to = join(dir, 'dumped');
  await rm(to, { force: true });
  await debugfs(runner, { path: raw, offsetBytes: OFFSET_BYTES }, `dump ${path} ${to}`);
  return await readFile(to, 'utf8').catch(() => null);
}

/** Public keys of a guest, by their kinds, made by ssh-keygen of the private ones. */
async function keysOf(raw: string): Promise<Record<string, string>> {
  const keys: Record<string, string> = {};
  for (const kind of KINDS) {
    const file = join(dir, 'key');
    await rm(file, { force: true });
    await writeFile(file, (await contentOf(raw, `/etc/ssh/ssh_host_${kind}_key`)) ?? '', {
      mode: 0o600,
    });
    const { stdout } = await runner.run('ssh-keygen', ['-y', '-f', file], { timeoutMs: 60_000 });
    const [type, key] = stdout.trim().split(' ');
    const told = await contentOf(raw, `/etc/ssh/ssh_host_${kind}_key.pub`);
    expect(told).toBe(`${type} ${key} root@web-02\n`);
    keys[kind] = key!;
  }
  return keys;
}

async function hashOf(path: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
}

describe('a fresh identity', { timeout: 900_000 }, () => {
  it('is all that tells a guest from its source, and the source stays as it is', async () => {
    const before = await hashOf(source);
    const [one, other] = [await freshOn([source]), await freshOn([source])];
    expect(await hashOf(source)).toBe(before);
    const { raw } = one;
    expect(await contentOf(raw, '/etc/machine-id')).toBe('');
    const stat = { path: raw, offsetBytes: OFFSET_BYTES };
    const link = await debugfs(runner, stat, 'stat /var/lib/dbus/machine-id');
    expect(link).toContain('Fast link dest: "/etc/machine-id"');
    expect(await contentOf(raw, '/etc/hostname')).toBe('web-02\n');
    expect(await contentOf(raw, '/etc/hosts')).toBe(
      '127.0.0.1 localhost\n127.0.1.1 web-02.example.org web-02 who-011\n# who-01\n',
    );
    expect(await contentOf(raw, '/etc/systemd/network/10-lan.link')).toBe(
      `[Match]\nMACAddress=${NEW_MAC}\n[Link]\nName=lan0\n`,
    );
    for (const path of [
      '/var/lib/systemd/random-seed',
      '/var/lib/dhcp/some.leases',
      '/etc/udev/rules.d/70-persistent-net.rules',
    ]) {
      expect(await contentOf(raw, path), path).toBeNull();
      expect(one.done).toContain(`removed ${path}`);
    }
    const keys = [await keysOf(raw), await keysOf(other.raw)];
    expect(new Set(keys.flatMap((each) => Object.values(each))).size).toBe(2 * KINDS.length);
    for (const kind of KINDS) {
      const path = `/etc/ssh/ssh_host_${kind}_key`;
      expect(await contentOf(source, `${path}.pub`)).not.toContain(keys[0]![kind]);
      // Rewritten in place: rights and owner are what they were.
      const rights = /Mode: +0600 (.|\n)*?User: +0 +Group: +0 /;
      expect(await debugfs(runner, stat, `stat ${path}`)).toMatch(rights);
    }
    expect(await fsck(runner, stat)).toBe(0);
  });

  it('I4: is refused where a host key can not be made anew, with words on what to do', async () => {
    const config = join(dir, 'own.conf');
    await writeFile(config, 'HostKey /srv/keys/mine\n');
    const odd = join(dir, 'odd.raw');
    await runner.run('cp', ['--sparse=always', '--', source, odd], { timeoutMs: 120_000 });
    const at = { path: odd, offsetBytes: OFFSET_BYTES };
    await debugfs(runner, at, `write ${config} /etc/ssh/sshd_config.d/own.conf`);
    const refused = freshOn([odd]);
    await expect(refused).rejects.toMatchObject({ code: 'unsupported_format' });
    await expect(refused).rejects.toThrow(/lies at \/srv\/keys\/mine.*identity same/);
  });

  it('is for guests on several volumes, without any key', async () => {
    const disks = await guestDisks(appliance, process.env);
    const { done } = await freshOn([disks.get('diska')!, disks.get('diskb')!]);
    expect(done).toContain('hostname web-02');
    expect(done.join()).not.toContain('ssh key');
  });

  it('is refused where no system is found, or not all of it', async () => {
    const empty = join(dir, 'empty.raw');
    await using file = await open(empty, 'w');
    await file.truncate(2 ** 20);
    const refused = freshOn([empty]);
    await expect(refused).rejects.toMatchObject({ code: 'unsupported_format' });
    await expect(refused).rejects.toThrow(/no system was found on its disks.*identity same/);
    const disks = await guestDisks(appliance, process.env);
    // The other half of its volume group is missing.
    const half = freshOn([disks.get('diska')!]);
    await expect(half).rejects.toMatchObject({ code: 'unsupported_format' });
  });
});
