/**
 * Room: io, hypervisor (tests). What every driver of the hypervisor port must do. A driver's own test calls
 * `describeHypervisor` with a way to open the driver; opening it twice stands for a restart of the node.
 */

import { createHash, randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { parseDigest } from '../../domain/digest.ts';
import { parseId, parseName } from '../../domain/names.ts';
import type { VmHardware } from '../../domain/vm-specification.ts';
import type { Hypervisor, VmDefinition } from '../ports/hypervisor.ts';
import { FIRST_BOOT, HALTED, LATER_BOOT, writeBootDisk } from './boot-sector.fixture.ts';

const DISK_BYTES = 1024 * 1024;
const BOOT_TIMEOUT_MS = 30_000;

export type OpenHypervisor = (dir: string) => Promise<Hypervisor & AsyncDisposable>;

export function describeHypervisor(driver: string, openHypervisor: OpenHypervisor): void {
  describe(`the hypervisor port, driver ${driver}`, { timeout: 120_000 }, () => {
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
    });
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
      disks: [{ digest: parseDigest('0'.repeat(64)), imagePath, virtualSizeBytes: DISK_BYTES }],
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

    it('does not call a guest ready that boots but does not listen', async () => {
      const port = parseName('web', 'port');
      for (const kind of ['tcp', 'http'] as const) {
        const ready = { kind, port, path: '/', timeoutSeconds: 2 };
        const definition = newDefinition({ ready });
        await hypervisor.define(definition);
        await hypervisor.start(definition.vm);
        const signal = AbortSignal.timeout(60_000);
        await expect(hypervisor.waitReady(definition.vm, ready, { signal })).rejects.toMatchObject({
          code: 'guest_not_ready',
          data: { console: expect.stringContaining(HALTED) },
        });
      }
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
      const gone = { ...definition.disks[0]!, imagePath: join(dir, 'gone.raw') };
      await expect(hypervisor.define({ ...definition, disks: [gone] })).rejects.toThrow();
      expect(await hypervisor.status(definition.vm)).toEqual({ state: 'absent' });
    });
  });
}

async function hashOf(path: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
}
