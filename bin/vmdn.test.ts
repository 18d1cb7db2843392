import { execFile } from 'node:child_process';
import { chmod, cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { waitFor } from '../infra/lab/wait-for.ts';

const wait = { timeoutMs: 60_000 };
// Each launch starts Node twice, on machines that have other things to do.
vi.setConfig({ testTimeout: 90_000 });

const ECHO = `
const [args, node, script] = [process.argv.slice(2), process.execPath, import.meta.url];
const cache = process.env.NODE_COMPILE_CACHE;
const facts = { args, node, cwd: process.cwd(), script, cache };
if (process.argv.includes('--exit')) process.exitCode = 42;
if (process.argv.includes('--wait')) {
  const timer = setInterval(() => {}, 1000);
  process.on('SIGTERM', () => {
    process.stdout.write('terminated\\n');
    process.exitCode = 7;
    clearInterval(timer);
  });
}
// Last: whoever reads it may send the signal.
process.stdout.write(JSON.stringify(facts) + '\\n');
`;
/** Stands for npx: notes that it was called, waits until it may go on, and lays down what pnpm would. */
const NPX = `#!/usr/bin/env bash
echo "npx $* CI=$CI" >> "$ROOT/calls"
while [[ -e $ROOT/hold ]]; do read -rt 0.02 <> <(:) || true; done
[[ -e $ROOT/broken ]] && { echo 'registry says no'; exit 3; }
for folder in apps/cli packages/core infra test; do mkdir -p "$ROOT/$folder/node_modules"; done
mkdir -p "$ROOT/node_modules/node-${process.platform}-${process.arch}/bin"
ln -sf "${process.execPath}" "$ROOT/node_modules/node-${process.platform}-${process.arch}/bin/node"
`;

/** Stands for a command: runs until it is terminated, or alone. */
const COMMAND = `#!/usr/bin/env bash
trap 'echo terminated; exit 7' TERM
touch "$READY"
while kill -0 $PPID 2> /dev/null; do read -rt 0.02 <> <(:) || true; done
`;
/** In the launcher's own process: a signal before it has the command's handle. */
const SIGNAL_AT_SPAWN = `
import childProcess from 'node:child_process';
import { existsSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
const { spawn } = childProcess;
childProcess.spawn = (...given) => {
  const child = spawn(...given);
  while (!existsSync(process.env.READY));
  process.kill(process.pid, 'SIGTERM');
  return child;
};
syncBuiltinESMExports();
`;

let root = '';
let env: Record<string, string> = {};

async function write(path: string, text: string, mode = 0o644): Promise<void> {
  await mkdir(dirname(join(root, path)), { recursive: true });
  await writeFile(join(root, path), text);
  await chmod(join(root, path), mode);
}

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'vmdn-launcher-'));
  await mkdir(join(root, 'bin'));
  await cp(join(import.meta.dirname, 'vmdn.mjs'), join(root, 'bin/vmdn.mjs'));
  for (const folder of ['apps/cli', 'packages/core', 'infra', 'test']) {
    await write(`${folder}/package.json`, '{"type":"module","dependencies":{"a":"1"}}');
  }
  await write('pnpm-lock.yaml', 'lock: 1\n');
  await write('pnpm-workspace.yaml', 'packages: []\n');
  await write('apps/cli/src/main.ts', ECHO);
  await write('infra/demo/main.ts', ECHO);
  await write('infra/setup.sh', 'echo "setup $*"; [[ ! -e $ROOT/no-packages ]] || exit 2\n');
  await write('tools/npx', NPX, 0o755);
  env = { PATH: `${join(root, 'tools')}:${process.env.PATH}`, HOME: root, ROOT: root };
});
afterEach(async () => rm(root, { recursive: true, force: true }));

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function launch(args: string[], options: { cwd?: string; file?: string } = {}) {
  const file = options.file ?? join(root, 'bin/vmdn.mjs');
  let resolve: (outcome: Outcome) => void;
  const outcome = new Promise<Outcome>((done) => {
    resolve = done;
  });
  // Its own copy, so that no npx lies beside it.
  const child = execFile(
    process.execPath,
    [file, ...args],
    { env, cwd: options.cwd ?? root },
    (error, stdout, stderr) =>
      resolve({
        code: error === null ? 0 : ((error.code as unknown as number) ?? null),
        stdout,
        stderr,
      }),
  );
  return { child, outcome };
}

const calls = async (): Promise<string[]> =>
  (await readFile(join(root, 'calls'), 'utf8').catch(() => '')).split('\n').filter(Boolean);

describe('the launcher', () => {
  it('installs what is missing, once, and hands over to the pinned Node', async () => {
    const first = await launch(['edges', '--json']).outcome;
    expect(first.code).toBe(0);
    expect(JSON.parse(first.stdout)).toMatchObject({
      args: ['edges', '--json'],
      node: process.execPath,
    });
    expect(await calls()).toEqual([
      expect.stringMatching(/^npx -y pnpm@\S+ install --frozen-lockfile .*CI=true$/),
    ]);
    const second = await launch(['vms']).outcome;
    expect(second.stderr).toBe('');
    expect(await calls()).toHaveLength(1);
  });

  it.each([
    ['the lockfile changed', () => write('pnpm-lock.yaml', 'lock: 2\n')],
    ['node_modules is gone', () => rm(join(root, 'node_modules'), { recursive: true })],
    [
      'a package was never linked',
      () => rm(join(root, 'apps/cli/node_modules'), { recursive: true }),
    ],
  ])('installs again when %s', async (_, change) => {
    await launch(['x']).outcome;
    await change();
    expect((await launch(['x']).outcome).code).toBe(0);
    expect(await calls()).toHaveLength(2);
  });

  it('I4: gives Node a place for compiled code by convention, unless told another', async () => {
    env = { ...env, XDG_CACHE_HOME: join(root, 'cache') };
    const usual = process.getuid?.() === 0 ? '/var/cache' : env.XDG_CACHE_HOME;
    await launch(['x']).outcome;
    const first = await launch(['x']).outcome;
    expect(JSON.parse(first.stdout).cache).toBe(`${usual}/vmdn/node-compile`);
    // A file stands in the way: nothing can be kept there, and nothing is lost but time.
    env.NODE_COMPILE_CACHE = join(root, 'pnpm-lock.yaml');
    const second = await launch(['x']).outcome;
    expect(second).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(second.stdout).cache).toBe(env.NODE_COMPILE_CACHE);
  });

  it('I1: keeps stdout for the command alone', async () => {
    const { stdout, stderr } = await launch(['demo', '--json']).outcome;
    expect(stdout.trimEnd().split('\n')).toHaveLength(1);
    expect(stderr).toContain('setup run guests');
  });

  it('I2: installs once when two are launched at once', async () => {
    await write('hold', '');
    const runs = [launch(['a']), launch(['b'])];
    await waitFor('one of them installs', async () => (await calls()).length > 0, wait);
    await rm(join(root, 'hold'));
    for (const { outcome } of runs) expect((await outcome).code).toBe(0);
    expect(await calls()).toHaveLength(1);
  });

  it('says that the installation failed, and tries again the next time', async () => {
    await write('broken', '');
    const { code, stderr } = await launch(['x']).outcome;
    expect(code).toBe(1);
    expect(stderr).toContain('registry says no');
    expect(stderr).toContain('Start again to retry');
    await rm(join(root, 'broken'));
    expect((await launch(['x']).outcome).code).toBe(0);
  });

  it('stops before anything else when Debian packages are missing', async () => {
    await write('no-packages', '');
    const { code, stdout } = await launch(['demo']).outcome;
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(await calls()).toEqual([]);
  });

  it('works through a symbolic link, from anywhere, with a home that is not there', async () => {
    env.HOME = '/nonexistent';
    const elsewhere = await mkdtemp(join(tmpdir(), 'vmdn-elsewhere-'));
    try {
      await symlink(join(root, 'bin/vmdn.mjs'), join(elsewhere, 'vmdn'));
      const { stdout } = await launch(['x'], { cwd: elsewhere, file: join(elsewhere, 'vmdn') })
        .outcome;
      expect(JSON.parse(stdout)).toMatchObject({
        cwd: elsewhere,
        script: expect.stringContaining(root),
      });
    } finally {
      await rm(elsewhere, { recursive: true });
    }
  });

  it("passes on the command's exit code, and a signal to it", async () => {
    expect((await launch(['x', '--exit']).outcome).code).toBe(42);
    const { child, outcome } = launch(['x', '--wait']);
    let said = '';
    child.stdout?.on('data', (chunk: string) => {
      said += chunk;
    });
    await waitFor('it runs', () => said.includes('args'), wait);
    child.kill('SIGTERM');
    expect(await outcome).toMatchObject({ code: 7, stdout: expect.stringContaining('terminated') });
  });

  it('I6: passes on a signal that comes at the very moment when the command was started', async () => {
    await launch(['x']).outcome;
    const ready = join(root, 'ready');
    const node = `node_modules/node-${process.platform}-${process.arch}/bin/node`;
    await rm(join(root, node));
    await write(node, COMMAND, 0o755);
    await write('signal.mjs', SIGNAL_AT_SPAWN);
    env = { ...env, READY: ready, NODE_OPTIONS: `--import=${join(root, 'signal.mjs')}` };
    expect(await launch(['x']).outcome).toMatchObject({ code: 7, stdout: 'terminated\n' });
  });
});
