import { describe, expect, it } from 'vitest';
import { createCommandRunner } from '../command/command-runner.ts';

const SCRIPT = new URL('without-sync.pl', import.meta.url).pathname;
/** Of x86-64 (syscalls(2)); each is called with a file descriptor that does not exist. */
const CALLS = { fsync: 74, fdatasync: 75, sync_file_range: 277, syncfs: 306, close: 3, fchdir: 81 };

/** What each call gives to a program that another program starts. */
async function results(...before: readonly string[]): Promise<Record<string, number>> {
  const asked = Object.entries(CALLS).map(([name, call]) => `"${name}", syscall(${call}, 99)`);
  const program = ['sh', '-c', 'perl -e "$1"; :', 'sh', `print join " ", ${asked.join(', ')}`];
  // An ordinary user may set a filter so.
  const args = ['--no-new-privs', '--', ...before, ...program];
  const { stdout } = await createCommandRunner().run('setpriv', args, { timeoutMs: 60_000 });
  const words = stdout.split(' ');
  return Object.fromEntries(Object.keys(CALLS).map((name, i) => [name, Number(words[2 * i + 1])]));
}

describe('a program without sync', () => {
  it('is told that all is on the disk, with all that it starts, and has every other call', async () => {
    const refused = { close: -1, fchdir: -1 };
    expect(await results()).toEqual({
      ...{ fsync: -1, fdatasync: -1, sync_file_range: -1, syncfs: -1 },
      ...refused,
    });
    expect(await results('perl', SCRIPT)).toEqual({
      ...{ fsync: 0, fdatasync: 0, sync_file_range: 0, syncfs: 0 },
      ...refused,
    });
  });
});
