import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { appendFile, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { DISK_FORMATS, type DiskFormat } from '../../domain/disk-format.ts';
import { seededBytes } from '../../formats/recipe.fixture.ts';
import {
  type CommandExit,
  createCommandRunner,
  type RunningCommand,
} from '../command/command-runner.ts';
import { connectQmp } from '../hypervisor/qmp-client.ts';
import { connectNbd } from '../nbd/nbd-client.ts';
import { type DiskExport, openDiskExport } from './disk-export.ts';
import { sameFingerprint, sourceFingerprint } from './source-fingerprint.ts';

const runner = createCommandRunner();
const timeoutMs = 60_000;
const content = seededBytes('export', 3 * 2 ** 20);
let directory: string;
let socketDir: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'vmdn-export-'));
  socketDir = join(directory, 'run');
  await writeFile(pathOf('raw'), content);
  for (const format of DISK_FORMATS) {
    if (format === 'raw') continue;
    const args = ['convert', '-f', 'raw', '-O', format, '--', pathOf('raw'), pathOf(format)];
    await runner.run('qemu-img', args, { timeoutMs });
  }
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

const pathOf = (format: DiskFormat): string => join(directory, `disk.${format}`);

const open = (format: DiskFormat): Promise<DiskExport> =>
  openDiskExport({ layers: [{ path: pathOf(format), format }], socketDir, runner });

const sha256 = async (path: string): Promise<string> =>
  createHash('sha256')
    .update(await readFile(path))
    .digest('hex');

/**
 * Starts a VM that stands still. Resolves when it has its disk, or with how it ended without: a monitor
 * answers from QEMU's main loop, which begins after the disks are open. Its socket is there before.
 */
async function startVm(format: DiskFormat, name: string): Promise<RunningCommand | CommandExit> {
  const drive = `if=virtio,format=${format},file=${pathOf(format)}`;
  const machine = ['-nodefaults', '-display', 'none', '-S', '-accel', 'tcg', '-m', '64'];
  const monitor = join(directory, name);
  const args = [...machine, '-qmp', `unix:${monitor},server=on,wait=off`, '-drive', drive];
  const vm = runner.start('qemu-system-x86_64', args, { lifetime: 'with-parent' });
  let exit: CommandExit | undefined;
  void vm.exited.then((found) => (exit = found));
  const answered = async (): Promise<void> => {
    if (exit === undefined) (await connectQmp(monitor)).close();
  };
  await vi.waitFor(answered, { timeout: timeoutMs, interval: 20 }).catch(async (error: unknown) => {
    await vm.stop();
    throw error;
  });
  return exit ?? vm;
}

/** Runs something that must fail because QEMU's lock says no. */
async function expectLocked(tool: string, args: readonly string[]): Promise<void> {
  await expect(runner.run(tool, args, { timeoutMs }), `${tool} ${args[0]}`).rejects.toMatchObject({
    code: 'tool_failed',
    message: expect.stringMatching(/lock/),
  });
}

describe.each(DISK_FORMATS)('the export of a %s disk', (format) => {
  test('I1: keeps VMs and writing tools out while it is open, and lets them in afterwards', async () => {
    const path = pathOf(format);
    const before = { hash: await sha256(path), fingerprint: await sourceFingerprint(path) };
    const disk = await open(format);
    try {
      const vm = await startVm(format, `refused-${format}`);
      if ('stop' in vm) await vm.stop();
      expect(vm).toMatchObject({
        exitCode: 1,
        stderrTail: expect.stringMatching(/Failed to get "write" lock/),
      });
      await expectLocked('qemu-io', ['-f', format, '-c', 'write -P 7 0 4096', path]);
      await expectLocked('qemu-img', ['resize', '-f', format, '--', path, '+1M']);
      const source = pathOf(format === 'raw' ? 'qcow2' : 'raw');
      const sourceFormat = format === 'raw' ? 'qcow2' : 'raw';
      const formats = ['-f', sourceFormat, '-O', format];
      await expectLocked('qemu-img', ['convert', '-n', ...formats, '--', source, path]);
    } finally {
      await disk.close();
    }
    expect(await sha256(path)).toBe(before.hash);
    expect(sameFingerprint(await sourceFingerprint(path), before.fingerprint)).toBe(true);
    await runner.run('qemu-io', ['-f', format, '-c', 'write -P 7 0 512', path], { timeoutMs });
    expect(sameFingerprint(await sourceFingerprint(path), before.fingerprint)).toBe(false);
    const undo = `write -s ${pathOf('raw')} 0 512`;
    if (format === 'raw') await writeFile(path, content);
    else await runner.run('qemu-io', ['-f', format, '-c', undo, path], { timeoutMs });
  });

  test('I1: is refused while a VM holds the disk, and opens once the VM has ended', async () => {
    const vm = await startVm(format, `running-${format}`);
    if (!('stop' in vm)) throw new Error(`The VM did not start: ${vm.stderrTail}`);
    try {
      await expect(open(format)).rejects.toMatchObject({ code: 'source_running' });
    } finally {
      await vm.stop();
    }
    const disk = await open(format);
    await disk.close();
  });

  test('I2: reads the guest-visible bytes, with the file opened for reading only', async () => {
    const disk = await open(format);
    try {
      expect(disk.virtualSizeBytes).toBe(content.length);
      const client = await connectNbd({ socketPath: disk.socketPath });
      const found = Buffer.alloc(content.length);
      await client.read(found, 0);
      await client.close();
      expect(found.equals(content)).toBe(true);
      const opened = await openModes(pathOf(format));
      expect(opened.length).toBeGreaterThan(0);
      expect(opened.every((mode) => (mode & 3) === 0)).toBe(true);
    } finally {
      await disk.close();
    }
  });
});

/** Access modes (open flags) with which any process holds `path` open at the moment. */
async function openModes(path: string): Promise<number[]> {
  const { dev, ino } = await stat(path);
  const modes: number[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    for (const fd of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
      const found = await stat(`/proc/${pid}/fd/${fd}`).catch(() => undefined);
      if (found?.ino !== ino || found.dev !== dev || !found.isFile()) continue;
      const info = await readFile(`/proc/${pid}/fdinfo/${fd}`, 'utf8').catch(() => '');
      const flags = /^flags:\s*(\d+)/m.exec(info)?.[1];
      if (flags !== undefined) modes.push(Number.parseInt(flags, 8));
    }
  }
  return modes;
}

describe('the export', () => {
  test('a chain of named layers shows the guest-visible bytes and locks every layer', async () => {
    const [top, middle] = [join(directory, 'top.qcow2'), join(directory, 'middle.qcow2')];
    const create = async (path: string, below: string, format: DiskFormat): Promise<void> => {
      const args = ['create', '-q', '-f', 'qcow2', '-b', below, '-F', format, '--', path];
      await runner.run('qemu-img', args, { timeoutMs });
    };
    await create(middle, pathOf('raw'), 'raw');
    await create(top, middle, 'qcow2');
    const write = ['-f', 'qcow2', '-c', 'write -P 9 65536 4096', top];
    await runner.run('qemu-io', write, { timeoutMs });
    const layers = [
      { path: top, format: 'qcow2' },
      { path: middle, format: 'qcow2' },
      { path: pathOf('raw'), format: 'raw' },
    ] as const;
    const disk = await openDiskExport({ layers, socketDir, runner });
    try {
      const client = await connectNbd({ socketPath: disk.socketPath });
      const found = Buffer.alloc(content.length);
      await client.read(found, 0);
      await client.close();
      const expected = Buffer.from(content);
      expected.fill(9, 65_536, 65_536 + 4096);
      expect(found.equals(expected)).toBe(true);
      for (const { path, format } of layers) {
        await expectLocked('qemu-io', ['-f', format, '-c', 'write 0 512', path]);
      }
    } finally {
      await disk.close();
    }
  });

  test('two exports of one disk live side by side: readers do not exclude readers', async () => {
    const [one, two] = await Promise.all([open('raw'), open('raw')]);
    await Promise.all([one.close(), two.close()]);
  });

  test('I4: the directory is 0700, and close leaves neither socket nor process', async () => {
    const disk = await open('qcow2');
    expect((await stat(socketDir)).mode & 0o777).toBe(0o700);
    expect(existsSync(disk.socketPath)).toBe(true);
    await disk.close();
    await disk.close();
    await disk.ended;
    expect(await readdir(socketDir)).toEqual([]);
    expect(await openModes(pathOf('qcow2'))).toEqual([]);
  });

  test('names that are no disk are refused with the right code', async () => {
    const openPath = (path: string) =>
      openDiskExport({ layers: [{ path, format: 'raw' }], socketDir, runner });
    await expect(openPath('disk.raw')).rejects.toMatchObject({ code: 'invalid_input' });
    await expect(openPath(join(directory, 'no'))).rejects.toMatchObject({ code: 'not_found' });
    await expect(openPath('/dev/null')).rejects.toMatchObject({ code: 'unsupported_format' });
    await expect(openPath(directory)).rejects.toMatchObject({ code: 'unsupported_format' });
    const none = openDiskExport({ layers: [], socketDir, runner });
    await expect(none).rejects.toMatchObject({ code: 'unsupported_format' });
  });

  test('names with commas, quotes and colons are names', async () => {
    const path = join(directory, `nbd:od"d,file.driver=null-co,,'{x}:y`);
    await writeFile(path, content.subarray(0, 1024));
    const disk = await openDiskExport({ layers: [{ path, format: 'raw' }], socketDir, runner });
    expect(disk.virtualSizeBytes).toBe(1024);
    await disk.close();
  });

  test('a file that grew differs in its fingerprint', async () => {
    const path = join(directory, 'grown');
    await writeFile(path, 'a');
    const before = await sourceFingerprint(path);
    expect(sameFingerprint(before, await sourceFingerprint(path))).toBe(true);
    await appendFile(path, 'b');
    expect(sameFingerprint(before, await sourceFingerprint(path))).toBe(false);
  });
});
