/**
 * Room: formats. The VM that a libvirt domain is, for an origin: what libvirt's XML says of it, as a
 * specification (formatdomain). What libvirt does not know, ports and the ready check, stands in the
 * domain's metadata.
 *
 * I1: nothing is passed through: what is read here goes through the same reader as a specification that a
 *     person wrote (vm-specification.ts), and everything else of the XML is left behind.
 * I2: a disk is a file whose layers are all named, with their formats; a VM with any other disk is refused,
 *     and so is what no edge can run (another architecture). CD-ROMs and floppies are not disks.
 * I3: a network card is on a network by its name: a libvirt network's, a bridge's, or `user`; a VM with any
 *     other card is refused, since no edge would know what to put it on.
 */

import { VmdnError } from '../domain/errors.ts';
import { USER_NETWORK } from '../domain/networks.ts';
import type { VmSpecification } from '../domain/vm-specification.ts';
import { parseVmSpecification } from './vm-specification.ts';
import { childrenOf, elementAt, readXml, textAt, type XmlNode } from './xml-tree.ts';

/** `virsh metadata DOMAIN --uri urn:vmdn:source:1 --key vmdn --set '<source>…</source>'` */
export const SOURCE_SPACE = 'urn:vmdn:source:1';

const ARCHITECTURE = 'x86_64';
const MEBIBYTE = 2 ** 20;
/** libvirt: formatdomain, Memory Allocation. */
const BYTES_OF_UNIT: Readonly<Record<string, number>> = {
  ...{ b: 1, bytes: 1, KB: 1000, k: 1024, KiB: 1024, MB: 1e6, M: MEBIBYTE, MiB: MEBIBYTE },
  ...{ GB: 1e9, G: 2 ** 30, GiB: 2 ** 30, TB: 1e12, T: 2 ** 40, TiB: 2 ** 40 },
};

/** Reads a domain's XML. Throws `hostile_format`, `invalid_input`, `unsupported_format`. */
export function readSourceDomain(document: string): VmSpecification {
  const root = readXml(document);
  const type = elementAt(root, 'os', 'type');
  const architecture = type?.attributes.get('arch') ?? '';
  if (type?.text.trim() !== 'hvm' || architecture !== ARCHITECTURE) {
    throw unsupported(`is of the kind ${type?.text.trim()} for ${architecture}`);
  }
  const disks = childrenOf(elementAt(root, 'devices'), 'disk').filter(isDisk);
  const asked = source(root);
  return parseVmSpecification(
    JSON.stringify({
      name: textAt(root, 'name'),
      disks: disks.map((disk) => ({ layers: layersOf(disk) })),
      vcpus: Number(textAt(root, 'vcpu')),
      memoryMiB: memoryMiB(elementAt(root, 'memory')),
      firmware: firmwareOf(root),
      ports: childrenOf(asked, 'port').map(({ attributes }) => ({
        name: attributes.get('name'),
        guest: Number(attributes.get('guest')),
      })),
      ready: readyOf(elementAt(asked, 'ready')),
      ...identityOf(root),
    }),
  );
}

/** Whether a domain belongs to an edge: what an edge runs is not a source. */
export function isEdgeDomain(document: string): boolean {
  return elementAt(readXml(document), 'metadata', 'vmdn:vm') !== undefined;
}

/** Ours in the metadata: libvirt gives the element the prefix of its key. */
function source(root: XmlNode): XmlNode | undefined {
  const found = elementAt(root, 'metadata')?.children.find(({ attributes }) =>
    [...attributes].some(([name, value]) => name.startsWith('xmlns') && value === SOURCE_SPACE),
  );
  return found && withoutPrefixes(found);
}

function withoutPrefixes(node: XmlNode): XmlNode {
  const name = node.name.slice(node.name.indexOf(':') + 1);
  return { ...node, name, children: node.children.map(withoutPrefixes) };
}

function isDisk({ attributes }: XmlNode): boolean {
  return (attributes.get('device') ?? 'disk') === 'disk';
}

function layersOf(disk: XmlNode): readonly object[] {
  const layers = [];
  const top = elementAt(disk, 'driver')?.attributes.get('type');
  for (let at: XmlNode | undefined = disk, format = top; at !== undefined; ) {
    const kind = at.attributes.get('type');
    const file = elementAt(at, 'source')?.attributes.get('file');
    if (kind !== 'file' || file === undefined)
      throw unsupported(`has a disk on a ${kind}, not a file`);
    layers.push({ file, format });
    const below: XmlNode | undefined = elementAt(at, 'backingStore');
    // An empty one says that nothing follows.
    at = below !== undefined && below.attributes.size > 0 ? below : undefined;
    format = elementAt(at, 'format')?.attributes.get('type');
  }
  return layers;
}

function memoryMiB(memory: XmlNode | undefined): number {
  const bytesOfOne = BYTES_OF_UNIT[memory?.attributes.get('unit') ?? 'KiB'] ?? Number.NaN;
  return Math.ceil((Number(memory?.text.trim()) * bytesOfOne) / MEBIBYTE);
}

function firmwareOf(root: XmlNode): 'bios' | 'uefi' {
  const os = elementAt(root, 'os');
  const isUefi =
    os?.attributes.get('firmware') === 'efi' ||
    elementAt(os, 'loader')?.attributes.get('type') === 'pflash';
  return isUefi ? 'uefi' : 'bios';
}

function readyOf(ready: XmlNode | undefined): object | null {
  if (ready === undefined) return null;
  const { timeoutSeconds, ...rest } = Object.fromEntries(ready.attributes);
  return { ...rest, ...(timeoutSeconds && { timeoutSeconds: Number(timeoutSeconds) }) };
}

/** Its UUID and its network cards. */
function identityOf(root: XmlNode): object {
  const uuid = textAt(root, 'uuid');
  const cards = childrenOf(elementAt(root, 'devices'), 'interface').map(cardOf);
  return {
    ...(uuid && { uuid: uuid.toLowerCase() }),
    ...(cards.length > 0 && { interfaces: cards }),
  };
}

function cardOf(card: XmlNode): object {
  const mac = elementAt(card, 'mac')?.attributes.get('address');
  return { network: networkOf(card), ...(mac && { mac: mac.toLowerCase() }) };
}

/** I3. */
function networkOf(card: XmlNode): string {
  const kind = card.attributes.get('type') ?? '';
  if (kind === 'user') return USER_NETWORK;
  const name = elementAt(card, 'source')?.attributes.get(kind);
  if ((kind === 'network' || kind === 'bridge') && name !== undefined) return name;
  throw unsupported(`has a network card of the kind ${kind}, not on a network or a bridge`);
}

function unsupported(what: string): VmdnError {
  return new VmdnError('unsupported_format', `The domain ${what}; an edge could not run it.`);
}
