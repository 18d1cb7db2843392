import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { DiskFormat } from '../domain/disk-format.ts';
import { DISK_FORMATS } from '../domain/disk-format.ts';
import { isVmdnError } from '../domain/errors.ts';
import { MAX_IMAGE_HEADER_BYTES } from '../domain/limits.ts';
import type { ImageHeader } from './image-bytes.ts';
import { goldenImages, inspectBytes } from './image-header.fixture.ts';

const goldens = goldenImages();
const golden = (name: string, format: DiskFormat): Uint8Array =>
  goldens.find((each) => each.name === name && each.format === format)!.file.slice();

/** A golden with some fields overwritten: offset and bytes. */
function patched(
  name: string,
  format: DiskFormat,
  ...patches: [number, number[] | string][]
): Uint8Array {
  const file = golden(name, format);
  for (const [at, bytes] of patches) {
    file.set(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes, at);
  }
  return file;
}

function codeOf(format: DiskFormat, file: Uint8Array): string {
  try {
    inspectBytes(format, file);
  } catch (error) {
    if (isVmdnError(error)) return error.code;
    throw error;
  }
  return 'passed';
}

const AT_END: [number, number[]] = [56, Array(8).fill(255)];

/** A stream as other tools write it: the grain directory is found by a footer (here changed by `patch`). */
function withFooter(patch: [number, number[]] = [0, []]): Uint8Array {
  const footer = golden('stream', 'vmdk').slice(0, 512);
  footer.set(patch[1], patch[0]);
  const marker = new Uint8Array(512);
  return Buffer.concat([patched('stream', 'vmdk', AT_END), marker, footer, new Uint8Array(512)]);
}

/** Replaces text in a file, keeping its length. */
function replaced(file: Uint8Array, from: string, to: string): Uint8Array {
  const text = Buffer.from(file);
  const at = text.indexOf(from);
  expect(at).toBeGreaterThan(0);
  text.write(to.padEnd(from.length), at, 'latin1');
  return text;
}

const findGuid = (file: Uint8Array, start: string): number =>
  Buffer.from(file).indexOf(Buffer.from(start, 'hex'));

describe('headers of images', () => {
  test.each(goldens.map((each) => [`${each.name}.${each.format}`, each] as const))(
    'the golden %s passes',
    (_name, { format, file }) => {
      const { header, readBytes } = inspectBytes(format, file);
      expect(header.format).toBe(format);
      expect(header.backing).toBe(undefined);
      expect(header.virtualSizeBytes! % 512).toBe(0);
      expect(readBytes).toBeLessThan(MAX_IMAGE_HEADER_BYTES);
    },
  );

  test('there are goldens of every container format', () => {
    expect(new Set(goldens.map(({ format }) => format)).size).toBe(DISK_FORMATS.length - 1);
    expect(goldens.length).toBeGreaterThanOrEqual(9);
  });

  const backingName = Buffer.from('/etc/passwd');
  const withBacking: [number, number[] | string][] = [
    [8, [0, 0, 0, 0, 0, 0, 2, 0]],
    [16, [0, 0, 0, backingName.length]],
    [0x200, [...backingName]],
  ];

  test('I2: a qcow2 backing file is reported word for word', () => {
    const { header } = inspectBytes('qcow2', patched('v3', 'qcow2', ...withBacking));
    expect(header.backing).toEqual({ name: '/etc/passwd', format: undefined });
  });

  const cases: [string, DiskFormat, Uint8Array, string][] = [
    ['qcow2 version 4', 'qcow2', patched('v3', 'qcow2', [4, [0, 0, 0, 4]]), 'unsupported_format'],
    ['qcow2 marked corrupt', 'qcow2', patched('v3', 'qcow2', [79, [2]]), 'unsupported_format'],
    ['qcow2 with a data file bit', 'qcow2', patched('v3', 'qcow2', [79, [4]]), 'hostile_format'],
    [
      'qcow2 with an unknown bit',
      'qcow2',
      patched('v3', 'qcow2', [79, [32]]),
      'unsupported_format',
    ],
    [
      'qcow2 with the highest bit',
      'qcow2',
      patched('v3', 'qcow2', [72, [128]]),
      'unsupported_format',
    ],
    ['qcow2 that is dirty', 'qcow2', patched('v3', 'qcow2', [79, [1]]), 'passed'],
    ['qcow2 encrypted by AES', 'qcow2', patched('v3', 'qcow2', [35, [1]]), 'unsupported_format'],
    ['qcow2 of 2^63 bytes', 'qcow2', patched('v3', 'qcow2', [24, [128]]), 'too_large'],
    ['qcow2 of an odd size', 'qcow2', patched('v3', 'qcow2', [31, [1]]), 'unsupported_format'],
    [
      'qcow2 with clusters of 1 byte',
      'qcow2',
      patched('v3', 'qcow2', [23, [0]]),
      'unsupported_format',
    ],
    [
      'qcow2 with an extension that names a data file',
      'qcow2',
      patched('v3', 'qcow2', [112, [0x44, 0x41, 0x54, 0x41, 0, 0, 0, 4]]),
      'hostile_format',
    ],
    [
      'qcow2 with an extension beyond the header',
      'qcow2',
      patched('v3', 'qcow2', [112, [1, 2, 3, 4, 255, 255, 255, 255]]),
      'unsupported_format',
    ],
    [
      'qcow2 with a backing file beyond its header',
      'qcow2',
      patched('v3', 'qcow2', [8, [0, 0, 0, 0, 1, 0, 0, 0]], [16, [0, 0, 0, 9]]),
      'hostile_format',
    ],
    [
      'qcow2 with a backing file of no name',
      'qcow2',
      patched('v3', 'qcow2', [8, [0, 0, 0, 0, 0, 0, 2, 0]]),
      'hostile_format',
    ],
    ['vdi that is differencing', 'vdi', patched('dynamic', 'vdi', [0x4c, [4]]), 'hostile_format'],
    ['vdi with a parent', 'vdi', patched('dynamic', 'vdi', [0x1b8, [1]]), 'hostile_format'],
    ['vdi with a link', 'vdi', patched('dynamic', 'vdi', [0x1b7, [1]]), 'hostile_format'],
    ['vdi of version 2', 'vdi', patched('dynamic', 'vdi', [0x46, [2]]), 'unsupported_format'],
    [
      'vmdk without capacity',
      'vmdk',
      patched('sparse', 'vmdk', [12, Array(8).fill(0)]),
      'hostile_format',
    ],
    ['vmdk of version 9', 'vmdk', patched('sparse', 'vmdk', [4, [9]]), 'unsupported_format'],
    [
      'vmdk whose descriptor is elsewhere',
      'vmdk',
      patched('sparse', 'vmdk', [28, [9]]),
      'unsupported_format',
    ],
    [
      'vmdk with a parent CID',
      'vmdk',
      replaced(golden('sparse', 'vmdk'), 'parentCID=ffffffff', 'parentCID=12345678'),
      'hostile_format',
    ],
    [
      'vmdk with a flat extent',
      'vmdk',
      replaced(golden('sparse', 'vmdk'), ' SPARSE ', ' FLAT   '),
      'hostile_format',
    ],
    [
      'vmdk of several files',
      'vmdk',
      replaced(golden('sparse', 'vmdk'), 'monolithicSparse', 'monolithicFlat'),
      'hostile_format',
    ],
    [
      "vmdk with a parent's name behind the end of its text",
      'vmdk',
      patched('sparse', 'vmdk', [512 + 19 * 512, 'parentFileNameHint="/etc/passwd"']),
      'hostile_format',
    ],
    ['vmdk with a footer', 'vmdk', withFooter(), 'passed'],
    ['vmdk cut before its footer', 'vmdk', withFooter().slice(0, -512), 'unsupported_format'],
    ['vmdk of odd length', 'vmdk', withFooter().slice(0, -1), 'unsupported_format'],
    [
      'vmdk whose footer has no capacity',
      'vmdk',
      withFooter([12, Array(8).fill(0)]),
      'hostile_format',
    ],
    ['vmdk whose footer has another size', 'vmdk', withFooter([12, [9]]), 'unsupported_format'],
    ['vmdk whose footer promises a footer', 'vmdk', withFooter(AT_END), 'unsupported_format'],
    [
      'a text descriptor',
      'vmdk',
      Buffer.from('# Disk DescriptorFile\nversion=1\n'),
      'hostile_format',
    ],
    [
      'a descriptor after comments',
      'vmdk',
      Buffer.from('# x\n\n#y\nversion=1\n'),
      'hostile_format',
    ],
    ['a descriptor called raw', 'raw', Buffer.from('# x\n\nversion=1\n'), 'hostile_format'],
    ['a qcow2 called raw', 'raw', golden('v3', 'qcow2'), 'hostile_format'],
    ['a vdi called raw', 'raw', golden('dynamic', 'vdi'), 'hostile_format'],
    ['an empty file called qcow2', 'qcow2', new Uint8Array(0), 'unsupported_format'],
    ['an empty raw file', 'raw', new Uint8Array(0), 'passed'],
    [
      'an LUKS disk, which is guest data',
      'raw',
      Buffer.from('LUKS\xba\xbe\0\x02', 'latin1'),
      'passed',
    ],
  ];

  test.each(cases)('I2: %s', (_name, format, file, code) => {
    expect(codeOf(format, file)).toBe(code);
  });

  test('I2: a vhdx with a parent, a waiting log or two opinions is refused', () => {
    const file = golden('dynamic', 'vhdx');
    const metadata = findGuid(file, '6d65746164617461');
    // The item's offset stands 16 bytes after its id in the table.
    const parameters = findGuid(file, '3767a1ca36fa434db3b633f0aa44e76b');
    const at = metadata + Buffer.from(file).readUInt32LE(parameters + 16);
    const parent = patched('dynamic', 'vhdx', [at + 4, [2]]);
    expect(codeOf('vhdx', parent)).toBe('hostile_format');
    const locator = Buffer.from('2d5fd3a80bb34d45abf7d3d84834ab0c', 'hex');
    expect(codeOf('vhdx', patched('dynamic', 'vhdx', [parameters, [...locator]]))).toBe(
      'hostile_format',
    );
    const both: [number, number[]][] = [65_536, 131_072].map((header) => [header + 48, [1]]);
    expect(codeOf('vhdx', patched('dynamic', 'vhdx', ...both))).toBe('unsupported_format');
    expect(codeOf('vhdx', patched('dynamic', 'vhdx', [262_144 + 20, [9]]))).toBe(
      'unsupported_format',
    );
    const unknown = patched('dynamic', 'vhdx', [parameters, [9, 9]]);
    expect(codeOf('vhdx', unknown)).toBe('unsupported_format');
  });

  test('I3: whatever is changed, the end is a header or a code, after bounded reads', () => {
    const mutations = fc.array(
      fc.record({ spot: fc.nat({ max: 99_999 }), value: fc.integer({ min: 0, max: 255 }) }),
      { minLength: 1, maxLength: 8 },
    );
    const cut = fc.option(fc.nat({ max: 3_000_000 }), { nil: undefined, freq: 5 });
    fc.assert(
      fc.property(fc.constantFrom(...goldens), mutations, cut, (image, changes, length) => {
        // Only bytes that the format uses are changed: those near a byte that is not zero.
        const used = usedOffsets(image.file);
        const file = image.file.slice(0, length ?? image.file.length);
        for (const { spot, value } of changes) {
          const at = used[spot % used.length]!;
          if (at < file.length) file[at] = value;
        }
        let found: ImageHeader | undefined;
        try {
          const { header, readBytes } = inspectBytes(image.format, file);
          expect(readBytes).toBeLessThan(MAX_IMAGE_HEADER_BYTES);
          found = header;
        } catch (error) {
          const isKnown =
            isVmdnError(error, 'hostile_format') ||
            isVmdnError(error, 'unsupported_format') ||
            isVmdnError(error, 'too_large');
          if (!isKnown) throw error;
        }
        if (found !== undefined) expect(Number.isSafeInteger(found.virtualSizeBytes)).toBe(true);
      }),
      { numRuns: 1500 },
    );
  });
});

const offsetsOfFile = new Map<Uint8Array, number[]>();

/** Offsets within 8 bytes of a byte that is not zero. */
function usedOffsets(file: Uint8Array): number[] {
  const known = offsetsOfFile.get(file);
  if (known !== undefined) return known;
  const offsets: number[] = [];
  let last = -100;
  for (let at = 0; at < Math.min(file.length, 4 * 2 ** 20); at += 1) {
    if (file[at] !== 0) last = at;
    if (at - last <= 8) offsets.push(at);
  }
  offsetsOfFile.set(file, offsets);
  return offsets;
}
