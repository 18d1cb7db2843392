#!/usr/bin/env node
/**
 * The launcher: the one plain-JavaScript file, so that any Node from 20 on can run it. It brings
 * `node_modules` up to date, finds the Node 24 that the workspace pins, and hands over to it.
 *
 * I1: stdout belongs to the command that is launched; the launcher and the installers it runs
 *     speak on stderr only.
 * I2: two launches at once install once: the installation holds flock(1) on the repository, which the
 *     kernel lets go of however the holder ends.
 * I3: a launch with everything in place starts nothing but the command itself.
 * I4: memory that was freed goes back to the system (ALLOCATOR).
 * I5: Node keeps what it compiled in the system's cache; where it may not write there, it compiles anew.
 * I6: a signal ends the launcher only when no command was started; from then on it is the command's.
 */

import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const NODE_MAJOR_MIN = 20;
const NODE_MAJOR_PINNED = 24;
/** pnpm 12 is a native binary, so the Node that fetches it hardly matters. */
const PNPM = 'pnpm@12.21.0';
const INSTALL_STEP = '--install-dependencies';
/** A cold installation over a slow link; a second launch waits for the first one no longer than this. */
const INSTALL_SECONDS_MAX = 900;

const SELF = realpathSync(fileURLToPath(import.meta.url));
const ROOT = dirname(dirname(SELF));
const STAMP = join(ROOT, 'node_modules', '.vmdn-installed');

/** What the launcher starts itself; every other word is a command of the `vmdn` tool. */
const COMMANDS = {
  demo: { script: 'infra/demo/main.ts', packages: ['run', 'guests'] },
  test: {
    script: 'infra/check/main.ts',
    packages: ['run', 'appliance', 'libvirt', 'guests'],
    packagesForRoot: ['dev'],
  },
  bench: { script: 'test/bench/main.ts', packages: ['run', 'guests', 'bench'] },
  lab: { script: 'infra/lab/main.ts' },
  coordinator: { script: 'apps/coordinator/src/main.ts' },
  origin: { script: 'apps/origin/src/main.ts' },
  edge: { script: 'apps/edge/src/main.ts' },
};
const TOOL = 'apps/cli/src/main.ts';

/** Ends the launcher with words for the user. */
function fail(message, exitCode = 1) {
  process.stderr.write(`vmdn: ${message}\n`);
  process.exit(exitCode);
}

/** The folders of the workspace whose dependencies pnpm links beside them. */
function packageFolders() {
  const groups = ['apps', 'packages'].flatMap((group) =>
    readdirSync(join(ROOT, group)).map((name) => join(group, name)),
  );
  return [...groups, 'infra', 'test'].filter((folder) => {
    const manifest = join(ROOT, folder, 'package.json');
    return existsSync(manifest) && 'dependencies' in JSON.parse(readFileSync(manifest, 'utf8'));
  });
}

/** What the installed packages follow from; a change of either means installing again. */
function wantedStamp() {
  const hash = createHash('sha256');
  for (const file of ['pnpm-lock.yaml', 'pnpm-workspace.yaml']) {
    hash.update(readFileSync(join(ROOT, file)));
  }
  return `${hash.digest('hex')} ${process.platform}-${process.arch}\n`;
}

function dependenciesAreFresh() {
  if (!existsSync(STAMP) || readFileSync(STAMP, 'utf8') !== wantedStamp()) return false;
  return packageFolders().every((folder) => existsSync(join(ROOT, folder, 'node_modules')));
}

/** A home that npm can write its cache to: the user's own, or a temporary one. */
function withUsableHome(use) {
  const home = process.env.HOME || homedir();
  try {
    accessSync(home, constants.W_OK | constants.X_OK);
    if (statSync(home).isDirectory()) return use({ HOME: home });
  } catch {
    // There is none, or it is read-only: the temporary one below does as well.
  }
  const temporary = mkdtempSync(join(tmpdir(), 'vmdn-home-'));
  try {
    const own = { HOME: temporary, npm_config_cache: join(temporary, '.npm') };
    return use({
      ...own,
      XDG_DATA_HOME: temporary,
      XDG_CACHE_HOME: temporary,
      XDG_STATE_HOME: temporary,
    });
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

/** npx as it came with the Node that runs this, or the one on PATH. */
function npxPath() {
  const sibling = join(dirname(process.execPath), 'npx');
  return existsSync(sibling) ? sibling : 'npx';
}

/** Runs a program to its end with its output on stderr; returns its exit code. */
function runOnStderr(program, args, { env = {}, missing }) {
  const result = spawnSync(program, args, {
    cwd: ROOT,
    stdio: ['ignore', 2, 2],
    env: { ...process.env, ...env },
  });
  if (result.error?.code === 'ENOENT') fail(missing, 127);
  if (result.error) fail(`${program} could not be run: ${result.error.message}`);
  if (result.signal) process.kill(process.pid, result.signal);
  return result.status ?? 1;
}

/** The step that runs under the lock. */
function installDependencies() {
  if (dependenciesAreFresh()) return 0;
  process.stderr.write('vmdn: installing the Node packages that pnpm-lock.yaml names ...\n');
  const args = [
    '-y',
    PNPM,
    'install',
    '--frozen-lockfile',
    '--reporter=append-only',
    '--loglevel=error',
  ];
  const status = withUsableHome((home) =>
    runOnStderr(npxPath(), args, {
      // With CI set pnpm asks no question, even where it has to replace node_modules.
      env: { ...home, CI: 'true' },
      missing: 'npx is missing: install npm (Debian: apt-get install npm) and start again.',
    }),
  );
  if (status === 0) writeFileSync(STAMP, wantedStamp());
  return status;
}

function ensureDependencies() {
  if (dependenciesAreFresh()) return;
  const writable = existsSync(join(ROOT, 'node_modules')) ? join(ROOT, 'node_modules') : ROOT;
  try {
    accessSync(writable, constants.W_OK);
  } catch {
    fail(`${writable} is out of date and this user may not write there: start once as its owner.`);
  }
  const locked = ['--exclusive', '--timeout', String(INSTALL_SECONDS_MAX), ROOT];
  const status = runOnStderr('flock', [...locked, process.execPath, SELF, INSTALL_STEP], {
    missing: 'flock is missing: install it (Debian: apt-get install util-linux) and start again.',
  });
  if (status !== 0) {
    fail(
      'the Node packages could not be installed; the reason stands above. Start again to retry.',
    );
  }
}

/** The Node 24 that the workspace pins; on platforms it is not packaged for, this one if it is new enough. */
function pinnedNode() {
  const pinned = join(
    ROOT,
    'node_modules',
    `node-${process.platform}-${process.arch}`,
    'bin',
    'node',
  );
  if (existsSync(pinned)) return realpathSync(pinned);
  if (nodeMajor() >= NODE_MAJOR_PINNED) return process.execPath;
  const machine = `${process.platform}-${process.arch}`;
  return fail(
    `no Node ${NODE_MAJOR_PINNED} comes with the workspace for ${machine}, and this is Node ` +
      `${process.versions.node}: start with Node ${NODE_MAJOR_PINNED} or newer.`,
  );
}

function nodeMajor() {
  return Number.parseInt(process.versions.node, 10);
}

/** Installs the Debian packages that the command needs, or says which ones are missing. */
function ensurePackages(command) {
  if (command.packages === undefined) return;
  const isRoot = process.getuid?.() === 0;
  const groups = [...command.packages, ...(isRoot ? (command.packagesForRoot ?? []) : [])];
  const status = runOnStderr('bash', [join(ROOT, 'infra', 'setup.sh'), ...groups], {
    missing: 'bash is missing: install it and start again.',
  });
  if (status !== 0) process.exit(status);
}

/**
 * Where Node keeps the code that it compiled: by the same conventions as core/process/paths.ts. Measured: a
 * worker thread then takes 0.15 s of processor time to start instead of 0.33 s. Node checks each entry
 * against its source, tells users and versions apart, and goes on without where it may not write.
 */
function compileCache() {
  const { NODE_COMPILE_CACHE: given, XDG_CACHE_HOME: xdg, HOME: home = homedir() } = process.env;
  if (given !== undefined) return given;
  if (process.getuid?.() === 0) return '/var/cache/vmdn/node-compile';
  if (xdg?.startsWith('/')) return join(xdg, 'vmdn/node-compile');
  return home.startsWith('/') ? join(home, '.cache/vmdn/node-compile') : undefined;
}

/**
 * glibc's allocator, mallopt(3): large buffers are mapped one by one and go back when they are freed, instead
 * of making holes in an arena for each thread.
 */
const ALLOCATOR = { MALLOC_ARENA_MAX: '2', MALLOC_MMAP_THRESHOLD_: '262144' };

/**
 * V8's young generation, in megabytes, of what moves data. Buffers lie outside the heap and go when it is
 * collected; they count as old until then, and for every few megabytes of them the whole heap is marked. In a
 * small young generation they go with the next cheap collection. Measured for an edge that receives random
 * bytes: 2.4 ms of processor time for each megabyte instead of 7.9. The checks compile, and are left alone.
 */
const SMALL_YOUNG_GENERATION = { NODE_OPTIONS: '--max-semi-space-size=1' };

/** Replaces the launcher by the command, as far as Node 20 can: same terminal, signals, exit code (I6). */
function handOver(script, args, settings) {
  const cache = compileCache();
  let child;
  // A terminal sends Ctrl-C to the whole process group: the child has it already.
  const hasTerminal = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY;
  process.on('SIGINT', () => {
    if (!hasTerminal) child.kill('SIGINT');
  });
  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGQUIT']) {
    process.on(signal, () => child.kill(signal));
  }
  child = spawn(pinnedNode(), [join(ROOT, script), ...args], {
    stdio: 'inherit',
    env: {
      ...ALLOCATOR,
      ...settings,
      ...process.env,
      ...(cache === undefined ? {} : { NODE_COMPILE_CACHE: cache }),
    },
  });
  child.on('error', (error) => fail(`${script} could not be started: ${error.message}`));
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code);
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}

function main(args) {
  if (nodeMajor() < NODE_MAJOR_MIN) {
    fail(
      `this is Node ${process.versions.node}; install Node ${NODE_MAJOR_MIN} or newer and start again.`,
    );
  }
  const [word, ...rest] = args;
  if (word === INSTALL_STEP) process.exit(installDependencies());
  const command = Object.hasOwn(COMMANDS, word ?? '') ? COMMANDS[word] : undefined;
  if (command !== undefined) ensurePackages(command);
  ensureDependencies();
  const settings = word === 'test' ? {} : SMALL_YOUNG_GENERATION;
  if (command === undefined) handOver(TOOL, args, settings);
  else handOver(command.script, rest, settings);
}

main(process.argv.slice(2));
