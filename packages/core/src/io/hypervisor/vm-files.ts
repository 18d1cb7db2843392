/**
 * Room: io, hypervisor. The files of the VMs that a node runs.
 *
 *   <vms>/<vm>/definition.json   the VM as defined; written last: without it the VM does not exist
 *   <vms>/<vm>/disk-<n>.qcow2    overlays, each on its image
 *   <vms>/<vm>/settled-<n>.qcow2 libvirt: the overlay of a disk that was filled while the VM ran
 *   <vms>/<vm>/uefi-variables.fd only with UEFI
 *   <vms>/<vm>/ports.json        host ports of the last start, taken again at the next if they are free
 *   <vms>/<vm>/console.log[.1]   serial console, bounded
 *   <vms>/<vm>/qemu.log          QEMU's own messages, bounded
 *   <sockets>/<vm>/              monitor socket and pid file, owned by the VM's user
 *
 * I1: a definition is read back through its schema; one that does not parse is `corrupt`.
 */

import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { isDigest } from '../../domain/digest.ts';
import { isVmdnError, VmdnError } from '../../domain/errors.ts';
import { SOCKET_PATH_BYTES_MAX } from '../../domain/limits.ts';
import { ID_PATTERN, type Id, NAME_PATTERN, type Name } from '../../domain/names.ts';
import { MAC_PATTERN } from '../../domain/vm-specification.ts';
import { durableWrite } from '../files/durable-write.ts';
import { fsyncDir, readBoundedFile } from '../files/files.ts';
import type { VmDefinition } from '../ports/hypervisor.ts';

const DEFINITION_BYTES_MAX = 256 * 1024;
/** A disk stands on one base at most. */
const LAYERS_MAX = 2;
/** A digest, and some room. */
const EXPORT_NAME_CHARACTERS_MAX = 256;

const name = z.custom<Name>((raw) => typeof raw === 'string' && NAME_PATTERN.test(raw));
const absolutePath = z.string().startsWith('/');
const tcpPort = z.number().int().min(1).max(65_535);
const id = z.custom<Id>((raw) => typeof raw === 'string' && ID_PATTERN.test(raw));
const definitionSchema = z.object({
  vm: id,
  name,
  hardware: z.object({
    vcpus: z.number().int().min(1),
    memoryMiB: z.number().int().min(1),
    firmware: z.enum(['bios', 'uefi']),
    ports: z.array(z.object({ name, guest: tcpPort })),
    ready: z
      .object({
        kind: z.enum(['http', 'tcp']),
        port: name,
        path: z.string().optional(),
        timeoutSeconds: z.number(),
      })
      .nullable(),
    uuid: id.optional(),
    interfaces: z
      .array(z.object({ network: name, mac: z.string().regex(MAC_PATTERN).optional() }))
      .optional(),
  }),
  disks: z.array(
    z.object({
      digest: z.custom<VmDefinition['disks'][number]['digest']>(isDigest),
      layers: z
        .array(z.object({ path: absolutePath, format: z.enum(['raw', 'qcow2']) }))
        .min(1)
        .max(LAYERS_MAX),
      virtualSizeBytes: z.number().int().positive(),
      filling: z
        .object({
          paths: z.array(absolutePath).min(1).max(LAYERS_MAX),
          socket: absolutePath,
          exportName: z.string().min(1).max(EXPORT_NAME_CHARACTERS_MAX),
        })
        .optional(),
    }),
  ),
});
const portsSchema = z.record(z.string(), tcpPort);

export interface VmPaths {
  readonly dir: string;
  readonly definition: string;
  readonly ports: string;
  readonly consoleLog: string;
  readonly log: string;
  readonly uefiVariables: string;
  readonly socketDir: string;
  readonly monitor: string;
  readonly pidFile: string;
  overlay(index: number): string;
  settledOverlay(index: number): string;
}

/** Where the files of one VM are. Throws `invalid_input` when the socket's path would be too long. */
export function vmPaths(dirs: { readonly vms: string; readonly sockets: string }, vm: Id): VmPaths {
  const dir = join(dirs.vms, vm);
  const socketDir = join(dirs.sockets, vm);
  const monitor = join(socketDir, 'monitor');
  if (Buffer.byteLength(monitor) > SOCKET_PATH_BYTES_MAX) {
    throw new VmdnError(
      'invalid_input',
      `${dirs.sockets} is too long a path for sockets; choose a shorter runtime directory.`,
    );
  }
  return {
    dir,
    definition: join(dir, 'definition.json'),
    ports: join(dir, 'ports.json'),
    consoleLog: join(dir, 'console.log'),
    log: join(dir, 'qemu.log'),
    uefiVariables: join(dir, 'uefi-variables.fd'),
    socketDir,
    monitor,
    pidFile: join(socketDir, 'pid'),
    overlay: (index) => join(dir, `disk-${index}.qcow2`),
    settledOverlay: (index) => join(dir, `settled-${index}.qcow2`),
  };
}

/** The definition of a VM, or null when it is not defined. Throws `corrupt`. */
export async function readDefinition(paths: VmPaths): Promise<VmDefinition | null> {
  return await readJson(paths.definition, definitionSchema);
}

/** Makes the VM exist: the last step of `define`. */
export async function writeDefinition(paths: VmPaths, definition: VmDefinition): Promise<void> {
  await fsyncDir(paths.dir);
  await durableWrite(paths.definition, Buffer.from(JSON.stringify(definition)));
}

/** Host ports of the last start by port name; empty when there are none. */
export async function readPorts(paths: VmPaths): Promise<Readonly<Record<string, number>>> {
  return (await readJson(paths.ports, portsSchema)) ?? {};
}

export async function writePorts(
  paths: VmPaths,
  ports: Readonly<Record<string, number>>,
): Promise<void> {
  await durableWrite(paths.ports, Buffer.from(JSON.stringify(ports)));
}

/** An empty directory for a VM that is not defined: leftovers of a broken `define` go. */
export async function freshVmDir(paths: VmPaths): Promise<void> {
  await rm(paths.dir, { recursive: true, force: true });
  await mkdir(paths.dir, { recursive: true, mode: 0o700 });
}

/** Removes a VM's files; the definition first, so that half a VM is never found. */
export async function removeVmFiles(paths: VmPaths): Promise<void> {
  await rm(paths.definition, { force: true });
  await rm(paths.dir, { recursive: true, force: true });
  await rm(paths.socketDir, { recursive: true, force: true });
}

/** The VMs that have a directory, defined or not. */
export async function listVmDirs(vmsDir: string): Promise<readonly Id[]> {
  const names = await readdir(vmsDir);
  return names.filter((entry) => ID_PATTERN.test(entry)).sort() as Id[];
}

async function readJson<Schema extends z.ZodType>(
  path: string,
  schema: Schema,
): Promise<z.output<Schema> | null> {
  try {
    const bytes = await readBoundedFile(path, DEFINITION_BYTES_MAX);
    return schema.parse(JSON.parse(Buffer.from(bytes).toString('utf8')));
  } catch (cause) {
    if (isVmdnError(cause, 'not_found')) return null;
    throw new VmdnError('corrupt', `${path} can't be read; remove the VM and teleport it again.`, {
      data: { path },
      cause,
    });
  }
}
