/**
 * Room: io, hypervisor (tests). What every driver of the hypervisor port must do. A driver's own test calls
 * `describeHypervisor` with a way to open the driver; opening it twice stands for a restart of the node.
 */

import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { parseDigest } from '../../domain/digest.ts';
import { BASE_FILE, OWN_FILE } from '../../domain/layers.ts';
import { parseId, parseName } from '../../domain/names.ts';
import type { VmHardware } from '../../domain/vm-specification.ts';
import type { Hypervisor, VmDefinition } from '../ports/hypervisor.ts';
import {
  FIRST_BOOT,
  HALTED,
  hashOf,
  LATER_BOOT,
  writeBootDisk,
  writeSharedBootDisk,
} from './boot-sector.fixture.ts';

const DISK_BYTES = 1024 * 1024;
const BOOT_TIMEOUT_MS = 100_000;
const OPEN_TIMEOUT_MS = 360_000;

export type OpenHypervisor = (dir: string) => Promise<Hypervisor & AsyncDisposable>;

export function describeHypervisor(driver: string, openHypervisor: OpenHypervisor): void {
  describe(`the hypervisor port, driver ${driver}`, { timeout: 300_000 }, () => {
    let dir: string;
    let imagePath: string;
    let imageHash: string;
    let hypervisor: Hypervisor & AsyncDisposable;

    beforeAll(async () => {
      dir = await mkdtemp(join(tmpdir(), 'vmdn-hypervisor-'));
      imagePath = join(dir, 'image.raw');
      await writeBootDisk(imagePath, DISK_BYTES);
      imageHash = await hashOf(imagePath);
      hypervisor = await openHypervisor(dir);
    }, OPEN_TIMEOUT_MS);
    afterEach(async () => {
      for (const vm of await hypervisor.list()) await hypervisor.destroy(vm);
      expect(await hashOf(imagePath), 'I2: an image is never written').toBe(imageHash);
    });
    afterAll(async () => {
      await hypervisor[Symbol.asyncDispose]();
      await rm(dir, { recursive: true, force: true });
    });

    const newDefinition = (hardware: Partial<VmHardware> = {}): VmDefinition => ({
      vm: parseId(randomUUID(), 'VM'),
      name: parseName('boot-sector', 'VM'),
      hardware: {
        vcpus: 1,
        memoryMiB: 64,
        firmware: 'bios',
        ports: [{ name: parseName('web', 'port'), guest: 80 }],
        ready: null,
        ...hardware,
      },
      disks: [
        {
          digest: parseDigest('0'.repeat(64)),
          layers: [{ path: imagePath, format: 'raw' }],
          virtualSizeBytes: DISK_BYTES,
        },
      ],
    });
    const waitConsole = async (definition: VmDefinition, text: string): Promise<void> => {
      await vi.waitFor(
        async () => expect(await hypervisor.consoleLog(definition.vm)).toContain(text),
        { timeout: BOOT_TIMEOUT_MS, interval: 100 },
      );
    };

    it('knows nothing of a VM that was never defined', async () => {
      const { vm } = newDefinition();
      expect(await hypervisor.status(vm)).toEqual({ state: 'absent' });
      expect(await hypervisor.list()).toEqual([]);
      await expect(hypervisor.start(vm)).rejects.toMatchObject({ code: 'not_found' });
      await hypervisor.stop(vm, { graceMs: 0 });
      await hypervisor.destroy(vm);
    });

    it('boots a guest from its image and shows its console and its endpoints', async () => {
      const definition = newDefinition();
      await hypervisor.define(definition);
      expect(await hypervisor.status(definition.vm)).toEqual({ state: 'defined', definition });
      const running = await hypervisor.start(definition.vm);
      expect(running.endpoints).toMatchObject([{ port: 'web', hostPort: expect.any(Number) }]);
      await waitConsole(definition, FIRST_BOOT);
      await waitConsole(definition, HALTED);
      expect(await hypervisor.status(definition.vm)).toEqual(running);
    });

    it('I1: changes nothing when a step is repeated, and refuses another definition', async () => {
      const definition = newDefinition();
      await hypervisor.define(definition);
      await hypervisor.define(definition);
      await expect(hypervisor.define({ ...definition, disks: [] })).rejects.toMatchObject({
        code: 'conflict',
      });
      const [first, second] = await Promise.all([
        hypervisor.start(definition.vm),
        hypervisor.start(definition.vm),
      ]);
      expect(second).toEqual(first);
      await hypervisor.stop(definition.vm, { graceMs: 0 });
      await hypervisor.stop(definition.vm, { graceMs: 0 });
      expect(await hypervisor.status(definition.vm)).toMatchObject({ state: 'defined' });
      await hypervisor.destroy(definition.vm);
      await hypervisor.destroy(definition.vm);
      expect(await hypervisor.status(definition.vm)).toEqual({ state: 'absent' });
    });

    it('boots from an image that shares storage with a base, and reads zeros over its data', async () => {
      const shared = await writeSharedBootDisk(dir, OWN_FILE, DISK_BYTES);
      const definition = newDefinition();
      const [disk] = definition.disks;
      await hypervisor.define({ ...definition, disks: [{ ...disk!, layers: shared.layers }] });
      await hypervisor.start(definition.vm);
      await waitConsole(definition, HALTED);
      const text = await hypervisor.consoleLog(definition.vm);
      // From the base alone it would not boot, or, without the zeros, say that it has run before.
      expect(text).toContain(FIRST_BOOT);
      expect(text).not.toContain(LATER_BOOT);
      for (const { path } of shared.layers) {
        expect(await hashOf(path), 'I2: no layer is ever written').toBe(shared.hashes.get(path));
      }
    });

    it('takes over where its disks lie now, and refuses a header that names another base', async () => {
      const definition = newDefinition();
      await hypervisor.define(definition);
      const { layers } = await writeSharedBootDisk(dir, BASE_FILE, DISK_BYTES);
      const [disk] = definition.disks;
      const moved = { ...definition, disks: [{ ...disk!, layers }] };
      await hypervisor.define(moved);
      expect(await hypervisor.status(definition.vm)).toEqual({
        state: 'defined',
        definition: moved,
      });
      await hypervisor.start(definition.vm);
      await waitConsole(definition, FIRST_BOOT);
      const alien = [layers[0]!, { path: imagePath, format: 'raw' }] as const;
      const other = { ...newDefinition(), disks: [{ ...disk!, layers: alien }] };
      await expect(hypervisor.define(other)).rejects.toMatchObject({ code: 'hostile_format' });
    });

    it("I2: keeps what the guest wrote over a restart, and keeps the guest's ports", async () => {
      const definition = newDefinition();
      await hypervisor.define(definition);
      const before = await hypervisor.start(definition.vm);
      await waitConsole(definition, HALTED);
      await hypervisor.stop(definition.vm, { graceMs: 0 });
      const after = await hypervisor.start(definition.vm);
      await waitConsole(definition, LATER_BOOT);
      expect(after.endpoints).toEqual(before.endpoints);
    });

    it('I3: leaves a VM running when the node ends, and finds it again', async () => {
      const definition = newDefinition();
      await hypervisor.define(definition);
      const before = await hypervisor.start(definition.vm);
      await waitConsole(definition, HALTED);
      await hypervisor[Symbol.asyncDispose]();
      hypervisor = await openHypervisor(dir);
      expect(await hypervisor.list()).toEqual([definition.vm]);
      expect(await hypervisor.status(definition.vm)).toEqual(before);
      expect(await hypervisor.consoleLog(definition.vm)).toContain(FIRST_BOOT);
      await hypervisor.stop(definition.vm, { graceMs: 0 });
      expect(await hypervisor.status(definition.vm)).toMatchObject({ state: 'defined' });
    });

    it('ends a guest that ignores the power button when the grace is over', async () => {
      const definition = newDefinition();
      await hypervisor.define(definition);
      await hypervisor.start(definition.vm);
      await waitConsole(definition, HALTED);
      const startedMs = performance.now();
      await hypervisor.stop(definition.vm, { graceMs: 1000 });
      expect(performance.now() - startedMs).toBeGreaterThanOrEqual(1000);
      expect(await hypervisor.status(definition.vm)).toMatchObject({ state: 'defined' });
    });

    it('lets a guest go on that ignores the power button and must not be ended', async () => {
      const { vm, ...definition } = newDefinition();
      await hypervisor.define({ vm, ...definition });
      await hypervisor.start(vm);
      await waitConsole({ vm, ...definition }, HALTED);
      const gentle = { graceMs: 500, isForced: false };
      await expect(hypervisor.stop(vm, gentle)).rejects.toMatchObject({ code: 'timeout' });
      const signal = AbortSignal.timeout(500);
      const given = hypervisor.stop(vm, { graceMs: 60_000, signal });
      await expect(given).rejects.toMatchObject({ code: 'cancelled' });
      expect(await hypervisor.status(vm)).toMatchObject({ state: 'running' });
    });

    it('names the files of a VM that is off, what the guest wrote first', async () => {
      const { vm, disks, ...definition } = newDefinition();
      const files = () => hypervisor.diskFiles(vm);
      await expect(files()).rejects.toMatchObject({ code: 'not_found' });
      await hypervisor.define({ vm, disks, ...definition });
      const overlay = { path: expect.stringContaining(vm), format: 'qcow2' };
      expect(await files()).toEqual([[overlay, ...disks[0]!.layers]]);
      await hypervisor.start(vm);
      await expect(files()).rejects.toMatchObject({ code: 'conflict' });
      await hypervisor.stop(vm, { graceMs: 0 });
      expect(await files()).toHaveLength(1);
    });

    it('does not call a guest ready that boots but does not listen', async () => {
      const port = parseName('web', 'port');
      for (const kind of ['tcp', 'http'] as const) {
        const ready = { kind, port, path: '/', timeoutSeconds: 2 };
        const definition = newDefinition({ ready });
        await hypervisor.define(definition);
        await hypervisor.start(definition.vm);
        await waitConsole(definition, HALTED);
        const signal = AbortSignal.timeout(60_000);
        await expect(hypervisor.waitReady(definition.vm, ready, { signal })).rejects.toMatchObject({
          code: 'guest_not_ready',
          data: { console: expect.stringContaining(HALTED) },
        });
      }
    });

    it('does not count the time in which reads of the guest wait', async () => {
      const port = parseName('web', 'port');
      const ready = { kind: 'tcp', port, timeoutSeconds: 1 } as const;
      const definition = newDefinition({ ready });
      await hypervisor.define(definition);
      await hypervisor.start(definition.vm);
      const startedMs = performance.now();
      let heldUpSeconds = (): number => (performance.now() - startedMs) / 1000;
      let isOver = false;
      const signal = AbortSignal.timeout(60_000);
      const waiting = hypervisor
        .waitReady(definition.vm, ready, { signal, heldUpSeconds: () => heldUpSeconds() })
        .finally(() => {
          isOver = true;
        });
      const refused = expect(waiting).rejects.toMatchObject({ code: 'guest_not_ready' });
      await expect
        .poll(() => performance.now() - startedMs, { timeout: 30_000 })
        .toBeGreaterThan(3000);
      expect(isOver).toBe(false);
      const heldAtLast = heldUpSeconds();
      heldUpSeconds = () => heldAtLast;
      await refused;
    });

    it('says at once that a guest that ended will not be ready, and stops waiting when told', async () => {
      const ready = {
        kind: 'tcp',
        port: parseName('web', 'port'),
        timeoutSeconds: 3600,
      } as const;
      const definition = newDefinition({ ready });
      await hypervisor.define(definition);
      await hypervisor.start(definition.vm);
      const cancelled = hypervisor.waitReady(definition.vm, ready, {
        signal: AbortSignal.timeout(500),
      });
      await expect(cancelled).rejects.toMatchObject({ code: 'cancelled' });
      const waiting = hypervisor.waitReady(definition.vm, ready, {
        signal: AbortSignal.timeout(60_000),
      });
      const refused = expect(waiting).rejects.toMatchObject({ code: 'guest_not_ready' });
      await hypervisor.stop(definition.vm, { graceMs: 0 });
      await refused;
    });

    it('fails in words when an image is gone', async () => {
      const definition = newDefinition();
      const layers = [{ path: join(dir, 'gone.raw'), format: 'raw' }] as const;
      const gone = { ...definition.disks[0]!, layers };
      await expect(hypervisor.define({ ...definition, disks: [gone] })).rejects.toThrow();
      expect(await hypervisor.status(definition.vm)).toEqual({ state: 'absent' });
    });
  });
}
