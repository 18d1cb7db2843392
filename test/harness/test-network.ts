/**
 * Room: test, harness. A network for one test file: real services on free ports, a database of its
 * own, a folder of its own, gone afterwards.
 *
 * I1: what a network leaves running is a failure of the test that used it.
 * I2: time passes as in production, but heartbeats are short, so that a test need not wait long; and no lease
 *     ends, so that a teleport stays with its edge however long that takes to start again.
 */

import { chmod, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { guestsDir } from '@vmdn/infra/lab/guests.ts';
import {
  type Network,
  type NodeOptions,
  type OriginOptions,
  startNetwork,
} from '@vmdn/infra/lab/network.ts';
import { findProcesses } from '@vmdn/infra/lab/processes.ts';
import { readRecord } from '@vmdn/infra/lab/record.ts';
import { noteLogs } from './live-networks.ts';

export interface TestNetworkOptions {
  readonly edges: readonly NodeOptions[];
  /** Settings of the origin; it is called `origin-1` and stands in Frankfurt. */
  readonly origin?: Omit<Partial<OriginOptions>, 'vmsDir'>;
  /** Fills the folder of VMs before the origin starts. */
  readonly vms?: (vmsDir: string) => Promise<void>;
  readonly coordinatorSettings?: Readonly<Record<string, string>>;
}

export interface TestNetwork extends Network {
  readonly folder: string;
  readonly vmsDir: string;
  /** The last lines of a service's log. */
  logOf(name: string): Promise<string>;
}

export const ORIGIN = 'origin-1';
const COORDINATOR_SETTINGS = { VMDN_HEARTBEAT_SECONDS: '1', VMDN_LEASE_SECONDS: '3600' };

/** Starts a network. Dispose of it in `afterAll`; that fails when anything is left running (I1). */
export async function startTestNetwork(options: TestNetworkOptions): Promise<TestNetwork> {
  const folder = await mkdtemp(join(tmpdir(), 'vmdn-test-'));
  // The database and the guests run as users of their own, who must be able to pass.
  await chmod(folder, 0o711);
  const vmsDir = join(folder, 'vms');
  await mkdir(vmsDir);
  await options.vms?.(vmsDir);
  const network = await startNetwork({
    stateDir: join(folder, 'net'),
    origins: [{ name: ORIGIN, region: 'eu-central', ...options.origin, vmsDir }],
    edges: options.edges.map((edge) => ({
      ...edge,
      settings: {
        VMDN_IMPORT_DIRS: `${guestsDir(process.env)}:${folder}`,
        VMDN_MIRRORS: 'none',
        ...edge.settings,
      },
    })),
    coordinatorSettings: { ...COORDINATOR_SETTINGS, ...options.coordinatorSettings },
  });
  const record = await readRecord(network.stateDir);
  const logs = join(network.stateDir, 'logs');
  const noted = noteLogs(logs);
  return {
    ...network,
    folder,
    vmsDir,
    logOf: (name) => readFile(join(logs, `${name}.log`), 'utf8'),
    async [Symbol.asyncDispose]() {
      noted[Symbol.dispose]();
      const { killed } = await network.stop();
      const left = record === undefined ? [] : await findProcesses(record.mark, record.stateDir);
      // For whoever wants to read the logs of a failed test.
      if (process.env.VMDN_KEEP_TEST_STATE === undefined) {
        await rm(folder, { recursive: true, force: true });
      }
      const bad = [...killed, ...left].map(({ command }) => command);
      if (bad.length > 0) throw new Error(`Did not end by itself:\n${bad.join('\n')}`);
    },
  };
}
