/**
 * Room: formats. sources.list(5) of apt: one-line and deb822 files, as the machine's administrator or the
 * operator of an edge writes them.
 *
 * I1: total: what can't be used (another transport, a source that is not of type deb, a malformed line) is
 *     left out with a remark; it never stops what stands beside it.
 * I2: nothing here switches signatures off: `Trusted` and `allow-insecure` are not read.
 * I3: bounded: SOURCES_MAX sources of one file.
 */

import { type Deb822Paragraph, parseDeb822, wordsOf } from './deb822.ts';

/** Administrators have a handful of files with a few lines each. */
export const SOURCES_BYTES_MAX = 2 ** 20;
const SOURCES_MAX = 256;

/** Whom a source trusts. */
export type AptTrust =
  /** Every key that the machine's apt trusts. */
  | { readonly kind: 'machine' }
  | { readonly kind: 'files'; readonly paths: readonly string[] }
  /** Primary keys among those the machine's apt trusts, by fingerprint. */
  | { readonly kind: 'fingerprints'; readonly fingerprints: readonly string[] }
  | { readonly kind: 'inline'; readonly armoured: string };

export interface AptSource {
  /** http or https, ends in `/`, may hold `$(ARCH)`. */
  readonly uri: string;
  /** Ends in `/` for a flat repository. */
  readonly suite: string;
  readonly components: readonly string[];
  /** Empty: whatever the repository has. */
  readonly architectures: readonly string[];
  readonly trust: AptTrust;
  /** Undefined: as the machine's apt is told. */
  readonly checkValidUntil: boolean | undefined;
  /** The operator's own field X-Vmdn-Os: os-release IDs of the guests it is for. */
  readonly osIds: readonly string[];
}

export interface ParsedSources<Source> {
  readonly sources: readonly Source[];
  readonly remarks: readonly string[];
}

/** Parses a `.sources` file. */
export function parseDeb822Sources(text: string): ParsedSources<AptSource> {
  const found = collector();
  for (const paragraph of parseDeb822(text)) {
    if (!wordsOf(paragraph, 'types').includes('deb')) continue;
    if (/^(no|false|0|off|without)$/i.test(paragraph.get('enabled')?.trim() ?? '')) continue;
    const shared = {
      components: wordsOf(paragraph, 'components'),
      architectures: wordsOf(paragraph, 'architectures'),
      trust: trustOf(paragraph.get('signed-by') ?? ''),
      checkValidUntil: flagOf(paragraph.get('check-valid-until')),
      osIds: osIdsOf(paragraph),
    };
    for (const uri of wordsOf(paragraph, 'uris')) {
      for (const suite of wordsOf(paragraph, 'suites')) found.add(uri, suite, shared);
    }
  }
  return found;
}

function osIdsOf(paragraph: Deb822Paragraph): string[] {
  return wordsOf(paragraph, 'x-vmdn-os').flatMap((word) => word.split(',').filter(Boolean));
}

const ONE_LINE = /^deb[ \t]+(?:\[([^\]]*)\][ \t]*)?(\S+)[ \t]+(\S+)(?:[ \t]+(.*))?$/;

/** Parses a one-line `.list` file. */
export function parseOneLineSources(text: string): ParsedSources<AptSource> {
  const found = collector();
  for (const raw of text.split('\n')) {
    const line = raw.replace(/#.*/, '').trim();
    if (!/^deb[ \t]/.test(line)) continue;
    const match = ONE_LINE.exec(line);
    if (match === null) {
      found.remark('a line of an apt source file is malformed');
      continue;
    }
    const options = new Map<string, string>();
    for (const [, name, value] of (match[1] ?? '').matchAll(/([\w-]+)=(\S+)/g)) {
      options.set(name!.toLowerCase(), value!);
    }
    found.add(match[2]!, match[3]!, {
      components: (match[4] ?? '').split(/\s+/).filter((word) => word !== ''),
      architectures: (options.get('arch') ?? '').split(',').filter((word) => word !== ''),
      trust: trustOf(options.get('signed-by') ?? ''),
      checkValidUntil: flagOf(options.get('check-valid-until')),
      osIds: [],
    });
  }
  return found;
}

const SUITE = /^[A-Za-z0-9][A-Za-z0-9_.+~/-]{0,127}$/;
const WORD = /^[A-Za-z0-9][A-Za-z0-9_.+~/-]{0,63}$/;

function collector() {
  const sources: AptSource[] = [];
  const remarks: string[] = [];
  const remark = (text: string): void => {
    if (remarks.length < SOURCES_MAX && !remarks.includes(text)) remarks.push(text);
  };
  const add = (rawUri: string, suite: string, shared: Omit<AptSource, 'uri' | 'suite'>): void => {
    const uri = httpUri(rawUri);
    const isFlat = suite.endsWith('/');
    // `./` and `/` are flat repositories at the URI itself.
    const isSuite = suite === './' || suite === '/' || SUITE.test(suite);
    const isFine = isSuite && !/(^|\/)\.\.(\/|$)/.test(suite) && shared.components.every(isWord);
    if (uri === undefined) {
      const scheme = /^[a-z+-]{1,32}:/.exec(rawUri)?.[0] ?? 'a malformed URI';
      remark(`apt sources by ${scheme} are not used as mirrors; only http and https are`);
    } else if (!isFine || (!isFlat && shared.components.length === 0)) {
      remark(`the apt source ${uri} is malformed`);
    } else if (sources.length === SOURCES_MAX) {
      remark(`only the first ${SOURCES_MAX} apt sources of a file are used`);
    } else sources.push({ ...shared, uri, suite });
  };
  return { sources, remarks, add, remark };
}

function isWord(word: string): boolean {
  return WORD.test(word) && !word.includes('..');
}

/** A base URL of a mirror, ending in `/`; undefined for any other URI, and for one with a password in it. */
export function httpUri(raw: string): string | undefined {
  if (!URL.canParse(raw)) return undefined;
  const url = new URL(raw);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return undefined;
  if (url.search !== '' || url.hash !== '' || url.username !== '') return undefined;
  return url.href.endsWith('/') ? url.href : `${url.href}/`;
}

function trustOf(value: string): AptTrust {
  if (value.includes('-----BEGIN')) {
    // deb822 can't hold empty lines: a dot stands for one.
    const armoured = value.replace(/^\s*\.\s*$/gm, '');
    return { kind: 'inline', armoured };
  }
  const words = value.split(/[\s,]+/).filter((word) => word !== '');
  if (words.length === 0) return { kind: 'machine' };
  if (words.every((word) => word.startsWith('/'))) return { kind: 'files', paths: words };
  return {
    kind: 'fingerprints',
    fingerprints: words.map((word) => word.replace(/!$/, '').toUpperCase()),
  };
}

function flagOf(value: string | undefined): boolean | undefined {
  if (value === undefined || value.trim() === '') return undefined;
  return !/^(no|false|0|off|without)$/i.test(value.trim());
}
