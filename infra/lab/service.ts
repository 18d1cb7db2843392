/**
 * Room: infra, lab. One service of a network as a process of its own.
 *
 * I1: it is up when it has said where it listens; one that dies before, or later, is noticed with the
 *     last lines of its log.
 * I2: it runs in a session of its own with its output in files, so that neither Ctrl-C nor the end
 *     of whoever started it reaches it: only `stop` and `kill` do.
 * I3: it gets the settings it is given and no other VMDN setting of the environment.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { open, readFile } from 'node:fs/promises';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { endProcess, identify, MARK_VARIABLE, type ProcessIdentity } from './processes.ts';
import { waitFor } from './wait-for.ts';

export type ServiceKind = 'coordinator' | 'origin' | 'edge';

export interface ServiceOptions {
  readonly kind: ServiceKind;
  readonly name: string;
  readonly settings: Readonly<Record<string, string>>;
  readonly logPath: string;
  readonly mark: string;
}

export interface Service extends ProcessIdentity {
  readonly kind: ServiceKind;
  readonly name: string;
  /** Base URL under which it answers. */
  readonly url: string;
  readonly logPath: string;
  /** False once it has ended. */
  isRunning(): boolean;
  /** Throws when it has ended, with the last lines of its log. */
  assertRunning(): void;
  /** SIGTERM, SIGKILL when that does not help. Returns whether it had to be killed. */
  stop(): Promise<boolean>;
  /** Ends it without a warning, as a power cut would, and waits until its port and its locks are free. */
  kill(): Promise<void>;
}

const ROOT = new URL('../..', import.meta.url).pathname;
/** A coordinator's first start creates a database: 2 s here, more on a busy machine. */
const START_MS_MAX = 90_000;
/** A service forces its own end after 20 s. */
const STOP_MS_MAX = 25_000;
/** A process that waits for a disk of the machine does not end when it is killed. */
const KILL_WAIT_MS = 60_000;
const LOG_LINES_SHOWN = 15;
/** The variables that a service may inherit: how programs are found and words are written. */
/** What the launcher tells a service by itself (bin/vmdn.mjs). */
export const LAUNCHER_SETTINGS = [
  'NODE_COMPILE_CACHE',
  'MALLOC_ARENA_MAX',
  'MALLOC_MMAP_THRESHOLD_',
  'NODE_OPTIONS',
] as const;

const INHERITED = [
  'PATH',
  'HOME',
  'LANG',
  'TZ',
  'TMPDIR',
  'XDG_CACHE_HOME',
  'XDG_RUNTIME_DIR',
  'NODE_EXTRA_CA_CERTS',
  ...LAUNCHER_SETTINGS,
];

function environmentOf(options: ServiceOptions): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const name of INHERITED) {
    const value = process.env[name];
    if (value !== undefined) environment[name] = value;
  }
  return { ...environment, ...options.settings, [MARK_VARIABLE]: options.mark };
}

/** The words of a line of the log; a line that is no JSON stands for itself. */
function wordsOf(line: string): string {
  try {
    return String((JSON.parse(line) as { msg?: unknown }).msg ?? line);
  } catch {
    return line;
  }
}

async function tailOf(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch(() => '');
  const lines = text.trimEnd().split('\n').slice(-LOG_LINES_SHOWN);
  return `${lines.map((line) => `  ${wordsOf(line)}`).join('\n')}\n(${path})`;
}

/** The URL in the line that says `listening`, once it is there. */
async function listeningUrl(outPath: string): Promise<string | undefined> {
  for (const line of (await readFile(outPath, 'utf8')).split('\n').slice(0, -1)) {
    const event = JSON.parse(line) as { event?: unknown; url?: unknown };
    if (event.event === 'listening' && typeof event.url === 'string') return event.url;
  }
  return undefined;
}

async function launch(options: ServiceOptions, outPath: string): Promise<ChildProcess> {
  const log = await open(options.logPath, 'a', 0o600);
  const out = await open(outPath, 'w', 0o600);
  try {
    const child = spawn(process.execPath, [`${ROOT}apps/${options.kind}/src/main.ts`], {
      cwd: '/',
      detached: true,
      stdio: ['ignore', out.fd, log.fd],
      env: environmentOf(options),
    });
    await new Promise((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    child.unref();
    return child;
  } finally {
    await log.close();
    await out.close();
  }
}

/** Starts a service and waits until it can be used. Throws `unavailable` with its last words. */
export async function startService(
  options: ServiceOptions,
  signal?: AbortSignal,
): Promise<Service> {
  const outPath = options.logPath.replace(/(\.log)?$/, '.out');
  const child = await launch(options, outPath);
  const { kind, name, logPath } = options;
  const identity = (await identify(child.pid ?? -1)) ?? { pid: child.pid ?? -1, startTicks: -1 };
  let ending: string | undefined;
  const ended = new Promise<void>((resolve) => {
    child.once('exit', (code, exitSignal) => {
      ending = exitSignal ?? `exit code ${code}`;
      resolve();
    });
  });
  let lastWords = '';
  void ended.then(async () => {
    lastWords = await tailOf(logPath);
  });
  const assertRunning = (): void => {
    if (ending === undefined) return;
    throw new VmdnError(
      'unavailable',
      `${name} (${kind}) ended with ${ending}. Its log ends so:\n${lastWords}`,
      {
        data: { name, kind, logPath },
      },
    );
  };
  const watch = (): void => {
    if (ending !== undefined && lastWords !== '') assertRunning();
  };
  try {
    const url = await waitFor(`${name} listens`, () => listeningUrl(outPath), {
      timeoutMs: START_MS_MAX,
      intervalMs: 25,
      signal,
      watch,
    });
    return {
      ...identity,
      kind,
      name,
      url,
      logPath,
      isRunning: () => ending === undefined,
      assertRunning,
      stop: () => endProcess(identity, STOP_MS_MAX),
      async kill() {
        child.kill('SIGKILL');
        // The kernel tells its parent after the last of its threads has closed its files.
        await waitFor(`${name} is gone`, () => ending !== undefined, {
          timeoutMs: KILL_WAIT_MS,
          intervalMs: 10,
        });
      },
    };
  } catch (error) {
    await endProcess(identity, STOP_MS_MAX);
    throw error;
  }
}
