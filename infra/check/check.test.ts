import { describe, expect, it } from 'vitest';
import { parseArguments } from './main.ts';
import { readReport } from './test-steps.ts';

type Report = Parameters<typeof readReport>[0];

/** A report as vitest writes it, of one file. */
function report(tests: readonly ('passed' | 'failed' | 'pending')[], status = 'passed'): Report {
  const count = (wanted: string): number => tests.filter((each) => each === wanted).length;
  return {
    numPassedTests: count('passed'),
    numFailedTests: count('failed'),
    numPendingTests: count('pending'),
    numTodoTests: 0,
    testResults: [
      {
        name: '/clone/test/a.test.ts',
        status,
        message: status === 'failed' ? 'the import failed' : '',
        assertionResults: tests.map((each) => ({
          status: each,
          fullName: 'adds numbers',
          failureMessages: each === 'failed' ? ['expected 2 to be 3', 'the log\nsaid'] : [],
        })),
      },
    ],
  };
}

describe('what a test report says', () => {
  it('counts the tests that passed', () => {
    expect(readReport(report(['passed', 'passed', 'pending']), 0, '/clone')).toEqual({
      passed: 2,
      failed: 0,
      summary: '2 in 1 files, 1 left out',
    });
  });

  it('names each failed test with its file and reason', () => {
    const result = readReport(report(['passed', 'failed'], 'failed'), 1, '/clone');
    expect(result).toMatchObject({ passed: 1, failed: 1 });
    expect(result.output).toBe(
      'test/a.test.ts: adds numbers\n  expected 2 to be 3\n  the log\n  said',
    );
  });

  it('counts a file that could not be loaded as failed', () => {
    const result = readReport(report([], 'failed'), 1, '/clone');
    expect(result).toMatchObject({ passed: 0, failed: 1 });
    expect(result.output).toContain('the import failed');
  });

  it('does not take a run without a test for a good one', () => {
    expect(readReport({ ...report([]), testResults: [] }, 0, '/clone').failed).toBe(1);
  });

  it('does not overlook a bad ending that no test accounts for', () => {
    expect(readReport(report(['passed']), 1, '/clone')).toMatchObject({ passed: 1, failed: 1 });
  });
});

describe('the arguments of the check', () => {
  const names = (given: ReturnType<typeof parseArguments>): string[] =>
    typeof given === 'string' ? [] : given.steps.map(({ name }) => name);

  it('mean every step when there are none', () => {
    expect(names(parseArguments([]))).toEqual(
      expect.arrayContaining(['tidy', 'style', 'types', 'imports', 'unused', 'guests', 'tests']),
    );
  });

  it('choose steps, and hand the rest to vitest', () => {
    const given = parseArguments(['--only', 'tests,types', '--', 'packages/core']);
    expect(names(given)).toEqual(['types', 'tests']);
    expect(given).toMatchObject({ rest: ['packages/core'] });
    expect(names(parseArguments(['--only=tidy']))).toEqual(['tidy']);
  });

  it('are refused with the list of steps when they are wrong', () => {
    expect(parseArguments(['--only', 'lint'])).toContain('There is no step lint');
    expect(parseArguments(['--fast'])).toContain('Usage: npm test');
  });
});
