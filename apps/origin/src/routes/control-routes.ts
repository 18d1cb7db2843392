/**
 * Room: origin, routes. The control socket's operations. Who may call is decided by the socket: only the
 * origin's own user can open it.
 */

import {
  describeRunning,
  originStatus,
  releaseDisks,
  takeBackVm,
} from '@vmdn/core/http/contracts/origin-control.ts';
import { type App, mountOperation } from '@vmdn/core/http/mount.ts';
import { CONTROL_BODY_BYTES_MAX, RELEASE_SECONDS } from '../limits.ts';
import type { OperatorDesk } from '../services/release-vms.ts';

/** Mounts status, release, describe and unfence. */
export function mountControlRoutes(app: App, desk: OperatorDesk): void {
  const byFilePermissions = async (): Promise<null> => null;
  mountOperation(app, originStatus, byFilePermissions, async () => desk.status());
  mountOperation(
    app,
    releaseDisks,
    byFilePermissions,
    async ({ body }) => ({
      released: [...(await desk.release(body.vm, body.seconds ?? RELEASE_SECONDS))],
    }),
    { bodyBytesMax: CONTROL_BODY_BYTES_MAX },
  );
  mountOperation(
    app,
    describeRunning,
    byFilePermissions,
    async ({ body }) => {
      await desk.describe(body.vm);
      return { asked: body.vm };
    },
    { bodyBytesMax: CONTROL_BODY_BYTES_MAX },
  );
  mountOperation(
    app,
    takeBackVm,
    byFilePermissions,
    ({ body }) => desk.takeBack(body.vm, body.force),
    { bodyBytesMax: CONTROL_BODY_BYTES_MAX },
  );
}
