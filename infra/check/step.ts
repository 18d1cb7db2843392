/**
 * Room: infra, check. What a step of the check is, and how it runs a program.
 *
 * I1: a step that fails says what is wrong and how to put it right.
 */

import { type SpawnOptions, spawn } from 'node:child_process';

export interface StepResult {
  /** Passed and failed tests; a step that is one check counts as one. */
  readonly passed: number;
  readonly failed: number;
  /** A few words for the step's line. */
  readonly summary: string;
  /** What is wrong, as much as a person needs to see. */
  readonly output?: string;
  /** What to do about it. */
  readonly fix?: string;
}

export interface Step {
  readonly name: string;
  readonly title: string;
  run(context: StepContext): Promise<StepResult>;
}

export interface StepContext {
  readonly rootDir: string;
  /** Arguments after `--`, for the tests. */
  readonly rest: readonly string[];
}

export function passed(summary: string): StepResult {
  return { passed: 1, failed: 0, summary };
}

export function failed(summary: string, output: string, fix: string): StepResult {
  return { passed: 0, failed: 1, summary, output, fix };
}

export interface ToolResult {
  /** 127 when there is no such program. */
  readonly exitCode: number;
  readonly output: string;
}

/** A step is as slow as building every guest or running every test, never endless. */
const TOOL_MINUTES_MAX = 80;

/** Runs a program below the root, its two outputs joined; `live` shows them as they come instead. */
export function runTool(
  context: StepContext,
  program: string,
  args: readonly string[],
  options: { readonly live?: boolean } = {},
): Promise<ToolResult> {
  const spawnOptions: SpawnOptions = {
    cwd: context.rootDir,
    stdio: ['ignore', options.live ? 'inherit' : 'pipe', options.live ? 'inherit' : 'pipe'],
    env: { ...process.env, NO_COLOR: '1' },
    timeout: TOOL_MINUTES_MAX * 60_000,
  };
  return new Promise((resolve) => {
    const child = spawn(program, [...args], spawnOptions);
    const chunks: Buffer[] = [];
    child.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.stderr?.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.on('error', (error) => resolve({ exitCode: 127, output: error.message }));
    child.on('close', (code, signal) => {
      const output = Buffer.concat(chunks).toString('utf8');
      resolve({ exitCode: code ?? 1, output: signal ? `${output}\nended by ${signal}` : output });
    });
  });
}

/** A program of the workspace's own node_modules. */
export function workspaceTool(context: StepContext, name: string): string {
  return `${context.rootDir}/node_modules/.bin/${name}`;
}
