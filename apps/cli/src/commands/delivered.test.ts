import { describe, expect, it } from 'vitest';
import { runTool, startStandIn, TELEPORT, TOKEN, teleportIn } from '../program.fixture.ts';

const POWERED_OFF = teleportIn('running', { power: 'off', message: null });

async function withStandIn(work: (run: typeof runTool, asked: unknown[]) => Promise<void>) {
  await using standIn = await startStandIn({ events: [POWERED_OFF] });
  const env = { VMDN_URL: standIn.url, VMDN_TOKEN: TOKEN };
  await work((args) => runTool(args, env), standIn.asked);
}

describe('vmdn stop and start', () => {
  it('say what becomes of the VM, and status says whether it is off', async () => {
    await withStandIn(async (run, asked) => {
      const stopped = await run(['stop', TELEPORT]);
      expect(stopped).toMatchObject({
        exitCode: 0,
        stdout: 'web-01 on paris-1 is being stopped.\n',
      });
      expect((await run(['start', TELEPORT])).stdout).toBe('web-01 on paris-1 is on.\n');
      expect(asked).toEqual([{ power: 'off' }, { power: 'on' }]);
      expect((await run(['status', TELEPORT])).stdout).toContain('state: running, its VM is off\n');
      expect((await run(['stop', 'nonsense'])).exitCode).toBe(64);
    });
  });
});

describe('vmdn capture', () => {
  it('orders a capture, tells how far it is, and ends when it can be teleported', async () => {
    await withStandIn(async (run, asked) => {
      const args = ['capture', TELEPORT, '--as', 'used', '--keep-stopped', '--wait'];
      const { exitCode, stdout, stderr } = await run(args);
      expect(exitCode).toBe(0);
      expect(stdout.trimEnd().split('\n')).toEqual([
        'capture as used version 2 on paris-1: pending',
        'capture as used version 2 on paris-1: disk 1 of 1: 40 % read',
        'capture as used version 2 on paris-1: done',
      ]);
      expect(stderr).toContain('vmdn teleport used --near PLACE');
      expect(asked).toEqual([{ teleport: TELEPORT, vm: 'used', keepStopped: true }]);
    });
  });

  it('that fails ends with the words and the exit code of its failure', async () => {
    await withStandIn(async (run) => {
      const { exitCode, stderr } = await run(['capture', TELEPORT, '--as', 'stubborn', '--wait']);
      expect(exitCode).toBe(75);
      expect(stderr).toContain('The capture failed: It did not stop.');
    });
  });

  it('that its user ended meanwhile says so', async () => {
    await withStandIn(async (run) => {
      const { exitCode, stderr } = await run(['capture', TELEPORT, '--as', 'unwanted', '--wait']);
      expect(exitCode).toBe(75);
      expect(stderr).toContain("The capture was ended: Ended at the user's wish.");
    });
  });

  it('is ended by its VM, in words or as JSON', async () => {
    await withStandIn(async (run, asked) => {
      const ended = await run(['capture', TELEPORT, '--cancel']);
      const words = 'The capture as used version 2 is ended; its VM on paris-1 goes on.\n';
      expect(ended).toMatchObject({ exitCode: 0, stdout: words });
      const { stdout } = await run(['capture', TELEPORT, '--cancel', '--json']);
      expect(JSON.parse(stdout)).toMatchObject({ teleport: TELEPORT, state: 'cancelled' });
      expect(asked).toEqual([{ teleport: TELEPORT }, { teleport: TELEPORT }]);
      for (const other of [['--wait'], ['--keep-stopped'], ['--as', 'used']]) {
        expect((await run(['capture', TELEPORT, '--cancel', ...other])).exitCode).toBe(64);
      }
      expect(asked).toHaveLength(2);
    });
  });
});

describe('vmdn forget', () => {
  it('forgets a VM, in words or as JSON', async () => {
    await withStandIn(async (run, asked) => {
      expect(await run(['forget', 'used'])).toMatchObject({
        exitCode: 0,
        stdout: 'used is forgotten; paris-1 removes its disks once nothing there needs them.\n',
      });
      const { stdout } = await run(['forget', 'used', '--json']);
      expect(JSON.parse(stdout)).toEqual({ vm: 'used', edge: 'paris-1' });
      expect((await run(['forget', '../etc'])).exitCode).toBe(64);
      expect(asked).toEqual([{ forget: 'used' }, { forget: 'used' }]);
    });
  });
});
