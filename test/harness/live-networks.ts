/**
 * Room: test, harness. The networks that a test file has running, and what their services said last: whoever
 * reads of a failure elsewhere has nothing but its words.
 */

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach } from 'vitest';

const LINES_MAX = 8;
const LINE_CHARACTERS_MAX = 240;

const logDirs = new Set<string>();

/** Its services' last words are told when a test of this file fails, until the result is disposed of. */
export function noteLogs(dir: string): Disposable {
  logDirs.add(dir);
  return { [Symbol.dispose]: () => void logDirs.delete(dir) };
}

/** The last lines of each service, without what a log line says of itself. */
async function lastWords(dir: string): Promise<string[]> {
  const names = (await readdir(dir).catch(() => [])).filter((name) => name.endsWith('.log'));
  const texts = await Promise.all(names.map((name) => readFile(join(dir, name), 'utf8')));
  return names.map((name, i) => {
    const lines = texts[i]!.trimEnd().split('\n').slice(-LINES_MAX);
    return [name, ...lines.map(shortened)].join('\n  ');
  });
}

function shortened(line: string): string {
  return line
    .replace(/"(?:pid|hostname|name)":(?:\d+|"[^"]*"),/g, '')
    .slice(0, LINE_CHARACTERS_MAX);
}

afterEach(async ({ task }) => {
  if (task.result?.state !== 'fail' || logDirs.size === 0) return;
  const words = (await Promise.all([...logDirs].map(lastWords))).flat();
  // A second error of the test: so the words stand wherever the first one is told.
  throw new Error(`What the network said last:\n${words.join('\n')}`);
});
