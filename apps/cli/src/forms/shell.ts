/**
 * Room: formats. The shell commands of forms that run some: install, enable, mount.
 *
 * I1: every word that comes from a guest goes through `shellWord`.
 */

import type { GuestMount } from '@vmdn/core/domain/description.ts';
import { type FormGuest, fstabFields, packageSpec } from './guest.ts';
import { shellWord } from './quoting.ts';

/** Words of the command that installs packages, without them. */
const INSTALL: Readonly<Record<FormGuest['manager'], string>> = {
  apt: 'apt-get install -y --no-install-recommends --',
  // Images of Fedora and its relatives have small variants of some packages, which must make room.
  dnf: 'dnf install -y --allowerasing --setopt=install_weak_deps=False --',
  yum: 'yum install -y --',
};

/** The install command, a package a line after two blanks; '' without packages. */
export function installCommand(guest: FormGuest, pinned: boolean): string {
  const specs = guest.packages.map((wanted) => shellWord(packageSpec(guest, wanted, pinned)));
  return specs.length === 0 ? '' : [INSTALL[guest.manager], ...specs].join(' \\\n  ');
}

/** What dpkg must be told before it installs packages of other architectures. */
export function architectureCommands({ foreignArchitectures }: FormGuest): string[] {
  return foreignArchitectures.map((name) => `dpkg --add-architecture ${shellWord(name)}`);
}

/** Enables a service and starts it. */
export function enableArgv(service: string): string[] {
  return ['systemctl', 'enable', '--now', '--', service];
}

/** Writes a mount into fstab, once. */
export function mountCommands(mount: GuestMount): string[] {
  const line = shellWord([...fstabFields(mount), '0', '0'].join(' '));
  return [
    `mkdir -p -- ${shellWord(mount.target)}`,
    `grep -qxF -e ${line} /etc/fstab || printf '%s\\n' ${line} >>/etc/fstab`,
  ];
}
