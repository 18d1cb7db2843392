/**
 * Room: infra, check. The steps that run something: the guests that tests boot, the appliance, and the tests.
 *
 * I1: the number of tests is vitest's own; a run without a test, or one that ended badly without
 *     naming a failed test, counts as failed.
 */

import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { prepareAppliance } from '@vmdn/core/io/appliance/appliance.ts';
import { createCommandRunner } from '@vmdn/core/io/command/command-runner.ts';
import { ensurePrivateDir } from '@vmdn/core/io/files/files.ts';
import { cacheDir } from '@vmdn/core/process/paths.ts';
import { failed, passed, runTool, type Step, type StepResult, workspaceTool } from './step.ts';

/** The guests that the tests boot or read; the others are for benchmarks. */
const TEST_GUESTS = [
  'debian-12-base',
  'web-01',
  'web-02',
  'tiny',
  'rpm-base',
  'rpm-site',
  'db-01',
  'agent',
  'who-01',
];

const guests: Step = {
  name: 'guests',
  title: 'guests for the tests',
  async run(context) {
    const script = join(context.rootDir, 'infra/guests/build.sh');
    const { exitCode } = await runTool(context, 'bash', [script, ...TEST_GUESTS], { live: true });
    if (exitCode === 0) return passed(TEST_GUESTS.join(', '));
    const fix = 'infra/setup.sh run appliance libvirt guests, then start again';
    return failed(`infra/guests/build.sh ended with ${exitCode}`, 'Its output stands above.', fix);
  },
};

/** Made beforehand: the first test that needs it would have to wait for it within its own time. */
const appliance: Step = {
  name: 'appliance',
  title: 'the appliance',
  async run() {
    const runner = createCommandRunner();
    const folder = join(cacheDir(process.env), 'appliance');
    try {
      await ensurePrivateDir(folder);
      await prepareAppliance(runner, folder);
      return passed('as the packages of this machine are');
    } catch (error) {
      const fix = 'infra/setup.sh run appliance, then start again';
      return failed('it could not be made', (error as Error).message, fix);
    }
  },
};

/** The part of vitest's JSON report that is used. */
interface VitestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message: string;
    readonly assertionResults: readonly {
      readonly status: string;
      readonly fullName: string;
      readonly failureMessages: readonly string[] | null;
    }[];
  }[];
}

/** The last words of a network's services. */
const EVIDENCE_LINES_MAX = 60;

/** What a report and vitest's exit code say. */
export function readReport(report: VitestReport, exitCode: number, rootDir: string): StepResult {
  const short = (path: string): string => path.replace(`${rootDir}/`, '');
  const problems = report.testResults.flatMap(({ name, status, message, assertionResults }) => {
    const bad = assertionResults.filter((test) => test.status === 'failed');
    if (bad.length === 0 && status === 'failed') return [`${short(name)}\n  ${message}`];
    return bad.map(({ fullName, failureMessages }) => {
      const [reason = '', ...more] = failureMessages ?? [];
      const lines = reason.split('\n').slice(0, 6);
      // What a harness adds is the evidence of what runs elsewhere.
      for (const words of more) lines.push(...words.split('\n').slice(0, EVIDENCE_LINES_MAX));
      return [`${short(name)}: ${fullName}`, ...lines].join('\n  ');
    });
  });
  const { numPassedTests, numPendingTests, numTodoTests } = report;
  if (numPassedTests === 0 && problems.length === 0) problems.push('There was no test to run.');
  if (exitCode !== 0 && problems.length === 0) problems.push(`vitest ended with ${exitCode}.`);
  const leftOut = numPendingTests + numTodoTests;
  const files = report.testResults.length;
  const summary = `${numPassedTests} in ${files} files${leftOut > 0 ? `, ${leftOut} left out` : ''}`;
  if (problems.length === 0) return { passed: numPassedTests, failed: 0, summary };
  return {
    passed: numPassedTests,
    failed: problems.length,
    summary: `${problems.length} failed, ${summary}`,
    output: problems.join('\n\n'),
    fix: 'node_modules/.bin/vitest run FILE  runs one file alone',
  };
}

const tests: Step = {
  name: 'tests',
  title: 'tests',
  async run(context) {
    const folder = await mkdtemp(join(tmpdir(), 'vmdn-check-'));
    const reportPath = join(folder, 'vitest.json');
    try {
      const args = [
        'run',
        // By themselves (vitest.config.ts).
        '--project=!slow',
        '--reporter=default',
        '--reporter=json',
        `--outputFile.json=${reportPath}`,
      ];
      const vitest = workspaceTool(context, 'vitest');
      const { exitCode } = await runTool(context, vitest, [...args, ...context.rest], {
        live: true,
      });
      if (!existsSync(reportPath)) {
        return failed(
          `vitest ended with ${exitCode}`,
          'It left no report.',
          'see its output above',
        );
      }
      const report = JSON.parse(await readFile(reportPath, 'utf8')) as VitestReport;
      return readReport(report, exitCode, context.rootDir);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
};

export const TEST_STEPS: readonly Step[] = [guests, appliance, tests];
