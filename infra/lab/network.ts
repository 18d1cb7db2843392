/**
 * Room: infra, lab. A whole network on one machine: a coordinator, origins and edges as separate
 * processes on free loopback ports, enrolled as any node is, through the API.
 *
 * I1: `startNetwork` resolves when every node is healthy in the coordinator's eyes, or throws after
 *     having stopped whatever it had started.
 * I2: `stop` ends everything the network started, by id, and says what had to be killed; a second
 *     call does nothing.
 * I3: a network does not outlive the process that started it, even a killed one, unless it is kept.
 * I4: the state of a network lies below one folder; nothing is shared with another network.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import {
  type CoordinatorClient,
  createCoordinatorClient,
} from '@vmdn/core/http/clients/coordinator-client.ts';
import { createEnrolmentToken, listEdges } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import {
  CLIENT_FILE_NAME,
  type ClientFile,
  readClientFile,
} from '@vmdn/core/io/files/client-file.ts';
import { runtimeDir } from '@vmdn/core/process/paths.ts';
import { freePort } from './ports.ts';
import { type StopReport, stopRecorded, writeRecord } from './record.ts';
import { type Service, type ServiceKind, startService } from './service.ts';
import { waitFor } from './wait-for.ts';

export interface NodeOptions {
  readonly name: string;
  readonly region: string;
  /** Further settings, such as VMDN_IMPORT_DIRS. */
  readonly settings?: Readonly<Record<string, string>>;
}

export interface OriginOptions extends NodeOptions {
  /** The folder in which it finds its VMs. */
  readonly vmsDir: string;
  readonly uplinkBytesPerSecond?: number;
}

export interface NetworkOptions {
  /** An absolute path; made if need be. */
  readonly stateDir: string;
  readonly origins: readonly OriginOptions[];
  readonly edges: readonly NodeOptions[];
  /** Further settings of the coordinator, such as DATABASE_URL. */
  readonly coordinatorSettings?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** A node of a running network; it may be stopped and started again. */
export interface LabNode {
  readonly kind: ServiceKind;
  readonly name: string;
  readonly stateDir: string;
  readonly logPath: string;
  /** The process as it is now, or was last. */
  readonly service: Service;
  /** Starts it again after `service.stop` or `service.kill`, with the same state and address. */
  restart(): Promise<void>;
}

export interface Network extends AsyncDisposable {
  readonly stateDir: string;
  readonly coordinator: LabNode;
  /** Origins and edges. */
  readonly nodes: readonly LabNode[];
  /** One of them by name. Throws `not_found`. */
  node(name: string): LabNode;
  readonly client: CoordinatorClient;
  readonly clientFilePath: string;
  readonly clientFile: ClientFile;
  /** Throws when a service has ended by itself. */
  assertRunning(): void;
  /** Waits until the coordinator sees every node healthy. */
  healthy(): Promise<void>;
  /** Lets it run on after this process has ended. */
  keep(): void;
  stop(): Promise<StopReport>;
}

const LOOPBACK = '127.0.0.1';
const HEALTHY_MS_MAX = 60_000;

/**
 * A folder that others may pass through and not look into: as root, the database and the guests run
 * as users of their own.
 */
async function makePassage(path: string): Promise<void> {
  await mkdir(path, { recursive: true });
  await chmod(path, 0o711);
}

interface Launcher {
  launch(
    kind: ServiceKind,
    name: string,
    settings: Readonly<Record<string, string>>,
  ): Promise<LabNode>;
}

function createLauncher(options: NetworkOptions, mark: string): Launcher {
  return {
    async launch(kind, name, settings) {
      const stateDir = join(options.stateDir, name);
      const logPath = join(options.stateDir, 'logs', `${name}.log`);
      await makePassage(stateDir);
      const all = { VMDN_STATE_DIR: stateDir, ...settings };
      const start = (listen: string): Promise<Service> =>
        startService(
          { kind, name, logPath, mark, settings: { ...all, VMDN_LISTEN: listen } },
          options.signal,
        );
      let service = await start(`${LOOPBACK}:${await freePort(LOOPBACK)}`);
      return {
        kind,
        name,
        stateDir,
        logPath,
        get service() {
          return service;
        },
        async restart() {
          service = await start(new URL(service.url).host);
        },
      };
    },
  };
}

async function enrolmentToken(client: CoordinatorClient, kind: 'origin' | 'edge'): Promise<string> {
  return (await client.call(createEnrolmentToken, { body: { kind } })).enrolmentToken;
}

async function launchNodes(
  launcher: Launcher,
  options: NetworkOptions,
  client: CoordinatorClient,
  runtimeFolder: string,
): Promise<LabNode[]> {
  const settingsOf = async (kind: 'origin' | 'edge', node: NodeOptions) => ({
    VMDN_COORDINATOR_URL: client.url,
    VMDN_NAME: node.name,
    VMDN_REGION: node.region,
    VMDN_ENROLMENT_TOKEN: await enrolmentToken(client, kind),
    ...node.settings,
  });
  const origins = options.origins.map(async (origin) => {
    const limit = origin.uplinkBytesPerSecond;
    return launcher.launch('origin', origin.name, {
      ...(await settingsOf('origin', origin)),
      VMDN_VMS_DIR: origin.vmsDir,
      ...(limit === undefined ? {} : { VMDN_UPLINK_BYTES_PER_SECOND: String(limit) }),
    });
  });
  const edges = options.edges.map(async (edge) => {
    const settings = await settingsOf('edge', edge);
    return launcher.launch('edge', edge.name, {
      ...settings,
      VMDN_RUNTIME_DIR: join(runtimeFolder, edge.name),
    });
  });
  // All settle before one failure is reported: nothing may start after the clean-up.
  const results = await Promise.allSettled([...origins, ...edges]);
  const failure = results.find((result) => result.status === 'rejected');
  if (failure !== undefined) throw failure.reason;
  return results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
}

/** A process that stops the network when this one is gone; it ends when its pipe does. */
function postGuardian(stateDir: string, mark: string): ChildProcess {
  const script = new URL('./guardian.ts', import.meta.url).pathname;
  const guardian = spawn(process.execPath, [script, stateDir, mark], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  guardian.unref();
  // A guardian that is gone guards no more; the network works all the same.
  guardian.stdin?.on('error', () => undefined);
  (guardian.stdin as unknown as { unref(): void }).unref();
  return guardian;
}

/** Starts a network and waits until it can be used. */
export async function startNetwork(options: NetworkOptions): Promise<Network> {
  const mark = randomUUID();
  const coordinatorDir = join(options.stateDir, 'coordinator');
  const record = {
    mark,
    stateDir: options.stateDir,
    startedAt: new Date().toISOString(),
    coordinatorUrl: null,
    clientFile: join(coordinatorDir, CLIENT_FILE_NAME),
    // Short, since the path of a socket has at most 107 bytes.
    runtimeDir: join(runtimeDir(process.env), mark.slice(0, 8)),
  };
  await makePassage(options.stateDir);
  await mkdir(join(options.stateDir, 'logs'), { recursive: true, mode: 0o700 });
  await writeRecord(record);
  const guardian = postGuardian(options.stateDir, mark);
  let client: CoordinatorClient | undefined;
  try {
    const launcher = createLauncher(options, mark);
    const coordinator = await launcher.launch(
      'coordinator',
      'coordinator',
      options.coordinatorSettings ?? {},
    );
    const { url } = coordinator.service;
    await writeRecord({ ...record, coordinatorUrl: url });
    const clientFile = await readClientFile(record.clientFile);
    client = createCoordinatorClient({
      url,
      credentials: { kind: 'bearer', token: clientFile.token },
    });
    const nodes = await launchNodes(launcher, options, client, record.runtimeDir);
    const network = createNetwork({ record, coordinator, nodes, client, clientFile, guardian });
    await network.healthy();
    return network;
  } catch (error) {
    await client?.[Symbol.asyncDispose]();
    await stopRecorded(record);
    guardian.stdin?.end();
    throw error;
  }
}

interface Parts {
  readonly record: Parameters<typeof stopRecorded>[0];
  readonly coordinator: LabNode;
  readonly nodes: readonly LabNode[];
  readonly client: CoordinatorClient;
  readonly clientFile: ClientFile;
  readonly guardian: ChildProcess;
}

function createNetwork(parts: Parts): Network {
  const { record, coordinator, nodes, client, clientFile, guardian } = parts;
  let stopping: Promise<StopReport> | undefined;
  const stop = async (): Promise<StopReport> => {
    await client[Symbol.asyncDispose]();
    const report = await stopRecorded(record);
    guardian.stdin?.end();
    return report;
  };
  const assertRunning = (): void => {
    for (const { service } of [coordinator, ...nodes]) service.assertRunning();
  };
  const network: Network = {
    stateDir: record.stateDir,
    coordinator,
    nodes,
    node(name) {
      const found = nodes.find((node) => node.name === name);
      if (found !== undefined) return found;
      throw new VmdnError('not_found', `This network has no node ${name}.`);
    },
    client,
    clientFilePath: record.clientFile,
    clientFile,
    assertRunning,
    async healthy() {
      const allHealthy = async (): Promise<boolean> => {
        const { nodes: seen } = await client.call(listEdges, {});
        return nodes.every(({ name }) => seen.some((node) => node.name === name && node.healthy));
      };
      await waitFor('every node is healthy', allHealthy, {
        timeoutMs: HEALTHY_MS_MAX,
        watch: assertRunning,
      });
    },
    keep: () => void guardian.stdin?.end('keep'),
    stop() {
      stopping ??= stop();
      return stopping;
    },
    async [Symbol.asyncDispose]() {
      await network.stop();
    },
  };
  return network;
}
