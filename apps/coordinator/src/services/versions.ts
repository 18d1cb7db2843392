/**
 * Room: coordinator, services. Versions of VMs: what origins announce and users look at.
 *
 * I1: a description counts only with its origin's signature, under the name and version it speaks of.
 * I2: an older version than the one known is refused, and a known version never changes its content.
 * I3: a VM belongs to the node that announced it first: an origin, or the edge that captured it. The name of
 *     one that was forgotten goes to another node once none stands any more: edges ask by name.
 * I4: what is a function of a disk's bytes (sizes, the root of its keys) is said once: a description that
 *     says something else of a disk that another node holds or describes is refused.
 */

import type { Description, VersionState } from '@vmdn/core/domain/description.ts';
import type { Digest } from '@vmdn/core/domain/digest.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { FunctionalCost } from '@vmdn/core/domain/functional-estimate.ts';
import type { Id, Name } from '@vmdn/core/domain/names.ts';
import { wantedDisks } from '@vmdn/core/domain/skip-free.ts';
import type { DiskScore, DisputedDisk, ImageFacts, Tables, Vm } from '../ports.ts';
import type { ClientIdentity, Context, NodeIdentity } from './context.ts';
import { contentHash } from './secrets.ts';

interface VersionKey {
  readonly vm: Name;
  readonly version: number;
}

/** Takes an origin's signed description. Throws as `verifyDescription` and `takeVersion`. */
export async function announceVersion(
  context: Context,
  identity: NodeIdentity,
  key: VersionKey,
  announced: { readonly description: string; readonly state: VersionState },
) {
  const described = await verifyDescription(context, identity, key, announced.description);
  const isNew = await context.store.transaction((tables) =>
    takeVersion(tables, identity, described, announced.state),
  );
  if (isNew) context.events('version_announced', { ...key, origin: identity.node.name });
  return { accepted: true as const };
}

/** A description whose signature was verified. */
export interface SignedVersion {
  readonly description: Description;
  readonly text: string;
  readonly digest: Digest;
}

/** I1. Throws `forbidden`, `corrupt`, and `invalid_input` where it speaks of something else. */
export async function verifyDescription(
  { keys }: Pick<Context, 'keys'>,
  { node }: NodeIdentity,
  key: VersionKey,
  text: string,
): Promise<SignedVersion> {
  const description = await keys.verifyDescription(text, node.publicKey);
  if (description.vm !== key.vm || description.version !== key.version) {
    throw new VmdnError('invalid_input', 'The description speaks of another VM or version.', {
      data: { asked: key, described: { vm: description.vm, version: description.version } },
    });
  }
  return { description, text, digest: keys.descriptionDigestOf(text) };
}

/** Adds a version, or changes its state; true when it is new. Throws `conflict` (I2, I3, I4). */
export async function takeVersion(
  tables: Tables,
  { node, project }: NodeIdentity,
  { description, text, digest }: SignedVersion,
  state: VersionState,
): Promise<boolean> {
  const { vm: name, version, disks } = description;
  const vm = await tables.vms.lockOrAdd(project, name, node.id);
  requireOwner(vm, node.id);
  const hash = contentHash({ ...description, describedAt: '' });
  const isKnown = await isKnownVersion(tables, vm, version, hash);
  if (isKnown) {
    await changeState(tables, vm, version, state);
  } else {
    await requireFreeName(tables, project, name, node.id);
    await tables.vms.addVersion({
      ...{ vm: vm.id, version, state, description },
      ...{ signedDescription: text, descriptionDigest: digest, contentHash: hash },
    });
    const described = [...disks, ...wantedDisks(disks, true)].map(factsOf);
    requireUndisputed(name, await tables.images.putDescribed(project, node.id, described));
    await tables.vms.withdrawLiveBefore(vm.id, version);
  }
  await tables.notify(`edges:${project}`, 'jobs');
  return !isKnown;
}

function factsOf({ digest, keysRoot, virtualSizeBytes, nonZeroBytes }: ImageFacts): ImageFacts {
  return { digest, keysRoot, virtualSizeBytes, nonZeroBytes };
}

/** I4. */
function requireUndisputed(vm: Name, disputed: DisputedDisk | null): void {
  if (disputed === null) return;
  const { digest, nodes } = disputed;
  const message =
    `What the description of ${vm} says of its disk ${digest.slice(0, 12)} (size, non-zero bytes, keys) ` +
    `is not what is known of it from ${nodes.join(', ')}; one of them is wrong. Describe the VM again with ` +
    'the VMDN that the others have; if that says the same, they are wrong: remove the disk there.';
  throw new VmdnError('conflict', message, { data: { vm, digest, nodes } });
}

export function requireOwner(vm: Vm, node: string): void {
  if (vm.originId === node) return;
  throw new VmdnError('conflict', `Another node announces a VM "${vm.name}"; rename this one.`, {
    data: { vm: vm.name },
  });
}

/** I3, for a node that describes a VM of this name. Throws `conflict`. */
export async function requireFreeName(
  tables: Tables,
  project: Id,
  name: Name,
  node: Id,
): Promise<void> {
  const [standing] = await tables.vms.forgottenStanding(project, name, node);
  if (standing === undefined) return;
  const { teleport, edge } = standing;
  const words =
    `A VM "${name}" that was forgotten still stands on ${edge} as teleport ${teleport}: give another name, ` +
    'or cancel that first.';
  throw new VmdnError('conflict', words, { data: { vm: name, teleport, edge } });
}

async function isKnownVersion(
  tables: Tables,
  vm: Vm,
  version: number,
  hash: string,
): Promise<boolean> {
  const present = await tables.vms.version(vm.id, version);
  if (present?.contentHash === hash) return true;
  if (present !== undefined) {
    throw new VmdnError(
      'conflict',
      `Version ${version} of ${vm.name} is known with other content; announce a new version.`,
      { data: { vm: vm.name, version } },
    );
  }
  const newest = await tables.vms.newest(vm.id);
  if (newest === undefined || newest.version < version) return false;
  throw new VmdnError(
    'conflict',
    `Version ${version} of ${vm.name} is older than version ${newest.version}, which is known.`,
    { data: { vm: vm.name, version, known: newest.version } },
  );
}

/** An older version may stay pinned or go; it does not come back to life. */
async function changeState(
  tables: Tables,
  vm: Vm,
  version: number,
  state: VersionState,
): Promise<void> {
  const present = await tables.vms.version(vm.id, version);
  if (present === undefined || present.state === state) return;
  const newest = await tables.vms.newest(vm.id);
  const isOld = newest !== undefined && newest.version > version;
  if (isOld && (state === 'live' || present.state === 'withdrawn')) {
    throw new VmdnError(
      'conflict',
      `Version ${version} of ${vm.name} is ${present.state} and version ${newest.version} has replaced it.`,
      { data: { vm: vm.name, version, known: newest.version, state: present.state } },
    );
  }
  await tables.vms.setState(vm.id, version, state);
}

/** The description as its origin signed it. Throws `not_found`. */
export async function readDescription(
  context: Context,
  { project }: NodeIdentity,
  key: VersionKey,
) {
  return await context.store.read(async (tables) => {
    const description = await tables.vms.signedDescription(project, key.vm, key.version);
    if (description === undefined) throw unknownVersion(key);
    return { description };
  });
}

/** Says that a version is live, pinned or withdrawn. Throws `not_found`, `forbidden`, `conflict`. */
export async function setVersionState(
  context: Context,
  { node, project }: NodeIdentity,
  key: VersionKey,
  state: VersionState,
) {
  await context.store.transaction(async (tables) => {
    const vm = await tables.vms.find(project, key.vm);
    if (vm !== undefined && vm.originId !== node.id) {
      throw new VmdnError('forbidden', `The VM "${key.vm}" belongs to another origin.`);
    }
    if (vm !== undefined) await tables.vms.lock(vm.id);
    const present = vm && (await tables.vms.version(vm.id, key.version));
    if (vm === undefined || present === undefined) throw unknownVersion(key);
    await changeState(tables, vm, key.version, state);
    if (present.state !== state) await tables.notify(`edges:${project}`, 'jobs');
  });
  context.events('version_state', { ...key, state });
  return { accepted: true as const };
}

function unknownVersion(key: VersionKey): VmdnError {
  return new VmdnError('not_found', `There is no version ${key.version} of a VM "${key.vm}".`, {
    data: { ...key },
  });
}

/** Takes an edge's plan for a version. Throws `not_found`, `invalid_input`. */
export async function reportScores(
  context: Context,
  { node, project }: NodeIdentity,
  key: VersionKey,
  report: {
    readonly disks: readonly DiskScore[];
    readonly functional: FunctionalCost | null;
    readonly computedAt: string;
  },
) {
  await context.store.transaction(async (tables) => {
    const vm = await tables.vms.find(project, key.vm);
    const disks = vm === undefined ? [] : await tables.vms.disks(vm.id, key.version, false);
    if (vm === undefined || disks.length === 0) throw unknownVersion(key);
    const isOfVersion =
      disks.length === report.disks.length &&
      disks.every((disk, index) => disk.digest === report.disks[index]?.digest);
    if (!isOfVersion) {
      throw new VmdnError(
        'invalid_input',
        'The scores must name the disks of the version, in order.',
      );
    }
    await tables.vms.putScore({ ...key, vm: vm.id, edge: node.id, project, ...report });
  });
  return { accepted: true as const };
}

/** The VMs of a project, the newest version of each. */
export async function listVms(context: Context, { project }: ClientIdentity) {
  return await context.store.read((tables) => tables.vms.list(project));
}

/** The newest description of a VM, and the edges' scores for it. Throws `not_found`. */
export async function describeVm(context: Context, { project }: ClientIdentity, name: Name) {
  return await context.store.read(async (tables) => {
    const vm = await tables.vms.find(project, name);
    const newest = vm && (await tables.vms.newest(vm.id));
    if (vm === undefined || newest === undefined) throw await unknownVm(tables, project, name);
    const origin = await tables.nodes.find(vm.originId);
    const description: Description = await tables.vms.description(vm.id, newest.version);
    const scores = await tables.vms.scores(vm.id, newest.version);
    return {
      state: newest.state,
      origin: origin!.name,
      description,
      scores: scores.map((score) => ({
        edge: score.edge,
        disks: score.disks.map((disk) => disk.plan),
        functional: score.functional,
        computedAt: score.computedAt.toISOString(),
      })),
    };
  });
}

/** The error for a VM that nobody announced, with the names that exist. */
export async function unknownVm(
  tables: Tables,
  project: ClientIdentity['project'],
  name: Name,
): Promise<VmdnError> {
  const known = (await tables.vms.list(project)).map((vm) => vm.vm).slice(0, 10);
  const hint =
    known.length > 0 ? `Known are ${known.join(', ')}.` : 'No origin has announced any yet.';
  return new VmdnError('not_found', `There is no VM "${name}". ${hint}`, {
    data: { vm: name, known },
  });
}
