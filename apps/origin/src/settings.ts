/**
 * Room: origin. The settings, from the environment.
 */

import { createHash } from 'node:crypto';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { type Name, parseName } from '@vmdn/core/domain/names.ts';
import { PIN_POLICIES, type PinPolicy } from '@vmdn/core/domain/version-policy.ts';
import { name } from '@vmdn/core/http/contracts/schemas.ts';
import { cacheDir, runtimeDir, stateDir } from '@vmdn/core/process/paths.ts';
import {
  absolutePath,
  bytes,
  decimal,
  libvirtEnv,
  libvirtUri,
  listenAddress,
  parseSettings,
  pathList,
} from '@vmdn/core/process/settings.ts';
import { z } from 'zod';

const schema = z.object({
  VMDN_COORDINATOR_URL: z.url({ protocol: /^https?$/ }).default('http://127.0.0.1:7070'),
  VMDN_LISTEN: listenAddress().default({ host: '127.0.0.1', port: 7072 }),
  /** Where edges reach this origin, if not where it listens. */
  VMDN_ADVERTISE_URL: z.url({ protocol: /^https?$/ }).optional(),
  VMDN_STATE_DIR: absolutePath().optional(),
  /** This origin's name; the machine's own without it. */
  VMDN_NAME: name.optional(),
  VMDN_REGION: name.optional(),
  VMDN_LATITUDE: decimal({ min: -90, max: 90 }).optional(),
  VMDN_LONGITUDE: decimal({ min: -180, max: 180 }).optional(),
  /** The folder with `NAME.vm.json` files and disks. */
  VMDN_VMS_DIR: absolutePath(),
  /** A libvirt whose domains are offered too, and the folders that their disks may lie in. */
  VMDN_LIBVIRT_URI: libvirtUri().optional(),
  VMDN_LIBVIRT_STORAGE: pathList().default([]),
  /** Whether domains that run are described too, by overlays on their disks, and how often. */
  VMDN_RUNNING_SOURCES: z.enum(['off', 'snapshot']).default('off'),
  VMDN_RUNNING_EVERY: decimal({ min: 0, max: 31_536_000 }).default(3600),
  HOME: z.string().optional(),
  XDG_RUNTIME_DIR: z.string().optional(),
  XDG_CONFIG_HOME: z.string().optional(),
  XDG_CACHE_HOME: z.string().optional(),
  VMDN_UPLINK_BYTES_PER_SECOND: bytes().optional(),
  VMDN_PIN: z.enum(PIN_POLICIES).default('never'),
  VMDN_ENROLMENT_TOKEN: z.string().min(16).max(256).optional(),
  VMDN_TLS_CERTIFICATE: absolutePath().optional(),
  VMDN_TLS_KEY: absolutePath().optional(),
  /** `allow` on a private network, or behind a proxy that ends TLS. */
  VMDN_PLAINTEXT: z.enum(['allow', 'refuse']).default('refuse'),
});

export interface OriginSettings {
  readonly coordinatorUrl: string;
  readonly listen: { readonly host: string; readonly port: number };
  readonly advertiseUrl: string | undefined;
  /** Absolute. */
  readonly stateDir: string;
  /** Absolute and short: sockets lie there. */
  readonly runtimeDir: string;
  readonly name: Name;
  readonly region: Name | undefined;
  readonly location: { readonly latitude: number; readonly longitude: number } | undefined;
  readonly vmsDir: string;
  readonly libvirt:
    | {
        readonly uri: string;
        /** What an ordinary user's libvirt is found by. */
        readonly env: Readonly<Record<string, string>>;
        /** Absolute. */
        readonly roots: readonly string[];
      }
    | undefined;
  /** Null: VMs that run are left alone; else how often they are described, null: only when asked for. */
  readonly running: { readonly everyMs: number | null } | null;
  /** Where the appliance that inspects unusual guests is kept once it is made. */
  readonly applianceDir: string;
  /** Null: no limit. */
  readonly uplinkBytesPerSecond: number | null;
  readonly pin: PinPolicy;
  readonly enrolmentToken: string | undefined;
  readonly tlsFiles: { readonly certificate: string; readonly key: string } | undefined;
  readonly plaintextAllowed: boolean;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Reads the settings. Throws `invalid_input` with all problems. */
export function readSettings(env: Environment): OriginSettings {
  const given = parseSettings(schema.superRefine(requirePairs) as unknown as typeof schema, env);
  const { VMDN_LATITUDE: latitude, VMDN_LONGITUDE: longitude } = given;
  const { VMDN_TLS_CERTIFICATE: certificate, VMDN_TLS_KEY: key } = given;
  return Object.freeze({
    coordinatorUrl: given.VMDN_COORDINATOR_URL.replace(/\/+$/, ''),
    listen: given.VMDN_LISTEN,
    advertiseUrl: given.VMDN_ADVERTISE_URL?.replace(/\/+$/, ''),
    stateDir: stateDirOf(env),
    runtimeDir: runtimeDirOf(env),
    name: given.VMDN_NAME ?? parseName(hostname().split('.')[0], "machine's host name"),
    region: given.VMDN_REGION,
    location:
      latitude === undefined || longitude === undefined ? undefined : { latitude, longitude },
    vmsDir: given.VMDN_VMS_DIR,
    libvirt:
      given.VMDN_LIBVIRT_URI === undefined
        ? undefined
        : {
            uri: given.VMDN_LIBVIRT_URI,
            env: libvirtEnv(given),
            roots: given.VMDN_LIBVIRT_STORAGE,
          },
    running:
      given.VMDN_RUNNING_SOURCES === 'off'
        ? null
        : { everyMs: given.VMDN_RUNNING_EVERY === 0 ? null : given.VMDN_RUNNING_EVERY * 1000 },
    applianceDir: join(cacheDir(env), 'appliance'),
    uplinkBytesPerSecond: given.VMDN_UPLINK_BYTES_PER_SECOND ?? null,
    pin: given.VMDN_PIN,
    enrolmentToken: given.VMDN_ENROLMENT_TOKEN,
    tlsFiles: certificate === undefined || key === undefined ? undefined : { certificate, key },
    plaintextAllowed: given.VMDN_PLAINTEXT === 'allow',
  });
}

function stateDirOf(env: Environment): string {
  return env.VMDN_STATE_DIR || join(stateDir(env), 'origin');
}

/** Sockets of this origin: found again by whoever has the same environment, apart from other origins'. */
export function runtimeDirOf(env: Environment): string {
  const tag = createHash('sha256').update(stateDirOf(env)).digest('hex').slice(0, 12);
  return join(runtimeDir(env), `origin-${tag}`);
}

function requirePairs(given: Readonly<Record<string, unknown>>, context: z.RefinementCtx): void {
  const pairs = [
    ['VMDN_TLS_CERTIFICATE', 'VMDN_TLS_KEY'],
    ['VMDN_LATITUDE', 'VMDN_LONGITUDE'],
  ] as const;
  for (const [one, other] of pairs) {
    if ((given[one] === undefined) === (given[other] === undefined)) continue;
    const missing = given[one] === undefined ? one : other;
    context.addIssue({ code: 'custom', path: [missing], message: 'goes with its counterpart' });
  }
  const roots = given.VMDN_LIBVIRT_STORAGE as readonly string[];
  if (given.VMDN_LIBVIRT_URI !== undefined && roots.length === 0) {
    const message = 'set it to the folders that disks of domains may lie in';
    context.addIssue({ code: 'custom', path: ['VMDN_LIBVIRT_STORAGE'], message });
  }
  if (given.VMDN_RUNNING_SOURCES !== 'off' && given.VMDN_LIBVIRT_URI === undefined) {
    const message = 'is for domains of a libvirt: set it to where that is';
    context.addIssue({ code: 'custom', path: ['VMDN_LIBVIRT_URI'], message });
  }
}
