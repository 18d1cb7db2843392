import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createCommandRunner } from '../command/command-runner.ts';
import { createQemuImg } from '../command/qemu-img.ts';
import { describeHypervisor, type OpenHypervisor } from './hypervisor.contract.ts';
import { describeFilling } from './hypervisor-filling.contract.ts';
import { describeIdentity, USER_NETWORKS } from './hypervisor-identity.contract.ts';
import { createQemuHypervisor } from './qemu-hypervisor.ts';

const qemuImg = createQemuImg(createCommandRunner());

const open: OpenHypervisor = async (dir) => {
  const dirs = { vms: join(dir, 'vms'), sockets: join(dir, 'run') };
  await mkdir(dirs.vms, { recursive: true });
  await mkdir(dirs.sockets, { recursive: true, mode: 0o711 });
  await chmod(dir, 0o711);
  return createQemuHypervisor({
    dirs,
    bindAddress: '127.0.0.1',
    accelerator: 'tcg',
    guestUid: null,
    kvmGroup: null,
    networks: USER_NETWORKS,
    qemuImg,
  });
};

describeHypervisor('qemu', open);
describeFilling('qemu', open, { takesOtherFiles: false });
describeIdentity('qemu', open);
