/**
 * Room: test, bench. VMDN itself: coordinator, origin and edge as the processes they are. Everything counts,
 * from the moment before the origin is given the VM until its disk is verified on the edge: description,
 * recipe, blocks, grants, heartbeats, polls.
 */

import { rm } from 'node:fs/promises';
import { deliveredDisk } from '@vmdn/infra/lab/edge-files.ts';
import type { Critical, Parts, Peaks, Transfer } from './method.ts';
import { checkDisk, type Method, type Task } from './method.ts';
import { type Edge, VmdnNetwork } from './vmdn-network.ts';

/** What stands near the edge beside its base image. */
interface Surroundings {
  readonly hasMirror: boolean;
  /** Another edge on the edge's side of the cable, which holds the wanted disk. */
  readonly hasNeighbour: boolean;
  /** Asked for as soon as the origin knows the VM, before any edge could prepare for it. */
  readonly isCold?: boolean;
}

function method(key: string, words: string, surroundings: Surroundings): Method {
  return { key, words, prepare: async (task) => [prepare(task, surroundings)] };
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

/** Where the disk goes; its digest as soon as that is known. */
interface Scene {
  readonly edge: Edge;
  digest: string;
}

interface Asked extends Pick<Critical, 'startMs' | 'endMs'> {
  readonly description?: { readonly disks: readonly { readonly digest: string }[] };
}

function prepare(task: Task, surroundings: Surroundings): Transfer {
  let network: VmdnNetwork | undefined;
  let scene: Scene | undefined;
  let parts: Parts = {};
  let peaks: Peaks = {};
  let critical: Critical = { startMs: 0, endMs: 0, bytes: 0 };
  return {
    setting: '',
    serve: async (lab) => {
      network = await VmdnNetwork.start(task, lab);
      scene = await furnish(network, task, surroundings);
    },
    fetch: async (lab) => {
      const atStart = await lab.meter();
      if (surroundings.isCold !== true && !surroundings.hasNeighbour) {
        scene!.digest = await network!.announce();
        if (surroundings.hasMirror) await network!.packagesBrought(scene!.edge, scene!.digest);
      }
      const atPlan = await lab.meter();
      const asked = await ask(network!, scene!.edge, task, surroundings);
      scene!.digest = asked.description?.disks[0]?.digest ?? scene!.digest;
      const atEnd = await lab.meter();
      peaks = await network!.peaks();
      const { startMs, endMs } = asked;
      critical = { startMs, endMs, bytes: atEnd.totalBytes - atPlan.totalBytes };
      parts = {
        'before the request: description, recipe, polls': atPlan.totalBytes - atStart.totalBytes,
        'after it: blocks, polls': critical.bytes,
      };
      if (surroundings.hasMirror) {
        parts = { ...parts, '(beside it, from the mirror)': await network!.mirrorBytes() };
      }
    },
    close: async () => await network?.[Symbol.asyncDispose](),
    critical: () => critical,
    parts: () => parts,
    peaks: () => peaks,
    verify: async () => {
      const { edge, digest } = scene!;
      await checkDisk(await deliveredDisk(edge.stateDir, digest), task);
      await rm(network!.folder, { recursive: true });
    },
  };
}

/** Adds the edges; returns when each has what it is to have. */
async function furnish(
  network: VmdnNetwork,
  task: Task,
  surroundings: Surroundings,
): Promise<Scene> {
  const { hasMirror, hasNeighbour } = surroundings;
  const edge = await network.startEdge('edge', { hasMirror, hasBase: true });
  if (!hasNeighbour) return { edge, digest: '' };
  const neighbour = await network.startEdge('neighbour', { hasMirror: false, hasBase: false });
  const digest = await network.announce();
  const { teleport } = (await network.control('teleport', task.wanted.name, neighbour.region)) as {
    teleport: string;
  };
  // Its guest need not run; the disk stays.
  await network.control('cancel', teleport);
  return { edge, digest };
}

/** Asks for the VM, and waits until its disk is verified. */
async function ask(
  network: VmdnNetwork,
  edge: Edge,
  { wanted }: Task,
  { isCold }: Surroundings,
): Promise<Asked> {
  const cold = ['cold', network.vmsDir, JSON.stringify(wanted.source), wanted.name, edge.region];
  const args = isCold === true ? cold : ['teleport', wanted.name, edge.region];
  return (await network.control(...args)) as Asked;
}
