import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isVmdnError } from '../domain/errors.ts';
import { parseVmSpecification } from './vm-specification.ts';

const good = {
  name: 'web-01',
  disks: [
    { file: 'web-01.qcow2', format: 'qcow2' },
    {
      layers: [
        { file: 'top.qcow2', format: 'qcow2' },
        { file: 'base/base.raw', format: 'raw' },
      ],
    },
  ],
  vcpus: 2,
  memoryMiB: 512,
  firmware: 'bios',
  ports: [{ name: 'http', guest: 80 }],
  ready: { kind: 'http', port: 'http', path: '/', timeoutSeconds: 120 },
};

const parse = (value: unknown) => parseVmSpecification(JSON.stringify(value));
const problemsOf = (value: unknown): string => {
  try {
    parse(value);
  } catch (error) {
    expect(isVmdnError(error, 'invalid_input')).toBe(true);
    return (error as Error).message;
  }
  return 'no problem';
};

describe('a VM specification', () => {
  it('is read into disks with their layers, hardware, ports and ready check', () => {
    expect(parse(good)).toEqual({
      name: 'web-01',
      disks: [
        { layers: [{ path: 'web-01.qcow2', format: 'qcow2' }] },
        {
          layers: [
            { path: 'top.qcow2', format: 'qcow2' },
            { path: 'base/base.raw', format: 'raw' },
          ],
        },
      ],
      hardware: {
        vcpus: 2,
        memoryMiB: 512,
        firmware: 'bios',
        ports: [{ name: 'http', guest: 80 }],
        ready: { kind: 'http', port: 'http', path: '/', timeoutSeconds: 120 },
      },
    });
  });

  it('may leave out what has a plain default', () => {
    const { firmware, ports, ready, ...rest } = good;
    expect(parse(rest).hardware).toEqual({
      vcpus: 2,
      memoryMiB: 512,
      firmware: 'bios',
      ports: [],
      ready: null,
    });
    expect(parse({ ...good, ready: { kind: 'tcp', port: 'http' } }).hardware.ready).toEqual({
      kind: 'tcp',
      port: 'http',
      timeoutSeconds: 300,
    });
  });

  it.each([
    [{ ...good, name: '--help' }, /^.*name is "--help"; it should be 1 to 63 letters/],
    [{ ...good, name: undefined }, /name is missing/],
    [{ ...good, disks: [] }, /disks is \[\]; it should be a list of 1 to 24 disks/],
    [{ ...good, disks: [{ file: 'a', format: 'qed' }] }, /disks\[0\]\.format is "qed"/],
    [{ ...good, disks: [{ file: 'a\0b', format: 'raw' }] }, /disks\[0\]\.file/],
    [{ ...good, disks: [{ file: '', format: 'raw' }] }, /disks\[0\]\.file/],
    [{ ...good, disks: [{ layers: [] }] }, /disks\[0\]\.layers/],
    [{ ...good, disks: [{ layers: [{ file: 'a', format: 'raw' }], format: 'raw' }] }, /no field/],
    [{ ...good, disks: ['a.raw'] }, /disks\[0\] is "a\.raw"; it should be an object/],
    [{ ...good, vcpus: 0 }, /vcpus is 0; it should be a whole number from 1 to 256/],
    [{ ...good, vcpus: '2' }, /vcpus is "2"/],
    [{ ...good, memoryMiB: 1.5 }, /memoryMiB is 1\.5/],
    [{ ...good, firmware: 'coreboot' }, /firmware is "coreboot"; it should be one of bios, uefi/],
    [{ ...good, ports: [{ name: 'http', guest: 70_000 }] }, /ports\[0\]\.guest/],
    [
      {
        ...good,
        ports: [
          { name: 'http', guest: 80 },
          { name: 'http', guest: 81 },
        ],
      },
      /names of their own/,
    ],
    [{ ...good, ready: { kind: 'http', port: 'ssh' } }, /ready\.port is "ssh".*one of the VM's/],
    [{ ...good, ready: { kind: 'http', port: 'http', path: 'x y' } }, /ready\.path/],
    [{ ...good, ready: { kind: 'tcp', port: 'http', path: '/' } }, /left out for a tcp check/],
    [{ ...good, memory: 3 }, /the file has no field "memory"; it has name, disks/],
    [{ ...good, uuid: 'A8098C1A-F86E-11DA-BD1A-00112444BE1E' }, /uuid is .* a lower-case UUID/],
    [{ ...good, interfaces: [] }, /interfaces is \[\]; .* 1 to 4 network cards/],
    [{ ...good, interfaces: [{}] }, /interfaces\[0\]\.network is missing/],
    [
      { ...good, interfaces: [{ network: 'a', mac: '52-54' }] },
      /mac is "52-54".*52:54:00:12:34:56/,
    ],
    [{ ...good, interfaces: [{ network: 'a', model: 'x' }] }, /no field "model"/],
    [[], /the file is \[\]; it should be an object/],
    [null, /the file is null/],
    [{ ...good, __proto__: null, constructor: 1 }, /no field "constructor"/],
  ])('%# is refused in words that name the field', (value, words) => {
    expect(problemsOf(value)).toMatch(words);
  });

  it('has the UUID and the network cards that are named, and none where nothing is said', () => {
    const uuid = '0b8c1f0e-6a53-4d8f-9a3e-5d1c2b7a9e10';
    const interfaces = [{ network: 'lan', mac: '52:54:00:12:34:56' }, { network: 'dmz' }];
    const { hardware } = parseVmSpecification(JSON.stringify({ ...good, uuid, interfaces }));
    expect(hardware).toMatchObject({ uuid, interfaces });
    const none = parseVmSpecification(JSON.stringify(good)).hardware;
    for (const field of ['uuid', 'interfaces']) expect(none).not.toHaveProperty(field);
  });

  it('that is not JSON says so', () => {
    expect(() => parseVmSpecification('{"name":')).toThrow(/not JSON/);
  });

  it('with several problems names them all at once', () => {
    const words = problemsOf({ ...good, vcpus: 0, memoryMiB: 1, firmware: 'x' });
    expect(words).toMatch(/vcpus.*memoryMiB.*firmware/);
  });

  it('I1: whatever the text, ends in a specification or in invalid_input', () => {
    const anything = fc.oneof(
      fc.json(),
      fc.string(),
      fc
        .record(
          Object.fromEntries(Object.keys(good).map((key) => [key, fc.jsonValue({ maxDepth: 3 })])),
        )
        .map((value) => JSON.stringify(value)),
    );
    fc.assert(
      fc.property(anything, (text) => {
        try {
          parseVmSpecification(text);
        } catch (error) {
          expect(isVmdnError(error, 'invalid_input')).toBe(true);
        }
      }),
    );
  });
});
