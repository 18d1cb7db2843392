/**
 * Room: domain. Points on the earth and distances between them.
 *
 * I1: distances are great circles on a sphere of the mean radius: within 0.6 % of the ellipsoid,
 *     which is far less than the detours of any cable.
 */

import { VmdnError } from './errors.ts';

/** A point, in degrees; north and east are positive. */
export interface Location {
  readonly latitude: number;
  readonly longitude: number;
}

/** Mean radius of the earth (IUGG R1), in kilometres. */
const EARTH_RADIUS_KM = 6371.0088;

/** Half the circumference: nothing on the earth is farther away. */
export const FARTHEST_KM = Math.PI * EARTH_RADIUS_KM;

/** Checks the bounds of a point. Throws `invalid_input`. */
export function parseLocation(latitude: number, longitude: number): Location {
  const isInside = Math.abs(latitude) <= 90 && Math.abs(longitude) <= 180;
  if (isInside) return { latitude, longitude };
  throw new VmdnError(
    'invalid_input',
    'A latitude lies between -90 and 90 degrees, a longitude between -180 and 180.',
    { data: { latitude, longitude } },
  );
}

function radians(degrees: number): number {
  return (degrees * Math.PI) / 180;
}

/** Great-circle distance in kilometres by the haversine formula (Sinnott 1984). */
export function distanceKm(from: Location, to: Location): number {
  const sinLatitude = Math.sin(radians(to.latitude - from.latitude) / 2);
  const sinLongitude = Math.sin(radians(to.longitude - from.longitude) / 2);
  const haversine =
    sinLatitude ** 2 +
    Math.cos(radians(from.latitude)) * Math.cos(radians(to.latitude)) * sinLongitude ** 2;
  // Rounding may lift antipodes a hair above 1, where the arcsine ends.
  return 2 * EARTH_RADIUS_KM * Math.asin(Math.min(1, Math.sqrt(haversine)));
}
