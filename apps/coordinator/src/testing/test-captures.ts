/**
 * Room: coordinator, testing. A delivered VM on an edge of the test network, and captures of it: what its
 * edge says of them, with real signatures.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import { signDescription } from '@vmdn/core/http/auth/signed-description.ts';
import * as delivered from '@vmdn/core/http/contracts/coordinator-delivered.ts';
import * as node from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import type { CoordinatorPerTest } from './coordinator-per-test.ts';
import { describeTestVm, digest, report, type TestNode } from './test-network.ts';

/** Reports all steps of a teleport, until it needs nobody. */
export async function deliver(edge: TestNode, teleport: Id): Promise<void> {
  for (const state of ['syncing', 'verified', 'booting', 'running'] as const) {
    await report(edge, teleport, { state, independent: state === 'running' });
  }
}

/** Reports these snapshots as all that a node holds. */
export async function hold(who: TestNode, ...digests: readonly Digest[]): Promise<void> {
  const sizes = { virtualSizeBytes: 4_194_304, nonZeroBytes: 1_048_576, allocatedBytes: 1_048_576 };
  const images = digests.map((held) => ({
    ...{ digest: held, keysRoot: digest('e'), name: null, kind: 'snapshot' as const },
    ...sizes,
  }));
  await who.client.call(node.reportHoldings, { body: { images } });
}

/** The description of a captured VM with these disks, as an edge signs it. */
export async function signed(
  who: TestNode,
  vm: string,
  version: number,
  ...digests: readonly Digest[]
): Promise<string> {
  const { disks, ...rest } = describeTestVm(vm, version, digest('c'));
  const own = digests.map((disk) => ({ ...disks[0]!, digest: disk }));
  return await signDescription(who.key, who.id, { ...rest, disks: own });
}

/** Captures a delivered VM on its edge, which holds `disks` and `others` afterwards. */
export async function captureDone(
  network: Pick<CoordinatorPerTest, 'user'>,
  edge: TestNode,
  order: { readonly teleport: Id; readonly vm: string },
  disks: readonly Digest[],
  others: readonly Digest[] = [],
): Promise<number> {
  const { capture, version } = await network.user.call(delivered.requestCapture, { body: order });
  await hold(edge, ...disks, ...others);
  const description = await signed(edge, order.vm, version, ...disks);
  const params = { capture };
  await edge.client.call(delivered.reportCapture, { params, body: { state: 'done', description } });
  return version;
}
