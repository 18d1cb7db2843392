import { describe, expect, it } from 'vitest';
import { type GuestfishRun, guestfishScript } from './guestfish.ts';

const run: GuestfishRun = {
  disks: [
    {
      ...{ label: 'diska', at: { socketPath: '/run/x/nbd-1.sock' } },
      ...{ format: 'raw', access: 'read' },
    },
    { label: 'target', at: { path: '/s/t.qcow2' }, format: 'qcow2', access: 'write' },
  ],
  command: 'bash /job',
  ...{ memoryMiB: 512, timeoutMs: 1000, runDir: '/r', applianceDir: '/a', accelerator: 'tcg' },
};

describe('the script of an appliance', () => {
  it('I1, I2: names each disk with format and access, has no network, and confines QEMU', () => {
    expect(guestfishScript(run).split('\n')).toEqual([
      'set-memsize 512',
      'set-smp 2',
      'set-network false',
      expect.stringMatching(/^config -sandbox on,obsolete=deny,.*spawn=deny/),
      'add "" protocol:nbd server:unix:/run/x/nbd-1.sock format:raw label:diska readonly:true',
      'add /s/t.qcow2 format:qcow2 label:target cachemode:unsafe discard:besteffort',
      'run',
      'debug sh "bash /job"',
      '',
    ]);
  });

  it.each(['/a b', '/a"b', "/a'b", '/a\nquit', 'relative', '/a;b', '/a#b', '/a:b'])(
    'refuses the path %j, which would need quoting',
    (path) => {
      const disks = [{ label: 'x', at: { path }, format: 'raw', access: 'read' } as const];
      expect(() => guestfishScript({ ...run, disks })).toThrow(/cannot be named/);
    },
  );

  it('refuses a label that libguestfs would', () => {
    for (const label of ['', 'disk1', 'A', 'a'.repeat(21), 'a b']) {
      const disks = [{ label, at: { path: '/x' }, format: 'raw', access: 'read' } as const];
      expect(() => guestfishScript({ ...run, disks })).toThrow(/cannot be named/);
    }
  });
});
