import { expect, it } from 'vitest';
import type { InstalledPackage } from '../../domain/description.ts';
import { packageFiles } from './package-files.ts';

const pkg = (name: string, version: string, architecture: string): InstalledPackage => ({
  ...{ name, version, architecture },
});

function linesOf(...args: Parameters<typeof packageFiles>): Record<string, string> {
  const files = packageFiles(...args);
  return Object.fromEntries(
    [...files].map(([name, bytes]) => [name, Buffer.from(bytes).toString()]),
  );
}

it('names packages that go as apt and as rpm take them', () => {
  const gone = [pkg('nginx', '1', 'amd64'), pkg('nginx-common', '1', 'all')];
  expect(linesOf('deb', [], gone).remove).toBe('nginx:amd64\nnginx-common\n');
  const other = [pkg('nginx', '1', 'x86_64'), pkg('nginx-filesystem', '1', 'noarch')];
  expect(linesOf('rpm', [], other).remove).toBe('nginx.x86_64\nnginx-filesystem.noarch\n');
});

it('expects every package of the source, kernel and boot loader aside', () => {
  const source = [
    ...[pkg('bash', '5.1-2', 'x86_64'), pkg('kernel-core', '5.14', 'x86_64')],
    ...[pkg('grub2-pc', '1:2.06', 'x86_64'), pkg('shadow-utils', '2:4.9-6', 'x86_64')],
  ];
  const { expected } = linesOf('rpm', source, []);
  expect(expected).toBe('bash\t5.1-2\tx86_64\nshadow-utils\t2:4.9-6\tx86_64\n');
});
