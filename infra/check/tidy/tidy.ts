/**
 * Room: infra, check. Runs the tidy rules over every file that git knows or would add.
 *
 * I1: what git ignores is not ours; everything else is looked at.
 * I2: a run that saw no files is an error, never a pass.
 */

import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { brokenLinks } from './links.ts';
import { type Finding, RULES, type SourceFile } from './rules.ts';

const run = promisify(execFile);
const TEXT = /\.(ts|mjs|sh|md|json|ya?ml|sql)$|(^|\/)\.npmrc$/;

/** The text files of the repository, relative to its root. */
export async function listSources(rootDir: string): Promise<string[]> {
  const args = ['ls-files', '-z', '--cached', '--others', '--exclude-standard'];
  const { stdout } = await run('git', args, { cwd: rootDir, maxBuffer: 16 * 2 ** 20 });
  const paths = stdout
    .split('\0')
    .filter((path) => TEXT.test(path) && existsSync(join(rootDir, path)));
  return [...new Set(paths)].sort();
}

/** What one file should do better. */
export function tidyFile(file: SourceFile, exists: (path: string) => boolean): Finding[] {
  return [...RULES.flatMap((rule) => rule.check(file)), ...brokenLinks(file, exists)];
}

/** What all files should do better, and how many were looked at. */
export async function tidy(rootDir: string): Promise<{ files: number; findings: Finding[] }> {
  const paths = await listSources(rootDir);
  if (paths.length === 0) throw new Error(`The tidy rules saw no file below ${rootDir}.`);
  const exists = (path: string): boolean => existsSync(join(rootDir, path));
  const findings: Finding[] = [];
  for (const path of paths) {
    const text = await readFile(join(rootDir, path), 'utf8');
    findings.push(...tidyFile({ path, text }, exists));
  }
  return { files: paths.length, findings };
}
