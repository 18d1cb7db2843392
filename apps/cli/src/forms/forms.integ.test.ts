/**
 * Room: tests. Each form before the checker of its own tool, as a guest is and as an attacker would have it.
 */

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Description } from '@vmdn/core/domain/description.ts';
import { createCommandRunner } from '@vmdn/core/io/command/command-runner.ts';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { anyText, DEBIAN, HOSTILE, hostileDescription, RPM } from './forms.fixture.ts';
import { type Form, writeForm } from './forms.ts';
import { puppetString, rubyString, shellWord } from './quoting.ts';

const run = createCommandRunner();
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vmdn-forms-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A guest of which every text is an attack: each of them at once, then a few by chance. */
const ATTACKED: Description = {
  ...DEBIAN,
  os: { ...DEBIAN.os!, prettyName: HOSTILE.join(' ') },
  packages: [
    ...DEBIAN.packages,
    ...HOSTILE.map((name) => ({ name, version: name, architecture: name })),
  ],
  services: [...DEBIAN.services, ...HOSTILE.map((name) => `${name}.service`), 'a\\x2db.service'],
  mounts: HOSTILE.map((text) => ({ source: text, target: `/${text}`, type: text, options: text })),
  databases: [{ engine: 'mysql', version: HOSTILE[0]!, dataDirectory: HOSTILE.join('/') }],
};

const GUESTS: readonly Description[] = [
  ...[DEBIAN, RPM, ATTACKED],
  ...fc.sample(hostileDescription(RPM), { numRuns: 2, seed: 7 }),
];

interface Checker {
  readonly argv: readonly string[];
  /** Whether it takes several files at once. */
  readonly takesSeveral: boolean;
  /** A small mistake that it must find. */
  readonly spoil: (text: string) => string;
}

const CHECKERS: Readonly<Record<Exclude<Form, 'dockerfile'>, Checker>> = {
  ansible: {
    argv: ['ansible-playbook', '--syntax-check', '-i', 'localhost,'],
    takesSeveral: true,
    spoil: (text) => text.replace('ansible.builtin.apt:', 'ansible.builtin.atp:'),
  },
  puppet: {
    argv: ['puppet', 'parser', 'validate'],
    takesSeveral: true,
    spoil: (text) => text.replace("  'nginx',", "  'nginx,"),
  },
  vagrantfile: {
    argv: ['ruby', '-wc'],
    takesSeveral: false,
    spoil: (text) => text.replace(/end\n$/, ''),
  },
  'cloud-init': {
    argv: ['cloud-init', 'schema', '--config-file'],
    takesSeveral: false,
    spoil: (text) => text.replace('package_update: true', 'package_update: sometimes'),
  },
};
const CHECKED = Object.keys(CHECKERS) as (keyof typeof CHECKERS)[];

/** What a tool says, in a locale with more letters than those of ASCII. */
async function say(argv: readonly string[]): Promise<string> {
  const args = ['LC_ALL=C.UTF-8', ...argv];
  const options = { timeoutMs: 600_000, env: { HOME: folder }, cwd: folder };
  const { stdout, stderr } = await run.run('env', args, options);
  return stdout + stderr;
}

async function check(form: keyof typeof CHECKERS, texts: readonly string[]): Promise<string> {
  const { argv, takesSeveral } = CHECKERS[form];
  const files = texts.map((_, index) =>
    join(folder, `${form}-${index}.${form === 'puppet' ? 'pp' : 'yml'}`),
  );
  for (const [index, file] of files.entries()) await writeFile(file, texts[index]!);
  if (takesSeveral) return await say([...argv, ...files]);
  const said = [];
  for (const file of files) said.push(await say([...argv, file]));
  return said.join('\n');
}

describe.each(CHECKED)('%s', { timeout: 600_000 }, (form) => {
  it('is accepted by its own checker, whatever the guest holds', async () => {
    const texts = GUESTS.flatMap((guest) =>
      [false, true].map((pinned) => writeForm(form, guest, { pinned, base: null })),
    );
    expect(await check(form, texts)).not.toMatch(/warning|error|invalid/i);
  });

  it('is refused by that checker when there is a mistake in it', async () => {
    const text = writeForm(form, DEBIAN, { pinned: false, base: null });
    const spoilt = CHECKERS[form].spoil(text);
    expect(spoilt).not.toBe(text);
    await expect(check(form, [spoilt])).rejects.toMatchObject({ code: 'tool_failed' });
  });
});

describe('literals', { timeout: 600_000 }, () => {
  const texts = fc
    .sample(anyText(100), { numRuns: 300, seed: 11 })
    .concat(HOSTILE)
    .map((text) => text.replace(/[\p{Cc}\p{Cs}]/gu, '?'));

  it('I1: a shell reads a word back as it was', async () => {
    const script = texts.map((text) => `printf '%s\\0' ${shellWord(text)}`).join('\n');
    const { stdout } = await run.run('sh', ['-s'], { timeoutMs: 300_000, input: script });
    expect(stdout.split('\0').slice(0, -1)).toEqual(texts);
  });

  it('I1: Ruby reads a string back as it was', async () => {
    const script = join(folder, 'strings.rb');
    await writeFile(script, `require 'json'\nputs [${texts.map(rubyString).join(',\n')}].to_json`);
    expect(JSON.parse(await say(['ruby', script]))).toEqual(texts);
  });

  it('I1: Puppet reads a string back as it was', async () => {
    const [manifest, found] = [join(folder, 'strings.pp'), join(folder, 'strings.found')];
    // To a file: what it prints has colours and prefixes.
    const list = texts.map(puppetString).join(',\n');
    await writeFile(manifest, `file { '${found}': content => [${list}].join("\\u{1}") }`);
    const places = ['--confdir', join(folder, 'conf'), '--vardir', join(folder, 'var')];
    await say(['puppet', 'apply', ...places, manifest]);
    expect((await readFile(found, 'utf8')).split('\u0001')).toEqual(texts);
  });
});
