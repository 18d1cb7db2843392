import {
  constants,
  copyFile,
  mkdir,
  readFile,
  rm,
  symlink,
  unlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { isVmdnError } from '@vmdn/core/domain/errors.ts';
import { callOriginControl } from '@vmdn/core/http/clients/origin-control-client.ts';
import {
  CONTROL_SOCKET_NAME,
  originStatus,
  releaseDisks,
} from '@vmdn/core/http/contracts/origin-control.ts';
import { leaveMount } from '@vmdn/core/io/inspect/left-mount.fixture.ts';
import { cacheDir } from '@vmdn/core/process/paths.ts';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Told } from './coordinator.fixture.ts';
import {
  copiesLeft,
  diskContent,
  holdDisk,
  makeOrigin,
  putSpecification,
  putVm,
  runner,
  type TestOrigin,
  traceOf,
  writeDisk,
} from './origin.fixture.ts';

const soon = { timeout: 180_000, interval: 50 };
// It only ends a test that hangs: each wait in it has its own limit.
vi.setConfig({ testTimeout: 900_000 });
const quick = { rescanMs: 300, retryMs: 300 };
let origin: TestOrigin;
afterEach(async () => await origin[Symbol.asyncDispose]());

/** Waits until the coordinator was told that a version is in this state. */
async function told(version: string, state: string, patience = soon): Promise<Told> {
  await vi.waitFor(() => {
    expect(origin.coordinator.told.get(version)?.state).toBe(state);
  }, patience);
  return origin.coordinator.told.get(version)!;
}

const control = () => join(origin.settings.runtimeDir, CONTROL_SOCKET_NAME);
const status = () => callOriginControl(control(), originStatus);

/** Whether a program of QEMU's may open the disk for writing now. */
async function canBeWritten(path: string): Promise<boolean> {
  const args = ['-f', 'raw', '-c', 'quit', path];
  const { exitCode } = await runner.run('qemu-io', args, {
    timeoutMs: 60_000,
    okExitCodes: [0, 1],
  });
  return exitCode === 0;
}

describe('an origin', () => {
  it('describes its VMs, announces them signed, serves their bytes, and never changes them', async () => {
    origin = await makeOrigin();
    const content = diskContent(1);
    const raw = await putVm(origin, 'web-01', content, {
      ports: [{ name: 'http', guest: 80 }],
      ready: { kind: 'http', port: 'http', path: '/', timeoutSeconds: 60 },
    });
    const qcow2 = join(origin.vmsDir, 'web-02.qcow2');
    const convert = ['convert', '-f', 'raw', '-O', 'qcow2', '--', raw, qcow2];
    await runner.run('qemu-img', convert, { timeoutMs: 30_000 });
    await putSpecification(origin, 'web-02', {
      disks: [{ file: 'web-02.qcow2', format: 'qcow2' }],
    });
    const before = [await traceOf(raw), await traceOf(qcow2)];
    await origin.start();
    const one = await told('web-01/1', 'live');
    const two = await told('web-02/1', 'live');
    expect(one.description.hardware.ports).toEqual([{ name: 'http', guest: 80 }]);
    expect(one.description.os).toBeNull();
    expect(one.description.disks).toEqual(two.description.disks);
    for (const { description } of [one, two]) {
      expect(Buffer.compare(await origin.readDisk(description), content)).toBe(0);
    }
    expect([await traceOf(raw), await traceOf(qcow2)]).toEqual(before);
  });

  it('reports what is wrong with a specification and goes on with the others', async () => {
    origin = await makeOrigin(quick);
    await putVm(origin, 'good', diskContent(1));
    await writeFile(join(origin.vmsDir, 'broken.vm.json'), '{"name": "broken"');
    await putSpecification(origin, 'odd', { disks: [{ file: 'odd.raw', format: 'qed' }] });
    await putSpecification(origin, 'missing', { disks: [{ file: 'missing.raw', format: 'raw' }] });
    await symlink('/etc/hostname', join(origin.vmsDir, 'out.raw'));
    await putSpecification(origin, 'outside', { disks: [{ file: 'out.raw', format: 'raw' }] });
    await putSpecification(origin, 'above', { disks: [{ file: '../state/x', format: 'raw' }] });
    const base = join(origin.vmsDir, 'good.raw');
    const overlay = join(origin.vmsDir, 'overlay.qcow2');
    const create = ['create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', base, '--', overlay];
    await runner.run('qemu-img', create, { timeoutMs: 30_000 });
    await putSpecification(origin, 'hostile', {
      disks: [{ file: 'overlay.qcow2', format: 'qcow2' }],
    });
    await origin.start();
    await told('good/1', 'live');
    await vi.waitFor(async () => expect((await status()).problems).toHaveLength(6), soon);
    const words = Object.fromEntries(
      (await status()).problems.map(({ where, problem }) => [where, problem]),
    );
    expect(words['broken.vm.json']).toMatch(/not JSON/);
    expect(words['odd.vm.json']).toMatch(/disks\[0\]\.format is "qed"/);
    expect(words['missing.vm.json']).toMatch(/missing\.raw does not exist/);
    expect(words['outside.vm.json']).toMatch(/leads out of/);
    expect(words['above.vm.json']).toMatch(/does not exist|leads out of/);
    expect(words.hostile).toMatch(/backing/);
    expect([...origin.coordinator.told.keys()]).toEqual(['good/1']);
  });

  it('gives a new version for new bytes or hardware, and withdraws the old one', async () => {
    origin = await makeOrigin(quick);
    const path = await putVm(origin, 'web', diskContent(1));
    await origin.start();
    const first = await told('web/1', 'live');
    writeDisk(path, diskContent(2));
    const second = await told('web/2', 'live');
    await told('web/1', 'withdrawn');
    expect(Buffer.compare(await origin.readDisk(second.description), diskContent(2))).toBe(0);
    await expect(origin.readDisk(first.description)).rejects.toMatchObject({ code: 'withdrawn' });
    await putVm(origin, 'web', diskContent(2), { memoryMiB: 512 });
    await told('web/3', 'live');
    await rm(join(origin.vmsDir, 'web.vm.json'));
    await told('web/3', 'withdrawn');
    await putVm(origin, 'web', diskContent(2), { memoryMiB: 512 });
    await told('web/3', 'live');
    expect(origin.coordinator.told.size).toBe(3);
  });

  it('never mixes versions: a source that changes while it is read is withdrawn', async () => {
    origin = await makeOrigin(quick);
    const size = 64 * 2 ** 20;
    const old = diskContent(1, size);
    const path = await putVm(origin, 'web', old);
    await origin.start();
    const { description } = await told('web/1', 'live');
    const [disk] = description.disks;
    let changed = false;
    let blocks = 0;
    const reading = origin.client.readBlocks({
      url: origin.url,
      holder: origin.coordinator.originId,
      digest: disk!.digest,
      grant: await origin.grant(disk!.digest),
      virtualSizeBytes: size,
      runs: Uint32Array.of(0, size / 4096),
      onBlocks: async (start, count, bytes) => {
        blocks += count;
        const same = Buffer.compare(bytes, old.subarray(start * 4096, (start + count) * 4096));
        expect(same).toBe(0);
        if (changed) return;
        changed = true;
        // A plain write by a program that knows no locks, over all that has not been read yet.
        writeDisk(path, diskContent(9, size));
      },
    });
    await expect(reading).rejects.toMatchObject({ code: 'withdrawn' });
    expect(changed && blocks < size / 4096).toBe(true);
    await told('web/1', 'withdrawn');
    const second = await told('web/2', 'live');
    expect(Buffer.compare(await origin.readDisk(second.description), diskContent(9, size))).toBe(0);
  });

  it('withdraws a VM that is started; if nothing was written the same version is live again', async () => {
    origin = await makeOrigin({ ...quick, idleMs: 50 });
    const path = await putVm(origin, 'web', diskContent(1));
    await origin.start();
    const { description } = await told('web/1', 'live');
    await vi.waitFor(async () => expect(await canBeWritten(path)).toBe(true), soon);
    const owner = await holdDisk(origin, path);
    await expect(origin.readDisk(description)).rejects.toMatchObject({ code: 'withdrawn' });
    await told('web/1', 'withdrawn');
    expect((await status()).vms[0]!.problem).toMatch(/in use by a running VM/);
    await owner.stop();
    await told('web/1', 'live');
    expect(Buffer.compare(await origin.readDisk(description), diskContent(1))).toBe(0);
  });

  it('keeps writers out between reads, and lets go at once on request', async () => {
    origin = await makeOrigin({ idleMs: 600_000 });
    const path = await putVm(origin, 'web', diskContent(1));
    await origin.start();
    const { description } = await told('web/1', 'live');
    const [disk] = description.disks;
    await vi.waitFor(async () => expect(await canBeWritten(path)).toBe(true), soon);
    await origin.readDisk(description);
    expect([await canBeWritten(path), (await status()).vms[0]!.locked]).toEqual([false, true]);
    expect(await callOriginControl(control(), releaseDisks, { vm: 'web' })).toEqual({
      released: ['web'],
    });
    expect(await canBeWritten(path)).toBe(true);
    const again = origin.readBlock(disk!.digest, disk!.virtualSizeBytes);
    await expect(again).rejects.toMatchObject({ code: 'unavailable' });
    expect(await canBeWritten(path)).toBe(true);
    await callOriginControl(control(), releaseDisks, { seconds: 0 });
    await origin.readBlock(disk!.digest, disk!.virtualSizeBytes);
    const unknown = callOriginControl(control(), releaseDisks, { vm: 'nobody' });
    await expect(unknown).rejects.toMatchObject({ code: 'not_found' });
  });

  it('lets go of a disk that nobody has read for a while', async () => {
    origin = await makeOrigin({ idleMs: 200 });
    const path = await putVm(origin, 'web', diskContent(1));
    await origin.start();
    await origin.readDisk((await told('web/1', 'live')).description);
    await vi.waitFor(async () => expect((await status()).vms[0]!.locked).toBe(false), soon);
    expect(await canBeWritten(path)).toBe(true);
  });

  it('starts again where it was: same identity, same versions, nothing computed twice', async () => {
    origin = await makeOrigin(quick);
    const path = await putVm(origin, 'web', diskContent(1));
    await origin.start();
    const { description } = await told('web/1', 'live');
    await origin.stop();
    const recipe = join(
      origin.settings.stateDir,
      'cache/recipes',
      `${description.disks[0]!.digest}.recipe`,
    );
    const before = await traceOf(recipe);
    origin.coordinator.history.length = 0;
    await origin.start({ enrolmentToken: undefined });
    await vi.waitFor(() => expect(origin.coordinator.history).toContain('web/1 live'), soon);
    expect(origin.coordinator.history).not.toContain('web/1 withdrawn');
    expect(await traceOf(recipe)).toBe(before);
    expect(origin.coordinator.enrolments).toBe(1);
    await origin.stop();
    writeDisk(path, diskContent(2));
    await origin.start();
    await told('web/2', 'live');
    await told('web/1', 'withdrawn');
  });

  it('that lost its memory takes the coordinator’s number over', async () => {
    origin = await makeOrigin(quick);
    const path = await putVm(origin, 'web', diskContent(1));
    await origin.start();
    await told('web/1', 'live');
    writeDisk(path, diskContent(2));
    await told('web/2', 'live');
    await origin.stop();
    await rm(join(origin.settings.stateDir, 'vms'), { recursive: true });
    writeDisk(path, diskContent(3));
    await origin.start();
    const third = await told('web/3', 'live');
    expect(Buffer.compare(await origin.readDisk(third.description), diskContent(3))).toBe(0);
  });

  it('goes on without a coordinator, and tells it everything when it is back', async () => {
    origin = await makeOrigin(quick);
    const path = await putVm(origin, 'web', diskContent(1));
    await origin.start();
    const { description } = await told('web/1', 'live');
    origin.coordinator.leave();
    expect(Buffer.compare(await origin.readDisk(description), diskContent(1))).toBe(0);
    writeDisk(path, diskContent(2));
    await vi.waitFor(async () => {
      expect((await status()).vms[0]).toMatchObject({ version: 2, state: 'live' });
    }, soon);
    origin.coordinator.comeBack();
    await told('web/2', 'live');
    await told('web/1', 'withdrawn');
  });

  it('starts again after a kill in the middle of an inspection, whose mount stayed', async () => {
    origin = await makeOrigin();
    const path = await putVm(origin, 'web', diskContent(1));
    const workDir = join(origin.settings.stateDir, 'work');
    await leaveMount(runner, path, { workDir, socketDir: join(origin.dir, 'sockets') });
    await origin.start();
    await told('web/1', 'live');
    expect(await readFile('/proc/mounts', 'utf8')).not.toContain(workDir);
  });

  it('refuses a second process on its state folder', async () => {
    origin = await makeOrigin();
    await origin.start();
    const second = await makeOrigin();
    await expect(second.start({ stateDir: origin.settings.stateDir })).rejects.toMatchObject({
      code: 'conflict',
    });
    await second[Symbol.asyncDispose]();
  });
});

describe('pins', () => {
  it('always: a version outlives its source, bit for bit', async () => {
    origin = await makeOrigin(quick);
    const path = await putVm(origin, 'web', diskContent(1));
    await origin.start({ pin: 'always' });
    const { description } = await told('web/1', 'pinned');
    writeDisk(path, diskContent(2));
    const second = await told('web/2', 'pinned');
    await told('web/1', 'withdrawn');
    await copiesLeft(origin, 1);
    await expect(origin.readDisk(description)).rejects.toMatchObject({ code: 'withdrawn' });
    await unlink(path);
    await origin.stop();
    origin.coordinator.history.length = 0;
    await origin.start({ pin: 'always' });
    await vi.waitFor(() => expect(origin.coordinator.history).toContain('web/2 pinned'), soon);
    expect(Buffer.compare(await origin.readDisk(second.description), diskContent(2))).toBe(0);
    expect(origin.coordinator.history).not.toContain('web/2 withdrawn');
  });

  it('while-teleporting: a teleport keeps its version, whatever happens, until its grant ends', async () => {
    let aheadMs = 0;
    origin = await makeOrigin({ ...quick, now: () => Date.now() + aheadMs });
    const path = await putVm(origin, 'web', diskContent(1));
    await origin.start({ pin: 'while-teleporting' });
    const { description } = await told('web/1', 'live');
    const expiresAt = Math.floor(Date.now() / 1000) + 600;
    await origin.readDisk(description, { purpose: 'teleport', expiresAt });
    await told('web/1', 'pinned');
    writeDisk(path, diskContent(2));
    await told('web/2', 'live');
    expect(Buffer.compare(await origin.readDisk(description), diskContent(1))).toBe(0);
    expect(origin.coordinator.told.get('web/1')!.state).toBe('pinned');
    aheadMs = expiresAt * 1000 - Date.now();
    await told('web/1', 'withdrawn');
    await copiesLeft(origin, 0);
    await expect(origin.readDisk(description)).rejects.toMatchObject({ code: 'withdrawn' });
  });

  it('never: no copy is made, whoever teleports', async () => {
    origin = await makeOrigin(quick);
    const path = await putVm(origin, 'web', diskContent(1));
    await origin.start({ pin: 'never' });
    const { description } = await told('web/1', 'live');
    await origin.readDisk(description, { purpose: 'teleport' });
    writeDisk(path, diskContent(2));
    await told('web/1', 'withdrawn');
    await told('web/2', 'live');
    expect(origin.coordinator.history.some((line) => line.includes('pinned'))).toBe(false);
  });
});

const guest = join(cacheDir(process.env), 'guests', 'web-01');
describe('a real guest', () => {
  it('is described with its system, packages and services, and is not changed', async () => {
    origin = await makeOrigin();
    const specification = JSON.parse(await readFile(`${guest}.vm.json`, 'utf8'));
    await symlink(`${guest}.qcow2`, join(origin.vmsDir, 'web-01.qcow2'));
    await writeFile(join(origin.vmsDir, 'web-01.vm.json'), JSON.stringify(specification));
    await origin.start();
    await vi.waitFor(async () => expect((await status()).problems).toHaveLength(1), soon);
    expect((await status()).problems[0]!.problem).toMatch(/leads out of/);
    await origin.stop();
    const vmsDir = join(origin.vmsDir, '..', 'real-vms');
    await mkdir(vmsDir);
    const disk = join(vmsDir, 'web-01.qcow2');
    await copyFile(`${guest}.qcow2`, disk, constants.COPYFILE_FICLONE);
    await writeFile(join(vmsDir, 'web-01.vm.json'), JSON.stringify(specification));
    const before = await traceOf(disk);
    await origin.start({ vmsDir });
    // A whole disk is read, and its guest inspected.
    const patience = { timeout: 600_000, interval: 200 };
    const { description } = await told('web-01/1', 'live', patience);
    expect(description.os).toMatchObject({ id: 'debian', versionId: '12', architecture: 'amd64' });
    expect(description.packages.map((each) => each.name)).toContain('nginx');
    expect(description.services).toContain('nginx.service');
    expect(await traceOf(disk)).toBe(before);
  });
});

it('an error of the control socket’s own says who should be asked', async () => {
  origin = await makeOrigin();
  await expect(status()).rejects.toSatisfy((error) => isVmdnError(error, 'unavailable'));
});
