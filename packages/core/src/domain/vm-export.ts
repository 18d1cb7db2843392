/**
 * Room: domain. A delivered VM as files for another hypervisor: which formats each takes, how
 * files are called.
 *
 * I1: what a hypervisor can't run is refused before a byte is copied.
 */

import type { Digest } from './digest.ts';
import { VmdnError } from './errors.ts';
import type { Name } from './names.ts';
import type { VmHardware } from './vm-specification.ts';

export const HYPERVISORS = ['kvm', 'xen', 'vmware'] as const;
export type Hypervisor = (typeof HYPERVISORS)[number];
export const EXPORT_FORMATS = ['qcow2', 'raw', 'vmdk'] as const;
export type ExportFormat = (typeof EXPORT_FORMATS)[number];
export const EXPORT_STATES = ['pending', 'running', 'done', 'failed'] as const;
export type ExportState = (typeof EXPORT_STATES)[number];

/** The first is the usual one. Xen: xl-disk-configuration(5); VMware: OVF, streamOptimized. */
const FORMATS: Readonly<Record<Hypervisor, readonly ExportFormat[]>> = {
  kvm: ['qcow2', 'raw', 'vmdk'],
  xen: ['raw', 'qcow2'],
  vmware: ['vmdk'],
};

/** The format that a hypervisor is given: the wished one, or its usual one. Throws `invalid_input`. */
export function exportFormat(hypervisor: Hypervisor, wished: ExportFormat | null): ExportFormat {
  const formats = FORMATS[hypervisor];
  const format = wished ?? formats[0]!;
  if (formats.includes(format)) return format;
  throw new VmdnError('invalid_input', `A disk for ${hypervisor} is ${formats.join(' or ')}.`, {
    data: { hypervisor, format },
  });
}

/** A disk file of an export. */
export interface ExportedDisk {
  /** Name of the file. */
  readonly file: string;
  readonly digest: Digest;
  readonly virtualSizeBytes: number;
  /** Length of the file. */
  readonly fileBytes: number;
}

/** What a definition for a hypervisor is written from. */
export interface ExportedVm {
  readonly name: Name;
  readonly hardware: VmHardware;
  readonly format: ExportFormat;
  readonly disks: readonly ExportedDisk[];
}

/** `web-01-disk1.vmdk`. */
export function exportedDiskFile(name: Name, index: number, format: ExportFormat): string {
  return `${name}-disk${index + 1}.${format}`;
}
