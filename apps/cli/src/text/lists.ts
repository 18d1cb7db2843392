/**
 * Room: text (pure). Lists of edges, images, VMs and regions, a description, and the cache's statistics.
 */

import { USER_NETWORK } from '@vmdn/core/domain/networks.ts';
import { TIERS, totalTierBytes } from '@vmdn/core/domain/tiers.ts';
import type {
  cacheStatistics,
  describeVm,
  listEdges,
  listImages,
  listRegions,
  listVms,
} from '@vmdn/core/http/contracts/coordinator-clients.ts';
import type { ReplyOf } from '@vmdn/core/http/contracts/operation.ts';
import { PROTOCOL_VERSION } from '@vmdn/core/http/contracts/schemas.ts';
import { consistencyLines } from './consistency.ts';
import {
  DASH,
  formatBytes,
  formatBytesOrDash,
  formatSeconds,
  formatTiers,
  formatTime,
} from './sizes.ts';
import { type Column, renderTable } from './table.ts';

type Node = ReplyOf<typeof listEdges>['nodes'][number];
type Image = ReplyOf<typeof listImages>['images'][number];
type Vm = ReplyOf<typeof listVms>['vms'][number];
type Region = ReplyOf<typeof listRegions>['regions'][number];
type VmDescription = ReplyOf<typeof describeVm>;
type Statistics = ReplyOf<typeof cacheStatistics>;

/** Digits of a digest that tell images apart for people. */
const DIGEST_DIGITS = 12;

function right(...titles: readonly string[]): Column[] {
  return titles.map((title) => ({ title, align: 'right' }));
}

function left(...titles: readonly string[]): Column[] {
  return titles.map((title) => ({ title }));
}

export function edgeTable(nodes: readonly Node[]): string {
  const columns = [
    ...left('name', 'kind', 'region', 'health'),
    ...right(
      'free in store',
      'free memory',
      'images',
      'running VMs',
      'uplink sent',
      'uplink limit',
    ),
    ...left('accelerator', 'networks'),
  ];
  const rows = nodes.map((node) => [
    node.name,
    node.kind,
    node.region ?? DASH,
    node.healthy ? 'healthy' : `not seen since ${formatTime(node.lastSeenAt)}`,
    formatBytesOrDash(node.freeStoreBytes),
    node.freeMemoryMiB === null ? DASH : `${node.freeMemoryMiB} MiB`,
    String(node.images),
    String(node.runningVms),
    formatBytesOrDash(node.uplinkBytes),
    node.uplinkLimitBytesPerSecond === null
      ? DASH
      : `${formatBytes(node.uplinkLimitBytesPerSecond)}/s`,
    node.accelerator ?? DASH,
    node.networks.join(' ') || DASH,
  ]);
  const none = 'No node is enrolled yet: vmdn enrolment-token --kind edge';
  return [renderTable(columns, rows, none), ...nodes.flatMap(faultLines)].join('\n');
}

/** What an edge found wrong with others, a line for each of them, and what was found wrong with it. */
function faultLines({ name, holderFaults, refusedReceipts, protocol }: Node): string[] {
  const other =
    protocol === PROTOCOL_VERSION
      ? []
      : [
          `${name} speaks protocol ${protocol}, not ${PROTOCOL_VERSION}: install the same VMDN everywhere`,
        ];
  const holders = [...new Set(holderFaults.map(({ holder }) => holder))];
  const refused =
    refusedReceipts === 0 ? [] : [`${name} sent ${refusedReceipts} receipts that were refused`];
  const faults = holders.map((holder) => {
    const mine = holderFaults.filter((fault) => fault.holder === holder);
    const words = mine.map(({ code, count }) => `${code} ${count}`).join(', ');
    return `${name} had trouble with ${holder}: ${words}`;
  });
  return [...other, ...faults, ...refused];
}

export function imageTable(images: readonly Image[]): string {
  const columns = [
    ...left('image', 'digest', 'kind'),
    ...right('virtual', 'non-zero'),
    ...left('held by (allocated)'),
  ];
  const rows = images.map((image) => [
    image.name ?? DASH,
    image.digest.slice(0, DIGEST_DIGITS),
    image.kind,
    formatBytes(image.virtualSizeBytes),
    formatBytes(image.nonZeroBytes),
    image.holders
      .map(({ node, allocatedBytes }) => `${node} (${formatBytes(allocatedBytes)})`)
      .join(', '),
  ]);
  return renderTable(
    columns,
    rows,
    'No edge holds an image yet: vmdn image import FILE --edge E --name N --format F',
  );
}

/** How the newest version of a VM stands. */
function versionWords({ state, consistency, movedBy }: Vm): string {
  const ran = consistency === 'off' ? [] : [`ran (${consistency})`];
  return [state, ...ran, ...(movedBy === null ? [] : ['moved'])].join(', ');
}

export function vmTable(vms: readonly Vm[]): string {
  const columns = [
    ...left('VM'),
    ...right('version'),
    ...left('state', 'origin', 'system'),
    ...right('packages', 'virtual', 'non-zero'),
    ...left('described (UTC)'),
  ];
  const rows = vms.map((vm) => [
    vm.vm,
    String(vm.version),
    versionWords(vm),
    vm.origin,
    vm.os ?? 'not recognised',
    String(vm.packages),
    formatBytes(vm.virtualSizeBytes),
    formatBytes(vm.nonZeroBytes),
    formatTime(vm.describedAt),
  ]);
  return renderTable(columns, rows, 'No origin has described a VM yet.');
}

export function regionTable(regions: readonly Region[], text: string): string {
  const wanted = text.toLowerCase();
  const rows = regions
    .filter(({ region, title }) => `${region} ${title}`.toLowerCase().includes(wanted))
    .map(({ region, title, kind, latitude, longitude }) => [
      region,
      title,
      kind,
      latitude.toFixed(2),
      longitude.toFixed(2),
    ]);
  const columns = [...left('place', 'title', 'kind'), ...right('latitude', 'longitude')];
  return renderTable(columns, rows, `No place is called "${text}".`);
}

/** What an origin finds in a guest beyond its packages and services; nothing of what it did not look for. */
function guestLines({ databases, mounts, boots }: VmDescription['description']): string[] {
  const lines: string[] = [];
  for (const { engine, version, dataDirectory } of databases ?? []) {
    lines.push(
      `database:  ${engine} ${version ?? '(version unknown)'}, ${dataDirectory ?? 'no data found'}`,
    );
  }
  for (const { source, target, type } of mounts ?? []) {
    lines.push(`mount:     ${target} ${type} ${source}`);
  }
  if (boots !== undefined) lines.push(`boots by:  ${boots.join(' or ') || 'nothing on its disks'}`);
  return lines;
}

/** Its network cards in their order. */
function cardWords({ interfaces }: VmDescription['description']['hardware']): string {
  if (interfaces === undefined) return USER_NETWORK;
  return interfaces.map(({ network, mac }) => [network, mac].filter(Boolean).join(' ')).join(', ');
}

export function descriptionLines(reply: VmDescription, withPackages: boolean): string[] {
  const { description, origin, state, scores } = reply;
  const { os, hardware, disks, packages, services } = description;
  const lines = [
    `${description.vm} version ${description.version}, ${state}`,
    `described: by ${origin}, ${formatTime(description.describedAt)} UTC`,
    ...consistencyLines(description.consistency ?? 'off').map((line) => `           ${line}`),
    `system:    ${os === null ? 'not recognised' : `${os.prettyName} (${os.architecture})`}`,
    `hardware:  ${hardware.vcpus} CPUs, ${hardware.memoryMiB} MiB memory, ${hardware.firmware} firmware`,
    `ports:     ${hardware.ports.map(({ name, guest }) => `${name} ${guest}`).join(', ') || 'none'}`,
    `networks:  ${cardWords(hardware)}`,
    `packages:  ${packages.length}`,
    `services:  ${services.join(', ') || 'none'}`,
    ...guestLines(description),
  ];
  for (const disk of disks) {
    const sizes = `${formatBytes(disk.virtualSizeBytes)} virtual, ${formatBytes(disk.nonZeroBytes)} non-zero`;
    lines.push(
      `disk:      ${sizes}, recipe ${formatBytes(disk.recipeBytes)}`,
      `           ${disk.digest}`,
    );
  }
  const rows = scores.flatMap(({ edge, disks: plans }) =>
    plans.map((plan) => [
      edge,
      formatTiers(plan.diskBytes),
      formatBytesOrDash(plan.wireBytes),
      formatSeconds(plan.estimatedSeconds),
      formatBytesOrDash(plan.copy.wireBytes),
      formatSeconds(plan.copy.estimatedSeconds),
    ]),
  );
  const columns = [
    ...left('edge', 'of the virtual disk'),
    ...right('over the wire', 'estimated', 'a plain copy', 'estimated'),
  ];
  lines.push('', renderTable(columns, rows, 'No edge has planned this version yet.'));
  if (withPackages) lines.push('', ...packages.map(({ name, version }) => `${name} ${version}`));
  return lines;
}

/** What crossed before anybody asked; nothing when nothing did. */
function aheadLines({ total, byEdge }: Statistics['ahead']): string[] {
  const crossed = [total.recipes, total.packages, total.seeds].map(totalTierBytes);
  if (crossed.every((bytes) => bytes === 0)) return [];
  const columns = [
    ...left('ahead of time, transferred'),
    ...right('recipes from origins', 'from peers', 'packages from mirrors'),
    ...right('seeds from origins', 'from peers'),
  ];
  const row = (title: string, { recipes, packages, seeds }: typeof total): string[] => [
    title,
    ...[recipes.origin, recipes.peer, packages.package].map(formatBytesOrDash),
    ...[seeds.origin, seeds.peer].map(formatBytesOrDash),
  ];
  const rows = byEdge.map((each) => row(`edge ${each.edge}`, each));
  return [
    renderTable(columns, [row('in total', total), ...rows], ''),
    'In none of the numbers above: recipes read for planning, packages brought, and seeds.',
    '',
  ];
}

/** One table: in total, by edge, by VM; another one of what crossed ahead of time. */
export function statisticsLines(statistics: Statistics): string[] {
  const columns = [
    ...left(''),
    ...right('hit', 'partial', 'miss', ...TIERS.map((tier) => `${tier} (disk)`), 'transferred'),
  ];
  const row = (
    title: string,
    { requests, diskBytes, wireBytes }: Statistics['total'],
  ): string[] => [
    title,
    String(requests.hit),
    String(requests.partial),
    String(requests.miss),
    ...TIERS.map((tier) => formatBytesOrDash(diskBytes[tier])),
    formatBytesOrDash(totalTierBytes(wireBytes)),
  ];
  const rows = [
    row('in total', statistics.total),
    ...statistics.byEdge.map((each) => row(`edge ${each.edge}`, each)),
    ...statistics.byVm.map((each) => row(`VM ${each.vm}`, each)),
  ];
  return [
    renderTable(columns, rows, ''),
    '',
    ...aheadLines(statistics.ahead),
    'hit: no block came from the origin; miss: none came from anywhere else; partial: the rest.',
  ];
}
