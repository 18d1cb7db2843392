/**
 * Room: formats. A Dockerfile that installs what a guest has installed (Dockerfile reference, moby/buildkit).
 *
 * I1: the first comment is not `key=value`, so none after it is a parser directive.
 */

import { containerImage } from './bases.ts';
import type { FormGuest, FormOptions } from './guest.ts';
import { architectureCommands, installCommand } from './shell.ts';
import { harmless, headLines } from './words.ts';

const BEFORE: Readonly<Record<FormGuest['manager'], readonly string[]>> = {
  apt: ['export DEBIAN_FRONTEND=noninteractive', 'apt-get update'],
  ...{ dnf: [], yum: [] },
};
const AFTER: Readonly<Record<FormGuest['manager'], string>> = {
  apt: 'rm -rf /var/lib/apt/lists/*',
  ...{ dnf: 'dnf clean all', yum: 'yum clean all' },
};

export function dockerfile(guest: FormGuest, { pinned, base }: FormOptions): string {
  const { manager, description } = guest;
  const install = installCommand(guest, pinned);
  const steps = [...architectureCommands(guest), ...BEFORE[manager], install, AFTER[manager]];
  const ports = [...new Set(description.hardware.ports.map((port) => port.guest))];
  return [
    ...[...headLines(guest, pinned), ...containerLines(guest)].map((line) => `# ${line}`),
    `FROM ${base ?? containerImage(guest.os)}`,
    ...(install === '' ? [] : [`RUN ${steps.join(' \\\n && ')}`]),
    ...(ports.length === 0 ? [] : [`EXPOSE ${ports.join(' ')}`]),
    '',
  ].join('\n');
}

/** What a container can't have, or has otherwise. */
function containerLines({ services, mounts }: FormGuest): string[] {
  const lines = [
    'A container runs one program and no systemd: choose it with CMD. The guest starts these at boot:',
    ...(services.length === 0 ? ['  none'] : services.map((name) => `  ${name}`)),
    'It has the kernel, the firmware and the network of whatever runs it, and none of its own.',
  ];
  if (mounts.length > 0) lines.push('Mounts are given when it is run (docker run --mount):');
  return [
    ...lines,
    ...mounts.map(({ source, target, type }) => harmless(`  ${target} (${type}, ${source})`)),
  ];
}
