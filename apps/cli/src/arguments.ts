/**
 * Room: domain. What users type, parsed once: places, lists of edges, distances, formats.
 *
 * I1: what can't be right is refused here, with words that say what would be; the coordinator
 *     still has the last word on what exists.
 */

import { type Digest, isDigest } from '@vmdn/core/domain/digest.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { type Name, parseName } from '@vmdn/core/domain/names.ts';

/** A place as the API takes it. */
export type Place =
  | { readonly region: Name }
  | { readonly latitude: number; readonly longitude: number };

const POINT = /^\s*(-?\d+(?:\.\d+)?)\s*,\s*(-?\d+(?:\.\d+)?)\s*$/;
/** Half the circumference of the Earth. */
const KM_MAX = 20_040;

function wrong(message: string, given: string): VmdnError {
  return new VmdnError('invalid_input', message, { data: { given: given.slice(0, 80) } });
}

/** `eu-west-1`, `Paris`, `"New York"` or `48.85,2.35` (latitude, longitude in degrees). */
export function parsePlace(raw: string): Place {
  const point = POINT.exec(raw);
  if (point !== null) {
    const latitude = Number(point[1]);
    const longitude = Number(point[2]);
    if (Math.abs(latitude) <= 90 && Math.abs(longitude) <= 180) return { latitude, longitude };
    throw wrong(`There is no point ${raw}: latitude is -90 to 90, longitude -180 to 180.`, raw);
  }
  const spelled = raw.trim().normalize('NFD').replaceAll(/\p{M}/gu, '').replaceAll(/\s+/g, '-');
  return { region: parseName(spelled, 'place (a region, a city, or LATITUDE,LONGITUDE)') };
}

/** A place in words. */
export function placeWords(place: Place): string {
  return 'region' in place ? place.region : `${place.latitude},${place.longitude}`;
}

export function parseKm(raw: string): number {
  const km = Number(raw);
  if (raw.trim() !== '' && km > 0 && km <= KM_MAX) return km;
  throw wrong(`A distance is a number of kilometres up to ${KM_MAX.toLocaleString('en')}.`, raw);
}

/** `a,b,c`; empty parts and repetitions are dropped. */
export function parseEdges(raw: string): Name[] {
  const parts = raw.split(',').map((part) => part.trim());
  const names = parts.filter((part) => part !== '').map((part) => parseName(part, 'edge'));
  if (names.length === 0) throw wrong('Name at least one edge: --edges paris-1,tokyo-1', raw);
  return [...new Set(names)];
}

/** An image by digest or by name. */
export function parseImage(raw: string): Digest | Name {
  return isDigest(raw) ? raw : parseName(raw, 'image');
}

export function parseNodeKind(raw: string): 'origin' | 'edge' {
  if (raw === 'origin' || raw === 'edge') return raw;
  throw wrong('A node is an origin or an edge.', raw);
}

/** One of a few words. */
export function parseOneOf<Word extends string>(
  raw: string,
  words: readonly Word[],
  what: string,
): Word {
  const found = words.find((word) => word === raw);
  if (found !== undefined) return found;
  throw wrong(`The ${what} is one of ${words.join(', ')}.`, raw);
}

/** A whole number of at least 1. */
export function parseCount(raw: string): number {
  const count = Number(raw);
  if (Number.isInteger(count) && count >= 1) return count;
  throw wrong('This must be a whole number, 1 or more.', raw);
}
