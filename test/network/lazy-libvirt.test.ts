import {
  type PrivateLibvirt,
  startPrivateLibvirt,
} from '@vmdn/core/io/hypervisor/private-libvirt.fixture.ts';
import { afterAll } from 'vitest';
import { describeLazyTeleport } from './lazy.contract.ts';

let libvirt: PrivateLibvirt | undefined;
// Called after the suite's own: the guests are gone by then.
afterAll(async () => libvirt?.[Symbol.asyncDispose]());

describeLazyTeleport('libvirt', async () => {
  libvirt = await startPrivateLibvirt();
  return { VMDN_HYPERVISOR: 'libvirt', VMDN_LIBVIRT_URI: libvirt.uri };
});
