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

/**
 * Great-circle distance in kilometres: Vincenty's formula (1975) for a sphere. Its arctangent is exact for
 * near points and near antipodes alike; the haversine loses a decimetre at the antipodes.
 */
export function distanceKm(from: Location, to: Location): number {
  const [sinFrom, cosFrom] = [Math.sin(radians(from.latitude)), Math.cos(radians(from.latitude))];
  const [sinTo, cosTo] = [Math.sin(radians(to.latitude)), Math.cos(radians(to.latitude))];
  const turn = radians(to.longitude - from.longitude);
  const east = cosTo * Math.sin(turn);
  const north = cosFrom * sinTo - sinFrom * cosTo * Math.cos(turn);
  const along = sinFrom * sinTo + cosFrom * cosTo * Math.cos(turn);
  return EARTH_RADIUS_KM * Math.atan2(Math.hypot(east, north), along);
}
