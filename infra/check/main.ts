/**
 * Room: infra, check. `npm test`: everything that must hold before a change is good, one line a step.
 *
 * I1: every step runs even when one before it failed; the exit code says whether all were good.
 * I2: the last line is `N passed, N failed`, and a number of failures that is not 0 means exit code 1.
 */

import { STATIC_STEPS } from './static-steps.ts';
import type { Step, StepContext, StepResult } from './step.ts';
import { TEST_STEPS } from './test-steps.ts';

const STEPS: readonly Step[] = [...STATIC_STEPS, ...TEST_STEPS];

const USAGE = `Usage: npm test [-- [--only STEP[,STEP…]] [-- VITEST-ARGUMENT…]]

Steps, in this order:
${STEPS.map(({ name, title }) => `  ${name.padEnd(10)}${title}`).join('\n')}

  npm test -- --only tidy,style,types,imports,unused    everything that runs no test
  npm test -- --only tests -- packages/core/src/formats  the tests of one folder
`;

interface Arguments {
  readonly steps: readonly Step[];
  readonly rest: readonly string[];
}

/** Reads the arguments; a string is what to tell the user instead. */
export function parseArguments(argv: readonly string[]): Arguments | string {
  const split = argv.indexOf('--');
  const own = split < 0 ? argv : argv.slice(0, split);
  const rest = split < 0 ? [] : argv.slice(split + 1);
  if (own.length === 0) return { steps: STEPS, rest };
  const [option, value, ...others] = own[0]?.startsWith('--only=')
    ? ['--only', own[0].slice('--only='.length), ...own.slice(1)]
    : own;
  if (option !== '--only' || value === undefined || others.length > 0) return USAGE;
  const names = value.split(',');
  const unknown = names.filter((name) => !STEPS.some((step) => step.name === name));
  if (unknown.length > 0) return `There is no step ${unknown.join(', ')}.\n\n${USAGE}`;
  return { steps: STEPS.filter(({ name }) => names.includes(name)), rest };
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

async function runStep(step: Step, context: StepContext): Promise<StepResult> {
  const startedMs = performance.now();
  let result: StepResult;
  try {
    result = await step.run(context);
  } catch (error) {
    const output = error instanceof Error ? (error.stack ?? error.message) : String(error);
    result = { passed: 0, failed: 1, summary: 'the step itself failed', output };
  }
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1).padStart(6);
  const verdict = result.failed > 0 ? 'FAIL' : 'ok  ';
  say(`${verdict} ${seconds} s  ${step.title.padEnd(22)}${result.summary}`);
  if (result.failed > 0 && result.output !== undefined) {
    say(`\n${result.output.trimEnd()}\n`);
    if (result.fix !== undefined) say(`     To put it right: ${result.fix}\n`);
  }
  return result;
}

async function main(argv: readonly string[]): Promise<void> {
  const wanted = parseArguments(argv);
  if (typeof wanted === 'string') {
    say(wanted);
    process.exitCode = argv.includes('--help') ? 0 : 64;
    return;
  }
  const context: StepContext = {
    rootDir: new URL('../..', import.meta.url).pathname.replace(/\/$/, ''),
    rest: wanted.rest,
  };
  const results: StepResult[] = [];
  for (const step of wanted.steps) results.push(await runStep(step, context));
  const sum = (pick: (result: StepResult) => number): number =>
    results.reduce((total, result) => total + pick(result), 0);
  const failures = sum((result) => result.failed);
  say(`${sum((result) => result.passed)} passed, ${failures} failed`);
  process.exitCode = failures > 0 ? 1 : 0;
}

if (import.meta.main) await main(process.argv.slice(2));
