/**
 * Room: formats. `.repo` files of dnf (dnf.conf(5)), as the operator of an edge writes them.
 *
 * I1: total: a repository that can't be used is left out with a remark.
 * I2: metadata must be signed unless the file says `repo_gpgcheck=0`: dnf's own default is the opposite,
 *     since it checks each package's signature later; here the index is all there is.
 * I3: keys are local files: a key that came from the mirror would prove nothing.
 */

import { httpUri, type ParsedSources } from './apt-sources.ts';

export interface RpmSource {
  readonly id: string;
  /** http or https, ends in `/`; may hold $releasever, $basearch and $arch. */
  readonly baseUrls: readonly string[];
  readonly mustBeSigned: boolean;
  /** Absolute paths. */
  readonly keyPaths: readonly string[];
  /** The operator's own setting vmdn_os: os-release IDs of the guests it is for. */
  readonly osIds: readonly string[];
}

const REPOSITORIES_MAX = 256;
const SECTION = /^\[([A-Za-z0-9][A-Za-z0-9_.:+-]{0,127})\]$/;
const ASSIGNMENT = /^([A-Za-z][A-Za-z0-9_]*)[ \t]*=[ \t]*(.*)$/;

/** Parses a `.repo` file. */
export function parseRepoFile(text: string): ParsedSources<RpmSource> {
  const sources: RpmSource[] = [];
  const remarks: string[] = [];
  for (const [id, values] of sectionsOf(text)) {
    const found = repositoryOf(id, values);
    if (typeof found === 'string') remarks.push(`the repository ${id} is not used: ${found}`);
    else if (found !== undefined) sources.push(found);
  }
  return { sources, remarks };
}

function sectionsOf(text: string): Map<string, Map<string, string>> {
  const sections = new Map<string, Map<string, string>>();
  let values: Map<string, string> | undefined;
  let last: string | undefined;
  for (const raw of text.split('\n')) {
    const line = raw.trimEnd();
    if (line === '' || /^[#;]/.test(line)) continue;
    const section = SECTION.exec(line)?.[1];
    if (section !== undefined) {
      values = new Map();
      last = undefined;
      if (sections.size < REPOSITORIES_MAX) sections.set(section, values);
      continue;
    }
    const match = ASSIGNMENT.exec(line);
    if (match !== null) {
      last = match[1]!.toLowerCase();
      values?.set(last, match[2]!);
    } else if (/^[ \t]/.test(line) && last !== undefined) {
      values?.set(last, `${values.get(last)} ${line.trim()}`);
    }
  }
  return sections;
}

/** A repository, why it is not used, or undefined for one that is switched off. */
function repositoryOf(
  id: string,
  values: ReadonlyMap<string, string>,
): RpmSource | string | undefined {
  const words = (name: string): string[] =>
    (values.get(name) ?? '').split(/[\s,]+/).filter((word) => word !== '');
  const isOff = (name: string): boolean => /^(0|no|false|off)$/i.test(values.get(name) ?? '');
  if (isOff('enabled') || id === 'main') return undefined;
  const baseUrls = words('baseurl')
    .map(httpUri)
    .filter((uri) => uri !== undefined);
  if (baseUrls.length === 0) return 'it has no baseurl by http or https';
  const mustBeSigned = !isOff('repo_gpgcheck');
  const keyPaths = words('gpgkey')
    .map((word) => word.replace(/^file:\/\//, ''))
    .filter((word) => word.startsWith('/'));
  if (mustBeSigned && keyPaths.length === 0) {
    return 'it has no gpgkey that is a local file, and does not say repo_gpgcheck=0';
  }
  return { id, baseUrls, mustBeSigned, keyPaths, osIds: words('vmdn_os') };
}

const VALUE = /^[A-Za-z0-9_.~-]{1,64}$/;

/**
 * A base URL with dnf's variables filled in; undefined when it holds one whose value is not known or
 * could change the shape of the URL.
 */
export function fillRepoVariables(
  baseUrl: string,
  values: { readonly releasever: string; readonly basearch: string },
): string | undefined {
  const known: Readonly<Record<string, string>> = { ...values, arch: values.basearch };
  let isFine = true;
  const filled = baseUrl.replace(/\$(?:\{|%7B)?([A-Za-z_]+)(?:\}|%7D)?/g, (_, name: string) => {
    const value = Object.hasOwn(known, name) ? known[name]! : '';
    if (!VALUE.test(value) || value.includes('..')) isFine = false;
    return value;
  });
  return isFine ? httpUri(filled) : undefined;
}
