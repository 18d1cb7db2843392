/**
 * Room: edge. The edge's settings from the environment (process/settings.ts reads them).
 */

import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { type Name, parseName } from '@vmdn/core/domain/names.ts';
import type { EdgeNetworks } from '@vmdn/core/formats/guest-nics.ts';
import type { LibvirtNetwork } from '@vmdn/core/formats/libvirt-guest.ts';
import type { QemuNetwork } from '@vmdn/core/formats/qemu-command-line.ts';
import { cacheDir, runtimeDir, stateDir } from '@vmdn/core/process/paths.ts';
import {
  absolutePath,
  bytes,
  decimal,
  flag,
  integer,
  libvirtEnv,
  libvirtUri,
  listenAddress,
  ownLibvirt,
  parseSettings,
  pathList,
} from '@vmdn/core/process/settings.ts';
import { z } from 'zod';
import { BACKGROUND_CPU_SHARE, PACKAGES_QUOTA_BYTES, SHUTDOWN_SECONDS } from './limits.ts';
import { networkList, networksFor } from './network-settings.ts';

/** `machine`, `none`, or absolute paths separated by colons. */
function mirrorChoice() {
  return z.union([z.enum(['machine', 'none']), pathList().pipe(z.array(z.string()).min(1))]);
}

const nameSetting = () => z.string().transform((raw) => parseName(raw, 'name'));

const schema = z.object({
  /** Base URL of the coordinator. */
  VMDN_COORDINATOR_URL: z.url({ protocol: /^https?$/ }),
  VMDN_LISTEN: listenAddress().default({ host: '127.0.0.1', port: 0 }),
  /** Where other nodes reach this one; the listening address unless said. */
  VMDN_ADVERTISE_URL: z.url({ protocol: /^https?$/ }).optional(),
  VMDN_STATE_DIR: absolutePath().optional(),
  /** Sockets and pid files: short, and passable for guests' users. */
  VMDN_RUNTIME_DIR: absolutePath().optional(),
  VMDN_NAME: nameSetting(),
  VMDN_REGION: nameSetting().optional(),
  VMDN_LATITUDE: decimal({ min: -90, max: 90 }).optional(),
  VMDN_LONGITUDE: decimal({ min: -180, max: 180 }).optional(),
  VMDN_ENROLMENT_TOKEN: z.string().min(16).max(256).optional(),
  VMDN_IMPORT_DIRS: pathList().default([]),
  VMDN_STORE_QUOTA_BYTES: bytes().optional(),
  /** Processors and memory that guests may be promised, all together. */
  VMDN_VCPUS: integer({ min: 1, max: 65_536 }).optional(),
  VMDN_MEMORY_MIB: integer({ min: 64, max: 1_073_741_824 }).optional(),
  /** IPv4 address from which guest ports are forwarded. */
  VMDN_GUEST_BIND: z.ipv4().default('127.0.0.1'),
  /** How long a guest that is asked to shut down may take. */
  VMDN_SHUTDOWN_SECONDS: integer({ min: 1, max: 3600 }).default(SHUTDOWN_SECONDS),
  /** User id of every guest's process when the edge is root; one of its own for each VM unless said. */
  VMDN_GUEST_UID: integer({ min: 1, max: 2_147_483_647 }).optional(),
  /** What runs guests. */
  VMDN_HYPERVISOR: z.enum(['qemu', 'libvirt']).default('qemu'),
  /** Networks that guests may be on, by name. */
  VMDN_NETWORKS: networkList().default(new Map()),
  /** Which libvirt; root's and an ordinary user's own have different ones. */
  VMDN_LIBVIRT_URI: libvirtUri().optional(),
  HOME: z.string().optional(),
  XDG_RUNTIME_DIR: z.string().optional(),
  XDG_CONFIG_HOME: z.string().optional(),
  XDG_CACHE_HOME: z.string().optional(),
  VMDN_ACCELERATOR: z.enum(['auto', 'tcg', 'kvm']).default('auto'),
  VMDN_PROBE_KERNEL: absolutePath().optional(),
  VMDN_UPLINK_BYTES_PER_SECOND: bytes().optional(),
  /** Whether teleports may read from other edges; seeds always do. Off shows what an origin alone takes. */
  VMDN_TELEPORT_PEERS: flag().default(true),
  /** Where packages of described guests are fetched: this machine's apt sources, files of sources, none. */
  VMDN_MIRRORS: mirrorChoice().default('machine'),
  /** How much of the store package images may take. */
  VMDN_PACKAGES_QUOTA_BYTES: bytes().optional(),
  /** What background work may read, packages and recipes ahead of any request together. */
  VMDN_BACKGROUND_BYTES_PER_SECOND: bytes()
    .pipe(z.number().min(1, 'at least 1 byte; leave it away for no limit'))
    .optional(),
  /** Which share of the processors background work may take. */
  VMDN_BACKGROUND_CPU: decimal({ min: 0.01, max: 1 }).default(BACKGROUND_CPU_SHARE),
  http_proxy: z.string().max(2048).optional(),
  https_proxy: z.string().max(2048).optional(),
  no_proxy: z.string().max(65_536).optional(),
  /** Whether a disk may share storage with a local image that has most of it in place. */
  VMDN_SHARE_IN_PLACE: flag().default(true),
  VMDN_PLAINTEXT: z.enum(['allow', 'refuse']).default('refuse'),
});

/** Proxies as other programs take them from the environment; those of apt go before them. */
interface MirrorProxySettings {
  readonly http: string | undefined;
  readonly https: string | undefined;
  /** Hosts that are reached without one. */
  readonly byHost: ReadonlyMap<string, null>;
}

export interface EdgeSettings {
  readonly coordinatorUrl: string;
  readonly listen: { readonly host: string; readonly port: number };
  readonly advertiseUrl: string | undefined;
  readonly stateDir: string;
  readonly runtimeDir: string;
  /** Where the appliance that inspects unusual guests is kept once it is made. */
  readonly applianceDir: string;
  readonly name: Name;
  readonly region: Name | undefined;
  readonly location: { readonly latitude: number; readonly longitude: number } | undefined;
  readonly enrolmentToken: string | undefined;
  readonly importDirs: readonly string[];
  readonly storeQuotaBytes: number | null;
  readonly vcpus: number;
  readonly memoryMiB: number;
  readonly guestBind: string;
  readonly guestUid: number | null;
  readonly shutdownGraceMs: number;
  readonly hypervisor:
    | { readonly driver: 'qemu'; readonly networks: EdgeNetworks<QemuNetwork> }
    | {
        readonly driver: 'libvirt';
        readonly networks: EdgeNetworks<LibvirtNetwork>;
        readonly uri: string;
        /** What an ordinary user's libvirt is found by. */
        readonly env: Readonly<Record<string, string>>;
      };
  readonly accelerator: 'auto' | 'tcg' | 'kvm';
  /** Kernels to probe KVM with, the first that is there, before the machine's own. */
  readonly probeKernels: readonly string[];
  readonly uplinkBytesPerSecond: number | null;
  readonly usesPeers: boolean;
  readonly mirrors: 'machine' | 'none' | readonly string[];
  readonly mirrorProxies: MirrorProxySettings;
  readonly packagesQuotaBytes: number;
  readonly backgroundBytesPerSecond: number | null;
  readonly backgroundCpuShare: number;
  readonly sharesInPlace: boolean;
  readonly plaintextAllowed: boolean;
}

/** The names in no_proxy; a leading dot means the same as none. */
function hostsOf(noProxy: string | undefined): string[] {
  return (noProxy ?? '')
    .split(',')
    .map((host) => host.trim().replace(/^\./, ''))
    .filter((host) => host !== '');
}

function hypervisorOf(raw: z.infer<typeof schema>): EdgeSettings['hypervisor'] {
  const named = raw.VMDN_NETWORKS;
  if (raw.VMDN_HYPERVISOR === 'qemu') {
    return { driver: 'qemu', networks: networksFor(named, ['tap']) };
  }
  const networks = networksFor(named, ['bridge', 'network']);
  const uri = raw.VMDN_LIBVIRT_URI ?? ownLibvirt();
  return { driver: 'libvirt', uri, env: libvirtEnv(raw), networks };
}

/** Guests share processors (they mostly wait); memory they do not, and half is left to the machine. */
const VCPUS_PER_CORE = 4;
const MEMORY_SHARE = 0.5;
const MEBIBYTE = 1024 * 1024;

/** Reads the settings. Throws `invalid_input` with every problem. */
export function readSettings(env: Readonly<Record<string, string | undefined>>): EdgeSettings {
  const raw = parseSettings(schema, env);
  const { VMDN_LATITUDE: latitude, VMDN_LONGITUDE: longitude } = raw;
  if ((latitude === undefined) !== (longitude === undefined)) {
    throw new VmdnError('invalid_input', 'Set both VMDN_LATITUDE and VMDN_LONGITUDE, or neither.');
  }
  const cachedKernel = join(cacheDir(env), 'guests', 'probe', 'vmlinuz');
  return {
    coordinatorUrl: raw.VMDN_COORDINATOR_URL,
    listen: raw.VMDN_LISTEN,
    advertiseUrl: raw.VMDN_ADVERTISE_URL,
    stateDir: raw.VMDN_STATE_DIR ?? join(stateDir(env), 'edge'),
    runtimeDir: raw.VMDN_RUNTIME_DIR ?? runtimeDir(env),
    applianceDir: join(cacheDir(env), 'appliance'),
    name: raw.VMDN_NAME,
    region: raw.VMDN_REGION,
    location: latitude === undefined ? undefined : { latitude, longitude: longitude! },
    enrolmentToken: raw.VMDN_ENROLMENT_TOKEN,
    importDirs: raw.VMDN_IMPORT_DIRS,
    storeQuotaBytes: raw.VMDN_STORE_QUOTA_BYTES ?? null,
    vcpus: raw.VMDN_VCPUS ?? availableParallelism() * VCPUS_PER_CORE,
    memoryMiB: raw.VMDN_MEMORY_MIB ?? Math.floor((totalmem() / MEBIBYTE) * MEMORY_SHARE),
    guestBind: raw.VMDN_GUEST_BIND,
    guestUid: raw.VMDN_GUEST_UID ?? null,
    shutdownGraceMs: raw.VMDN_SHUTDOWN_SECONDS * 1000,
    hypervisor: hypervisorOf(raw),
    accelerator: raw.VMDN_ACCELERATOR,
    probeKernels: raw.VMDN_PROBE_KERNEL === undefined ? [cachedKernel] : [raw.VMDN_PROBE_KERNEL],
    uplinkBytesPerSecond: raw.VMDN_UPLINK_BYTES_PER_SECOND ?? null,
    usesPeers: raw.VMDN_TELEPORT_PEERS,
    mirrors: raw.VMDN_MIRRORS,
    mirrorProxies: {
      http: raw.http_proxy,
      https: raw.https_proxy,
      byHost: new Map(hostsOf(raw.no_proxy).map((host) => [host, null])),
    },
    packagesQuotaBytes: raw.VMDN_PACKAGES_QUOTA_BYTES ?? PACKAGES_QUOTA_BYTES,
    backgroundBytesPerSecond: raw.VMDN_BACKGROUND_BYTES_PER_SECOND ?? null,
    backgroundCpuShare: raw.VMDN_BACKGROUND_CPU,
    sharesInPlace: raw.VMDN_SHARE_IN_PLACE,
    plaintextAllowed: raw.VMDN_PLAINTEXT === 'allow',
  };
}
