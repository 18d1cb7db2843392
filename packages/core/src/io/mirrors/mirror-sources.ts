/**
 * Room: io, mirrors. Where packages may come from: what the machine's own apt is told, or files of the
 * edge's operator.
 *
 * I1: apt's files are read, not its downloaded lists: machines whose lists were never fetched, or were
 *     cleaned, have mirrors too, and keys and options of each source are known.
 * I2: a machine without apt has no mirrors; that is a remark, no error. A file that the operator named and
 *     that can't be read is an error.
 */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isVmdnError, VmdnError } from '../../domain/errors.ts';
import { aptProxies, parseAptConfigDump, parseAptConfigShell } from '../../formats/apt-config.ts';
import {
  type AptSource,
  parseDeb822Sources,
  parseOneLineSources,
  SOURCES_BYTES_MAX,
} from '../../formats/apt-sources.ts';
import { parseRepoFile, type RpmSource } from '../../formats/rpm-repo-file.ts';
import type { CommandRunner } from '../command/command-runner.ts';
import { fileError, readBoundedFile } from '../files/files.ts';
import type { AptTrustSettings } from './apt-repository.ts';
import type { MirrorProxies } from './mirror-http.ts';

/** The machine's own apt sources, none, or files of the operator: `.sources`, `.list`, `.repo`. */
export type MirrorChoice = 'machine' | 'none' | readonly string[];

export interface MirrorSources {
  readonly apt: readonly AptSource[];
  readonly rpm: readonly RpmSource[];
  readonly aptTrust: AptTrustSettings;
  /** Those that apt is told to use. */
  readonly proxies: MirrorProxies;
  readonly remarks: readonly string[];
}

/** Administrators have a few files; a folder with more is something else. */
const FILES_MAX = 256;
const APT_CONFIG_TIMEOUT_MS = 30_000;

/** Reads them. Throws `not_found`, `forbidden`, `too_large`, `invalid_input` for the operator's files. */
export async function readMirrorSources(
  runner: CommandRunner,
  choice: MirrorChoice,
): Promise<MirrorSources> {
  const nothing: MirrorSources = {
    apt: [],
    rpm: [],
    aptTrust: { keyPaths: [], checkValidUntil: true },
    proxies: {},
    remarks: [],
  };
  if (choice === 'none') return nothing;
  const machine = await readMachineApt(runner);
  const { aptTrust = nothing.aptTrust, proxies = nothing.proxies } = machine ?? {};
  if (choice !== 'machine') return { ...(await readFiles(choice)), aptTrust, proxies };
  if (machine === null) {
    return { ...nothing, remarks: ['This machine has no apt: packages come from no mirror.'] };
  }
  return { ...(await readFiles(machine.files)), aptTrust, proxies };
}

interface MachineApt {
  readonly files: readonly string[];
  readonly aptTrust: AptTrustSettings;
  readonly proxies: MirrorProxies;
}

/** Null on a machine without apt. */
async function readMachineApt(runner: CommandRunner): Promise<MachineApt | null> {
  const ask = async (...args: string[]): Promise<string> =>
    (await runner.run('apt-config', args, { timeoutMs: APT_CONFIG_TIMEOUT_MS })).stdout;
  try {
    const places = parseAptConfigShell(
      await ask(
        ...['shell', 'LIST', 'Dir::Etc::sourcelist/f', 'PARTS', 'Dir::Etc::sourceparts/d'],
        ...['KEYS', 'Dir::Etc::trusted/f', 'KEYPARTS', 'Dir::Etc::trustedparts/d'],
      ),
    );
    const settings = parseAptConfigDump(await ask('dump', 'Acquire'));
    const filesOf = (file: string, folder: string, pattern: RegExp): Promise<string[]> =>
      existing(places.get(file), places.get(folder), pattern);
    const checkValidUntil = settings.get('acquire::check-valid-until') ?? '';
    return {
      files: await filesOf('LIST', 'PARTS', /^[A-Za-z0-9_.-]+\.(list|sources)$/),
      aptTrust: {
        keyPaths: await filesOf('KEYS', 'KEYPARTS', /^[A-Za-z0-9_.-]+\.(gpg|asc)$/),
        checkValidUntil: !/^(no|false|0|off|without)$/i.test(checkValidUntil),
      },
      proxies: aptProxies(settings),
    };
  } catch (error) {
    if (isVmdnError(error, 'tool_missing')) return null;
    throw error;
  }
}

/** The file, where it is there, and those of the folder in the order of their names, as apt reads them. */
async function existing(
  file: string | undefined,
  folder: string | undefined,
  pattern: RegExp,
): Promise<string[]> {
  const names = async (path: string | undefined): Promise<string[]> => {
    if (path === undefined || path === '') return [];
    try {
      return await readdir(path);
    } catch (error) {
      if (isVmdnError(fileError(error, path), 'not_found')) return [];
      throw fileError(error, path);
    }
  };
  const parts = (await names(folder)).filter((name) => pattern.test(name)).sort();
  const own = file?.replace(/^.*\//, '') ?? '';
  const isThere = (await names(file?.replace(/\/[^/]*$/, ''))).includes(own);
  return [...(isThere ? [file!] : []), ...parts.map((name) => join(folder!, name))];
}

async function readFiles(
  paths: readonly string[],
): Promise<Pick<MirrorSources, 'apt' | 'rpm' | 'remarks'>> {
  if (paths.length > FILES_MAX) {
    throw new VmdnError('too_large', `More than ${FILES_MAX} files name mirrors; name fewer.`);
  }
  const [apt, rpm, remarks]: [AptSource[], RpmSource[], string[]] = [[], [], []];
  for (const path of paths) {
    const text = Buffer.from(await readBoundedFile(path, SOURCES_BYTES_MAX)).toString('utf8');
    if (path.endsWith('.repo')) {
      const found = parseRepoFile(text);
      rpm.push(...found.sources);
      remarks.push(...found.remarks.map((remark) => `${path}: ${remark}`));
      continue;
    }
    const parse = path.endsWith('.sources') ? parseDeb822Sources : parseOneLineSources;
    if (!/\.(sources|list)$/.test(path)) {
      throw new VmdnError('invalid_input', `${path} must end in .sources, .list or .repo.`);
    }
    const found = parse(text);
    apt.push(...found.sources);
    remarks.push(...found.remarks.map((remark) => `${path}: ${remark}`));
  }
  return { apt, rpm, remarks };
}
