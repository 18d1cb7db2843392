/**
 * Room: test, bench. VMDN itself: coordinator, origin and edge as the processes they are. Everything counts,
 * from the moment before the origin is given the VM until its disk is verified on the edge: description,
 * recipe, blocks, grants, heartbeats, polls.
 *
 * I1: a functional copy counts only when its guest booted and answered; that is after its time.
 */

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { FunctionalCopy } from '@vmdn/core/domain/functional.ts';
import type { Teleport } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import { prepareAppliance } from '@vmdn/core/io/appliance/appliance.ts';
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
  /** Asked for as a functional copy. */
  readonly isFunctional?: boolean;
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
export const vmdnFunctional: Method = {
  key: 'vmdnFunctional',
  words: 'SMART-MIGRATE as published',
  async prepare(task) {
    const { runner, cacheDir } = task.options;
    // It is made once on a machine, not for each teleport; edges on this machine look for it there.
    await prepareAppliance(runner, join(cacheDir, 'appliance'));
    return [prepare(task, { hasMirror: true, hasNeighbour: false, isFunctional: true })];
  },
};
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
  readonly teleport: string;
  readonly description?: { readonly disks: readonly { readonly digest: string }[] };
}

function prepare(task: Task, surroundings: Surroundings): Transfer {
  let network: VmdnNetwork | undefined;
  let scene: Scene | undefined;
  let parts: Parts = {};
  let peaks: Peaks = {};
  let copy: FunctionalCopy | undefined;
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
      const beforeBytes = atPlan.totalBytes - atStart.totalBytes;
      critical = { startMs, endMs, bytes: atEnd.totalBytes - atPlan.totalBytes, beforeBytes };
      if (surroundings.isFunctional === true) {
        copy = await untilAnswers(network!, task, asked.teleport);
        critical = { ...critical, applianceSeconds: copy.seconds.appliance };
      }
      parts = {
        'before the request: description, recipe, polls': beforeBytes,
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
      if (copy === undefined) await checkDisk(await deliveredDisk(edge.stateDir, digest), task);
      else requireAnswer(copy, task);
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
  { isCold, isFunctional }: Surroundings,
): Promise<Asked> {
  const cold = ['cold', network.vmsDir, JSON.stringify(wanted.source), wanted.name, edge.region];
  const how = isFunctional === true ? 'functional' : 'exact';
  const args = isCold === true ? cold : ['teleport', wanted.name, edge.region, how];
  return (await network.control(...args)) as Asked;
}

/** Waits until the guest of a functional copy answers; how that was made. */
async function untilAnswers(
  network: VmdnNetwork,
  { wanted, options }: Task,
  teleport: string,
): Promise<FunctionalCopy> {
  options.progress(`${wanted.name}: the copy is there; waiting until its guest answers`);
  const running = (await network.control('running', teleport)) as Teleport;
  await network.control('cancel', teleport);
  if (running.functional !== null) return running.functional;
  throw new VmdnError('corrupt', `${wanted.name} runs, and not from a functional copy.`);
}

/** I1. */
function requireAnswer({ checkedBy }: FunctionalCopy, { wanted }: Task): void {
  if (checkedBy.length > 1) return;
  throw new VmdnError('corrupt', `Nobody asked the copy of ${wanted.name} for anything.`);
}
