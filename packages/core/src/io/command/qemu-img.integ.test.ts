import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { seededBytes } from '../../formats/recipe.fixture.ts';
import { openDiskExport } from '../disk-export/disk-export.ts';
import { inspectFile } from '../disk-export/inspect-layers.ts';
import { createCommandRunner } from './command-runner.ts';
import { createQemuImg, parseInfo } from './qemu-img.ts';

const runner = createCommandRunner();
const qemuImg = createQemuImg(runner);
const content = seededBytes('qemu-img', 2 ** 20);
let directory: string;
let raw: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'vmdn-img-'));
  raw = join(directory, 'a,b=c:d "raw".raw');
  await writeFile(raw, content);
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

describe('qemu-img', () => {
  test('converts, compares and measures images whose names hold commas and colons', async () => {
    const from = { path: raw, format: 'raw' } as const;
    const to = { path: join(directory, 'to:x,y.qcow2'), format: 'qcow2' } as const;
    await qemuImg.convert({ from, to });
    expect(await qemuImg.compare(from, to)).toBe(true);
    expect(await qemuImg.info(to)).toMatchObject({ virtualSizeBytes: content.length });
    expect(await qemuImg.check(to)).toBe('clean');
    const changed = join(directory, 'changed');
    await writeFile(changed, Buffer.from(content).fill(0, 4096, 4608));
    expect(await qemuImg.compare(to, { path: changed, format: 'raw' })).toBe(false);
  });

  test('compare says no to disks of different sizes, even when the rest is zero', async () => {
    const longer = join(directory, 'longer');
    await writeFile(longer, Buffer.concat([content, Buffer.alloc(512)]));
    const other = { path: longer, format: 'raw' } as const;
    expect(await qemuImg.compare({ path: raw, format: 'raw' }, other)).toBe(false);
  });

  test('reads a locked export, and cannot write to the disk below it', async () => {
    const layers = [{ path: raw, format: 'raw' }] as const;
    const disk = await openDiskExport({ layers, socketDir: join(directory, 'run'), runner });
    try {
      const to = { path: join(directory, 'copy.raw'), format: 'raw' } as const;
      await qemuImg.convert({ from: disk, to });
      expect(await qemuImg.compare(disk, to)).toBe(true);
    } finally {
      await disk.close();
    }
  });

  test('an overlay names its backing file and format; with a size it opens nothing', async () => {
    const backing = { path: raw, format: 'raw' } as const;
    const overlay = join(directory, 'overlay.qcow2');
    await qemuImg.createOverlay({ path: overlay, backing });
    const header = await inspectFile({ path: overlay, format: 'qcow2' });
    expect(header).toMatchObject({
      virtualSizeBytes: content.length,
      backing: { name: raw, format: 'raw' },
    });
    const blind = join(directory, 'blind.qcow2');
    const missing = { path: join(directory, 'missing'), format: 'raw' } as const;
    await qemuImg.createOverlay({ path: blind, backing: missing, virtualSizeBytes: 8192 });
    expect(await qemuImg.info({ path: blind, format: 'qcow2' })).toMatchObject({
      virtualSizeBytes: 8192,
    });
  });

  test('an empty image has the size that was asked for', async () => {
    for (const format of ['raw', 'qcow2', 'vmdk', 'vdi', 'vhdx'] as const) {
      const image = { path: join(directory, `empty.${format}`), format };
      await qemuImg.create({ ...image, virtualSizeBytes: 2 ** 20 });
      expect((await qemuImg.info(image)).virtualSizeBytes).toBe(2 ** 20);
    }
  });

  test('relative names and protocols are refused before anything runs', async () => {
    for (const path of ['disk.raw', 'nbd:unix:/x', 'json:{}', '', '/a\0b']) {
      await expect(qemuImg.info({ path, format: 'raw' })).rejects.toMatchObject({
        code: 'invalid_input',
      });
    }
    expect(() => parseInfo('{"virtual-size": "1"}')).toThrow(/something else/);
    expect(() => parseInfo('oops')).toThrow(/something else/);
  });
});
