import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { lastWritten } from '@vmdn/core/io/hypervisor/boot-sector.fixture.ts';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { openOverlayJournal } from './io/overlay-journal.ts';
import { type CountingDomain, countingDomain, DOMAIN } from './io/running-disks.fixture.ts';
import { makeOrigin, type TestOrigin } from './origin.fixture.ts';

const MAIN = fileURLToPath(new URL('main.ts', import.meta.url));
// What could not be described is tried again after a minute.
const soon = { timeout: 300_000, interval: 50 };
// It only ends a test that hangs: each wait in it has its own limit.
vi.setConfig({ testTimeout: 1_800_000, hookTimeout: 900_000 });
let domain: CountingDomain;
let origin: TestOrigin;
const processes: ChildProcess[] = [];

beforeAll(async () => {
  domain = await countingDomain();
  origin = await makeOrigin();
});
afterAll(async () => {
  for (const child of processes) child.kill('SIGKILL');
  await origin[Symbol.asyncDispose]();
  await domain[Symbol.asyncDispose]();
});

/** An origin as a process of its own. */
function startProcess(): ChildProcess {
  const { settings } = origin;
  const child = spawn(process.execPath, [MAIN], {
    stdio: 'ignore',
    env: {
      PATH: process.env.PATH,
      VMDN_COORDINATOR_URL: settings.coordinatorUrl,
      VMDN_ENROLMENT_TOKEN: settings.enrolmentToken,
      VMDN_LISTEN: '127.0.0.1:0',
      VMDN_STATE_DIR: settings.stateDir,
      VMDN_NAME: settings.name,
      VMDN_LATITUDE: '47',
      VMDN_LONGITUDE: '8',
      VMDN_VMS_DIR: settings.vmsDir,
      VMDN_LIBVIRT_URI: domain.libvirt.uri,
      VMDN_LIBVIRT_STORAGE: domain.dir,
      VMDN_RUNNING_SOURCES: 'snapshot',
      VMDN_RUNNING_EVERY: '1',
    },
  });
  processes.push(child);
  return child;
}

/** Kills a process while an overlay is there: it is held first, since the overlay is gone in a moment. */
async function killAtOverlay(child: ChildProcess): Promise<void> {
  const isThere = async (): Promise<boolean> => (await domain.files()).length === 2;
  const stands = async (): Promise<void> =>
    expect(await readFile(`/proc/${child.pid}/status`, 'latin1')).toMatch(/^State:\tT/m);
  const hold = async (): Promise<void> => {
    expect(await isThere()).toBe(true);
    child.kill('SIGSTOP');
    await vi.waitFor(stands, { ...soon, interval: 5 });
    if (await isThere()) return;
    child.kill('SIGCONT');
    throw new Error('the overlay was merged meanwhile');
  };
  await vi.waitFor(hold, { ...soon, interval: 5 });
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

it('an origin that was killed while a guest wrote into an overlay merges it at its next start', async () => {
  await domain.run();
  const definition = await domain.definition();
  const first = startProcess();
  await killAtOverlay(first);
  // Whatever libvirt was asked for last, the journal knows of it.
  expect((await openOverlayJournal(join(origin.settings.stateDir, 'running'))).list()).toHaveLength(
    1,
  );

  const { told } = origin.coordinator;
  const before = told.size;
  const second = startProcess();
  const newest = { state: 'pinned', description: { consistency: 'crash' } };
  await vi.waitFor(() => {
    expect(told.size).toBeGreaterThan(before + 1);
    // The one before is withdrawn a moment before the next one is told of.
    expect([...told.values()].at(-1)).toMatchObject(newest);
  }, soon);
  const stopped = once(second, 'exit');
  second.kill('SIGTERM');
  expect(await stopped).toEqual([0, null]);
  const wrote = await domain.told();
  await domain.virsh('destroy', DOMAIN);
  expect(await domain.files()).toEqual(['web-01.img']);
  expect(await domain.definition()).toBe(definition);
  expect(lastWritten(await readFile(domain.disk))).toBeGreaterThanOrEqual(wrote);
});
