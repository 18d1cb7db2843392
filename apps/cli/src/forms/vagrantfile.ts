/**
 * Room: formats. A Vagrantfile: the box of the guest's system, its processors, memory and ports, and a
 * provisioner that installs and enables what the guest has.
 *
 * I1: the script stands in a here-document whose end no line of it can be, and which Ruby does not look into.
 * I2: the first line is a comment of ours: only there Ruby looks for an encoding.
 */

import { vagrantBox } from './bases.ts';
import { type FormGuest, type FormOptions, hostName } from './guest.ts';
import { rubyString, shellWord } from './quoting.ts';
import { architectureCommands, enableArgv, installCommand, mountCommands } from './shell.ts';
import { headLines } from './words.ts';

/** Vagrant forwards it by itself. */
const SSH_PORT = 22;
/** Ports below are root's on the host. */
const ROOT_PORTS_END = 1024;
const HOST_PORTS_BEGIN = 8000;

export function vagrantfile(guest: FormGuest, { pinned, base }: FormOptions): string {
  const { hardware } = guest.description;
  const head = headLines(guest, pinned).map((line) => `# ${line}`);
  const body = [
    `config.vm.box = ${rubyString(base ?? vagrantBox(guest.os))}`,
    `config.vm.hostname = ${rubyString(hostName(guest))}`,
    ...portsOf(guest).map(forwardedPort),
    '%w[virtualbox libvirt].each do |name|',
    '  config.vm.provider name do |provider|',
    `    provider.cpus = ${hardware.vcpus}`,
    `    provider.memory = ${hardware.memoryMiB}`,
    '  end',
    'end',
    "config.vm.provision 'shell', inline: <<~'SHELL'",
    ...script(guest, pinned).map((line) => `  ${line}`),
    'SHELL',
  ];
  return [
    '# -*- mode: ruby -*-',
    ...head,
    "Vagrant.configure('2') do |config|",
    ...body.map((line) => `  ${line}`),
    'end',
    '',
  ].join('\n');
}

function portsOf({ description }: FormGuest): number[] {
  const ports = description.hardware.ports.map((port) => port.guest);
  return [...new Set(ports)].filter((port) => port !== SSH_PORT);
}

function forwardedPort(port: number): string {
  const host = port < ROOT_PORTS_END ? HOST_PORTS_BEGIN + port : port;
  return `config.vm.network 'forwarded_port', guest: ${port}, host: ${host}, auto_correct: true`;
}

function script(guest: FormGuest, pinned: boolean): string[] {
  const isApt = guest.manager === 'apt';
  const commands = [
    'set -eu',
    ...architectureCommands(guest),
    ...(isApt ? ['export DEBIAN_FRONTEND=noninteractive', 'apt-get update'] : []),
    installCommand(guest, pinned),
    ...guest.mounts.flatMap(mountCommands),
    // One that is not of a package does not exist here: the others count all the same.
    ...guest.services.map((name) => `${enableArgv(name).map(shellWord).join(' ')} || true`),
  ];
  return commands.filter((command) => command !== '').flatMap((command) => command.split('\n'));
}
