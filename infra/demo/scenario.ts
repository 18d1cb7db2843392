/**
 * Room: infra, demo. What the demonstration shows: which nodes, which guests, which requests.
 */

/** The link between the origin and the world: 10 MB/s. */
export const UPLINK_BYTES_PER_SECOND = 10_000_000;

export const BASE_IMAGE = 'debian-12-base';
export const VMS = ['web-01', 'web-02'] as const;
export type DemoVm = (typeof VMS)[number];

export const ORIGIN = { name: 'frankfurt-1', region: 'eu-central' } as const;

/**
 * The first edge imports the base, the second is seeded from it, the third has nothing. The third
 * does not ask its neighbours either: ashburn-1 holds all of web-02 by then, and there would be no miss.
 */
export const EDGES = [
  { name: 'dublin-1', region: 'eu-west', hasBase: true, usesNeighbours: true },
  { name: 'ashburn-1', region: 'us-east', hasBase: true, usesNeighbours: true },
  { name: 'tokyo-1', region: 'ap-northeast', hasBase: false, usesNeighbours: false },
] as const;

export interface DemoRequest {
  readonly vm: DemoVm;
  /** Where the user is. */
  readonly near: string;
  /** The edge that must be chosen. */
  readonly edge: string;
  readonly outcome: 'partial' | 'miss';
  readonly why: string;
}

export const REQUESTS: readonly DemoRequest[] = [
  {
    vm: 'web-01',
    near: 'london',
    edge: 'dublin-1',
    outcome: 'partial',
    why: 'installed independently of the base image that the edge holds',
  },
  {
    vm: 'web-02',
    near: 'new-york',
    edge: 'ashburn-1',
    outcome: 'partial',
    why: 'a clone of the base image that the edge was seeded with, and packages added since',
  },
  {
    vm: 'web-02',
    near: 'osaka',
    edge: 'tokyo-1',
    outcome: 'miss',
    why: 'the honest miss: the edge holds nothing, everything comes from the origin',
  },
];
