import { existsSync } from 'node:fs';
import { link, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Id, Name } from '@vmdn/core/domain/names.ts';
import { callOriginControl } from '@vmdn/core/http/clients/origin-control-client.ts';
import type { FenceWishValue } from '@vmdn/core/http/contracts/coordinator-moves.ts';
import {
  CONTROL_SOCKET_NAME,
  originStatus,
  takeBackVm,
} from '@vmdn/core/http/contracts/origin-control.ts';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Told } from './coordinator.fixture.ts';
import {
  diskContent,
  holdDisk,
  makeOrigin,
  putSpecification,
  putVm,
  runner,
  type TestOrigin,
} from './origin.fixture.ts';

const soon = { timeout: 180_000, interval: 50 };
// It only ends a test that hangs: each wait in it has its own limit.
vi.setConfig({ testTimeout: 900_000 });
const quick = { rescanMs: 300, retryMs: 300, idleMs: 100 };
const TELEPORT = '0b8c1f0e-6a53-4d8f-9a3e-5d1c2b7a9e10' as Id;
const OTHER = '11111111-1111-4111-8111-111111111111' as Id;

let origin: TestOrigin;
afterEach(async () => await origin[Symbol.asyncDispose]());

function wish(changes: Partial<FenceWishValue> = {}): FenceWishValue {
  return {
    ...{ teleport: TELEPORT, vm: 'web' as Name, version: 1, epoch: 1, want: 'fenced' },
    ...{ confirmed: false, settled: false },
    ...changes,
  };
}

async function told(version: string, state: string): Promise<Told> {
  await vi.waitFor(() => {
    expect(origin.coordinator.told.get(version)?.state).toBe(state);
  }, soon);
  return origin.coordinator.told.get(version)!;
}

/** What was told, in order; a coordinator that was slow to answer is told again of what is. */
const toldOnce = (): string[] => [...new Set(origin.coordinator.history)];

/** What is wanted from now on; resolves when the origin has said `word`. */
async function wants(wishes: FenceWishValue[], word: string): Promise<void> {
  origin.coordinator.words.length = 0;
  origin.coordinator.wishes = wishes;
  await vi.waitFor(() => expect(origin.coordinator.words).toContain(word), soon);
}

/** It says that it can't fence, and comes to say why. */
async function refusedFor(epoch: number, why: RegExp): Promise<void> {
  await wants([wish({ epoch })], `refused ${epoch}`);
  await vi.waitFor(() => expect(origin.coordinator.problems.at(-1)).toMatch(why), soon);
}

const control = () => join(origin.settings.runtimeDir, CONTROL_SOCKET_NAME);
const fenceOf = async (vm: string) =>
  (await callOriginControl(control(), originStatus)).vms.find((one) => one.vm === vm)?.fence;

/** Whether QEMU would start a VM on the disk of that name. */
async function startable(path: string): Promise<boolean> {
  const args = ['-f', 'raw', '-c', 'quit', path];
  const { exitCode } = await runner.run('qemu-io', args, {
    timeoutMs: 60_000,
    okExitCodes: [0, 1],
  });
  return exitCode === 0;
}

/** An origin that offers `web` in version 1. */
async function withWeb(): Promise<{ path: string; fenced: string; version: Told }> {
  origin = await makeOrigin(quick);
  const path = await putVm(origin, 'web', diskContent(1));
  await origin.start();
  return { path, fenced: `${path}.moved-${TELEPORT}`, version: await told('web/1', 'live') };
}

describe('an origin whose VM is moved', () => {
  it('keeps it from starting, serves it on, and gives it back as it was', async () => {
    const { path, fenced, version } = await withWeb();
    await origin.readDisk(version.description);
    await wants([wish()], 'fenced 1');
    expect([existsSync(path), existsSync(fenced)]).toEqual([false, true]);
    expect(await startable(path)).toBe(false);
    expect(await fenceOf('web')).toMatchObject({ teleport: TELEPORT, epoch: 1, files: [fenced] });
    const read = await origin.readDisk(version.description);
    expect(Buffer.compare(read, diskContent(1))).toBe(0);
    await wants([wish({ want: 'released' })], 'released 1');
    expect([existsSync(path), existsSync(fenced)]).toEqual([true, false]);
    expect(await startable(path)).toBe(true);
    expect(Buffer.compare(await readFile(path), diskContent(1))).toBe(0);
    expect(await fenceOf('web')).toBeNull();
    await origin.readDisk(version.description);
    expect(toldOnce()).toEqual(['web/1 live']);
  });

  it('keeps the fence over a restart, and the version with it', async () => {
    const { path, fenced, version } = await withWeb();
    await wants([wish()], 'fenced 1');
    await origin.stop();
    expect(toldOnce()).toEqual(['web/1 live']);
    origin.coordinator.history.length = 0;
    origin.coordinator.wishes = [wish({ confirmed: true, settled: true })];
    await origin.start();
    await vi.waitFor(
      async () => expect(await fenceOf('web')).toMatchObject({ settled: true }),
      soon,
    );
    // Until its disks were seen by the new process nobody can read them.
    await vi.waitFor(() => expect(origin.coordinator.history).toContain('web/1 live'), soon);
    expect([existsSync(path), existsSync(fenced)]).toEqual([false, true]);
    await origin.readDisk(version.description);
    await wants([wish({ want: 'released' })], 'released 1');
    expect(await startable(path)).toBe(true);
    expect(toldOnce()).toEqual(['web/1 live']);
  });

  it('does when it starts what was wanted meanwhile, refuses nothing and withdraws nothing', async () => {
    const { path, fenced, version } = await withWeb();
    for (const want of ['fenced', 'released'] as const) {
      await origin.stop();
      origin.coordinator.words.length = 0;
      origin.coordinator.wishes = [wish({ want })];
      await origin.start();
      await vi.waitFor(() => expect(origin.coordinator.words).toContain(`${want} 1`), soon);
      expect(origin.coordinator.words).not.toContain('refused 1');
      expect([existsSync(path), existsSync(fenced)]).toEqual([
        want === 'released',
        want === 'fenced',
      ]);
      await vi.waitFor(() => origin.readDisk(version.description), soon);
    }
    expect(new Set(origin.coordinator.history)).toEqual(new Set(['web/1 live']));
  });

  it('does not fence one that runs, and does as soon as it is off unchanged', async () => {
    const { path } = await withWeb();
    await vi.waitFor(async () => expect(await startable(path)).toBe(true), soon);
    const owner = await holdDisk(origin, path);
    await wants([wish()], 'refused 1');
    expect(origin.coordinator.problems.at(-1)).toMatch(/runs|in use/);
    expect(existsSync(path)).toBe(true);
    await owner.stop();
    await wants([wish()], 'fenced 1');
    expect(existsSync(path)).toBe(false);
  });

  it('does not fence another version than the one that is moved', async () => {
    const { path } = await withWeb();
    await wants([wish({ version: 2 })], 'refused 1');
    expect(existsSync(path)).toBe(true);
  });

  it('does not fence a file that has another name, or that another VM stands on', async () => {
    const { path } = await withWeb();
    await link(path, join(origin.vmsDir, 'same.raw'));
    await refusedFor(1, /a hard link/);
    await rm(join(origin.vmsDir, 'same.raw'));
    const overlay = join(origin.vmsDir, 'child.qcow2');
    const create = ['create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', path, '--', overlay];
    await runner.run('qemu-img', create, { timeoutMs: 30_000 });
    const top = { file: 'child.qcow2', format: 'qcow2' };
    const disks = [{ layers: [top, { file: 'web.raw', format: 'raw' }] }];
    await putSpecification(origin, 'child', { disks });
    await told('child/1', 'live');
    await refusedFor(2, /part of child's/);
    expect(existsSync(path)).toBe(true);
  });

  it('raises the epoch, and is released neither by a lower one nor by another move', async () => {
    const { path } = await withWeb();
    await wants([wish()], 'fenced 1');
    await wants([wish({ epoch: 3 })], 'fenced 3');
    await wants([wish({ epoch: 2, want: 'released' })], 'refused 2');
    await wants([wish({ teleport: OTHER, epoch: 9, want: 'released' })], 'released 9');
    await wants([wish({ teleport: OTHER, epoch: 9 })], 'refused 9');
    expect(await fenceOf('web')).toMatchObject({ teleport: TELEPORT, epoch: 3 });
    expect(existsSync(path)).toBe(false);
  });

  it('writes over nothing that has the disk’s name meanwhile', async () => {
    const { path, fenced } = await withWeb();
    await wants([wish()], 'fenced 1');
    const stranger = await putVm(origin, 'other', diskContent(2));
    await rename(stranger, path);
    await wants([wish({ want: 'released' })], 'refused 1');
    expect(Buffer.compare(await readFile(path), diskContent(2))).toBe(0);
    await rm(path);
    await vi.waitFor(() => expect(origin.coordinator.words).toContain('released 1'), soon);
    expect(existsSync(fenced)).toBe(false);
    expect(Buffer.compare(await readFile(path), diskContent(1))).toBe(0);
  });

  it('is its operator’s to take back by force, and is not fenced again', async () => {
    const { path } = await withWeb();
    await wants([wish()], 'fenced 1');
    const ask = (force: boolean) =>
      callOriginControl(control(), takeBackVm, { vm: 'web' as Name, force });
    await expect(ask(false)).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('--force'),
    });
    expect(existsSync(path)).toBe(false);
    expect(await ask(true)).toMatchObject({ teleport: TELEPORT, files: [path] });
    expect(await startable(path)).toBe(true);
    await vi.waitFor(() => expect(origin.coordinator.words).toContain('forced 1'), soon);
    await wants([wish({ epoch: 2 })], 'refused 2');
    expect(existsSync(path)).toBe(true);
    await expect(ask(true)).rejects.toMatchObject({ code: 'not_found' });
    // Another move may take it, once the coordinator knows.
    await wants([wish({ teleport: OTHER })], 'fenced 1');
    expect(existsSync(path)).toBe(false);
  });

  it('is its operator’s to take back once more when that failed and the origin was restarted', async () => {
    const { path, fenced } = await withWeb();
    await wants([wish()], 'fenced 1');
    const stranger = await putVm(origin, 'other', diskContent(2));
    await rename(stranger, path);
    const ask = () => callOriginControl(control(), takeBackVm, { vm: 'web' as Name, force: true });
    const refused = {
      code: 'conflict',
      message: expect.stringContaining(`${path} is there again`),
    };
    await expect(ask()).rejects.toMatchObject(refused);
    await origin.stop();
    await origin.start();
    await expect(ask()).rejects.toMatchObject(refused);
    const known = { teleport: TELEPORT, files: [fenced] };
    await vi.waitFor(async () => expect(await fenceOf('web')).toMatchObject(known), soon);
    await vi.waitFor(() => expect(origin.coordinator.words).toContain('refused 1'), soon);
    expect(origin.coordinator.words).not.toContain('forced 1');
    // It is the operator who gets it done: a wish is tried again, and would as soon as it can be.
    origin.coordinator.wishes = [];
    await vi.waitFor(() => expect(origin.coordinator.isHeard()).toBe(true), soon);
    await rm(path);
    expect(await ask()).toMatchObject({ teleport: TELEPORT, files: [path] });
    expect(Buffer.compare(await readFile(path), diskContent(1))).toBe(0);
    await vi.waitFor(() => expect(origin.coordinator.words).toContain('forced 1'), soon);
  });

  it('is not withdrawn by readers that met it while its files got other names', async () => {
    const { version } = await withWeb();
    const failures: unknown[] = [];
    let isOver = false;
    const reader = (async () => {
      while (!isOver) await origin.readDisk(version.description).catch((one) => failures.push(one));
    })();
    for (const epoch of [1, 2, 3]) {
      await wants([wish({ epoch })], `fenced ${epoch}`);
      await wants([wish({ epoch, want: 'released' })], `released ${epoch}`);
    }
    isOver = true;
    await reader;
    expect(failures.filter((one) => (one as { code?: string }).code !== 'unavailable')).toEqual([]);
    expect(toldOnce()).toEqual(['web/1 live']);
  });
});
