/** Room: test, bench. An rsync daemon on the origin's side: no ssh, which would add bytes of its own. */

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Netlab } from '@vmdn/infra/netlab/netlab.ts';
import { PORTS, STEP_TIMEOUT_MS } from './method.ts';

const MODULE = 'served';

/** Serves the folder `path`, read-only; `folder` takes the daemon's configuration. */
export async function serveByRsync(lab: Netlab, path: string, folder: string): Promise<void> {
  const config = join(folder, 'rsyncd.conf');
  const lines = [
    // Owners, modes and attributes as they are: that is what is to be delivered.
    ...['uid = 0', 'gid = 0', 'numeric ids = yes', 'use chroot = yes', 'list = no'],
    ...['log file = /dev/null', `[${MODULE}]`, `path = ${path}`, 'read only = yes', ''],
  ];
  await writeFile(config, lines.join('\n'));
  const listen = ['--address', lab.addresses.origin, '--port', String(PORTS.rsync)];
  const args = ['--daemon', '--no-detach', `--config=${config}`, ...listen];
  await lab.waitForListener(lab.start('origin', 'rsync', args), PORTS.rsync);
}

/** Fetches `what` of the served folder to `target` on the edge's side. */
export async function fetchByRsync(
  lab: Netlab,
  flags: readonly string[],
  what: string,
  target: string,
): Promise<void> {
  const url = `rsync://${lab.addresses.origin}:${PORTS.rsync}/${MODULE}/${what}`;
  const args = [...flags, '--', url, target];
  await lab.run('edge', 'rsync', args, { timeoutMs: STEP_TIMEOUT_MS });
}
