import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Digest } from './digest.ts';
import { distanceKm } from './geography.ts';
import type { Id, Name } from './names.ts';
import { OVERLAY_HEADROOM_BYTES } from './overlay-room.ts';
import {
  type Demand,
  neededStoreBytes,
  type RequestedPlace,
  type RoutableEdge,
  type Route,
  route,
  WITHIN_KM_DEFAULT,
} from './routing.ts';
import type { PlanNumbers } from './routing-estimate.ts';

const DUBLIN = { latitude: 53.35, longitude: -6.26 };
const LONDON = { latitude: 51.51, longitude: -0.13 };
const FRANKFURT = { latitude: 50.11, longitude: 8.68 };
const ASHBURN = { latitude: 39.04, longitude: -77.49 };
const DISK = 'd'.repeat(64) as Digest;
/** The disk's bytes and what its overlay may take. */
const NEEDED = 500_000_000 + OVERLAY_HEADROOM_BYTES;

const demand: Demand = {
  disks: [{ digest: DISK, nonZeroBytes: 500_000_000 }],
  memoryMiB: 512,
  vcpus: 1,
  originBytesPerSecond: 10_000_000,
  networks: [],
};

function plan(estimatedSeconds: number, local = 0): PlanNumbers {
  return {
    diskBytes: { zero: 0, local, package: 0, peer: 0, origin: 500_000_000 - local },
    wireBytes: 0,
    estimatedSeconds,
    candidates: [],
    copy: { wireBytes: 0, estimatedSeconds: 0 },
  };
}

function edge(name: string, facts: Partial<RoutableEdge> = {}): RoutableEdge {
  return {
    edge: name as Name,
    node: `id-${name}` as Id,
    region: 'eu-west' as Name,
    ...DUBLIN,
    healthy: true,
    compatible: true,
    free: { storeBytes: 1e12, memoryMiB: 65_536, vcpus: 64 },
    promised: { storeBytes: 0, memoryMiB: 0, vcpus: 0 },
    plans: [plan(60)],
    functional: null,
    networks: null,
    held: new Set(),
    ...facts,
  };
}

function near(place: Partial<RequestedPlace> = {}): RequestedPlace {
  return { ...DUBLIN, region: 'eu-west' as Name, withinKm: null, isCity: false, ...place };
}

function reasonOf(found: Route, name: string): string {
  const all = found.chosen === null ? found.others : [found.chosen, ...found.others];
  return all.find((one) => one.edge === name)?.reason ?? 'not in the answer';
}

describe('a route', () => {
  it('goes to the edge of the region with the least time to a running VM (I1)', () => {
    const found = route(near(), demand, [edge('slow'), edge('quick', { plans: [plan(20, 4e8)] })]);
    expect(found.chosen?.edge).toBe('quick');
    expect(found.spilled).toBe(false);
    expect(found.chosen?.reason).toContain('400.0 MB there already');
    expect(reasonOf(found, 'slow')).toContain('It would take longer');
  });

  it('goes to the nearer edge when two are as quick, then to the first by name (I1)', () => {
    const place = near({ withinKm: 1000 });
    const far = edge('a-far', LONDON);
    expect(route(place, demand, [far, edge('b-near')]).chosen?.edge).toBe('b-near');
    expect(route(place, demand, [edge('b'), edge('a')]).chosen?.edge).toBe('a');
  });

  it('is never drawn far away by bytes that lie there: those are a source (I2)', () => {
    const holder = edge('holder', {
      ...ASHBURN,
      region: 'us-east' as Name,
      plans: [plan(1, 5e8)],
      held: new Set([DISK]),
    });
    const found = route(near(), demand, [holder, edge('empty', { plans: null })]);
    expect(found.chosen?.edge).toBe('empty');
    expect(found.spilled).toBe(false);
    expect(reasonOf(found, 'holder')).toMatch(/^Too far from the place: 5\d{3} km/);
  });

  it('spills to the nearest edge elsewhere, and says so, only when none near has room (I2)', () => {
    const full = edge('full', { free: { storeBytes: 1e8, memoryMiB: 65_536, vcpus: 64 } });
    const frankfurt = edge('frankfurt', { ...FRANKFURT, region: 'eu-central' as Name });
    const ashburn = edge('ashburn', {
      ...ASHBURN,
      region: 'us-east' as Name,
      plans: [plan(1, 5e8)],
    });
    const found = route(near(), demand, [full, ashburn, frankfurt]);
    expect(found.chosen?.edge).toBe('frankfurt');
    expect(found.spilled).toBe(true);
    expect(found.chosen?.reason).toContain('nearest elsewhere');
    expect(reasonOf(found, 'full')).toBe(
      'No room: the VM needs 768.4 MB of store (268.4 MB of it for what the VM writes), 100.0 MB free.',
    );
    expect(reasonOf(found, 'ashburn')).toMatch(/^Farther: /);
  });

  it.each([
    ['healthy', { healthy: false }, 'not been heard of'],
    ['of a protocol that is spoken', { compatible: false }, 'protocol'],
    ['known for its room', { free: null }, 'what room it has'],
    ['with memory', { free: { storeBytes: 1e12, memoryMiB: 511, vcpus: 4 } }, '512 MiB of memory'],
    ['with processors', { free: { storeBytes: 1e12, memoryMiB: 512, vcpus: 0 } }, '1 vCPUs'],
    [
      'with room that nobody was promised',
      { promised: { storeBytes: 999_600_000_000, memoryMiB: 0, vcpus: 0 } },
      '400.0 MB free',
    ],
  ])('needs an edge that is %s', (_, facts, words) => {
    const found = route(near(), demand, [edge('only', facts)]);
    expect(found.chosen).toBeNull();
    expect(found.others).toHaveLength(1);
    expect(reasonOf(found, 'only')).toContain(words);
    expect(found.others[0]?.eligible).toBe(false);
  });

  it('leaves out edges that lack a network, near or not, and says which', () => {
    const lan = ['lan' as Name, 'user' as Name];
    const wish = { ...demand, networks: lan };
    const plain = edge('plain');
    const other = edge('other', { networks: ['user' as Name, 'dmz' as Name] });
    const far = edge('far', { ...ASHBURN, region: 'us-east' as Name, networks: ['lan' as Name] });
    const found = route(near(), wish, [plain, other, far]);
    expect(found.chosen).toMatchObject({ edge: 'far', lacks: [] });
    expect(reasonOf(found, 'plain')).toBe('It has no network "lan"; it has user.');
    expect(reasonOf(found, 'other')).toBe('It has no network "lan"; it has user, dmz.');
    const none = route(near(), wish, [plain, other]);
    expect(none.chosen).toBeNull();
    expect(none.others.map(({ lacks }) => lacks)).toEqual([['lan'], ['lan']]);
  });

  it('asks of an edge that holds the disk already only the room of the overlay', () => {
    const full = { storeBytes: OVERLAY_HEADROOM_BYTES, memoryMiB: 512, vcpus: 1 };
    const holder = edge('holder', { free: full, held: new Set([DISK]) });
    expect(route(near(), demand, [holder]).chosen?.edge).toBe('holder');
    expect(neededStoreBytes(demand, new Set())).toBe(NEEDED);
  });

  it('passes over an edge with room for the disk but not for the overlay, and says so (I4)', () => {
    const room = (storeBytes: number) => ({ free: { storeBytes, memoryMiB: 512, vcpus: 1 } });
    const found = route(near(), demand, [edge('tight', room(NEEDED - 1))]);
    expect(found.chosen).toBeNull();
    expect(reasonOf(found, 'tight')).toContain('268.4 MB of it for what the VM writes');
    expect(route(near(), demand, [edge('just', room(NEEDED))]).chosen?.edge).toBe('just');
    const twoDisks = { ...demand, disks: [...demand.disks, { digest: DISK, nonZeroBytes: 0 }] };
    expect(route(near(), twoDisks, [edge('just', room(NEEDED))]).chosen).toBeNull();
  });

  it('treats an edge without a plan as if all came from the origin', () => {
    const unplanned = edge('unplanned', { plans: null });
    const found = route(near(), demand, [unplanned, edge('planned', { plans: [plan(62)] })]);
    // 40 s to boot + 500 MB × 0.45 at 10 MB/s.
    expect(found.others[0]?.estimatedSeconds).toBeCloseTo(62.5, 5);
    expect(found.chosen?.edge).toBe('planned');
    expect(found.others[0]?.plan).toBeNull();
  });

  it('is empty when there is no edge at all', () => {
    expect(route(near(), demand, [])).toEqual({ chosen: null, spilled: false, others: [] });
  });
});

describe('a method', () => {
  const copy = (estimatedSeconds: number) => {
    return { estimatedSeconds, wireBytes: 1e6, image: DISK, installed: 3, removed: 1 };
  };
  const both = edge('both', { plans: [plan(60)], functional: copy(30) });

  it('that is left open is the quickest of each edge, and the reason names the other (I5)', () => {
    const found = route(near(), demand, [both, edge('exact', { plans: [plan(40)] })], 'cheapest');
    expect(found.chosen).toMatchObject({
      edge: 'both',
      method: 'functional',
      estimatedSeconds: 30,
    });
    expect(found.chosen?.reason).toContain('3 packages to install, 1 to remove');
    expect(found.chosen?.reason).toContain('exact: about 1 min 0 s');
    expect(found.others[0]).toMatchObject({ method: 'exact', estimatedSeconds: 40 });
    const slow = edge('both', { plans: [plan(60)], functional: copy(90) });
    const { chosen } = route(near(), demand, [slow], 'cheapest');
    expect(chosen).toMatchObject({ method: 'exact', estimatedSeconds: 60 });
    expect(chosen?.reason).toContain('A functional copy: about 1 min 30 s.');
  });

  it('that is asked for is what counts; exact unless said', () => {
    const quick = edge('quick', { plans: [plan(40)], functional: copy(90) });
    expect(route(near(), demand, [both, quick]).chosen).toMatchObject({
      ...{ edge: 'quick', method: 'exact' },
    });
    expect(route(near(), demand, [both, quick], 'functional').chosen).toMatchObject({
      ...{ edge: 'both', method: 'functional', estimatedSeconds: 30 },
    });
    const untold = route(near(), demand, [edge('untold')], 'functional').chosen;
    expect(untold).toMatchObject({ method: 'functional', estimatedSeconds: 60 });
    expect(untold?.reason).toContain('told no estimate');
  });
});

describe('nearness', () => {
  const london = edge('london', { ...LONDON, region: 'eu-west-2' as Name, plans: [plan(1)] });

  it('of a region means its own edges, even when a neighbour 460 km away is quicker', () => {
    expect(route(near(), demand, [london, edge('dublin')]).chosen?.edge).toBe('dublin');
  });

  it('of a region that no edge belongs to means the distance from its point', () => {
    const found = route(near(), demand, [london]);
    expect(found.chosen?.edge).toBe('london');
    expect(found.spilled).toBe(false);
  });

  it('of a city, of a point and with a given distance means the distance', () => {
    const dublin = edge('dublin', { region: 'dublin' as Name });
    const city = near({ region: 'dublin' as Name, isCity: true });
    expect(route(city, demand, [london, dublin]).chosen?.edge).toBe('london');
    expect(route(near({ region: null }), demand, [london, dublin]).chosen?.edge).toBe('london');
    expect(route(near({ withinKm: 500 }), demand, [london, dublin]).chosen?.edge).toBe('london');
    const tight = route(near({ withinKm: 100, region: null }), demand, [london]);
    expect(tight.spilled).toBe(true);
  });

  it('does not mind the case of a region', () => {
    const found = route(near({ region: 'EU-WEST' as Name }), demand, [edge('dublin'), london]);
    expect(found.chosen?.edge).toBe('dublin');
  });
});

const anyEdge = fc
  .record({
    name: fc.integer({ min: 0, max: 999 }),
    latitude: fc.double({ min: -90, max: 90, noNaN: true }),
    longitude: fc.double({ min: -180, max: 180, noNaN: true }),
    region: fc.constantFrom('eu-west', 'us-east', null),
    healthy: fc.boolean(),
    compatible: fc.boolean(),
    storeBytes: fc.integer({ min: 0, max: 2_000_000_000 }),
    promisedBytes: fc.integer({ min: 0, max: 1_000_000_000 }),
    memoryMiB: fc.integer({ min: 0, max: 2048 }),
    known: fc.boolean(),
    seconds: fc.option(fc.integer({ min: 0, max: 100 })),
    holds: fc.boolean(),
  })
  .map((raw) =>
    edge(`edge-${raw.name}`, {
      latitude: raw.latitude,
      longitude: raw.longitude,
      region: raw.region as Name | null,
      healthy: raw.healthy,
      compatible: raw.compatible,
      free: raw.known ? { storeBytes: raw.storeBytes, memoryMiB: raw.memoryMiB, vcpus: 4 } : null,
      promised: { storeBytes: raw.promisedBytes, memoryMiB: 0, vcpus: 0 },
      plans: raw.seconds === null ? null : [plan(raw.seconds)],
      held: new Set(raw.holds ? [DISK] : []),
    }),
  );
const anyEdges = fc.uniqueArray(anyEdge, { selector: (one) => one.edge, maxLength: 12 });
const anyPlace = fc
  .record({
    latitude: fc.double({ min: -90, max: 90, noNaN: true }),
    longitude: fc.double({ min: -180, max: 180, noNaN: true }),
    region: fc.constantFrom('eu-west', 'nowhere', null),
    withinKm: fc.option(fc.integer({ min: 1, max: 20_000 })),
    isCity: fc.boolean(),
  })
  .map((raw) => raw as RequestedPlace);

describe('any route', () => {
  it('is the same whatever the order of the edges, and names each once (I3)', () => {
    fc.assert(
      fc.property(anyPlace, anyEdges, fc.infiniteStream(fc.nat()), (place, edges, dice) => {
        const shuffled = [...edges]
          .map((one) => ({ one, key: dice.next().value as number }))
          .sort((a, b) => a.key - b.key)
          .map(({ one }) => one);
        const found = route(place, demand, edges);
        expect(route(place, demand, shuffled)).toEqual(found);
        const named = [found.chosen, ...found.others].flatMap((one) => one?.edge ?? []);
        expect([...named].sort()).toEqual(edges.map((one) => one.edge).sort());
        for (const one of found.others) expect(one.reason).not.toBe('');
      }),
    );
  });

  it('takes an able edge if there is one, near ones first, and the quickest of those (I1, I2)', () => {
    fc.assert(
      fc.property(anyPlace, anyEdges, (place, edges) => {
        const able = edges.filter((one) => {
          if (!one.healthy || !one.compatible || one.free === null) return false;
          const needed = one.held.has(DISK) ? OVERLAY_HEADROOM_BYTES : NEEDED;
          const free = one.free.storeBytes - one.promised.storeBytes;
          return free >= needed && one.free.memoryMiB >= 512;
        });
        const isNear = (one: RoutableEdge): boolean => {
          if (place.region !== null && one.region === place.region) return true;
          const strict = place.region !== null && place.withinKm === null && !place.isCity;
          if (strict && edges.some((other) => other.region === place.region)) return false;
          return distanceKm(one, place) <= (place.withinKm ?? WITHIN_KM_DEFAULT);
        };
        const found = route(place, demand, edges);
        if (able.length === 0) {
          expect(found.chosen).toBeNull();
          return;
        }
        const chosen = able.find((one) => one.edge === found.chosen?.edge);
        expect(chosen).toBeDefined();
        const nearby = able.filter(isNear);
        expect(found.spilled).toBe(nearby.length === 0);
        const seconds = (one: RoutableEdge): number =>
          one.plans?.[0]?.estimatedSeconds ?? 40 + (one.held.has(DISK) ? 0 : 22.5);
        if (nearby.length > 0) {
          expect(nearby).toContain(chosen);
          expect(seconds(chosen!)).toBe(Math.min(...nearby.map(seconds)));
        } else {
          const shortest = Math.min(...able.map((one) => distanceKm(one, place)));
          expect(distanceKm(chosen!, place)).toBe(shortest);
        }
      }),
      { numRuns: 500 },
    );
  });
});
