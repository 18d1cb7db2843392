/**
 * Room: infra, check. Runs the import law over a tree with dependency-cruiser.
 *
 * I1: a run that saw no modules or no dependencies is an error, never a pass (with a TypeScript it
 *     cannot load, dependency-cruiser finds nothing and says "no violations").
 * I2: before the tree is judged, the planted house is: every rule must report its own violations
 *     and no lawful file.
 */

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { cruise, type ICruiseResult } from 'dependency-cruiser';
import { PLANTED, PLANTED_PACKAGES } from './planted.ts';
import { LAW, type LawRule } from './rules.ts';

const ROOMS = ['packages', 'apps', 'infra', 'test'];

export interface Violation {
  readonly rule: string;
  readonly from: string;
  readonly to: string;
}

export interface Judgement {
  readonly modules: number;
  readonly dependencies: number;
  readonly violations: readonly Violation[];
}

/** Applies the law to the rooms below `rootDir`. Throws when nothing was seen (I1). */
export async function judgeImports(
  rootDir: string,
  law: readonly LawRule[] = LAW,
): Promise<Judgement> {
  const { output } = await cruise(
    ROOMS,
    {
      baseDir: rootDir,
      tsPreCompilationDeps: true,
      doNotFollow: { path: 'node_modules' },
      validate: true,
      ruleSet: { forbidden: [...law] as never },
    },
    {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'types'],
      extensions: ['.ts', '.mjs', '.js'],
    },
  );
  const { summary } = output as ICruiseResult;
  const modules = summary.totalCruised;
  const dependencies = summary.totalDependenciesCruised ?? 0;
  if (modules === 0 || dependencies === 0) {
    throw new Error(
      `The import law saw ${modules} modules and ${dependencies} imports: it checked nothing. ` +
        'Is TypeScript 6 installed beside dependency-cruiser (packageExtensions)?',
    );
  }
  const violations = summary.violations.map(({ rule, from, to }) => ({
    rule: rule.name,
    from,
    to,
  }));
  return { modules, dependencies, violations };
}

/** Writes the planted house to a temporary folder and judges it. */
export async function judgePlanted(law: readonly LawRule[] = LAW): Promise<Judgement> {
  const rootDir = await mkdtemp(join(tmpdir(), 'vmdn-import-law-'));
  try {
    const files = PLANTED.map(({ path, source }) => ({ path, source }));
    for (const name of PLANTED_PACKAGES) {
      const manifest = JSON.stringify({ name, version: '1.0.0', main: 'index.js' });
      files.push({ path: `node_modules/${name}/package.json`, source: manifest });
      files.push({ path: `node_modules/${name}/index.js`, source: '' });
    }
    for (const { path, source } of files) {
      await mkdir(dirname(join(rootDir, path)), { recursive: true });
      await writeFile(join(rootDir, path), source);
    }
    return await judgeImports(rootDir, law);
  } finally {
    await rm(rootDir, { recursive: true, force: true });
  }
}

/** What is wrong with the law itself: rules that miss their violation, lawful files that are reported. */
export async function flawsOfTheLaw(law: readonly LawRule[] = LAW): Promise<readonly string[]> {
  const { violations } = await judgePlanted(law);
  const reported = new Set(violations.map(({ rule, from }) => `${rule} ${from}`));
  const flaws = PLANTED.flatMap(({ breaks, path }) => {
    if (breaks !== null) {
      return reported.has(`${breaks} ${path}`) ? [] : [`${breaks} does not report ${path}`];
    }
    return violations
      .filter(({ from }) => from === path)
      .map(({ rule }) => `${rule} reports the lawful ${path}`);
  });
  const planted = new Set(PLANTED.map(({ breaks }) => breaks));
  for (const { name } of law)
    if (!planted.has(name)) flaws.push(`${name} has no planted violation`);
  return flaws;
}
