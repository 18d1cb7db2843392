import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { createCommandRunner } from '../command/command-runner.ts';
import { createQemuImg } from '../command/qemu-img.ts';
import { describeHypervisor, type OpenHypervisor } from './hypervisor.contract.ts';
import { describeFilling } from './hypervisor-filling.contract.ts';
import { describeIdentity, USER_NETWORKS } from './hypervisor-identity.contract.ts';
import { createLibvirtHypervisor } from './libvirt-hypervisor.ts';
import { type PrivateLibvirt, startPrivateLibvirt } from './private-libvirt.fixture.ts';

const qemuImg = createQemuImg(createCommandRunner());
let libvirt: PrivateLibvirt | undefined;
afterAll(async () => libvirt?.[Symbol.asyncDispose]());

const open: OpenHypervisor = async (dir) => {
  libvirt ??= await startPrivateLibvirt();
  const dirs = { vms: join(dir, 'vms'), sockets: join(dir, 'run') };
  for (const path of Object.values(dirs)) await mkdir(path, { recursive: true });
  for (const path of [dir, ...Object.values(dirs)]) await chmod(path, 0o711);
  return createLibvirtHypervisor({
    dirs,
    bindAddress: '127.0.0.1',
    accelerator: 'tcg',
    guestUid: null,
    kvmGroup: null,
    networks: USER_NETWORKS,
    qemuImg,
    virsh: libvirt.virsh,
  });
};

describeHypervisor('libvirt', open);
describeFilling('libvirt', open, { takesOtherFiles: true });
describeIdentity('libvirt', open);
