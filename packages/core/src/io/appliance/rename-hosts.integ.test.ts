import { describe, expect, it } from 'vitest';
import { createCommandRunner } from '../command/command-runner.ts';

const SCRIPT = new URL('rename-hosts.awk', import.meta.url).pathname;

async function renamed(old: string, hosts: string): Promise<string> {
  const args = ['-v', `old=${old}`, '-v', 'new=web-02', '-f', SCRIPT];
  const options = { timeoutMs: 60_000, input: hosts };
  return (await createCommandRunner().run('gawk', args, options)).stdout;
}

describe('the hosts of a guest with another name', () => {
  it('I1: name it by the new one, in whole words alone', async () => {
    const hosts =
      '127.0.0.1 localhost\n# who-01\n127.0.1.1 who-01.example.org who-01 who-011 # who-01\n';
    expect(await renamed('who-01', hosts)).toBe(
      '127.0.0.1 localhost\n# who-01\n127.0.1.1 web-02.example.org web-02 who-011 # who-01\n',
    );
    expect(await renamed('who-01.example.org', hosts)).toContain('127.0.1.1 web-02 web-02 who-011');
  });

  it('get it where they lack it', async () => {
    for (const old of ['', 'who-01']) {
      expect(await renamed(old, '127.0.0.1 localhost\n')).toBe(
        '127.0.0.1 localhost\n127.0.1.1 web-02\n',
      );
    }
  });

  it.each(['localhost', 'localhost.localdomain', 'Localhost'])(
    'I2: keep localhost where the guest was called %s',
    async (old) => {
      const hosts =
        '127.0.0.1 localhost localhost.localdomain\n::1 localhost ip6-localhost ip6-loopback\n';
      expect(await renamed(old, hosts)).toBe(`${hosts}127.0.1.1 web-02\n`);
    },
  );
});
