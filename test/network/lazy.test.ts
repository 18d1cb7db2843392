import { describeLazyTeleport } from './lazy.contract.ts';

describeLazyTeleport('qemu', async () => ({}));
