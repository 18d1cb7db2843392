/**
 * Room: process. Where things lie by the system's conventions: the Filesystem Hierarchy Standard
 * for root, the XDG base directories for users.
 */

import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { VmdnError } from '../domain/errors.ts';

type Environment = Readonly<Record<string, string | undefined>>;

interface Convention {
  readonly root: string;
  readonly variable: string;
  readonly underHome: string;
}

function conventionalDir(env: Environment, convention: Convention): string {
  if (process.getuid?.() === 0) return convention.root;
  const given = env[convention.variable];
  if (given?.startsWith('/')) return join(given, 'vmdn');
  const home = env.HOME || homedir();
  if (!home.startsWith('/')) {
    throw new VmdnError('invalid_input', `Set HOME or ${convention.variable} to an absolute path.`);
  }
  return join(home, convention.underHome, 'vmdn');
}

/** What must survive a restart: stores, databases, keys. */
export function stateDir(env: Environment): string {
  return conventionalDir(env, {
    root: '/var/lib/vmdn',
    variable: 'XDG_STATE_HOME',
    underHome: '.local/state',
  });
}

/** What can be made again: guests, probes. */
export function cacheDir(env: Environment): string {
  return conventionalDir(env, {
    root: '/var/cache/vmdn',
    variable: 'XDG_CACHE_HOME',
    underHome: '.cache',
  });
}

/** What an administrator writes. */
export function configDir(env: Environment): string {
  return conventionalDir(env, {
    root: '/etc/vmdn',
    variable: 'XDG_CONFIG_HOME',
    underHome: '.config',
  });
}

/** Sockets and pid files: short, since a socket's path has at most 107 bytes; gone after a reboot. */
export function runtimeDir(env: Environment): string {
  const uid = process.getuid?.();
  if (uid === 0) return '/run/vmdn';
  const given = env.XDG_RUNTIME_DIR;
  return given?.startsWith('/') ? join(given, 'vmdn') : join(tmpdir(), `vmdn-${uid}`);
}
