/**
 * Room: io, command. Starts qemu-system-x86_64 so that it outlives the process that started it.
 *
 * I1: the child has a session of its own, no pipe to its parent and no inherited descriptor but the
 *     ones named: the parent may exit, be killed or be restarted and the VM runs on.
 * I2: as root, QEMU runs as another user without groups, capabilities or the way back to them
 *     (setpriv, no-new-privs); as an ordinary user it runs as that user.
 */

import { execa, type Options } from 'execa';
import { VmdnError } from '../../domain/errors.ts';
import { missingToolMessage } from './tool-packages.ts';

export const QEMU_SYSTEM = 'qemu-system-x86_64';

/** The user that QEMU runs as, when this process may choose. */
export interface GuestUser {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups, for /dev/kvm. */
  readonly groups: readonly number[];
}

/** Where programs are looked for; nothing else of the parent's environment reaches QEMU. */
const ENVIRONMENT = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' } as const;

/** The command that runs QEMU as `user` (null: as this process's own user). */
export function confinedCommand(
  user: GuestUser | null,
  qemuArguments: readonly string[],
): { readonly file: string; readonly args: readonly string[] } {
  if (user === null) return { file: QEMU_SYSTEM, args: qemuArguments };
  const groups = user.groups.length === 0 ? ['--clear-groups'] : ['--groups', user.groups.join()];
  return {
    file: 'setpriv',
    args: [
      ...['--reuid', String(user.uid), '--regid', String(user.gid), ...groups],
      ...['--no-new-privs', '--inh-caps=-all', '--bounding-set=-all'],
      ...['--', QEMU_SYSTEM, ...qemuArguments],
    ],
  };
}

export interface StartedQemu {
  readonly pid: number;
  /** Settles when the process ends while this one still lives. Never rejects. */
  readonly exited: Promise<{ readonly exitCode: number | undefined }>;
}

/**
 * Starts QEMU and lets go of it. `descriptors` become the child's descriptors 3, 4, … in order;
 * `log` takes its standard output and error. Throws `tool_missing`, `tool_failed`.
 */
export async function startQemuSystem(options: {
  readonly user: GuestUser | null;
  readonly args: readonly string[];
  readonly descriptors: readonly number[];
  readonly log: number;
}): Promise<StartedQemu> {
  const { file, args } = confinedCommand(options.user, options.args);
  // execa's types do not know descriptors in `stdio`; its documentation and the contract suite do.
  const settings = {
    stdio: ['ignore', options.log, options.log, ...options.descriptors],
    env: ENVIRONMENT,
    extendEnv: false,
    cwd: '/',
    detached: true,
    cleanup: false,
    buffer: false,
    reject: false,
  } as unknown as Options;
  const child = execa(file, [...args], settings);
  if (child.pid === undefined) {
    const result = await child;
    if ('code' in result && result.code === 'ENOENT') {
      throw new VmdnError('tool_missing', missingToolMessage(file), { data: { tool: file } });
    }
    throw new VmdnError('tool_failed', `${file} could not be started.`, { cause: result });
  }
  child.nodeChildProcess.unref();
  return { pid: child.pid, exited: child.then(({ exitCode }) => ({ exitCode })) };
}
