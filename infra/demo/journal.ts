/**
 * Room: infra, demo. What the demonstration says while it goes on: each line with the seconds since
 * it began, each step with its own.
 *
 * I1: with `--json` these lines go to stderr, and stdout carries the report alone.
 */

export interface StepTime {
  readonly name: string;
  readonly seconds: number;
}

export interface Journal {
  say(text: string): void;
  /** Runs a step between two lines. */
  step<T>(name: string, run: () => Promise<T>): Promise<T>;
  readonly steps: readonly StepTime[];
  elapsedSeconds(): number;
}

export function createJournal(options: { readonly json: boolean }): Journal {
  const startedMs = performance.now();
  const stream = options.json ? process.stderr : process.stdout;
  const steps: StepTime[] = [];
  const elapsedSeconds = (): number => (performance.now() - startedMs) / 1000;
  const say = (text: string): void => {
    const stamp = `${elapsedSeconds().toFixed(0).padStart(4)} s  `;
    for (const line of text.split('\n')) stream.write(`${stamp}${line}\n`);
  };
  return {
    say,
    steps,
    elapsedSeconds,
    async step(name, run) {
      const fromSeconds = elapsedSeconds();
      say(`${name} ...`);
      const value = await run();
      const seconds = elapsedSeconds() - fromSeconds;
      steps.push({ name, seconds });
      say(`${name}: done in ${seconds.toFixed(1)} s`);
      return value;
    },
  };
}
