import type { Description } from '@vmdn/core/domain/description.ts';
import { DockerfileParser } from 'dockerfile-ast';
import { validate } from 'dockerfile-utils';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { anyText, DEBIAN, hostileDescription, RPM } from './forms.fixture.ts';
import { FORMS, type Form, parseBase, parseForm, writeForm } from './forms.ts';
import { formGuest } from './guest.ts';

const write = (form: Form, description: Description = DEBIAN, pinned = false): string =>
  writeForm(form, description, { pinned, base: null });

/** YAML as PyYAML reads it: 1.1, and the one tag that Ansible has for texts that are no templates. */
const readYaml = (text: string): unknown => parse(text, { version: '1.1', customTags: [UNSAFE] });
const UNSAFE = { tag: '!unsafe', resolve: (text: string) => ({ unsafe: text }) };

interface Playbook {
  readonly tasks: readonly Record<string, unknown>[];
}

describe('a form', () => {
  it.each(FORMS)('as %s says where it comes from, and what it leaves out', (form) => {
    const text = write(form);
    expect(text).toContain('A machine like web-01: Debian GNU/Linux 12 (bookworm), amd64.');
    expect(text).toContain(
      '# 9 packages, all that are installed: which of them somebody asked for',
    );
    expect(text).toMatch(
      /# Left out, since .* kernel and boot loader: grub-pc, linux-image-amd64\./,
    );
    expect(text).toContain('# Left out: the data of mariadb 10.11.6, of /var/lib/mysql.');
    expect(text).toContain('libc6:i386');
    expect(text).not.toMatch(/^[^#]*(grub-pc|linux-image-amd64|UUID=0a1b)/m);
  });

  it("takes the guest's own versions only when it is asked to", () => {
    for (const form of FORMS) expect(write(form)).not.toContain('4:12.2.0-3');
    for (const form of ['ansible', 'dockerfile', 'vagrantfile'] as const) {
      expect(write(form, DEBIAN, true)).toContain('g++=4:12.2.0-3');
      expect(write(form, RPM, true)).toContain('nginx-2:1.22.1-3.el9.x86_64');
    }
    expect(write('puppet', RPM, true)).toContain("package { 'nginx': ensure => '2:1.22.1-3.el9' }");
    expect(readYaml(write('cloud-init', RPM, true))).toMatchObject({
      packages: expect.arrayContaining([['nginx', '2:1.22.1-3.el9']]),
    });
  });

  it('is refused for a guest whose package manager is not known, with words that help', () => {
    for (const form of FORMS) {
      expect(() => write(form, { ...DEBIAN, os: null })).toThrow(/no system with apt, dnf or yum/);
      expect(() => write(form, { ...DEBIAN, packages: [] })).toThrow(/vmdn teleport/);
    }
  });

  it('starts from the image and the box of the system, or from one that was named', () => {
    const of = (description: Description, id: string, versionId: string): Description => ({
      ...description,
      os: { ...description.os!, id, versionId },
    });
    expect(write('dockerfile')).toContain('\nFROM debian:12\n');
    expect(write('dockerfile', RPM)).toContain('\nFROM quay.io/centos/centos:stream9\n');
    expect(write('dockerfile', of(RPM, 'rocky', '9.4'))).toContain(
      'FROM rockylinux/rockylinux:9\n',
    );
    expect(write('vagrantfile')).toContain("config.vm.box = 'debian/bookworm64'");
    expect(write('vagrantfile', of(DEBIAN, 'ubuntu', '22.04'))).toContain("'bento/ubuntu-22.04'");
    for (const [id, versionId] of [
      ['devuan', '5'],
      ['constructor', '1'],
      ['debian', ''],
      ['debian', '12\nRUN evil'],
    ] as const) {
      expect(() => write('dockerfile', of(DEBIAN, id, versionId))).toThrow(/--base NAME/);
    }
    const base = parseBase('registry.example:5000/devuan/devuan:5');
    const devuan = of(DEBIAN, 'devuan', '5');
    const text = writeForm('dockerfile', devuan, { pinned: false, base });
    expect(text).toContain(`\nFROM ${base}\n`);
    expect(() => parseBase("x'\nRUN evil")).toThrow(/name of a container image/);
    expect(() => parseForm('constructor')).toThrow(/ansible, puppet, dockerfile, vagrantfile/);
  });
});

describe('what a guest holds', () => {
  it('I1: is left out and counted where its package manager or systemd would refuse its name', () => {
    const odd = ['-o=x', '--help', 'a b', 'vim-', '$(x)', 'x\ny', 'vim=1', 'Vim', 'vim:i386', 'v*'];
    const guest = formGuest({
      ...DEBIAN,
      packages: [
        ...DEBIAN.packages,
        ...odd.map((name) => ({ name, version: '1', architecture: 'amd64' })),
        { name: 'vim', version: '1 --force', architecture: 'amd64' },
      ],
      services: [...DEBIAN.services, '-now.service', 'a b.service', 'x', 'nginx.service'],
    });
    expect(guest.impossible).toBe(odd.length + 1 + 3);
    expect(guest.packages).toEqual(formGuest(DEBIAN).packages);
    expect(guest.services).toEqual(DEBIAN.services);
  });

  it('is one version of a name, and one mount on a folder', () => {
    const twice = { name: 'glibc', version: '2.35-1.el9', architecture: 'x86_64' };
    const again = { source: 'other:/share', target: '/srv/share', type: 'nfs', options: 'rw' };
    const guest = formGuest({
      ...RPM,
      packages: [...RPM.packages, twice],
      mounts: [...RPM.mounts!, again],
    });
    const glibc = guest.packages.filter(({ name }) => name === 'glibc');
    expect(glibc.map(({ version, foreign }) => [version, foreign])).toEqual([
      ['2.34-122.el9', 'i686'],
      ['2.35-1.el9', null],
    ]);
    expect(guest.mounts.map(({ source }) => source)).toEqual(['tmpfs', 'other:/share']);
  });
});

describe('hostile guests', () => {
  const each = (base: Description, check: (description: Description, pinned: boolean) => void) =>
    fc.assert(fc.property(hostileDescription(base), fc.boolean(), check), { numRuns: 100 });

  it('a playbook holds what was described, and no template of a guest', () => {
    each(DEBIAN, (description, pinned) => {
      const text = write('ansible', description, pinned);
      expect(parseAllDocuments(text, { version: '1.1', customTags: [UNSAFE] })).toHaveLength(1);
      const [play] = readYaml(text) as [Playbook];
      const strings = stringsOf(play).filter((string) => string.includes('{'));
      const ours = new Set(['{{ item }}', '{{ item.own }}', '{{ item.line }}']);
      expect(strings.filter((string) => !ours.has(string))).toEqual([]);
      const guest = formGuest(description);
      const folders = play.tasks.find(({ name }) => name === 'Folders to mount on')!;
      const targets = (folders.loop as (string | { unsafe: string })[]).map((one) =>
        typeof one === 'string' ? one : one.unsafe,
      );
      expect(targets).toEqual(guest.mounts.map(({ target }) => target));
    });
  });

  it('a cloud-config holds the packages, services and mounts that were described', () => {
    each(RPM, (description, pinned) => {
      const text = write('cloud-init', description, pinned);
      expect(text.startsWith('#cloud-config\n')).toBe(true);
      const guest = formGuest(description);
      const config = readYaml(text) as Record<string, unknown[]>;
      expect(config.packages).toHaveLength(guest.packages.length);
      const lists = config.runcmd!.filter((command) => Array.isArray(command));
      expect(lists).toEqual(
        [['mount', '-a']].concat(
          guest.services.map((name) => ['systemctl', 'enable', '--now', '--', name]),
        ),
      );
    });
  });

  it('a Dockerfile has one FROM, one RUN and one EXPOSE, and no directive', () => {
    each(DEBIAN, (description, pinned) => {
      const text = write('dockerfile', description, pinned);
      const file = DockerfileParser.parse(text);
      const words = file.getInstructions().map((instruction) => instruction.getKeyword());
      expect(words).toEqual(['FROM', 'RUN', 'EXPOSE']);
      expect(file.getDirectives()).toEqual([]);
      expect(validate(text)).toEqual([]);
    });
  });

  it('a Vagrantfile and a manifest have no line that a guest began', () => {
    each(DEBIAN, (description) => {
      const lines = write('vagrantfile', description).split('\n');
      expect(lines[0]).toBe('# -*- mode: ruby -*-');
      expect(lines.filter((line) => line.trim() === 'SHELL')).toHaveLength(1);
      const comments = lines.filter((line) => line.startsWith('#')).length;
      expect(
        lines.slice(comments).filter((line) => line !== '' && !/^( {2}|Vagrant|end$)/.test(line)),
      ).toEqual([]);
    });
  });

  it('a comment stays one line of what is seen', () => {
    fc.assert(
      fc.property(anyText(200), (prettyName) => {
        const text = write('puppet', { ...DEBIAN, os: { ...DEBIAN.os!, prettyName } });
        const plain = write('puppet', DEBIAN);
        const code = (all: string): string[] =>
          all.split('\n').filter((line) => !line.startsWith('#'));
        expect(code(text)).toEqual(code(plain));
        expect(text).not.toMatch(/[^\P{C}\n]/u);
      }),
    );
  });
});

function stringsOf(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (typeof value !== 'object' || value === null || 'unsafe' in value) return [];
  return Object.values(value).flatMap(stringsOf);
}
