/**
 * Room: test, bench. VMDN itself: coordinator, origin and edge as the processes they are. Everything counts,
 * from the moment before the origin is given the VM until its disk is verified on the edge: description,
 * recipe, blocks, grants, heartbeats, polls.
 */

import { access, mkdir, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { RunningCommand } from '@vmdn/core/io/command/command-runner.ts';
import { runtimeDir } from '@vmdn/core/process/paths.ts';
import { deliveredDisk } from '@vmdn/infra/lab/edge-files.ts';
import { LAUNCHER_SETTINGS } from '@vmdn/infra/lab/service.ts';
import { waitFor } from '@vmdn/infra/lab/wait-for.ts';
import type { Netlab, Side } from '@vmdn/infra/netlab/netlab.ts';
import type { Critical, Parts, Peaks, Transfer } from './method.ts';
import { checkDisk, type Method, STEP_TIMEOUT_MS, type Task, wireScript } from './method.ts';

type Service = 'coordinator' | 'origin' | 'edge' | 'neighbour';

const SIDE: Readonly<Record<Service, Side>> = {
  coordinator: 'origin',
  origin: 'origin',
  edge: 'edge',
  neighbour: 'edge',
};
const PORT: Readonly<Record<Service | 'mirror', number>> = {
  coordinator: 7070,
  origin: 7071,
  edge: 7072,
  neighbour: 7073,
  mirror: 7074,
};
/** Far enough apart that a request near one never goes to the other. */
const REGION = { origin: 'eu-central', edge: 'eu-central', neighbour: 'us-east' } as const;
const START_TIMEOUT_MS = 120_000;
/** Sockets lie there: their paths must be shorter than those of the work folder. */
const RUNTIME_FOLDER = join(runtimeDir({}), `bench-${process.pid}`);

/** What stands near the edge beside its base image. */
interface Surroundings {
  /** The distribution's mirror, by a relay on the edge's own loopback. */
  readonly hasMirror: boolean;
  /** Another edge on the edge's side of the cable, which holds the wanted disk. */
  readonly hasNeighbour: boolean;
  /** Asked for as soon as the origin knows the VM, before any edge could prepare for it. */
  readonly isCold?: boolean;
}

function method(key: string, words: string, surroundings: Surroundings): Method {
  return { key, words, prepare: async (task) => [await prepare(task, surroundings)] };
}

export const vmdn = method('vmdn', 'VMDN', { hasMirror: false, hasNeighbour: false });
export const vmdnPackages = method('vmdnPackages', 'VMDN with a mirror near', {
  hasMirror: true,
  hasNeighbour: false,
});
export const vmdnCold = method('vmdnCold', 'VMDN, asked at once; a mirror near', {
  hasMirror: true,
  hasNeighbour: false,
  isCold: true,
});
export const vmdnPeer = method('vmdnPeer', 'VMDN, a neighbour holds the disk', {
  hasMirror: false,
  hasNeighbour: true,
});

interface Scene {
  readonly task: Task;
  readonly surroundings: Surroundings;
  readonly folder: string;
  readonly vmsDir: string;
  /** What runs outside the lab. */
  readonly outside: RunningCommand[];
  readonly services: Map<Service, RunningCommand>;
}

async function prepare(task: Task, surroundings: Surroundings): Promise<Transfer> {
  const folder = await task.bench.freshFolder('vmdn', 'passable');
  const scene: Scene = {
    task,
    surroundings,
    folder,
    vmsDir: join(folder, 'vms'),
    ...{ outside: [], services: new Map() },
  };
  await mkdir(scene.vmsDir, { mode: 0o711 });
  let parts: Parts = {};
  let peaks: Peaks = {};
  let critical: Critical = { startMs: 0, endMs: 0, bytes: 0 };
  let digest = '';
  return {
    setting: '',
    serve: async (lab) => {
      await serve(scene, lab);
      if (surroundings.hasNeighbour) digest = await giveNeighbour(scene, lab);
    },
    fetch: async (lab) => {
      const atStart = await lab.meter();
      if (surroundings.isCold !== true && !surroundings.hasNeighbour) {
        digest = await announce(scene, lab);
        if (surroundings.hasMirror) await packagesBrought(scene, lab, digest);
      }
      const atPlan = await lab.meter();
      const asked = await ask(scene, lab);
      digest = asked.description?.disks[0]?.digest ?? digest;
      const atEnd = await lab.meter();
      peaks = await peaksOf(scene);
      const { startMs, endMs } = asked;
      critical = { startMs, endMs, bytes: atEnd.totalBytes - atPlan.totalBytes };
      parts = {
        'before the request: description, recipe, polls': atPlan.totalBytes - atStart.totalBytes,
        'after it: blocks, polls': critical.bytes,
      };
      if (surroundings.hasMirror) {
        parts = { ...parts, '(beside it, from the mirror)': await mirrorBytes(scene) };
      }
    },
    close: async () => {
      for (const command of scene.outside) await command.stop();
    },
    critical: () => critical,
    parts: () => parts,
    peaks: () => peaks,
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
  const { hasMirror, hasNeighbour } = scene.surroundings;
  await start(scene, lab, 'coordinator', {});
  await start(scene, lab, 'origin', {
    ...(await node(scene, lab, 'origin')),
    VMDN_VMS_DIR: scene.vmsDir,
  });
  const edge = async (name: 'edge' | 'neighbour'): Promise<Record<string, string>> => ({
    ...(await node(scene, lab, name)),
    VMDN_IMPORT_DIRS: dirname(base.rawPath),
    // No guest will run, so there is nothing to find out about this machine's virtualisation.
    VMDN_ACCELERATOR: 'tcg',
    VMDN_RUNTIME_DIR: join(RUNTIME_FOLDER, name),
    VMDN_MIRRORS: 'none',
  });
  const mirror = hasMirror ? await startMirror(scene, lab) : {};
  await start(scene, lab, 'edge', { ...(await edge('edge')), ...mirror });
  if (hasNeighbour) await start(scene, lab, 'neighbour', await edge('neighbour'));
  await control(scene, lab, ['healthy', 'origin', 'edge', ...(hasNeighbour ? ['neighbour'] : [])]);
  await control(scene, lab, ['import', 'edge', base.name, base.rawPath]);
}

/** What every node is told. */
async function node(
  scene: Scene,
  lab: Netlab,
  name: 'origin' | 'edge' | 'neighbour',
): Promise<Record<string, string>> {
  const kind = name === 'origin' ? 'origin' : 'edge';
  const { enrolmentToken } = (await control(scene, lab, ['token', kind])) as {
    enrolmentToken: string;
  };
  return {
    VMDN_COORDINATOR_URL: `http://${lab.addresses.origin}:${PORT.coordinator}`,
    VMDN_NAME: name,
    VMDN_REGION: REGION[name],
    VMDN_ENROLMENT_TOKEN: enrolmentToken,
  };
}

interface Described {
  readonly description: { readonly disks: readonly { readonly digest: string }[] };
}

/** Gives the origin the VM and waits for the edge's plan. Returns the digest of its disk. */
async function announce(scene: Scene, lab: Netlab): Promise<string> {
  const { source, name } = scene.task.wanted;
  const args = ['announce', scene.vmsDir, JSON.stringify(source), name];
  const { description } = (await control(scene, lab, args)) as Described;
  return description.disks[0]?.digest ?? '';
}

/** Asks for the VM, and waits until its disk is verified. */
async function ask(scene: Scene, lab: Netlab) {
  const { source, name } = scene.task.wanted;
  const cold = ['cold', scene.vmsDir, JSON.stringify(source), name, REGION.edge];
  const isCold = scene.surroundings.isCold === true;
  const args = isCold ? cold : ['teleport', name, REGION.edge];
  const asked = await control(scene, lab, args);
  return asked as Pick<Critical, 'startMs' | 'endMs'> & Partial<Described>;
}

/** Delivers the disk to the neighbour, so that the edge need not ask the origin. */
async function giveNeighbour(scene: Scene, lab: Netlab): Promise<string> {
  const { name } = scene.task.wanted;
  const digest = await announce(scene, lab);
  const { teleport } = (await control(scene, lab, ['teleport', name, REGION.neighbour])) as {
    teleport: string;
  };
  // Its guest need not run; the disk stays.
  await control(scene, lab, ['cancel', teleport]);
  return digest;
}

/** Waits until the edge has brought what it will of the packages, and planned with them. */
async function packagesBrought(scene: Scene, lab: Netlab, digest: string): Promise<void> {
  const isBrought = async (): Promise<boolean> => {
    const log = await readFile(join(scene.folder, 'edge.log'), 'utf8');
    return log
      .split('\n')
      .some((line) => line.includes('"packages_brought"') && line.includes(digest));
  };
  await waitFor('the edge has brought packages', isBrought, { timeoutMs: STEP_TIMEOUT_MS });
  await control(scene, lab, ['planned', scene.task.wanted.name]);
}

const MIRROR_COUNT_FILE = 'mirror-bytes';

/** Starts both ends of the relay to this machine's mirror; what the edge must be told. */
async function startMirror(scene: Scene, lab: Netlab): Promise<Record<string, string>> {
  const { task, folder } = scene;
  const { runner, signal, cacheDir } = task.options;
  await mkdir(RUNTIME_FOLDER, { recursive: true, mode: 0o711 });
  const socket = join(RUNTIME_FOLDER, 'mirror.sock');
  const kept = join(cacheDir, 'bench', 'mirror');
  const script = wireScript('mirror-relay.ts');
  const outside = [script, 'outside', socket, kept, join(folder, MIRROR_COUNT_FILE)];
  scene.outside.push(runner.start(process.execPath, outside, { lifetime: 'with-parent', signal }));
  const inside = [script, 'inside', socket, String(PORT.mirror)];
  const command = lab.start('edge', process.execPath, inside);
  await lab.waitForListener(command, PORT.mirror, START_TIMEOUT_MS);
  return { VMDN_MIRRORS: 'machine', http_proxy: `http://127.0.0.1:${PORT.mirror}` };
}

async function mirrorBytes({ folder }: Scene): Promise<number> {
  return Number(await readFile(join(folder, MIRROR_COUNT_FILE), 'utf8'));
}

async function peaksOf({ services }: Scene): Promise<Peaks> {
  const peaks: Record<string, number> = {};
  for (const [service, { pid }] of services) {
    const status = await readFile(`/proc/${pid}/status`, 'latin1');
    peaks[service] = 1024 * Number(/^VmHWM:\s*(\d+) kB$/m.exec(status)?.[1]);
  }
  return peaks;
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
  const app = service === 'neighbour' ? 'edge' : service;
  const script = new URL(`../../../apps/${app}/src/main.ts`, import.meta.url).pathname;
  const env = {
    ...launcherSettings(),
    ...settings,
    VMDN_STATE_DIR: stateDir,
    VMDN_LISTEN: `${lab.addresses[SIDE[service]]}:${PORT[service]}`,
    // The cable is private: nobody else is on it.
    VMDN_PLAINTEXT: 'allow',
  };
  const command = lab.start(SIDE[service], process.execPath, [script], { env, logPath });
  scene.services.set(service, command);
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

/** What the launcher told this process, and would tell a service that it starts. */
function launcherSettings(): Record<string, string> {
  return Object.fromEntries(
    LAUNCHER_SETTINGS.flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value]];
    }),
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
