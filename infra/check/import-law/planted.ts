/**
 * Room: infra, check. Planted violations: a small house in which every rule of the import law is
 * broken exactly where it says. A checker that finds nothing there checks nothing.
 *
 * I1: every rule has at least one entry; the check fails when a rule misses its own.
 * I2: the lawful files are as important: a rule that reports them is too strict.
 */

/** A file that breaks a rule (or none), and its source. */
export interface PlantedFile {
  readonly path: string;
  readonly source: string;
  /** Null for a file that every rule must let pass. */
  readonly breaks: string | null;
}

const core = (path: string): string => `packages/core/src/${path}`;

function planted(breaks: string | null, path: string, source: string): PlantedFile {
  return { breaks, path, source: `${source}\nexport const here = 1;\n` };
}

export const PLANTED: readonly PlantedFile[] = [
  planted('domain-imports-nothing', core('domain/bad-io.ts'), "import '../io/lawful.ts';"),
  planted('domain-imports-nothing', core('domain/bad-node.ts'), "import 'node:crypto';"),
  planted('domain-imports-nothing', core('domain/bad-npm.ts'), "import 'zod';"),
  planted(
    'domain-imports-nothing',
    core('domain/bad-type.ts'),
    "import type { here as x } from '../formats/lawful.ts';\nexport type X = typeof x;",
  ),
  planted('formats-import-domain', core('formats/bad-fs.ts'), "import 'node:fs';"),
  planted('formats-import-domain', core('formats/bad-npm.ts'), "import 'zod';"),
  planted('io-below-http', core('io/bad.ts'), "import '../http/lawful.ts';"),
  planted('http-knows-ports-only', core('http/bad.ts'), "import '../io/lawful.ts';"),
  planted('process-below-everything', core('process/bad.ts'), "import '../io/lawful.ts';"),
  planted(
    'ports-are-types',
    core('http/bad-port.ts'),
    "import { here as x } from '../io/ports/port.ts';\nx;",
  ),
  planted(
    'core-stands-alone',
    core('io/bad-app.ts'),
    "import '../../../../apps/edge/src/lawful.ts';",
  ),
  planted(
    'no-app-imports-an-app',
    'apps/edge/src/bad-app.ts',
    "import '../../origin/src/lawful.ts';",
  ),
  planted(
    'apps-stand-without-infra',
    'apps/edge/src/bad-infra.ts',
    "import '../../../infra/lawful.ts';",
  ),
  planted('laboratory-runs-processes', 'infra/bad-app.ts', "import '../apps/edge/src/lawful.ts';"),
  planted('infra-without-tests', 'infra/bad-test.ts', "import '../test/lawful.ts';"),
  planted('routes-import-services', 'apps/edge/src/routes/bad.ts', "import '../store/lawful.ts';"),
  planted('services-import-ports', 'apps/edge/src/services/bad.ts', "import '../store/lawful.ts';"),
  planted(
    'services-import-ports',
    'apps/edge/src/services/bad-adapter.ts',
    "import '../../../../packages/core/src/io/lawful.ts';",
  ),
  planted('database-in-the-store', 'apps/coordinator/src/services/bad-sql.ts', "import 'kysely';"),
  planted('drivers-below-the-store', 'apps/coordinator/src/routes/bad-pool.ts', "import 'pg';"),
  planted('processes-in-io-command', core('io/bad-execa.ts'), "import 'execa';"),
  planted('processes-in-io-command', 'apps/edge/src/bad-spawn.ts', "import 'node:child_process';"),
  planted('world-in-io', 'apps/edge/src/bad-fs.ts', "import 'node:fs/promises';"),
  planted('world-in-io', core('http/bad-net.ts'), "import 'node:net';"),
  planted('no-circles', core('io/circle-a.ts'), "import './circle-b.ts';"),
  // The other half of the circle: it is reported once, where it was met first.
  planted(null, core('io/circle-b.ts'), "import './circle-a.ts';"),
  planted('imports-exist', core('io/bad-missing.ts'), "import './nowhere.ts';"),

  planted(null, core('domain/lawful.ts'), ''),
  planted(null, core('domain/free.test.ts'), "import 'node:fs';\nimport '../io/lawful.ts';"),
  planted(null, core('formats/lawful.ts'), "import 'node:zlib';\nimport '../domain/lawful.ts';"),
  planted(null, core('io/lawful.ts'), "import 'node:fs';\nimport '../formats/lawful.ts';"),
  planted(null, core('io/command/lawful.ts'), "import 'execa';"),
  planted(null, core('io/ports/port.ts'), "import '../../domain/lawful.ts';"),
  planted(
    null,
    core('http/lawful.ts'),
    "import 'zod';\nimport type { here as x } from '../io/ports/port.ts';\nexport type X = typeof x;",
  ),
  planted(null, 'apps/coordinator/src/store/lawful.ts', "import 'kysely';\nimport 'pg';"),
  planted(null, 'apps/coordinator/src/io/lawful.ts', "import 'pg';\nimport 'node:fs';"),
  planted(
    null,
    'apps/edge/src/lawful.ts',
    "import './routes/lawful.ts';\nimport './store/lawful.ts';",
  ),
  planted(null, 'apps/edge/src/store/lawful.ts', ''),
  planted(null, 'apps/edge/src/routes/lawful.ts', "import '../services/lawful.ts';"),
  planted(null, 'apps/edge/src/services/lawful.ts', ''),
  planted(null, 'apps/origin/src/lawful.ts', ''),
  planted(null, 'infra/lawful.ts', "import 'node:child_process';"),
  planted(null, 'test/lawful.ts', "import '../infra/lawful.ts';"),
];

/** Packages from npm that the planted files import. */
export const PLANTED_PACKAGES = ['zod', 'execa', 'kysely', 'pg'] as const;
