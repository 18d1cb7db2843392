/**
 * Room: coordinator, config. The settings, from the environment.
 */

import { join } from 'node:path';
import { GRANT_SECONDS } from '@vmdn/core/http/auth/grant.ts';
import { stateDir } from '@vmdn/core/process/paths.ts';
import {
  absolutePath,
  flag,
  integer,
  listenAddress,
  parseSettings,
} from '@vmdn/core/process/settings.ts';
import { z } from 'zod';

const schema = z.object({
  /** PostgreSQL; without it an embedded one runs in the state directory. */
  DATABASE_URL: z
    .string()
    .startsWith('postgres', 'postgres://user:password@host/database')
    .optional(),
  VMDN_LISTEN: listenAddress().default({ host: '127.0.0.1', port: 7070 }),
  /** Where clients and nodes reach this coordinator, if not where it listens (a proxy). */
  VMDN_PUBLIC_URL: z.url({ protocol: /^https?$/ }).optional(),
  VMDN_STATE_DIR: absolutePath().optional(),
  VMDN_TLS_CERTIFICATE: absolutePath().optional(),
  VMDN_TLS_KEY: absolutePath().optional(),
  /** `allow` on a private network, or behind a proxy that ends TLS. */
  VMDN_PLAINTEXT: z.enum(['allow', 'refuse']).default('refuse'),
  VMDN_HEARTBEAT_SECONDS: integer({ min: 1, max: 60 }).default(5),
  /** How long an edge that is not heard of keeps its teleports. */
  VMDN_LEASE_SECONDS: integer({ min: 2, max: 3600 }).default(30),
  /** How long a grant opens disks at most; edges renew theirs at half-life. */
  VMDN_GRANT_SECONDS: integer({ min: 4, max: GRANT_SECONDS }).default(GRANT_SECONDS),
  /** Off: this coordinator only answers, others look after leases and withdrawn versions. */
  VMDN_RECONCILE: flag().default(true),
});

export interface CoordinatorSettings {
  readonly databaseUrl: string | undefined;
  readonly listen: { readonly host: string; readonly port: number };
  readonly publicUrl: string | undefined;
  /** Absolute. Holds the first client token and, without `databaseUrl`, the database. */
  readonly stateDir: string;
  readonly tlsFiles: { readonly certificate: string; readonly key: string } | undefined;
  readonly plaintextAllowed: boolean;
  readonly heartbeatSeconds: number;
  readonly leaseSeconds: number;
  readonly grantSeconds: number;
  readonly reconcile: boolean;
}

/** Reads the settings. Throws `invalid_input` with all problems. */
export function readSettings(
  env: Readonly<Record<string, string | undefined>>,
): CoordinatorSettings {
  const given = parseSettings(schema.superRefine(requirePairs) as typeof schema, env);
  const { VMDN_TLS_CERTIFICATE: certificate, VMDN_TLS_KEY: key } = given;
  return Object.freeze({
    databaseUrl: given.DATABASE_URL,
    listen: given.VMDN_LISTEN,
    publicUrl: given.VMDN_PUBLIC_URL?.replace(/\/+$/, ''),
    stateDir: given.VMDN_STATE_DIR ?? join(stateDir(env), 'coordinator'),
    tlsFiles: certificate === undefined || key === undefined ? undefined : { certificate, key },
    plaintextAllowed: given.VMDN_PLAINTEXT === 'allow',
    heartbeatSeconds: given.VMDN_HEARTBEAT_SECONDS,
    leaseSeconds: given.VMDN_LEASE_SECONDS,
    grantSeconds: given.VMDN_GRANT_SECONDS,
    reconcile: given.VMDN_RECONCILE,
  });
}

function requirePairs(
  given: { VMDN_TLS_CERTIFICATE?: string | undefined; VMDN_TLS_KEY?: string | undefined },
  context: z.RefinementCtx,
): void {
  const hasOne = (given.VMDN_TLS_CERTIFICATE === undefined) !== (given.VMDN_TLS_KEY === undefined);
  if (!hasOne) return;
  const missing = given.VMDN_TLS_KEY === undefined ? 'VMDN_TLS_KEY' : 'VMDN_TLS_CERTIFICATE';
  context.addIssue({ code: 'custom', path: [missing], message: 'goes with its counterpart' });
}
