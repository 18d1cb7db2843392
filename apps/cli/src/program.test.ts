import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import {
  RECEIPT,
  runTool,
  type Script,
  type StandIn,
  startStandIn,
  TELEPORT,
  TOKEN,
  teleportIn,
} from './program.fixture.ts';

const SUCCESS: Script = {
  events: [teleportIn('syncing'), teleportIn('booting'), teleportIn('running')],
};
const open: StandIn[] = [];

async function standIn(
  script: Script = SUCCESS,
): Promise<StandIn & { env: Record<string, string> }> {
  const started = await startStandIn(script);
  open.push(started);
  return Object.assign(started, { env: { VMDN_URL: started.url, VMDN_TOKEN: TOKEN } });
}

afterEach(async () => {
  for (const each of open.splice(0)) await each[Symbol.asyncDispose]();
});

describe('vmdn teleport', () => {
  it('says where the VM goes and why, how far it is, and where every byte came from', async () => {
    const { env, asked } = await standIn();
    const { exitCode, stdout, stderr } = await runTool(
      ['teleport', 'web-01', '--near', 'Paris'],
      env,
    );
    expect(stderr).toBe('');
    expect(exitCode).toBe(0);
    expect(asked).toEqual([{ vm: 'web-01', near: { region: 'Paris' } }]);
    expect(stdout).toContain('web-01 version 3 goes to paris-1, 12 km from paris');
    expect(stdout).toMatch(/\* paris-1 .*least estimated time/);
    expect(stdout).toMatch(/tokyo-1 .*farther than 1,000 km/);
    expect(stdout).toContain('rebuilding the disk: 50 % verified');
    expect(stdout).toMatch(/origin +268 MB +25\.0 % +134 MB/);
    expect(stdout).toMatch(/total +1\.07 GB/);
    expect(stdout).toContain('http: http://127.0.0.1:8080/');
    expect(stdout).not.toContain('\u001b');
  });

  it('with --method and --databases asks for them, and knows no other methods', async () => {
    const { env, asked } = await standIn();
    const args = ['web-01', '--near', 'paris', '--method'];
    const plan = await runTool(['plan', ...args, 'functional'], env);
    expect(plan.stdout).toMatch(/\* exact +107 MB +11 s/);
    await runTool(['teleport', ...args, 'functional', '--detach', '--databases', 'dump'], env);
    const wish = { vm: 'web-01', near: { region: 'paris' }, method: 'functional' };
    expect(asked).toEqual([wish, { ...wish, databases: 'dump' }]);
    const unknown = await runTool(['plan', ...args, 'magic'], env);
    expect(unknown).toMatchObject({ exitCode: 64 });
    expect(unknown.stderr).toContain('there are: exact, functional, cheapest');
  });

  it('with --skip-free asks for it, and says what stays home or why nothing does', async () => {
    const { env, asked } = await standIn();
    const args = ['web-01', '--near', 'paris', '--skip-free'];
    const { stdout } = await runTool(['teleport', ...args], env);
    const plan = await runTool(['plan', ...args], env);
    const wish = { vm: 'web-01', near: { region: 'paris' }, skipFree: true };
    expect(asked).toEqual([wish, wish]);
    expect(stdout).toContain('skip-free: 268 MB of free space stay home\n');
    expect(plan.stdout).toContain('skip-free: 268 MB of free space stay home\n');
  });

  it('draws and redraws on a terminal, and takes the drawing away', async () => {
    const { env } = await standIn();
    const { stdout } = await runTool(['teleport', 'web-01', '--near', '48.85,2.35'], env, {
      isTTY: true,
    });
    expect(stdout).toContain(
      '[####################....................] 50.0 % of 1.07 GB virtual',
    );
    expect(stdout).toContain('\u001b[3F\u001b[J');
  });

  it('draws nothing where NO_COLOR or a dumb terminal asks for plain text', async () => {
    const { env } = await standIn();
    const options = { isTTY: true };
    const { stdout } = await runTool(
      ['teleport', 'web-01', '--near', 'paris'],
      { ...env, NO_COLOR: '1' },
      options,
    );
    expect(stdout).not.toContain('\u001b');
  });

  it('prints one JSON line an event and nothing else with --json', async () => {
    const { env } = await standIn();
    const { stdout } = await runTool(['teleport', 'web-01', '--near', 'paris', '--json'], env);
    const states = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).state);
    expect(states).toEqual(['routed', 'syncing', 'booting', 'running']);
  });

  it('returns at once with --detach and says how to go on', async () => {
    const { env } = await standIn();
    const { exitCode, stdout } = await runTool(
      ['teleport', 'web-01', '--near', 'paris', '--detach'],
      env,
    );
    expect(exitCode).toBe(0);
    expect(stdout).toContain(`vmdn status ${TELEPORT} --follow`);
  });

  it('ends with the code of what went wrong', async () => {
    const failed = teleportIn('failed', {
      errorCode: 'disk_full',
      message: 'The disk of paris-1 is full.',
    });
    const { env } = await standIn({ events: [failed] });
    const { exitCode, stderr } = await runTool(['teleport', 'web-01', '--near', 'paris'], env);
    expect({ exitCode, stderr }).toEqual({
      exitCode: 73,
      stderr: 'vmdn: The disk of paris-1 is full. (disk_full)\n',
    });
  });

  it("hands over the server's own words about an unknown VM", async () => {
    const { env } = await standIn();
    const { exitCode, stderr } = await runTool(['teleport', 'nobody', '--near', 'paris'], env);
    expect({ exitCode, stderr }).toEqual({
      exitCode: 66,
      stderr: 'vmdn: There is no VM nobody. See: vmdn vms (not_found)\n',
    });
  });

  it.each([
    ['--near', '91,0'],
    ['--near', '../etc'],
    ['--near', 'paris', '--within', '-1'],
  ])('asks nobody when the place is wrong: %s %s', async (...options) => {
    const { env, asked } = await standIn();
    const { exitCode, stderr } = await runTool(['teleport', 'web-01', ...options], env);
    expect(exitCode).toBe(64);
    expect(stderr).toContain('invalid_input');
    expect(asked).toEqual([]);
  });
});

describe('vmdn export', () => {
  it('orders an export, tells how far it is, and ends with the folder', async () => {
    const { env, asked } = await standIn();
    const args = ['export', TELEPORT, '--hypervisor', 'vmware'];
    const { exitCode, stdout } = await runTool([...args, '--wait'], env);
    expect({ exitCode, asked }).toEqual({
      exitCode: 0,
      asked: [{ teleport: TELEPORT, hypervisor: 'vmware', format: 'vmdk' }],
    });
    expect(stdout.split('\n')).toEqual([
      'export web-01-3 on paris-1: pending',
      'export web-01-3 on paris-1: disk 1 of 1: 40 % verified',
      'export web-01-3 on paris-1: done',
      'paris-1:/srv/exports/web-01-3',
      '',
    ]);
    const wrong = await runTool([...args, '--format', 'qcow2'], env);
    expect(wrong).toMatchObject({ exitCode: 64, stderr: expect.stringContaining('vmdk') });
    const unknown = await runTool(['export', TELEPORT, '--hypervisor', 'vbox'], env);
    expect(unknown).toMatchObject({ exitCode: 64, stderr: expect.stringContaining('kvm, xen') });
    expect(asked).toHaveLength(1);
  });
});

describe('vmdn describe', () => {
  it('writes a VM for another tool, to stdout or into a file, and as JSON', async () => {
    const { env } = await standIn();
    const args = ['describe', 'web-01', '--as', 'dockerfile'];
    const { exitCode, stdout } = await runTool(args, env);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/\nFROM debian:12\nRUN .*nginx .*\nEXPOSE 80 22\n$/s);
    const folder = await mkdtemp(join(tmpdir(), 'vmdn-cli-'));
    try {
      const file = join(folder, 'Dockerfile');
      await writeFile(file, 'something older');
      const written = await runTool([...args, '--base', 'debian:12-slim', '-o', file], env);
      expect(written.stdout).toBe(`Written: ${file}\n`);
      expect(await readFile(file, 'utf8')).toBe(
        stdout.replace('FROM debian:12', 'FROM debian:12-slim'),
      );
      const nowhere = await runTool([...args, '-o', join(folder, 'no/such')], env);
      expect(nowhere.exitCode).toBe(66);
    } finally {
      await rm(folder, { recursive: true });
    }
    const json = JSON.parse((await runTool([...args, '--json', '--pin'], env)).stdout);
    expect(json).toMatchObject({ vm: 'web-01', version: 3 });
    expect(json.text).toContain('nginx=1.22.1-9');
  });

  it('without a form shows all that is known of a VM, as JSON too', async () => {
    const { env } = await standIn();
    const { stdout } = await runTool(['describe', 'web-01'], env);
    expect(stdout).toContain('database:  mariadb 10.11.6, /var/lib/mysql');
    expect(stdout).toContain('mount:     /srv/share nfs nas.example:/srv/share');
    const { description } = JSON.parse(
      (await runTool(['describe', 'web-01', '--json'], env)).stdout,
    );
    for (const key of ['os', 'packages', 'services', 'databases', 'mounts', 'boots', 'disks']) {
      expect(description).toHaveProperty(key);
    }
  });

  it.each([
    ['--as', 'chef'],
    ['--as', 'dockerfile', '--base', 'x y'],
    ['--as', 'puppet', '--packages'],
    ['--pin'],
    ['-o', 'file'],
  ])('asks nobody when the options are wrong: %s %s', async (...options) => {
    const { exitCode } = await runTool(['describe', 'web-01', ...options], {
      ...{ VMDN_URL: 'http://127.0.0.1:1', VMDN_TOKEN: TOKEN },
    });
    expect(exitCode).toBe(64);
  });
});

describe('vmdn', () => {
  it('finds the client file that it is pointed to', async () => {
    const { url } = await standIn();
    const folder = await mkdtemp(join(tmpdir(), 'vmdn-cli-'));
    const path = join(folder, 'client.json');
    try {
      await writeFile(path, JSON.stringify({ url, token: TOKEN }), { mode: 0o600 });
      const outcome = await runTool(['images', '--client-file', path]);
      expect(outcome).toMatchObject({ exitCode: 0, stderr: '' });
      expect(outcome.stdout).toMatch(
        /base +abababababab +base +1\.07 GB +358 MB +paris-1 \(537 MB\)/,
      );
      const elsewhere = { VMDN_CLIENT_FILE: path, VMDN_URL: 'http://127.0.0.1:1' };
      expect((await runTool(['images'], elsewhere)).exitCode).toBe(77);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('refuses a client file that others can read', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'vmdn-cli-'));
    const path = join(folder, 'client.json');
    try {
      await writeFile(path, JSON.stringify({ url: 'http://127.0.0.1:1', token: TOKEN }), {
        mode: 0o644,
      });
      const { exitCode, stderr } = await runTool(['images', '--client-file', path]);
      expect(exitCode).toBe(77);
      expect(stderr).toContain(`chmod 600 ${path}`);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('says that a token is wrong', async () => {
    const { url } = await standIn();
    const { exitCode, stderr } = await runTool(['edges'], {
      VMDN_URL: url,
      VMDN_TOKEN: 'something-else-entirely',
    });
    expect(exitCode).toBe(77);
    expect(stderr).toContain('unauthenticated');
  });

  it('says that nobody answers, in words and as JSON', async () => {
    const env = { VMDN_URL: 'http://127.0.0.1:1', VMDN_TOKEN: TOKEN };
    const { exitCode, stdout, stderr } = await runTool(['edges', '--json'], env);
    expect(exitCode).toBe(69);
    expect(stderr).toContain("can't be reached");
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'unavailable' } });
  });

  it('says what to do where there is nothing yet', async () => {
    const { env } = await standIn();
    expect((await runTool(['edges'], env)).stdout).toContain('vmdn enrolment-token --kind edge');
  });

  it('shows a plan without asking for a teleport', async () => {
    const { env } = await standIn();
    const { stdout } = await runTool(['plan', 'web-01', '--near', 'New York'], env);
    expect(stdout).toContain('web-01 version 3 near New-York would go to paris-1');
    expect(stdout).toMatch(/paris-1 .*268 MB .*107 MB .*51 s/);
  });

  it('waits for a seed, and fails when an edge fails', async () => {
    const good = await standIn({ events: [], seeds: ['pending', 'syncing', 'done'] });
    const outcome = await runTool(
      ['seed', 'base', '--edges', 'tokyo-1,tokyo-1', '--wait'],
      good.env,
    );
    expect(outcome).toMatchObject({ exitCode: 0 });
    expect(outcome.stdout).toMatch(/tokyo-1 pending\ntokyo-1 syncing\ntokyo-1 done/);
    expect(good.asked).toEqual([{ image: 'base', edges: ['tokyo-1'] }]);
    const bad = await standIn({ events: [], seeds: ['failed'], seedMessage: 'no room' });
    const failed = await runTool(
      ['seed', 'base', '--edges', 'tokyo-1', '--wait', '--json'],
      bad.env,
    );
    expect(failed.exitCode).toBe(69);
    expect(failed.stderr).toContain('no room');
  });

  it('names the file of an import absolutely', async () => {
    const { env, asked } = await standIn();
    const options = ['--edge', 'paris-1', '--name', 'base', '--format', 'raw'];
    await runTool(['image', 'import', 'disk.raw', ...options], env);
    expect(asked).toMatchObject([{ file: join(process.cwd(), 'disk.raw'), format: 'raw' }]);
    const wrong = await runTool(
      ['image', 'import', 'disk.raw', ...options.slice(0, -1), 'qed'],
      env,
    );
    expect(wrong).toMatchObject({ exitCode: 65, stderr: expect.stringContaining('qcow2') });
  });

  it('prints a token alone, so that a shell can take it', async () => {
    const { env } = await standIn();
    expect((await runTool(['enrolment-token', '--kind', 'edge'], env)).stdout).toBe(
      'enrol-me-once-please\n',
    );
  });

  it.each([
    [['--help'], 0],
    [['teleport', '--help'], 0],
    [['teleport'], 64],
    [['nonsense'], 64],
    [['edges', '--nonsense'], 64],
    [['image'], 64],
  ])('ends %j with %i', async (args, exitCode) => {
    expect((await runTool(args)).exitCode).toBe(exitCode);
  });
});

describe('vmdn teleport --lazy', () => {
  it('ends with an error when nobody has the rest of the disk of a VM that runs', async () => {
    const stranded = { lazy: true, independentAt: null, errorCode: 'withdrawn' };
    const message = 'web-01 changed at its origin';
    const { env } = await standIn({
      events: [teleportIn('booting'), teleportIn('running', { ...stranded, message })],
    });
    const { exitCode, stderr } = await runTool(['teleport', 'web-01', '--near', 'Paris'], env);
    expect(exitCode).toBe(75);
    expect(stderr).toContain(`${message} (withdrawn)`);
  });
});

describe('vmdn receipt', () => {
  it('says what came from where and when, and who signed it', async () => {
    const { env } = await standIn();
    const { exitCode, stdout } = await runTool(['receipt', TELEPORT], env);
    expect(exitCode).toBe(0);
    for (const words of [
      'web-01 version 3 on paris-1 (lazy)',
      `disk ${RECEIPT.receipt.disks[0]!.digest}, 1.07 GB virtual`,
      'independent  2026-01-02 03:05:06, after 1 min 1 s',
      'reads of the guest waited 1.3 s; 1,200 segments (49.0 MB of the disk)',
      `signed by edge ${TELEPORT}`,
    ]) {
      expect(stdout).toContain(words);
    }
    expect(stdout).toMatch(/origin +537 MB +50\.0 % +123 MB/);
  });

  it('gives it as JSON, and the signed text alone', async () => {
    const { env } = await standIn();
    const { stdout } = await runTool(['receipt', TELEPORT, '--json'], env);
    expect(JSON.parse(stdout)).toEqual(RECEIPT);
    const raw = await runTool(['receipt', TELEPORT, '--jws'], env);
    expect(raw.stdout).toBe(`${RECEIPT.jws}\n`);
  });
});
