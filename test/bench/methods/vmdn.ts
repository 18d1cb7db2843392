/**
 * Room: test, bench. VMDN itself: coordinator, origin and edge as the processes they are. Everything counts,
 * from the moment before the origin is given the VM until its disk is verified on the edge: description,
 * recipe, blocks, grants, heartbeats, polls.
 */

import { access, mkdir, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { runtimeDir } from '@vmdn/core/process/paths.ts';
import { deliveredDisk } from '@vmdn/infra/lab/edge-files.ts';
import { waitFor } from '@vmdn/infra/lab/wait-for.ts';
import type { Netlab, Side } from '@vmdn/infra/netlab/netlab.ts';
import type { Parts, Transfer } from './method.ts';
import { checkDisk, type Method, STEP_TIMEOUT_MS, type Task, wireScript } from './method.ts';

type Service = 'coordinator' | 'origin' | 'edge';

const SIDE: Readonly<Record<Service, Side>> = {
  coordinator: 'origin',
  origin: 'origin',
  edge: 'edge',
};
const PORT: Readonly<Record<Service, number>> = { coordinator: 7070, origin: 7071, edge: 7072 };
const REGION = 'eu-central';
const START_TIMEOUT_MS = 120_000;
/** Sockets lie there: their paths must be shorter than those of the work folder. */
const RUNTIME_FOLDER = join(runtimeDir({}), `bench-${process.pid}`);

export const vmdn: Method = {
  key: 'vmdn',
  words: 'VMDN',
  prepare: async (task) => [await prepare(task)],
};

interface Scene {
  readonly task: Task;
  readonly folder: string;
  readonly vmsDir: string;
}

async function prepare(task: Task): Promise<Transfer> {
  const folder = await task.bench.freshFolder('vmdn', 'passable');
  const scene: Scene = { task, folder, vmsDir: join(folder, 'vms') };
  await mkdir(scene.vmsDir, { mode: 0o711 });
  let parts: Parts = {};
  let digest = '';
  return {
    setting: '',
    serve: (lab) => serve(scene, lab),
    fetch: async (lab) => {
      const atStart = await lab.meter();
      const { source, name } = task.wanted;
      const announced = (await control(scene, lab, [
        ...['announce', scene.vmsDir, JSON.stringify(source), name],
      ])) as { description: { disks: { digest: string }[] } };
      digest = announced.description.disks[0]?.digest ?? '';
      const atPlan = await lab.meter();
      await control(scene, lab, ['teleport', name, REGION]);
      const atEnd = await lab.meter();
      parts = {
        'before the request: description, recipe, polls': atPlan.totalBytes - atStart.totalBytes,
        'after it: blocks, polls': atEnd.totalBytes - atPlan.totalBytes,
      };
    },
    parts: () => parts,
    verify: async () => {
      await checkDisk(await deliveredDisk(join(folder, 'edge'), digest), task);
      await rm(folder, { recursive: true });
      await rm(RUNTIME_FOLDER, { recursive: true, force: true });
    },
  };
}

/** Starts the network; returns when the edge has the base image and there is nothing left to do. */
async function serve(scene: Scene, lab: Netlab): Promise<void> {
  const { base } = scene.task;
  const url = `http://${lab.addresses.origin}:${PORT.coordinator}`;
  await start(scene, lab, 'coordinator', {});
  const node = async (kind: 'origin' | 'edge'): Promise<Record<string, string>> => {
    const { enrolmentToken } = (await control(scene, lab, ['token', kind])) as {
      enrolmentToken: string;
    };
    return {
      VMDN_COORDINATOR_URL: url,
      VMDN_NAME: kind,
      VMDN_REGION: REGION,
      VMDN_ENROLMENT_TOKEN: enrolmentToken,
    };
  };
  await start(scene, lab, 'origin', { ...(await node('origin')), VMDN_VMS_DIR: scene.vmsDir });
  // No guest will run, so there is nothing to find out about this machine's virtualisation.
  const settings = {
    VMDN_IMPORT_DIRS: dirname(base.rawPath),
    VMDN_ACCELERATOR: 'tcg',
    VMDN_RUNTIME_DIR: RUNTIME_FOLDER,
  };
  await start(scene, lab, 'edge', { ...(await node('edge')), ...settings });
  await control(scene, lab, ['healthy', 'origin', 'edge']);
  await control(scene, lab, ['import', 'edge', base.name, base.rawPath]);
}

/** Starts a service on its side of the cable and waits until it answers. */
async function start(
  scene: Scene,
  lab: Netlab,
  service: Service,
  settings: Readonly<Record<string, string>>,
): Promise<void> {
  const stateDir = join(scene.folder, service);
  const logPath = join(scene.folder, `${service}.log`);
  const script = new URL(`../../../apps/${service}/src/main.ts`, import.meta.url).pathname;
  const env = {
    ...settings,
    VMDN_STATE_DIR: stateDir,
    VMDN_LISTEN: `${lab.addresses[SIDE[service]]}:${PORT[service]}`,
    // The cable is private: nobody else is on it.
    VMDN_PLAINTEXT: 'allow',
  };
  const command = lab.start(SIDE[service], process.execPath, [script], { env, logPath });
  try {
    await lab.waitForListener(command, PORT[service], START_TIMEOUT_MS);
  } catch (error) {
    const log = await readFile(logPath, 'utf8').catch(() => '');
    throw new Error(`${service} did not start: ${log.slice(-2000)}`, { cause: error });
  }
  if (service !== 'coordinator') return;
  await waitFor(
    'the coordinator has written its client file',
    async () => {
      await access(clientFile(scene));
      return true;
    },
    {
      timeoutMs: START_TIMEOUT_MS,
    },
  );
}

function clientFile(scene: Scene): string {
  return join(scene.folder, 'coordinator', 'client.json');
}

/** Has control.ts do something; what it printed. */
async function control(scene: Scene, lab: Netlab, args: readonly string[]): Promise<unknown> {
  const command = [wireScript('control.ts'), clientFile(scene), ...args];
  const { stdout } = await lab.run('origin', process.execPath, command, {
    timeoutMs: STEP_TIMEOUT_MS,
  });
  return JSON.parse(stdout);
}
