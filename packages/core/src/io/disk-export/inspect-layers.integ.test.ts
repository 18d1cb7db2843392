import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DISK_FORMATS, type DiskFormat, type DiskLayer } from '../../domain/disk-format.ts';
import { goldenPath, toSparseText } from '../../formats/image-header.fixture.ts';
import { createCommandRunner } from '../command/command-runner.ts';
import { openDiskExport } from './disk-export.ts';
import { inspectFile, inspectLayers } from './inspect-layers.ts';

const runner = createCommandRunner();
const timeoutMs = 60_000;
const SIZE = 3 * 2 ** 20 + 512;
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'vmdn-inspect-'));
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

async function qemuImg(...args: string[]): Promise<void> {
  await runner.run('qemu-img', args, { timeoutMs, cwd: directory });
}

/** An image made by qemu-img; `options` as for -o. */
async function make(name: string, format: string, options = '', size = SIZE): Promise<string> {
  const path = join(directory, name);
  const more = options === '' ? [] : ['-o', options];
  await qemuImg('create', '-q', '-f', format, ...more, '--', path, String(size));
  return path;
}

/** Images that must pass: name, format, options of qemu-img. */
const GOOD: [string, DiskFormat, string][] = [
  ['v2', 'qcow2', 'compat=0.10'],
  ['v3', 'qcow2', ''],
  ['zstd', 'qcow2', 'compression_type=zstd'],
  ['extended', 'qcow2', 'extended_l2=on,cluster_size=128k'],
  ['lazy', 'qcow2', 'lazy_refcounts=on,refcount_bits=1'],
  ['small-clusters', 'qcow2', 'cluster_size=512'],
  ['sparse', 'vmdk', ''],
  ['stream', 'vmdk', 'subformat=streamOptimized'],
  ['dynamic', 'vdi', ''],
  ['static', 'vdi', 'static=on'],
  ['dynamic', 'vhdx', ''],
  ['fixed', 'vhdx', 'subformat=fixed'],
];

describe('images that qemu-img makes', () => {
  test.each(GOOD)('%s %s passes with its size, and QEMU agrees', async (name, format, options) => {
    const path = await make(`${name}.${format}`, format, options);
    const header = await inspectFile({ path, format });
    const expected = { format, virtualSizeBytes: SIZE, backing: undefined };
    if (format !== 'vhdx') expect(header).toEqual(expected);
    const disk = await openDiskExport({
      layers: [{ path, format }],
      socketDir: join(directory, 'run'),
      runner,
    });
    expect(disk.virtualSizeBytes).toBe(header.virtualSizeBytes);
    await disk.close();
    if (process.env.VMDN_UPDATE_GOLDEN !== undefined && name !== 'static' && name !== 'fixed') {
      await writeFile(goldenPath(name, format), toSparseText(await readFile(path)));
    }
  });

  test('a disk with an internal snapshot and a bitmap passes: its present state is read', async () => {
    const path = await make('snapshot.qcow2', 'qcow2');
    await qemuImg('snapshot', '-c', 'one', '--', path);
    await qemuImg('bitmap', '--add', '--', path, 'two');
    expect(await inspectFile({ path, format: 'qcow2' })).toMatchObject({ virtualSizeBytes: SIZE });
  });

  test('any declared format but the real one is refused', async () => {
    const files: [DiskFormat, string][] = [];
    for (const format of DISK_FORMATS) files.push([format, await make(`as-${format}`, format)]);
    for (const [real, path] of files) {
      for (const declared of DISK_FORMATS) {
        if (declared === real) continue;
        const code = declared === 'raw' ? 'hostile_format' : 'unsupported_format';
        const inspected = inspectFile({ path, format: declared });
        await expect(inspected, `${real} as ${declared}`).rejects.toMatchObject({ code });
      }
    }
  });
});

/**
 * A qcow2 image that says how it is encrypted (qcow2 specification: crypt_method, bytes 32 to 35). qemu-img
 * makes one with AES; for LUKS it times a key derivation, and gives up where the processor is busy.
 */
async function makeEncrypted(name: string, method: number): Promise<string> {
  const path = join(directory, name);
  const secret = [
    '--object',
    'secret,id=s,data=x',
    '-o',
    'encrypt.format=aes,encrypt.key-secret=s',
  ];
  await qemuImg('create', '-q', ...secret, '-f', 'qcow2', '--', path, '1M');
  const image = await readFile(path);
  expect(image.readUInt32BE(32)).toBe(1);
  image.writeUInt32BE(method, 32);
  await writeFile(path, image);
  return path;
}

/** Images that must not pass: how to make one, its declared format, the code. */
const BAD: [string, () => Promise<string>, DiskFormat, string][] = [
  [
    'qcow2 with an external data file',
    () => make('df.qcow2', 'qcow2', 'data_file=df.data'),
    'qcow2',
    'hostile_format',
  ],
  ['qcow2 with AES', () => makeEncrypted('aes.qcow2', 1), 'qcow2', 'unsupported_format'],
  ['qcow2 with LUKS', () => makeEncrypted('luks.qcow2', 2), 'qcow2', 'unsupported_format'],
  [
    'flat VMDK',
    () => make('flat.vmdk', 'vmdk', 'subformat=monolithicFlat'),
    'vmdk',
    'hostile_format',
  ],
  [
    'split VMDK',
    () => make('split.vmdk', 'vmdk', 'subformat=twoGbMaxExtentSparse'),
    'vmdk',
    'hostile_format',
  ],
  [
    'VMDK with a parent',
    async () => {
      const parent = await make('parent.vmdk', 'vmdk');
      const path = join(directory, 'child.vmdk');
      await qemuImg('create', '-q', '-f', 'vmdk', '-b', parent, '-F', 'vmdk', '--', path);
      return path;
    },
    'vmdk',
    'hostile_format',
  ],
  ['QED as raw', () => make('x.qed', 'qed'), 'raw', 'hostile_format'],
  ['VHD as raw', () => make('x.vhd', 'vpc'), 'raw', 'hostile_format'],
  ['qcow1 as qcow2', () => make('x.qcow', 'qcow'), 'qcow2', 'unsupported_format'],
];

describe('images that must not pass', () => {
  test.each(BAD)('%s', async (_name, makeImage, format, code) => {
    const path = await makeImage();
    const layers = [{ path, format }];
    await expect(inspectLayers(layers)).rejects.toMatchObject({ code });
    const socketDir = join(directory, 'run');
    await expect(openDiskExport({ layers, socketDir, runner })).rejects.toMatchObject({ code });
  });
});

describe('backing chains', () => {
  const base = (): DiskLayer => ({ path: join(directory, 'base.raw'), format: 'raw' });
  const overlay = (name: string): DiskLayer => ({ path: join(directory, name), format: 'qcow2' });

  async function makeOverlay(name: string, backing: string, format = 'raw'): Promise<DiskLayer> {
    const more = ['-u', '-b', backing, '-F', format];
    await qemuImg('create', '-q', '-f', 'qcow2', ...more, '--', join(directory, name), '1M');
    return overlay(name);
  }

  beforeAll(async () => {
    await writeFile(base().path, new Uint8Array(2 ** 20));
    await symlink(base().path, join(directory, 'link.raw'));
  });

  test('I1: a chain passes when every layer is named and the headers agree', async () => {
    const absolute = await makeOverlay('absolute.qcow2', base().path);
    const relative = await makeOverlay('relative.qcow2', 'base.raw');
    const linked = await makeOverlay('linked.qcow2', './link.raw');
    const top = await makeOverlay('top.qcow2', 'relative.qcow2', 'qcow2');
    for (const layer of [absolute, relative, linked]) await inspectLayers([layer, base()]);
    await inspectLayers([top, relative, base()]);
    const socketDir = join(directory, 'run');
    const disk = await openDiskExport({ layers: [top, relative, base()], socketDir, runner });
    expect(disk.virtualSizeBytes).toBe(2 ** 20);
    await disk.close();
  });

  test('I1: a backing file that nobody named, or another one than the header says, is hostile', async () => {
    const other = join(directory, 'other.raw');
    await writeFile(other, new Uint8Array(2 ** 20));
    const good = await makeOverlay('good.qcow2', base().path);
    const plain = { path: await make('plain.qcow2', 'qcow2'), format: 'qcow2' } as const;
    const wrong: DiskLayer[][] = [
      [good],
      [good, { path: other, format: 'raw' }],
      [good, { path: base().path, format: 'qcow2' }],
      [plain, base()],
      [base(), base()],
      [await makeOverlay('missing.qcow2', '/no/such/file'), base()],
      [
        await makeOverlay('json.qcow2', `json:{"driver":"file","filename":"${base().path}"}`),
        base(),
      ],
      [await makeOverlay('protocol.qcow2', `file:${base().path}`), base()],
      [await makeOverlay('nbd.qcow2', 'nbd:unix:/tmp/x'), base()],
      [await makeOverlay('format.qcow2', base().path, 'vmdk'), base()],
    ];
    for (const layers of wrong) {
      const inspected = inspectLayers(layers);
      await expect(inspected, layers[0]!.path).rejects.toMatchObject({ code: 'hostile_format' });
    }
  });

  test('the header of a backing file is read by nobody: a canary outside stays unread', async () => {
    const canary = join(directory, 'canary');
    await writeFile(canary, 'CANARY'.repeat(200_000));
    const sneaky = await makeOverlay('sneaky.qcow2', canary);
    const opened = openDiskExport({ layers: [sneaky], socketDir: join(directory, 'run'), runner });
    await expect(opened).rejects.toMatchObject({ code: 'hostile_format' });
  });
});
