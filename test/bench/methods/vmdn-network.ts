/**
 * Room: test, bench. A network of VMDN's processes as they are, in a lab: coordinator and origin on the
 * origin's side, edges on the other, all behind one cable. What benchmarks of the whole product start from.
 */

import { access, mkdir, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { RunningCommand } from '@vmdn/core/io/command/command-runner.ts';
import { runtimeDir } from '@vmdn/core/process/paths.ts';
import type { DiskFile } from '@vmdn/infra/lab/disk-proof.ts';
import { placeVm } from '@vmdn/infra/lab/guests.ts';
import { LAUNCHER_SETTINGS } from '@vmdn/infra/lab/service.ts';
import { waitFor } from '@vmdn/infra/lab/wait-for.ts';
import type { Netlab, Side } from '@vmdn/infra/netlab/netlab.ts';
import { type Peaks, STEP_TIMEOUT_MS, type Task, wireScript } from './method.ts';

/** Places far enough apart that a request near one never goes to another. */
const REGIONS = ['eu-central', 'us-east', 'ap-southeast'] as const;
const PORT = { coordinator: 7070, origin: 7071, mirror: 7072, firstEdge: 7073 } as const;
const START_TIMEOUT_MS = 120_000;
const MIRROR_COUNT_FILE = 'mirror-bytes';

type Settings = Readonly<Record<string, string>>;

export interface EdgeOptions {
  /** The distribution's mirror is near, by a relay on the edge's own loopback. */
  readonly hasMirror: boolean;
  /** Holds the task's base image. */
  readonly hasBase: boolean;
  /** Takes nothing of its neighbours. */
  readonly isAlone?: boolean;
}

/** An edge of the network, which alone is near its region. */
export interface Edge {
  readonly name: string;
  readonly region: string;
  readonly stateDir: string;
}

interface Described {
  readonly description: { readonly disks: readonly { readonly digest: string }[] };
}

export class VmdnNetwork implements AsyncDisposable {
  readonly folder: string;
  readonly vmsDir: string;
  readonly #task: Task;
  readonly #lab: Netlab;
  /** Sockets lie there: their paths must be shorter than those of the work folder. */
  readonly #runtimeFolder: string;
  /** What runs outside the lab. */
  readonly #outside: RunningCommand[] = [];
  readonly #services = new Map<string, RunningCommand>();
  readonly #edges: Edge[] = [];
  #mirror: Promise<Settings> | undefined;

  private constructor(task: Task, lab: Netlab, folder: string) {
    this.#task = task;
    this.#lab = lab;
    this.folder = folder;
    this.vmsDir = join(folder, 'vms');
    this.#runtimeFolder = join(runtimeDir({}), `bench-${process.pid}`);
  }

  /** Starts coordinator and origin; the origin has no VM yet. */
  static async start(task: Task, lab: Netlab): Promise<VmdnNetwork> {
    const folder = await task.bench.freshFolder('vmdn', 'passable');
    const network = new VmdnNetwork(task, lab, folder);
    await mkdir(network.vmsDir, { mode: 0o711 });
    await mkdir(network.#runtimeFolder, { recursive: true, mode: 0o711 });
    await network.#start('coordinator', 'coordinator', PORT.coordinator, {});
    await waitFor('the coordinator has written its client file', () => network.#hasClientFile(), {
      timeoutMs: START_TIMEOUT_MS,
    });
    await network.#start('origin', 'origin', PORT.origin, {
      ...(await network.#node('origin', 'origin', REGIONS[0])),
      VMDN_VMS_DIR: network.vmsDir,
    });
    return network;
  }

  /** Starts one more edge; returns when it has what it is to have, and there is nothing left to do. */
  async startEdge(name: string, options: EdgeOptions): Promise<Edge> {
    const { base } = this.#task;
    const region = REGIONS[this.#edges.length]!;
    const mirror = options.hasMirror ? await this.#startMirror() : { VMDN_MIRRORS: 'none' };
    await this.#start(name, 'edge', PORT.firstEdge + this.#edges.length, {
      ...(await this.#node(name, 'edge', region)),
      VMDN_IMPORT_DIRS: dirname(base.rawPath),
      // What this machine's virtualisation can do is not what is measured: the same for all.
      VMDN_ACCELERATOR: 'tcg',
      VMDN_RUNTIME_DIR: join(this.#runtimeFolder, name),
      VMDN_TELEPORT_PEERS: options.isAlone === true ? 'off' : 'on',
      ...mirror,
    });
    const edge = { name, region, stateDir: join(this.folder, name) };
    this.#edges.push(edge);
    await this.control('healthy', 'origin', name);
    if (options.hasBase) await this.control('import', name, base.name, base.rawPath);
    return edge;
  }

  /**
   * Gives the origin the VM, with `further` disks that lie in its folder, and waits for an edge's plan.
   * Returns the digest of its first disk.
   */
  async announce(further: readonly DiskFile[] = []): Promise<string> {
    const { source, name } = this.#task.wanted;
    await placeVm(source, this.vmsDir, name, further);
    const { description } = (await this.control('scored', name)) as Described;
    return description.disks[0]!.digest;
  }

  /** Waits until the edge has brought what it will of the packages, and planned with them. */
  async packagesBrought(edge: Edge, digest: string): Promise<void> {
    const isBrought = async (): Promise<boolean> => {
      const log = await readFile(join(this.folder, `${edge.name}.log`), 'utf8');
      return log
        .split('\n')
        .some((line) => line.includes('"packages_brought"') && line.includes(digest));
    };
    await waitFor('the edge has brought packages', isBrought, { timeoutMs: STEP_TIMEOUT_MS });
    await this.control('planned', this.#task.wanted.name);
  }

  /** Bytes that came from the mirror, to all edges. */
  async mirrorBytes(): Promise<number> {
    return Number(await readFile(join(this.folder, MIRROR_COUNT_FILE), 'utf8'));
  }

  /** The most memory that each process had so far. */
  async peaks(): Promise<Peaks> {
    const peaks: Record<string, number> = {};
    for (const [service, { pid }] of this.#services) {
      const status = await readFile(`/proc/${pid}/status`, 'latin1');
      peaks[service] = 1024 * Number(/^VmHWM:\s*(\d+) kB$/m.exec(status)?.[1]);
    }
    return peaks;
  }

  /** Has control.ts do something; what it printed. */
  async control(...args: readonly string[]): Promise<unknown> {
    const command = [wireScript('control.ts'), this.#clientFile, ...args];
    const { stdout } = await this.#lab.run('origin', process.execPath, command, {
      timeoutMs: STEP_TIMEOUT_MS,
    });
    return JSON.parse(stdout);
  }

  /** Ends what runs outside the lab, and removes the folder of its sockets; what was delivered stays. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const command of this.#outside) await command.stop();
    await rm(this.#runtimeFolder, { recursive: true, force: true });
  }

  get #clientFile(): string {
    return join(this.folder, 'coordinator', 'client.json');
  }

  async #hasClientFile(): Promise<boolean> {
    await access(this.#clientFile);
    return true;
  }

  /** What every node is told. */
  async #node(name: string, kind: 'origin' | 'edge', region: string): Promise<Settings> {
    const { enrolmentToken } = (await this.control('token', kind)) as { enrolmentToken: string };
    return {
      VMDN_COORDINATOR_URL: `http://${this.#lab.addresses.origin}:${PORT.coordinator}`,
      VMDN_NAME: name,
      VMDN_REGION: region,
      VMDN_ENROLMENT_TOKEN: enrolmentToken,
    };
  }

  /** Starts both ends of the relay to this machine's mirror, once; what an edge must be told. */
  #startMirror(): Promise<Settings> {
    this.#mirror ??= this.#relayMirror();
    return this.#mirror;
  }

  async #relayMirror(): Promise<Settings> {
    const { runner, signal, cacheDir } = this.#task.options;
    const socket = join(this.#runtimeFolder, 'mirror.sock');
    const kept = join(cacheDir, 'bench', 'mirror');
    const script = wireScript('mirror-relay.ts');
    const outside = [script, 'outside', socket, kept, join(this.folder, MIRROR_COUNT_FILE)];
    this.#outside.push(
      runner.start(process.execPath, outside, { lifetime: 'with-parent', signal }),
    );
    const inside = [script, 'inside', socket, String(PORT.mirror)];
    const command = this.#lab.start('edge', process.execPath, inside);
    await this.#lab.waitForListener(command, PORT.mirror, START_TIMEOUT_MS);
    return { VMDN_MIRRORS: 'machine', http_proxy: `http://127.0.0.1:${PORT.mirror}` };
  }

  /** Starts a service on its side of the cable and waits until it answers. */
  async #start(
    name: string,
    app: 'coordinator' | 'origin' | 'edge',
    port: number,
    settings: Settings,
  ): Promise<void> {
    const side: Side = app === 'edge' ? 'edge' : 'origin';
    const logPath = join(this.folder, `${name}.log`);
    const script = new URL(`../../../apps/${app}/src/main.ts`, import.meta.url).pathname;
    const env = {
      ...launcherSettings(),
      ...settings,
      VMDN_STATE_DIR: join(this.folder, name),
      VMDN_LISTEN: `${this.#lab.addresses[side]}:${port}`,
      // The cable is private: nobody else is on it.
      VMDN_PLAINTEXT: 'allow',
    };
    const command = this.#lab.start(side, process.execPath, [script], { env, logPath });
    this.#services.set(name, command);
    try {
      await this.#lab.waitForListener(command, port, START_TIMEOUT_MS);
    } catch (error) {
      const log = await readFile(logPath, 'utf8').catch(() => '');
      throw new Error(`${name} did not start: ${log.slice(-2000)}`, { cause: error });
    }
  }
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
