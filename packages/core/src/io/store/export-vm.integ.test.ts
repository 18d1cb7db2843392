import { createHash, randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Digest } from '../../domain/digest.ts';
import { BASE_FILE, OWN_FILE, ZERO_FILE } from '../../domain/layers.ts';
import type { Id, Name } from '../../domain/names.ts';
import type { ExportFormat, Hypervisor } from '../../domain/vm-export.ts';
import { encodeSharedTables, sharedLayout } from '../../formats/shared-qcow2.ts';
import { createCommandRunner } from '../command/command-runner.ts';
import { createQemuImg } from '../command/qemu-img.ts';
import { createHashPool, type HashPool } from '../hashing/hash-pool.ts';
import type { ExportVm } from '../ports/export-vm.ts';
import type { ImageStore } from '../ports/image-store.ts';
import { createExportVm } from './export-vm.ts';
import { stageDisk, testDisk } from './image-store.fixture.ts';
import { openImageStore } from './image-store.ts';

const SEGMENT = 65_536;
/** A multiple of 512, as QEMU wants it. */
const DISK = testDisk('first');
const runner = createCommandRunner();
const qemuImg = createQemuImg(runner);
let dir: string;
let store: ImageStore & AsyncDisposable;
let pool: HashPool;
let exportVm: ExportVm;
let digests: readonly Digest[];
/** A disk on that one's storage: segment 2 its own, 4 zero. */
let shared: Buffer;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmdn-export-'));
  store = await openImageStore({ root: join(dir, 'store'), quotaBytes: null });
  pool = createHashPool({ workerCount: 2 });
  const socketDir = join(dir, 'run');
  exportVm = createExportVm({ store, runner, dir: join(dir, 'exports'), socketDir, pool });
  const base = await store.adopt(await stageDisk(store, DISK));
  shared = Buffer.from(DISK);
  shared.set(testDisk('own').subarray(2 * SEGMENT, 3 * SEGMENT), 2 * SEGMENT);
  shared.fill(0, 4 * SEGMENT, 5 * SEGMENT);
  const above = await store.adopt(await stageShared(base.digest));
  digests = [base.digest, above.digest];
});
afterAll(async () => {
  await pool.close();
  await store[Symbol.asyncDispose]();
  await rm(dir, { recursive: true });
});

async function stageShared(base: Digest) {
  const adoption = await stageDisk(store, shared);
  const { dataAt, fileBytes } = sharedLayout(shared.length);
  await rm(join(adoption.stagingDir, 'disk.raw'));
  await using file = await open(join(adoption.stagingDir, 'disk.qcow2'), 'wx');
  await file.truncate(fileBytes);
  const column = [BASE_FILE, ZERO_FILE, OWN_FILE, BASE_FILE, ZERO_FILE, BASE_FILE];
  const fileOfSegment = Uint8Array.from(column);
  const tables = encodeSharedTables({ virtualSizeBytes: shared.length, base, fileOfSegment });
  for (const { offset, bytes } of tables) await file.write(bytes, 0, bytes.length, offset);
  await file.write(shared, 2 * SEGMENT, SEGMENT, dataAt + 2 * SEGMENT);
  return adoption;
}

function orderOf(name: string, hypervisor: Hypervisor, format: ExportFormat) {
  return {
    ...{ id: randomUUID() as Id, name: name as Name, hypervisor, format, digests },
    hardware: { vcpus: 2, memoryMiB: 512, firmware: 'uefi', ports: [], ready: null } as const,
    signal: AbortSignal.timeout(120_000),
    onProgress: () => undefined,
  };
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** SHA-256 of the guest-visible bytes, by a program that is not ours. */
async function contentOf(path: string, format: ExportFormat): Promise<string> {
  const copy = join(dir, `copy-${randomUUID()}.raw`);
  await qemuImg.convert({ from: { path, format }, to: { path: copy, format: 'raw' } });
  return sha256(await readFile(copy));
}

const run = (tool: string, ...args: readonly string[]) =>
  runner.run(tool, args, { timeoutMs: 60_000 });

const KINDS: readonly (readonly [Hypervisor, ExportFormat])[] = [
  ...(['qcow2', 'raw', 'vmdk'] as const).map((format) => ['kvm', format] as const),
  ...(['raw', 'qcow2'] as const).map((format) => ['xen', format] as const),
  ['vmware', 'vmdk'],
];

describe('an export', { timeout: 120_000 }, () => {
  it.each(KINDS)(
    'for %s as %s holds the bytes of the disks, and a definition that passes',
    async (...kind) => {
      const [hypervisor, format] = kind;
      const name = `vm-${hypervisor}-${format}`;
      const said: string[] = [];
      const order = {
        ...orderOf(name, hypervisor, format),
        onProgress: (words: string) => void said.push(words),
      };
      const { folder } = await exportVm(order);
      expect(folder).toBe(join(dir, 'exports', name));
      for (const [index, disk] of [DISK, shared].entries()) {
        const path = join(folder, `${name}-disk${index + 1}.${format}`);
        expect(await contentOf(path, format)).toBe(sha256(disk));
        if (format !== 'raw') expect(await qemuImg.check({ path, format })).toBe('clean');
      }
      if (hypervisor === 'vmware') await checkOvf(folder, name);
      else await run('virt-xml-validate', join(folder, `${name}.xml`), 'domain');
      expect(said).toEqual(
        expect.arrayContaining(['disk 1 of 2: copying', 'disk 2 of 2: 100 % verified']),
      );
      expect((await store.space()).reservedBytes).toBe(0);
    },
  );

  /** Every line of the manifest is the SHA-256 of its file; the envelope is well-formed XML. */
  async function checkOvf(folder: string, name: string): Promise<void> {
    const manifest = await readFile(join(folder, `${name}.mf`), 'utf8');
    const lines = [...manifest.matchAll(/^SHA256\((.+)\)= ([0-9a-f]{64})$/gm)];
    const files = lines.map(([, file = '']) => file);
    expect(files).toEqual([`${name}.ovf`, `${name}-disk1.vmdk`, `${name}-disk2.vmdk`]);
    for (const [, file = '', hash] of lines) {
      expect(sha256(await readFile(join(folder, file)))).toBe(hash);
    }
    await run('xmllint', '--noout', join(folder, `${name}.ovf`));
    const descriptor = (await readFile(join(folder, `${name}-disk1.vmdk`))).toString('latin1');
    expect(descriptor).toContain('createType="streamOptimized"');
  }

  it('is found again by the order that made it, and not written over by another', async () => {
    const order = orderOf('taken', 'kvm', 'raw');
    const { folder } = await exportVm(order);
    const before = await readFile(join(folder, 'taken-disk1.raw'));
    expect(await exportVm(order)).toEqual({ folder });
    const other = orderOf('taken', 'kvm', 'qcow2');
    await expect(exportVm(other)).rejects.toMatchObject({ code: 'conflict' });
    expect(await readFile(join(folder, 'taken-disk1.raw'))).toEqual(before);
    await mkdir(join(dir, 'exports', 'somebodys'));
    const onEmpty = orderOf('somebodys', 'kvm', 'raw');
    await expect(exportVm(onEmpty)).rejects.toMatchObject({ code: 'conflict' });
  });

  it('I3: leaves nothing when it is cancelled or has no room, and clears what a crash left', async () => {
    const listed = await readdir(join(dir, 'exports'));
    const cancelled = { ...orderOf('never', 'kvm', 'raw'), signal: AbortSignal.abort() };
    await expect(exportVm(cancelled)).rejects.toMatchObject({ code: 'cancelled' });
    const small = await openImageStore({ root: join(dir, 'small'), quotaBytes: 2 * 2 ** 20 });
    try {
      const [digest] = [(await small.adopt(await stageDisk(small, DISK))).digest];
      const more = { store: small, runner, dir: join(dir, 'exports'), socketDir: join(dir, 'run') };
      const noRoom = createExportVm({ ...more, pool });
      const order = { ...orderOf('never', 'kvm', 'raw'), digests: [digest] };
      await expect(noRoom(order)).rejects.toMatchObject({ code: 'no_room' });
    } finally {
      await small[Symbol.asyncDispose]();
    }
    const gone = { ...orderOf('never', 'kvm', 'raw'), digests: ['cd'.repeat(32) as Digest] };
    await expect(exportVm(gone)).rejects.toMatchObject({ code: 'not_found' });
    expect(await readdir(join(dir, 'exports'))).toEqual(listed);
    const again = orderOf('after-crash', 'kvm', 'raw');
    const left = join(dir, 'exports', `.${again.id}.vmdn-tmp`);
    await mkdir(left);
    await writeFile(join(left, 'after-crash-disk1.raw'), 'half a disk');
    await exportVm(again);
    expect(await readdir(join(dir, 'exports'))).toEqual([...listed, 'after-crash'].sort());
  });

  it('I2: is refused when the copy is not the disk', async () => {
    const lying = {
      ...runner,
      run: (async (tool, args, options) => {
        const result = await runner.run(tool, args, options);
        const target = args.at(-1) ?? '';
        if (args[0] === 'convert') {
          await using file = await open(target, 'r+');
          await file.write('not what was there', 4096);
        }
        return result;
      }) as typeof runner.run,
    };
    const means = { store, runner: lying, dir: join(dir, 'exports'), socketDir: join(dir, 'run') };
    const order = orderOf('wrong', 'kvm', 'raw');
    const wrong = createExportVm({ ...means, pool })(order);
    await expect(wrong).rejects.toMatchObject({ code: 'corrupt' });
    expect(await readdir(join(dir, 'exports'))).not.toContain('wrong');
  });
});
