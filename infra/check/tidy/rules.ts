/**
 * Room: infra, check. What is wanted of every file and what no compiler or linter asks for.
 *
 * I1: a rule is data and a pure function of one file's path and text; it names the line and says what to do.
 * I2: patterns are written so that they do not find themselves here.
 */

/** A file of the repository as the rules see it. */
export interface SourceFile {
  /** Relative to the root, with slashes. */
  readonly path: string;
  readonly text: string;
}

export interface Finding {
  readonly path: string;
  /** Counted from 1. */
  readonly line: number;
  readonly message: string;
}

export interface TidyRule {
  readonly name: string;
  check(file: SourceFile): Finding[];
}

const FILE_LINES_MAX = 400;
const LINE_COLUMNS_MAX = 110;

const CODE = /\.(ts|mjs|sh)$/;
/** Shell is left out: a command with its arguments reads best as one line, and shellcheck reads it. */
const WRAPPED_CODE = /\.(ts|mjs)$/;
/** A path, an address or an argument of QEMU's cannot be wrapped. */
const WORD_COLUMNS_MAX = 80;
const TYPESCRIPT = /\.ts$/;
const TEST = /\.(test|contract|fixture|bench)\.ts$|^test\//;
/** Rooms that people read as a whole: their files say in the header which room they are. */
const ROOMS = /^(packages\/core|apps\/[a-z]+)\/src\//;

function hasUnbreakableWord(line: string): boolean {
  return line.split(/\s+/).some((word) => word.length > WORD_COLUMNS_MAX);
}

/** A rule that looks at the file as a whole. */
function fileRule(name: string, applies: RegExp, check: (file: SourceFile) => Finding[]): TidyRule {
  return { name, check: (file) => (applies.test(file.path) ? check(file) : []) };
}

interface Ban {
  readonly name: string;
  readonly pattern: RegExp;
  readonly in: RegExp;
  readonly except?: RegExp;
  readonly instead: string;
  /** Whether a line that is only a comment counts too. */
  readonly inComments?: boolean;
}

/** A rule that bans a pattern in each line. */
function banRule(ban: Ban): TidyRule {
  return {
    name: ban.name,
    check: ({ path, text }) => {
      if (!ban.in.test(path) || ban.except?.test(path)) return [];
      return text.split('\n').flatMap((content, index) => {
        const isComment = /^\s*(\*|\/\*|\/\/|#)/.test(content);
        if ((isComment && ban.inComments !== true) || !ban.pattern.test(content)) return [];
        return [{ path, line: index + 1, message: `${ban.name}: ${ban.instead}` }];
      });
    },
  };
}

const BANS: readonly Ban[] = [
  {
    name: 'console',
    pattern: /(?<!['"`])\bconsole\s*\./,
    in: TYPESCRIPT,
    instead: 'services log with the logger they are given, the CLI writes with its output module.',
  },
  {
    name: 'standard streams',
    pattern: /\bprocess\.std(out|err)\.write\b/,
    in: TYPESCRIPT,
    except:
      /^(bin|infra|test)\/|^packages\/core\/src\/process\/|^apps\/cli\/src\/(main|output)|\.test\.ts$/,
    instead: 'only the CLI’s output module and core/process write to the standard streams.',
  },
  {
    name: 'environment',
    pattern: /\bprocess\.env\b/,
    in: TYPESCRIPT,
    except: /\/main\.ts$|^packages\/core\/src\/process\/|\.test\.ts$|^infra\/|^test\//,
    instead: 'settings are read once, in main.ts and core/process, and passed on as values.',
  },
  {
    name: 'exit',
    pattern: /\bprocess\.exit\s*\(/,
    in: TYPESCRIPT,
    except: /^packages\/core\/src\/process\/run-service\.ts$/,
    instead: 'set process.exitCode and let the process drain; only run-service.ts ends it.',
  },
  {
    name: 'unfinished',
    pattern: /\b(TO[D]O|FIX[M]E|X[X]X|HA[C]K)\b/,
    in: /\.(ts|mjs|sh|md|ya?ml|sql)$/,
    inComments: true,
    instead: 'finish it, or say in the documentation what is not there.',
  },
  {
    name: 'sleep in a test',
    pattern: /\bsetTimeout\s*\(|timers\/promises|\bsleep\s*\(/,
    in: TEST,
    except: /^test\/(harness|bench)\//,
    instead: 'wait for the condition itself: waitFor() of infra/lab/wait-for.ts, or an event.',
  },
  {
    name: 'a test left out',
    pattern: /\b(it|test|describe)\.(only|skip|todo)\b/,
    in: TEST,
    instead: 'a test that does not run proves nothing; use skipIf with the reason in its title.',
  },
  {
    name: 'impure domain',
    pattern: /\b(Date\.now|new Date\(\)|Math\.random|performance\.now|async|await)\b/,
    in: /^packages\/core\/src\/domain\//,
    except: TEST,
    instead: 'domain decides from its arguments: hand it the time, the number, the value.',
  },
  {
    name: 'shell',
    pattern: /\bshell:\s*true\b|\bexecSync\s*\(/,
    in: TYPESCRIPT,
    instead: 'programs get argv arrays, `--` before paths and no shell.',
  },
  {
    name: 'silenced compiler',
    pattern: /@ts-(ignore|nocheck)\b/,
    in: TYPESCRIPT,
    inComments: true,
    instead: 'say the type, or use @ts-expect-error with the reason.',
  },
  {
    name: 'path of one machine',
    pattern: /(^|[\s'"`=:(])\/(home|Users|work)\/[a-z]/,
    in: /\.(ts|mjs|sh|md|json|ya?ml)$/,
    inComments: true,
    instead: 'paths come from settings and conventions (core/process/paths.ts).',
  },
  {
    name: 'registry host',
    pattern: /\bregistry\.[a-z0-9-]+\.[a-z]|^\s*resolution:.*tarball:/,
    in: /\.(ts|mjs|sh|md|json|ya?ml)$|(^|\/)\.npmrc$/,
    inComments: true,
    instead: 'which registry serves the packages is each machine’s own business.',
  },
];

function longFile({ path, text }: SourceFile): Finding[] {
  const lines = text.split('\n').length - 1;
  if (lines <= FILE_LINES_MAX) return [];
  const message = `long file: ${lines} lines, ${FILE_LINES_MAX} at most; split it where it says "and".`;
  return [{ path, line: FILE_LINES_MAX + 1, message }];
}

function longLine({ path, text }: SourceFile): Finding[] {
  return text.split('\n').flatMap((content, index) => {
    if (content.length <= LINE_COLUMNS_MAX || hasUnbreakableWord(content)) return [];
    const message = `long line: ${content.length} columns, ${LINE_COLUMNS_MAX} at most.`;
    return [{ path, line: index + 1, message }];
  });
}

function header({ path, text }: SourceFile): Finding[] {
  // The titles of a test are its header.
  if (/\.test\.ts$/.test(path)) return [];
  const [first = '', second = ''] = text.split('\n');
  const opening = first.startsWith('#!') ? second : first;
  if (!/^(\/\*\*|\/\/|#\s)/.test(opening)) {
    return [
      { path, line: 1, message: 'header: begin with a comment that says what the file is for.' },
    ];
  }
  const comment = /\.sh$/.test(path)
    ? (/^(#.*\n)*/.exec(text)?.[0] ?? '')
    : text.slice(0, text.indexOf('*/') + 2);
  if (ROOMS.test(path) && !TEST.test(path) && !/\bRoom: /.test(comment)) {
    return [{ path, line: 1, message: 'header: say which room this is ("Room: domain. …").' }];
  }
  return [];
}

function oneTitle({ path, text }: SourceFile): Finding[] {
  const prose = text.replaceAll(/^```[\s\S]*?^```/gm, (fenced) => fenced.replaceAll(/[^\n]/g, ''));
  const titles = prose.split('\n').flatMap((line, index) => (/^# /.test(line) ? [index + 1] : []));
  if (titles.length === 1 && titles[0] === 1) return [];
  return [
    { path, line: titles[1] ?? 1, message: 'title: a page has one `# ` title, in its first line.' },
  ];
}

/** Everything that is asked of one file by itself. */
export const RULES: readonly TidyRule[] = [
  fileRule('long file', CODE, longFile),
  fileRule('long line', WRAPPED_CODE, longLine),
  fileRule('header', CODE, header),
  fileRule('title', /\.md$/, oneTitle),
  ...BANS.map(banRule),
];
