/**
 * Room: edge, composition root. Wires what runs the VMs: plain QEMU, or libvirt.
 *
 * I1: an edge that can't run VMs by libvirt says at its start what is missing.
 * I2: guests' users read images by their paths only where libvirt runs them as users of their own.
 */

import { join } from 'node:path';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { CommandRunner } from '@vmdn/core/io/command/command-runner.ts';
import { createQemuImg } from '@vmdn/core/io/command/qemu-img.ts';
import { createVirsh, requireLibvirt } from '@vmdn/core/io/command/virsh.ts';
import { ensurePrivateDir } from '@vmdn/core/io/files/files.ts';
import { ensurePassableDir, requirePassableParents } from '@vmdn/core/io/files/passable-dir.ts';
import type { AcceleratorChoice } from '@vmdn/core/io/hypervisor/kvm-probe.ts';
import { createLibvirtHypervisor } from '@vmdn/core/io/hypervisor/libvirt-hypervisor.ts';
import { EMULATOR } from '@vmdn/core/io/hypervisor/libvirt-start.ts';
import { createQemuHypervisor } from '@vmdn/core/io/hypervisor/qemu-hypervisor.ts';
import type { Hypervisor } from '@vmdn/core/io/ports/hypervisor.ts';
import type { Logger } from '@vmdn/core/process/logger.ts';
import type { EdgeEvents } from './events.ts';
import type { EdgeSettings } from './settings.ts';

const isRoot = (): boolean => process.getuid?.() === 0;

/** I2. */
export function guestsReadImages({ hypervisor }: Pick<EdgeSettings, 'hypervisor'>): boolean {
  return hypervisor.driver === 'libvirt' && isRoot();
}

/** Makes the directories that guests' users pass through, or keeps all of them to ourselves. */
export async function openVmDirs(settings: EdgeSettings): Promise<string> {
  const vmsDir = join(settings.stateDir, 'vms');
  const isPassable = guestsReadImages(settings);
  for (const dir of [settings.stateDir, vmsDir]) {
    await (isPassable ? ensurePassableDir(dir) : ensurePrivateDir(dir));
  }
  if (isPassable) await requirePassableParents(vmsDir, 'VMDN_STATE_DIR');
  return vmsDir;
}

export async function openHypervisor(
  settings: EdgeSettings,
  means: {
    readonly dirs: { readonly vms: string; readonly sockets: string };
    readonly runner: CommandRunner;
    readonly choice: AcceleratorChoice;
    readonly events: Pick<EdgeEvents, 'hypervisor'>;
    readonly logger: Logger;
  },
): Promise<Hypervisor & AsyncDisposable> {
  const { dirs, runner, logger } = means;
  const { accelerator, kvmGroup } = means.choice;
  const { guestUid, guestBind: bindAddress, hypervisor } = settings;
  const common = { dirs, bindAddress, guestUid, accelerator, kvmGroup, logger };
  const qemuImg = createQemuImg(runner);
  if (hypervisor.driver === 'qemu') {
    return createQemuHypervisor({ ...common, qemuImg, networks: hypervisor.networks });
  }
  if (!isRoot() && /^[a-z+]+:\/\/\/system\b/.test(hypervisor.uri)) {
    const message =
      'Only root runs VMs by qemu:///system: its libvirt has other users, who may not read this ' +
      "edge's images. Leave VMDN_LIBVIRT_URI away, or set it to qemu:///session.";
    throw new VmdnError('invalid_input', message, { data: { uri: hypervisor.uri } });
  }
  const virsh = createVirsh(runner, hypervisor);
  const version = await requireLibvirt(virsh, { accelerator, emulator: EMULATOR });
  means.events.hypervisor(hypervisor.uri, version.split('\n'));
  return createLibvirtHypervisor({ ...common, qemuImg, virsh, networks: hypervisor.networks });
}
