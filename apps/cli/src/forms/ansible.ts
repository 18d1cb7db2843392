/**
 * Room: formats. An Ansible playbook that needs no collection but ansible.builtin.
 *
 * I1: what comes from a guest is never a template: a string with a brace has the tag !unsafe (Ansible user
 *     guide, "Advanced playbook syntax").
 */

import type { GuestMount } from '@vmdn/core/domain/description.ts';
import { type FormGuest, type FormOptions, fstabFields, packageSpec } from './guest.ts';
import { headLines } from './words.ts';
import { tagged, yamlText } from './yaml.ts';

export function ansiblePlaybook(guest: FormGuest, { pinned }: FormOptions): string {
  const play = {
    name: `A machine like ${guest.description.vm}`,
    hosts: 'all',
    become: true,
    tasks: [
      ...architectureTasks(guest),
      ...packageTasks(guest, pinned),
      ...mountTasks(guest.mounts),
      ...serviceTasks(guest),
    ],
  };
  const head = headLines(guest, pinned).map((line) => `# ${line}`);
  return yamlText([...head, '---'], [play]);
}

/** Text of a guest that no parser has bound to a set without braces. */
function guestText(text: string): string | ReturnType<typeof tagged> {
  return text.includes('{') ? tagged('!unsafe', text) : text;
}

function architectureTasks({ foreignArchitectures }: FormGuest): object[] {
  return foreignArchitectures.map((name) => ({
    name: `Packages of the architecture ${name}`,
    'ansible.builtin.command': { argv: ['dpkg', '--add-architecture', name] },
    changed_when: false,
  }));
}

function packageTasks(guest: FormGuest, pinned: boolean): object[] {
  const name = guest.packages.map((wanted) => packageSpec(guest, wanted, pinned));
  if (name.length === 0) return [];
  const more =
    guest.manager === 'apt'
      ? {
          update_cache: true,
          install_recommends: false,
          ...(pinned ? { allow_downgrade: true } : {}),
        }
      : {};
  return [
    { name: 'Packages', [`ansible.builtin.${guest.manager}`]: { name, state: 'present', ...more } },
  ];
}

function mountTasks(mounts: readonly GuestMount[]): object[] {
  if (mounts.length === 0) return [];
  const lines = mounts.map((mount) => {
    const fields = fstabFields(mount);
    const own = `^\\s*\\S+\\s+${pythonPattern(fields[1])}\\s`;
    return { own: guestText(own), line: guestText([...fields, '0', '0'].join(' ')) };
  });
  return [
    {
      name: 'Folders to mount on',
      'ansible.builtin.command': { argv: ['mkdir', '-p', '--', '{{ item }}'] },
      loop: mounts.map((mount) => guestText(mount.target)),
      changed_when: false,
    },
    {
      name: 'Mounts (they are there after the next boot, or mount -a)',
      'ansible.builtin.lineinfile': {
        path: '/etc/fstab',
        regexp: '{{ item.own }}',
        line: '{{ item.line }}',
      },
      loop: lines,
    },
  ];
}

/** A pattern of Python's `re` that matches this text only. */
function pythonPattern(text: string): string {
  return text.replaceAll(/[^\p{L}\p{N}/_]/gu, '\\$&');
}

function serviceTasks({ services }: FormGuest): object[] {
  if (services.length === 0) return [];
  return [
    {
      name: 'Services that start at boot',
      'ansible.builtin.systemd': { name: '{{ item }}', enabled: true },
      loop: services,
    },
  ];
}
