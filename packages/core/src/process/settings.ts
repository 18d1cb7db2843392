/**
 * Room: process. Settings from the environment: parsed once, all problems reported at once, frozen.
 *
 * I1: a setting that is wrong stops the process before anything else happens; nothing wrong is
 *     silently replaced by a default.
 */

import { z } from 'zod';
import { VmdnError } from '../domain/errors.ts';

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  t: 1e12,
  ki: 1024,
  mi: 1024 ** 2,
  gi: 1024 ** 3,
  ti: 1024 ** 4,
};

/** A number of bytes: `10000000`, `10M` (10^6), `4GiB` (4 × 2^30). */
export function bytes() {
  return z.string().transform((raw, context) => {
    const match = /^(\d+(?:\.\d+)?)\s*([kmgt]?i?)b?$/i.exec(raw.trim());
    const unit = match === null ? undefined : UNITS[match[2]!.toLowerCase()];
    const value = unit === undefined ? Number.NaN : Number(match![1]) * unit;
    if (Number.isFinite(value) && value <= Number.MAX_SAFE_INTEGER) return Math.round(value);
    context.addIssue({ code: 'custom', message: 'a number of bytes such as 10M or 4GiB' });
    return z.NEVER;
  });
}

/** `host:port`; port 0 takes a free one. IPv6 in brackets. */
export function listenAddress() {
  return z.string().transform((raw, context) => {
    const match = /^(\[[0-9a-f:.]+\]|[A-Za-z0-9.-]+):(\d{1,5})$/i.exec(raw);
    const port = match === null ? Number.NaN : Number(match[2]);
    if (match !== null && port <= 65_535) {
      return { host: match[1]!.replace(/^\[|\]$/g, ''), port };
    }
    context.addIssue({ code: 'custom', message: 'host:port, such as 127.0.0.1:7070' });
    return z.NEVER;
  });
}

/** Where a libvirt on this machine is: its QEMU driver, by the usual socket or one that is named. */
export function libvirtUri() {
  return z
    .string()
    .regex(
      /^qemu(\+unix)?:\/\/\/(system|session)(\?socket=\/[\w./+-]+)?$/,
      'qemu:///system or qemu:///session, of this machine',
    );
}

/** The libvirt of the user that this process runs as. */
export function ownLibvirt(): string {
  return process.getuid?.() === 0 ? 'qemu:///system' : 'qemu:///session';
}

const LIBVIRT_VARIABLES = ['HOME', 'XDG_RUNTIME_DIR', 'XDG_CONFIG_HOME', 'XDG_CACHE_HOME'] as const;

/** Those variables by which an ordinary user's libvirt is found and started. */
export function libvirtEnv(
  raw: Readonly<Partial<Record<(typeof LIBVIRT_VARIABLES)[number], string | undefined>>>,
): Readonly<Record<string, string>> {
  const known = LIBVIRT_VARIABLES.map((name) => [name, raw[name]] as const);
  return Object.fromEntries(
    known.filter((one): one is [(typeof one)[0], string] => one[1] !== undefined),
  );
}

/** A whole number within bounds. */
export function integer(bounds: { readonly min: number; readonly max: number }) {
  return z
    .string()
    .regex(/^-?\d+$/, 'a whole number')
    .transform(Number)
    .pipe(z.number().int().min(bounds.min).max(bounds.max));
}

/** A decimal number within bounds. */
export function decimal(bounds: { readonly min: number; readonly max: number }) {
  return z
    .string()
    .regex(/^-?\d+(\.\d+)?$/, 'a number')
    .transform(Number)
    .pipe(z.number().min(bounds.min).max(bounds.max));
}

/** `1`, `true`, `yes`, `on` or `0`, `false`, `no`, `off`. */
export function flag() {
  return z
    .string()
    .toLowerCase()
    .pipe(z.enum(['1', 'true', 'yes', 'on', '0', 'false', 'no', 'off']))
    .transform((raw) => ['1', 'true', 'yes', 'on'].includes(raw));
}

/** An absolute path. */
export function absolutePath() {
  return z.string().startsWith('/', 'an absolute path');
}

/** Absolute paths, separated by colons. */
export function pathList() {
  return z
    .string()
    .transform((raw) => raw.split(':').filter((part) => part !== ''))
    .pipe(z.array(absolutePath()).max(64));
}

/**
 * Reads settings by a schema; an empty variable counts as not set. Throws `invalid_input` with
 * every problem at once.
 */
export function parseSettings<Schema extends z.ZodObject>(
  schema: Schema,
  env: Readonly<Record<string, string | undefined>>,
): Readonly<z.infer<Schema>> {
  const given: Record<string, string> = {};
  for (const name of Object.keys(schema.shape)) {
    const value = env[name];
    if (value !== undefined && value !== '') given[name] = value;
  }
  const parsed = schema.safeParse(given);
  if (parsed.success) return Object.freeze(parsed.data);
  const problems = parsed.error.issues.map((issue) => {
    const name = issue.path.join('.');
    return given[name] === undefined ? `${name} must be set` : `${name}: ${issue.message}`;
  });
  throw new VmdnError('invalid_input', `These settings are wrong: ${problems.join('; ')}.`, {
    data: { problems },
  });
}
