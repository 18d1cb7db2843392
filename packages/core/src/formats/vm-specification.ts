/**
 * Room: formats. The file in which a person describes a VM to an origin: `NAME.vm.json`
 * (docs/formats/vm-specification.md).
 *
 * I1: total: any text gives a specification or `invalid_input` that names the field and says what it
 *     should be; unknown fields are refused, so that a misspelt one is not silently ignored.
 * I2: paths are as written here; whoever reads the file resolves them and keeps them in its folder.
 */

import { DISK_FORMATS, type DiskFormat, isDiskFormat } from '../domain/disk-format.ts';
import { VmdnError } from '../domain/errors.ts';
import { MAX_BACKING_LAYERS } from '../domain/limits.ts';
import { ID_PATTERN, type Id, NAME_PATTERN, type Name } from '../domain/names.ts';
import {
  type GuestInterface,
  INTERFACES_MAX,
  MAC_PATTERN,
  type ReadyCheck,
  type VmHardware,
  type VmSpecification,
} from '../domain/vm-specification.ts';

/** A specification with 24 disks of 16 layers each has some 40 KiB. */
export const VM_SPECIFICATION_BYTES_MAX = 256 * 1024;
/** As in the contract: what one QEMU machine takes without bridges. */
const DISKS_MAX = 24;
const PORTS_MAX = 32;
const PATH_CHARACTERS_MAX = 4096;
const HTTP_PATH = /^\/[\x21-\x7e]{0,1023}$/;

/** Reads the text of a specification file. Throws `invalid_input` with every problem that it has. */
export function parseVmSpecification(text: string): VmSpecification {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw invalid([`it is not JSON: ${(cause as Error).message}`]);
  }
  const problems: string[] = [];
  const specification = readSpecification(new Field(value, '', problems));
  if (problems.length > 0) throw invalid(problems);
  return specification;
}

function invalid(problems: readonly string[]): VmdnError {
  const shown = problems.slice(0, 10);
  return new VmdnError('invalid_input', `The VM specification is wrong: ${shown.join('; ')}.`, {
    data: { problems: shown },
  });
}

/** A value in the file with its name, and the list that problems go to. */
class Field {
  readonly value: unknown;
  readonly name: string;
  readonly problems: string[];

  constructor(value: unknown, name: string, problems: string[]) {
    this.value = value;
    this.name = name;
    this.problems = problems;
  }

  wrong(should: string): void {
    const given = this.value === undefined ? 'is missing' : `is ${show(this.value)}`;
    this.problems.push(`${this.name || 'the file'} ${given}; it should be ${should}`);
  }

  /** The fields of an object, of which there are no others. */
  object(known: readonly string[]): Readonly<Record<string, Field>> {
    const isObject =
      typeof this.value === 'object' && this.value !== null && !Array.isArray(this.value);
    if (!isObject) this.wrong(`an object with ${known.join(', ')}`);
    const entries = isObject ? (this.value as Record<string, unknown>) : {};
    for (const key of Object.keys(entries)) {
      if (known.includes(key)) continue;
      const where = this.name === '' ? 'the file' : this.name;
      this.problems.push(`${where} has no field ${show(key)}; it has ${known.join(', ')}`);
    }
    const prefix = this.name === '' ? '' : `${this.name}.`;
    return Object.fromEntries(
      known.map((key) => {
        const value = Object.hasOwn(entries, key) ? entries[key] : undefined;
        // Below something that is no object everything is missing: one complaint is enough.
        return [key, new Field(value, prefix + key, isObject ? this.problems : [])];
      }),
    );
  }

  list(min: number, max: number, what: string): readonly Field[] {
    if (Array.isArray(this.value) && this.value.length >= min && this.value.length <= max) {
      return this.value.map((item, i) => new Field(item, `${this.name}[${i}]`, this.problems));
    }
    this.wrong(`a list of ${min} to ${max} ${what}`);
    return [];
  }

  integer(min: number, max: number): number {
    const { value } = this;
    if (Number.isSafeInteger(value) && Number(value) >= min && Number(value) <= max) {
      return Number(value);
    }
    this.wrong(`a whole number from ${min} to ${max}`);
    return min;
  }

  text(pattern: RegExp, should: string): string {
    if (typeof this.value === 'string' && pattern.test(this.value)) return this.value;
    this.wrong(should);
    return '';
  }

  identifier(): Name {
    const should = "1 to 63 letters, digits, '.', '_' or '-', starting with a letter or digit";
    return this.text(NAME_PATTERN, should) as Name;
  }

  oneOf<Word extends string>(words: readonly [Word, ...Word[]]): Word {
    const found = words.find((word) => word === this.value);
    if (found === undefined) this.wrong(`one of ${words.join(', ')}`);
    return found ?? words[0];
  }
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

function readSpecification(file: Field): VmSpecification {
  const hardware = ['vcpus', 'memoryMiB', 'firmware', 'ports', 'ready', 'uuid', 'interfaces'];
  const fields = file.object(['name', 'disks', ...hardware]);
  return {
    name: fields.name!.identifier(),
    disks: fields.disks!.list(1, DISKS_MAX, 'disks').map(readDisk),
    hardware: readHardware(fields),
  };
}

function readDisk(disk: Field): VmSpecification['disks'][number] {
  const isLayered = typeof disk.value === 'object' && disk.value !== null && 'layers' in disk.value;
  if (!isLayered) return { layers: [readLayer(disk)] };
  const { layers } = disk.object(['layers']);
  return {
    layers: layers!.list(1, MAX_BACKING_LAYERS, 'layers, the top one first').map(readLayer),
  };
}

function readLayer(layer: Field): { path: string; format: DiskFormat } {
  const { file, format } = layer.object(['file', 'format']);
  const path = file!.text(/^[^\0]+$/, 'the path of a disk image');
  if (path.length > PATH_CHARACTERS_MAX) file!.wrong('a shorter path');
  if (!isDiskFormat(format!.value)) format!.wrong(`one of ${DISK_FORMATS.join(', ')}`);
  return { path, format: isDiskFormat(format!.value) ? format!.value : 'raw' };
}

function readHardware(fields: Readonly<Record<string, Field>>): VmHardware {
  const { vcpus, memoryMiB, firmware, ports, ready } = fields as Record<string, Field>;
  const portFields = ports!.value === undefined ? [] : ports!.list(0, PORTS_MAX, 'ports');
  const guestPorts = portFields.map((port) => {
    const { name, guest } = port.object(['name', 'guest']);
    return { name: name!.identifier(), guest: guest!.integer(1, 65_535) };
  });
  const names = guestPorts.map((port) => port.name);
  if (new Set(names).size !== names.length) ports!.wrong('ports with names of their own');
  return {
    vcpus: vcpus!.integer(1, 256),
    memoryMiB: memoryMiB!.integer(64, 1_048_576),
    firmware: firmware!.value === undefined ? 'bios' : firmware!.oneOf(['bios', 'uefi']),
    ports: guestPorts,
    ready: ready!.value === undefined || ready!.value === null ? null : readReady(ready!, names),
    ...readIdentity(fields),
  };
}

/** What of its identity a VM's hardware has; nothing where nothing is said. */
function readIdentity({
  uuid,
  interfaces,
}: Readonly<Record<string, Field>>): Pick<VmHardware, 'uuid' | 'interfaces'> {
  return {
    ...(uuid!.value !== undefined && { uuid: uuid!.text(ID_PATTERN, 'a lower-case UUID') as Id }),
    ...(interfaces!.value !== undefined && {
      interfaces: interfaces!.list(1, INTERFACES_MAX, 'network cards').map(readInterface),
    }),
  };
}

function readInterface(card: Field): GuestInterface {
  const { network, mac } = card.object(['network', 'mac']);
  const should = 'the address of one card, such as 52:54:00:12:34:56, in lower case';
  return {
    network: network!.identifier(),
    ...(mac!.value !== undefined && { mac: mac!.text(MAC_PATTERN, should) }),
  };
}

function readReady(ready: Field, ports: readonly Name[]): ReadyCheck {
  const { kind, port, path, timeoutSeconds } = ready.object([
    'kind',
    'port',
    'path',
    'timeoutSeconds',
  ]);
  const check = { kind: kind!.oneOf(['http', 'tcp']), port: port!.identifier() };
  if (!ports.includes(check.port)) port!.wrong(`the name of one of the VM's ports`);
  const timeout = timeoutSeconds!.value === undefined ? 300 : timeoutSeconds!.integer(1, 3600);
  if (path!.value === undefined) return { ...check, timeoutSeconds: timeout };
  if (check.kind === 'tcp') path!.wrong('left out for a tcp check');
  const httpPath = path!.text(HTTP_PATH, 'a path such as /health, without spaces');
  return { ...check, path: httpPath, timeoutSeconds: timeout };
}
