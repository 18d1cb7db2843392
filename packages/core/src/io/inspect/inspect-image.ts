/**
 * Room: io, inspect. The guest in an image file of this node: through a locked export, as origins do.
 */

import type { CommandRunner } from '../command/command-runner.ts';
import { openDiskExport } from '../disk-export/disk-export.ts';
import type { GuestInspector } from '../ports/guest-inspector.ts';
import { inspectGuest } from './inspect-guest.ts';

/** An inspector whose export sockets go to `socketDir` and whose temporary files go to `workDir`. */
export function createGuestInspector(means: {
  readonly runner: CommandRunner;
  readonly socketDir: string;
  readonly workDir: string;
}): GuestInspector {
  const { runner, socketDir, workDir } = means;
  return async (imagePath, signal) => {
    const layers = [{ path: imagePath, format: 'raw' as const }];
    const source = await openDiskExport({ layers, socketDir, runner, signal });
    try {
      return await inspectGuest({ socketPaths: [source.socketPath], workDir, runner, signal });
    } finally {
      await source.close();
    }
  };
}
