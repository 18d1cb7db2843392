/**
 * Room: formats. A Puppet manifest: package, service, file and mount resources.
 *
 * I1: titles are unique, as a catalogue wants them.
 * I2: what comes from a guest stands between single quotes, where nothing is interpolated.
 */

import type { GuestMount } from '@vmdn/core/domain/description.ts';
import {
  type FormGuest,
  type FormOptions,
  fstabFields,
  packageName,
  type WantedPackage,
} from './guest.ts';
import { puppetString } from './quoting.ts';
import { headLines } from './words.ts';

export function puppetManifest(guest: FormGuest, { pinned }: FormOptions): string {
  const blocks = [
    headLines(guest, pinned).map((line) => `# ${line}`),
    architectures(guest),
    packages(guest, pinned),
    guest.mounts.flatMap((mount) => mountResources(mount)),
    services(guest),
  ];
  return `${blocks
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join('\n'))
    .join('\n\n')}\n`;
}

function architectures({ foreignArchitectures }: FormGuest): string[] {
  return foreignArchitectures.flatMap((name) => [
    `exec { ${puppetString(`dpkg --add-architecture ${name}`)}:`,
    "  path     => ['/usr/bin', '/usr/sbin', '/bin', '/sbin'],",
    '  provider => shell,',
    `  unless   => ${puppetString(`dpkg --print-foreign-architectures | grep -qx ${name}`)},`,
    '}',
    `~> exec { ${puppetString(`apt-get update for ${name}`)}:`,
    "  command     => '/usr/bin/apt-get update',",
    '  refreshonly => true,',
    '}',
    '-> Package <| |>',
  ]);
}

function packages(guest: FormGuest, pinned: boolean): string[] {
  if (guest.packages.length === 0) return [];
  const title = (wanted: WantedPackage): string => puppetString(packageName(guest, wanted));
  if (pinned) {
    return guest.packages.map(
      (wanted) => `package { ${title(wanted)}: ensure => ${puppetString(wanted.version)} }`,
    );
  }
  return [
    'package { [',
    ...guest.packages.map((wanted) => `  ${title(wanted)},`),
    ']:',
    '  ensure => installed,',
    '}',
  ];
}

/** A mount and the folder it is mounted on. */
function mountResources(mount: GuestMount): string[] {
  const [device, name, type, options] = fstabFields(mount).map(puppetString);
  return [
    `exec { ${puppetString(`a folder for ${mount.target}`)}:`,
    `  command => ['/bin/mkdir', '-p', '--', ${puppetString(mount.target)}],`,
    `  unless  => [['/usr/bin/test', '-d', ${puppetString(mount.target)}]],`,
    '}',
    `-> mount { ${name}:`,
    '  ensure  => mounted,',
    `  device  => ${device},`,
    `  fstype  => ${type},`,
    `  options => ${options},`,
    '}',
  ];
}

function services({ services: names, packages: wanted }: FormGuest): string[] {
  if (names.length === 0) return [];
  return [
    'service { [',
    ...names.map((name) => `  ${puppetString(name)},`),
    ']:',
    '  enable => true,',
    '}',
    ...(wanted.length === 0 ? [] : ['Package <| |> -> Service <| |>']),
  ];
}
