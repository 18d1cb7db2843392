/**
 * Room: domain. Places that have a name: the regions of the public clouds, a few generic regions,
 * and cities. An edge's own region may have any name; its coordinates count then.
 *
 * I1: names are looked up without regard to case, and each name means one place.
 * I2: a name that means nothing is answered with the names closest to it.
 */

import { VmdnError } from './errors.ts';
import type { Location } from './geography.ts';
import { type Name, parseName } from './names.ts';
import { CITIES } from './regions-cities.ts';
import { CLOUD_REGIONS } from './regions-clouds.ts';

export type RegionKind = 'generic' | 'aws' | 'gcp' | 'azure' | 'city';

export interface Region extends Location {
  readonly region: Name;
  readonly title: string;
  readonly kind: RegionKind;
}

/** Suggestions that are given for a wrong name. */
const SUGGESTIONS_MAX = 5;
/** One wrong letter in four is thought to be a slip; a name of three letters may have one. */
const LETTERS_PER_SLIP = 4;

const KINDS: readonly string[] = ['generic', 'aws', 'gcp', 'azure', 'city'];

/** Reads entries of `kind|name|title|latitude|longitude`. Throws on a malformed one. */
function readTable(table: string, prefix = ''): Region[] {
  const entries = table.split(/\n|; /).filter((entry) => entry !== '');
  return entries.map((entry) => {
    const [kind, name, title, latitude, longitude] = `${prefix}${entry}`.split('|');
    const point = { latitude: Number(latitude), longitude: Number(longitude) };
    const isRight =
      KINDS.includes(kind ?? '') &&
      title !== undefined &&
      Math.abs(point.latitude) <= 90 &&
      Math.abs(point.longitude) <= 180;
    if (!isRight) throw new Error(`regions: malformed entry ${entry}`);
    return { region: parseName(name, 'region'), title, kind: kind as RegionKind, ...point };
  });
}

/** All built-in places; the first of two with the same name counts. */
export const REGIONS: readonly Region[] = Object.freeze(
  uniqueByName([...readTable(CLOUD_REGIONS), ...readTable(CITIES, 'city|')]),
);

const BY_NAME: ReadonlyMap<string, Region> = new Map(
  REGIONS.map((region) => [region.region.toLowerCase(), region]),
);

function uniqueByName(regions: readonly Region[]): Region[] {
  const seen = new Set<string>();
  return regions.filter((region) => {
    const key = region.region.toLowerCase();
    return seen.has(key) ? false : seen.add(key);
  });
}

/** The built-in place of this name, or undefined. */
export function findRegion(name: string): Region | undefined {
  return BY_NAME.get(name.toLowerCase());
}

/** The names closest to a wrong one, best first; `known` are further names that mean something. */
export function suggestRegions(name: string, known: readonly string[] = []): string[] {
  const wanted = name.toLowerCase();
  const slipsMax = Math.max(1, Math.floor(wanted.length / LETTERS_PER_SLIP));
  const names = [...new Set([...known, ...REGIONS.map((region) => region.region)])];
  return names
    .map((candidate) => ({ candidate, score: closeness(wanted, candidate.toLowerCase()) }))
    .filter(({ score }) => score <= slipsMax)
    .sort((a, b) => a.score - b.score || (a.candidate < b.candidate ? -1 : 1))
    .slice(0, SUGGESTIONS_MAX)
    .map(({ candidate }) => candidate);
}

/** 0 for the same, 1 when one begins the other, else the number of slips. */
function closeness(wanted: string, candidate: string): number {
  if (wanted === candidate) return 0;
  if (candidate.startsWith(wanted) || wanted.startsWith(`${candidate}-`)) return 1;
  return editDistance(wanted, candidate);
}

/** Levenshtein distance, two rows at a time. */
export function editDistance(left: string, right: string): number {
  let previous = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let i = 1; i <= left.length; i += 1) {
    const current = [i];
    for (let j = 1; j <= right.length; j += 1) {
      const replaced = previous[j - 1]! + (left[i - 1] === right[j - 1] ? 0 : 1);
      current.push(Math.min(replaced, previous[j]! + 1, current[j - 1]! + 1));
    }
    previous = current;
  }
  return previous[right.length]!;
}

/** The error for a name that means nothing, with suggestions. */
export function unknownRegion(name: string, known: readonly string[] = []): VmdnError {
  const suggestions = suggestRegions(name, known);
  const hint =
    suggestions.length > 0
      ? `Did you mean ${suggestions.join(', ')}?`
      : 'GET /v1/regions lists the names; coordinates work too.';
  return new VmdnError('not_found', `There is no region or city "${name}". ${hint}`, {
    data: { region: name, suggestions },
  });
}
