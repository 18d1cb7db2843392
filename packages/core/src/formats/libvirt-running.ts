/**
 * Room: formats. The disks of a libvirt domain as they are at this moment, and the document by which libvirt
 * puts an overlay on each (formatdomain, formatsnapshot).
 *
 * I1: nothing is guessed: what a disk lacks in the XML (a file, a format, a name) is empty here, and equals
 *     nothing that a caller expects.
 * I2: an overlay is named for every disk of a VM, and everything else of a domain (CD-ROMs, floppies) is left
 *     out of the snapshot by its name: libvirt's defaults decide about none.
 */

import { childrenOf, elementAt, readXml, type XmlNode } from './xml-tree.ts';
import { type XmlElement, xml, xmlDocument } from './xml-writer.ts';

/** A disk of a domain. */
export interface DomainDisk {
  /** Its name among the domain's: `vda`. */
  readonly target: string;
  /** The file that is written to; empty: it is on something else. */
  readonly file: string;
  readonly format: string;
  /** Where a copy of it is being made to, or a commit: a file, or empty when it is something else. */
  readonly mirror: string | null;
  readonly isShareable: boolean;
  readonly isReadOnly: boolean;
  /** The disk by itself, as libvirt takes it back (`update-device`). */
  readonly document: string;
}

export interface DomainDisks {
  /** What libvirt counts its runs by; null: it is off. */
  readonly run: string | null;
  /** In the domain's order; CD-ROMs and floppies are none. */
  readonly disks: readonly DomainDisk[];
  /** Names of the devices that are no disks of a VM. */
  readonly others: readonly string[];
}

/** What libvirt gives a disk while it runs: it refuses some of that when it is asked to take it back. */
const OF_A_RUN: readonly string[] = ['alias', 'mirror'];

/** Reads what `virsh dumpxml` prints. Throws `hostile_format`. */
export function readDomainDisks(document: string): DomainDisks {
  const root = readXml(document);
  const devices = childrenOf(elementAt(root, 'devices'), 'disk');
  const isDisk = ({ attributes }: XmlNode) => (attributes.get('device') ?? 'disk') === 'disk';
  return {
    run: root.attributes.get('id') ?? null,
    disks: devices.filter(isDisk).map(readDisk),
    others: devices.filter((device) => !isDisk(device)).map(targetOf),
  };
}

/** What `virsh snapshot-create` is given: an overlay for each disk, in a qcow2 file that is not there yet. */
export function overlaySnapshot(
  overlays: readonly { readonly target: string; readonly overlay: string }[],
  others: readonly string[],
): string {
  const disks = overlays.map(({ target, overlay }) =>
    xml(
      'disk',
      { name: target, snapshot: 'external' },
      xml('driver', { type: 'qcow2' }),
      xml('source', { file: overlay }),
    ),
  );
  const none = others.map((name) => xml('disk', { name, snapshot: 'no' }));
  return xmlDocument(xml('domainsnapshot', {}, xml('disks', {}, ...disks, ...none)));
}

function targetOf(disk: XmlNode): string {
  return elementAt(disk, 'target')?.attributes.get('dev') ?? '';
}

function readDisk(disk: XmlNode): DomainDisk {
  const mirror = elementAt(disk, 'mirror');
  return {
    target: targetOf(disk),
    file: fileOf(disk),
    format: elementAt(disk, 'driver')?.attributes.get('type') ?? '',
    mirror: mirror === undefined ? null : fileOf(mirror),
    isShareable: elementAt(disk, 'shareable') !== undefined,
    isReadOnly: elementAt(disk, 'readonly') !== undefined,
    document: xmlDocument(writable(disk)),
  };
}

function fileOf(node: XmlNode): string {
  return elementAt(node, 'source')?.attributes.get('file') ?? '';
}

function writable({ name, attributes, children, text }: XmlNode): XmlElement {
  const kept = children.filter((child) => !OF_A_RUN.includes(child.name));
  const inner = kept.length > 0 ? kept.map(writable) : text.trim() === '' ? [] : [text.trim()];
  return xml(name, Object.fromEntries(attributes), ...inner);
}
