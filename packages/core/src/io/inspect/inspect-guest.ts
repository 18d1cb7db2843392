/**
 * Room: io, inspect. Chooses how a guest is inspected: by e2fsprogs, in milliseconds, where all that
 * matters is within their reach; else in the appliance, which takes longer and reads any guest, where it is
 * installed.
 *
 * I1: an unknown guest is described as far as it can be, with the reason; nothing but `cancelled` is thrown.
 */

import { describeError, isVmdnError } from '../../domain/errors.ts';
import type { CommandRunner } from '../command/command-runner.ts';
import { openDiskExport } from '../disk-export/disk-export.ts';
import type { DiskInspector, GuestInspection, GuestInspector } from '../ports/guest-inspector.ts';
import { type InspectionByTools, inspectByTools } from './inspect-by-tools.ts';

export interface DiskInspectorMeans {
  readonly runner: CommandRunner;
  /** A private folder for temporary files. */
  readonly workDir: string;
  /** Reads what e2fsprogs can't; absent: nobody does. */
  readonly appliance?: DiskInspector | undefined;
}

/** An inspector that throws only `cancelled`. */
export function createDiskInspector(means: DiskInspectorMeans): DiskInspector {
  const { runner, workDir, appliance } = means;
  return async (socketPaths, signal) => {
    const { unread, ...quick } = await inspectByTools({ socketPaths, workDir, runner, signal });
    if (unread.length === 0) return quick;
    if (appliance === undefined) return asFarAs({ unread, ...quick }, 'no appliance reads it');
    try {
      return await appliance(socketPaths, signal);
    } catch (error) {
      if (isVmdnError(error, 'cancelled')) throw error;
      return asFarAs({ unread, ...quick }, describeError(error));
    }
  };
}

function asFarAs({ unread, ...quick }: InspectionByTools, why: string): GuestInspection {
  return { ...quick, remarks: [...quick.remarks, `${unread.join('; ')}: ${why}`] };
}

/** An inspector of images, whose export sockets go to `socketDir`. */
export function createGuestInspector(
  means: DiskInspectorMeans & { readonly socketDir: string },
): GuestInspector {
  const { runner, socketDir } = means;
  const inspect = createDiskInspector(means);
  return async (layers, signal) => {
    const source = await openDiskExport({ layers, socketDir, runner, signal });
    try {
      return await inspect([source.socketPath], signal);
    } finally {
      await source.close();
    }
  };
}
