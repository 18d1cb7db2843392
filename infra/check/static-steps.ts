/**
 * Room: infra, check. The steps that read the source and run nothing of it.
 */

import { flawsOfTheLaw, judgeImports } from './import-law/cruise.ts';
import { failed, passed, runTool, type Step, workspaceTool } from './step.ts';
import { listSources, tidy } from './tidy/tidy.ts';

const style: Step = {
  name: 'style',
  title: 'format and lint',
  async run(context) {
    const { exitCode, output } = await runTool(context, workspaceTool(context, 'biome'), [
      'ci',
      '--error-on-warnings',
      '--colors=off',
      '--max-diagnostics=40',
      '.',
    ]);
    const files = /Checked (\d+) files/.exec(output)?.[1];
    if (exitCode === 0 && files !== undefined) return passed(`${files} files`);
    return failed('biome is not content', output, 'node_modules/.bin/biome check --write .');
  },
};

const types: Step = {
  name: 'types',
  title: 'types',
  async run(context) {
    const args = ['--noEmit', '--pretty', 'false', '-p', '.'];
    const { exitCode, output } = await runTool(context, workspaceTool(context, 'tsc'), args);
    if (exitCode === 0) return passed('strict');
    const errors = output.split('\n').filter((line) => line.includes('error TS')).length;
    return failed(`${errors} type errors`, output, 'correct the types named above');
  },
};

const imports: Step = {
  name: 'imports',
  title: 'import law',
  async run({ rootDir }) {
    const fix = 'move the code to the room that may import this (docs/HACKING.md, "The house")';
    const flaws = await flawsOfTheLaw();
    if (flaws.length > 0) {
      return failed(
        'the law itself is broken',
        flaws.join('\n'),
        'infra/check/import-law/rules.ts',
      );
    }
    const { modules, dependencies, violations } = await judgeImports(rootDir);
    if (violations.length === 0) return passed(`${modules} modules, ${dependencies} imports`);
    const lines = violations.map(({ rule, from, to }) => `${from} -> ${to}  (${rule})`);
    return failed(`${violations.length} forbidden imports`, lines.join('\n'), fix);
  },
};

const tidiness: Step = {
  name: 'tidy',
  title: 'tidy',
  async run({ rootDir }) {
    const { files, findings } = await tidy(rootDir);
    if (findings.length === 0) return passed(`${files} files`);
    const lines = findings.map(({ path, line, message }) => `${path}:${line} ${message}`);
    return failed(`${findings.length} findings`, lines.join('\n'), 'do what each line says');
  },
};

const unused: Step = {
  name: 'unused',
  title: 'unused code',
  async run(context) {
    const args = ['--no-progress', '--no-config-hints'];
    const { exitCode, output } = await runTool(context, workspaceTool(context, 'knip'), args);
    if (exitCode === 0) return passed('none');
    return failed('code or dependencies that nobody uses', output, 'remove them, or use them');
  },
};

const shell: Step = {
  name: 'shell',
  title: 'shell scripts',
  async run(context) {
    const sources = await listSources(context.rootDir);
    const scripts = [...sources.filter((path) => path.endsWith('.sh')), '.ci/run'];
    const args = ['--external-sources', '--severity=style', '--', ...scripts];
    const { exitCode, output } = await runTool(context, 'shellcheck', args);
    if (exitCode === 0) return passed(`${scripts.length} scripts`);
    if (exitCode === 127) return { passed: 0, failed: 0, summary: 'left out: no shellcheck here' };
    return failed('shellcheck is not content', output, 'correct the lines named above');
  },
};

/** In the order in which they run: quick ones first. */
export const STATIC_STEPS: readonly Step[] = [tidiness, style, types, imports, unused, shell];
