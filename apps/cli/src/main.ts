/**
 * Room: main. The `vmdn` tool as a process: arguments, environment and signals go in, an exit code
 * comes out.
 */

import { runProgram } from './program.ts';

const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => interrupted.abort());
}
// `vmdn images | head -1` closes the pipe early; that is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  interrupted.abort();
});

process.exitCode = await runProgram({
  args: process.argv.slice(2),
  env: process.env,
  streams: process,
  signal: interrupted.signal,
});
