import { describe, expect, it } from 'vitest';
import { brokenLinks } from './links.ts';
import { RULES } from './rules.ts';
import { listSources, tidyFile } from './tidy.ts';

const HEADER = '/** Room: services. A file. */\n';
const everywhere = (): boolean => true;

/** The names of the rules that a file breaks, as `name@line`. */
function broken(path: string, text: string): string[] {
  return tidyFile({ path, text }, everywhere).map(
    ({ message, line }) => `${message.slice(0, message.indexOf(':'))}@${line}`,
  );
}

// Written in pieces: the rules look at this file too.
const SLEEP = `await new Promise((done) => set${'Timeout'}(done, 5));`;

describe('a tidy file', () => {
  it('has nothing to say about a lawful file', () => {
    expect(broken('apps/edge/src/services/a.ts', `${HEADER}export const a = 1;\n`)).toEqual([]);
  });

  it.each([
    ['console', 'apps/edge/src/services/a.ts', `console${'.'}log(1);`],
    ['standard streams', 'apps/edge/src/a.ts', `process${'.'}stdout.write('x');`],
    ['environment', 'apps/edge/src/config.ts', `export const a = process${'.'}env.A;`],
    ['exit', 'apps/edge/src/edge.ts', `process${'.'}exit(1);`],
    ['unfinished', 'apps/edge/src/edge.ts', `// TO${'DO'}: the rest`],
    ['unfinished', 'docs/HACKING.md', `FIX${'ME'} later`],
    ['sleep in a test', 'apps/edge/src/a.test.ts', SLEEP],
    ['sleep in a test', 'test/network/a.test.ts', SLEEP],
    ['a test left out', 'apps/edge/src/a.test.ts', `it${'.'}skip('does', () => {});`],
    ['impure domain', 'packages/core/src/domain/a.ts', 'export const now = () => Date.now();'],
    ['impure domain', 'packages/core/src/domain/a.ts', 'export async function a() {}'],
    ['shell', 'packages/core/src/io/command/a.ts', `run('x', { shell${':'} true });`],
    ['silenced compiler', 'apps/edge/src/a.ts', `// @ts-${'ignore'}`],
    ['path of one machine', 'infra/demo/a.ts', `const a = '${'/ho'}me/somebody/x';`],
    ['registry host', 'pnpm-lock.yaml', `    resolution: {${'tarball'}: https://a.b/c.tgz}`],
  ])('reports "%s" in %s', (name, path, line) => {
    const text = path.endsWith('.md') ? `# Title\n${line}\n` : `${HEADER}${line}\n`;
    expect(broken(path, text)).toEqual([`${name}@2`]);
  });

  it.each([
    ['apps/edge/src/main.ts', `const a = process${'.'}env;`],
    ['packages/core/src/process/settings.ts', `const a = process${'.'}env;`],
    ['apps/cli/src/output.ts', `process${'.'}stdout.write('x');`],
    ['infra/demo/main.ts', `process${'.'}stdout.write('x');`],
    ['test/harness/wait.ts', SLEEP],
    ['packages/core/src/domain/a.ts', ' * An async caller may pass Date.now().'],
  ])('lets %s do what it is there for', (path, line) => {
    expect(broken(path, `${HEADER}${line}\n`)).toEqual([]);
  });

  it('reports a file without a header, and one that does not name its room', () => {
    expect(broken('infra/lab/a.ts', 'export const a = 1;\n')).toEqual(['header@1']);
    expect(broken('packages/core/src/domain/a.ts', '/** A file. */\n')).toEqual(['header@1']);
    expect(broken('infra/lab/a.ts', '/** A file. */\n')).toEqual([]);
    expect(broken('infra/setup.sh', '#!/usr/bin/env bash\n# Says what it is.\n')).toEqual([]);
  });

  it('reports the first line too many and every line that is too long', () => {
    expect(broken('infra/a.ts', HEADER + 'a;\n'.repeat(399))).toEqual([]);
    expect(broken('infra/a.ts', HEADER + 'a;\n'.repeat(400))).toEqual(['long file@401']);
    expect(broken('infra/a.ts', `${HEADER}${'a '.repeat(55)}\n${'a '.repeat(56)}\n`)).toEqual([
      'long line@3',
    ]);
    const path = `'${'a/'.repeat(60)}'`;
    expect(broken('infra/a.ts', `${HEADER}${path}\n`)).toEqual([]);
  });

  it('reports a page with no title, a late one or two, and is not fooled by code', () => {
    expect(broken('docs/a.md', '# A\n\n```sh\n# comment\n```\n')).toEqual([]);
    expect(broken('docs/a.md', 'words\n')).toEqual(['title@1']);
    expect(broken('docs/a.md', '# A\n\n# B\n')).toEqual(['title@3']);
  });

  it('names every rule once', () => {
    expect(new Set(RULES.map(({ name }) => name)).size).toBe(RULES.length);
  });
});

describe('links in the documentation', () => {
  const exists = (path: string): boolean => path === 'docs/there.md' || path === 'README.md';

  it('follows relative links from where they stand', () => {
    const text =
      '# A\n[a](there.md#part) [b](../README.md) [c](https://example.org/x)\n[d](gone.md)\n';
    expect(brokenLinks({ path: 'docs/a.md', text }, exists)).toEqual([
      { path: 'docs/a.md', line: 3, message: 'broken link: there is no docs/gone.md.' },
    ]);
  });

  it('takes nothing in code for a link', () => {
    const text = '# A\n`[d](gone.md)`\n```\n[d](gone.md)\n```\n';
    expect(brokenLinks({ path: 'docs/a.md', text }, exists)).toEqual([]);
  });
});

describe('the list of sources', () => {
  it('names this file and nothing that git ignores', async () => {
    const paths = await listSources(`${import.meta.dirname}/../../..`);
    expect(paths).toContain('infra/check/tidy/tidy.test.ts');
    expect(paths.filter((path) => path.includes('node_modules/'))).toEqual([]);
  });
});
