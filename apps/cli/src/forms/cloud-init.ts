/**
 * Room: formats. User data for cloud-init (#cloud-config): packages, mounts, services.
 *
 * I1: it begins with `#cloud-config`, so that it is never taken for a template or a script.
 * I2: commands are lists of words; none goes through a shell but those of `mountCommands`.
 */

import { type FormGuest, type FormOptions, fstabFields, hostName, packageName } from './guest.ts';
import { enableArgv, mountCommands } from './shell.ts';
import { headLines } from './words.ts';
import { yamlText } from './yaml.ts';

/** `server:path`. cloud-init leaves out a mount of anything else that is no block device (cc_mounts). */
const OF_A_SERVER = /^[A-Za-z0-9.-]+:/;

export function cloudConfig(guest: FormGuest, { pinned }: FormOptions): string {
  const packages = guest.packages.map((wanted) => {
    const name = packageName(guest, wanted);
    return pinned ? [name, wanted.version] : name;
  });
  const ofServers = guest.mounts.filter(({ source }) => OF_A_SERVER.test(source));
  const others = guest.mounts.filter(({ source }) => !OF_A_SERVER.test(source));
  const runcmd = [
    ...others.flatMap(mountCommands),
    ...(others.length === 0 ? [] : [['mount', '-a']]),
    ...guest.services.map(enableArgv),
  ];
  const config = {
    hostname: hostName(guest),
    ...some(
      'bootcmd',
      guest.foreignArchitectures.map((name) => ['dpkg', '--add-architecture', name]),
    ),
    package_update: true,
    ...some('packages', packages),
    ...some(
      'mounts',
      ofServers.map((mount) => [...fstabFields(mount), '0', '0']),
    ),
    ...some('runcmd', runcmd),
  };
  const head = headLines(guest, pinned).map((line) => `# ${line}`);
  return yamlText(['#cloud-config', ...head], config);
}

/** The key with its list, and nothing without one: cloud-init refuses empty lists. */
function some(key: string, list: readonly unknown[]): Record<string, unknown> {
  return list.length === 0 ? {} : { [key]: list };
}
