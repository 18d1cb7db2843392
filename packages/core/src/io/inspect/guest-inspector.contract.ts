/**
 * Room: io, inspect. What every inspector of guests owes, on the same guests: those that it can read it
 * describes alike, and of the others it says what they are not.
 */

import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { expect, it } from 'vitest';
import type { GuestFacts } from '../../domain/description.ts';
import { createCommandRunner } from '../command/command-runner.ts';
import { openDiskExport } from '../disk-export/disk-export.ts';
import type { DiskInspector, GuestInspection } from '../ports/guest-inspector.ts';

/** A guest and what is to be found in it. */
export interface KnownGuest {
  readonly title: string;
  /** Raw files, in the VM's order. */
  readonly paths: () => readonly string[];
  readonly facts: GuestFacts;
}

/** Runs the suite. `socketDir` and the guests' paths are asked for when a test runs. */
export function guestInspectorContract(
  inspector: () => DiskInspector,
  guests: readonly KnownGuest[],
  socketDir: () => string,
): void {
  it.each(guests)('describes $title and leaves its disks as they are', async (guest) => {
    const before = await Promise.all(guest.paths().map(fingerprint));
    const { remarks, ...facts } = await inspectFiles(inspector(), guest.paths(), socketDir());
    expect(facts).toEqual(guest.facts);
    expect(remarks).toEqual([]);
    expect(await Promise.all(guest.paths().map(fingerprint))).toEqual(before);
  });
}

/** Inspects raw files through locked exports. */
export async function inspectFiles(
  inspect: DiskInspector,
  paths: readonly string[],
  socketDir: string,
): Promise<GuestInspection> {
  await using stack = new AsyncDisposableStack();
  const sockets: string[] = [];
  for (const path of paths) {
    const layers = [{ path, format: 'raw' as const }];
    const disk = await openDiskExport({ layers, socketDir, runner: createCommandRunner() });
    stack.defer(() => disk.close());
    sockets.push(disk.socketPath);
  }
  return await inspect(sockets);
}

async function fingerprint(path: string): Promise<readonly unknown[]> {
  const { mtimeNs, ctimeNs } = await stat(path, { bigint: true });
  const bytes = await readFile(path);
  return [createHash('sha256').update(bytes).digest('hex'), mtimeNs, ctimeNs];
}
