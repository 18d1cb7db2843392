/**
 * Room: edge. Every maximum of the edge app, with its reason. Relations are asserted below.
 */

/** Long poll for the desired state; the coordinator answers sooner when something changes. */
export const DESIRED_WAIT_SECONDS = 25;
/** A little longer than the poll itself, so that the answer of a slow coordinator still counts. */
export const DESIRED_TIMEOUT_MS = 40_000;
/** Pauses while the coordinator is away: doubling between these, with jitter. */
export const AWAY_PAUSE_MIN_MS = 500;
export const AWAY_PAUSE_MAX_MS = 15_000;

/** Everything is looked at again this often, even when nobody says that something changed. */
export const RECONCILE_INTERVAL_MS = 10_000;
/** Reports of holdings are repeated this often: a coordinator restored from a backup catches up. */
export const HOLDINGS_INTERVAL_MS = 300_000;

/** Disks that are made at once: each may hold 32 MiB of arena and has some 16 requests in flight. */
export const DELIVERIES_MAX = 4;
/** Disks that are lent at once: each to an appliance of 2 GiB of memory and all processors. */
export const LOANS_MAX = 1;
/** Identities that are written at once: each by an appliance of 768 MiB that keeps two processors busy. */
export const IDENTITIES_MAX = 1;
/** Seeds that are worked off at once; teleports go first. */
export const SEEDS_MAX = 2;
/** Imports read and hash a whole disk with all cores: one after another. */
export const IMPORTS_MAX = 1;
/** Exports read a whole disk twice and hash it with all cores: one after another. */
export const EXPORTS_MAX = 1;
/** Captures read a whole disk and hash it with all cores: one after another. */
export const CAPTURES_MAX = 1;
/** How long a guest may take to shut down unless said: a busy database writes its memory to disk first. */
export const SHUTDOWN_SECONDS = 120;
/** How long background planning waits for deliveries to end before it takes a turn all the same. */
export const BACKGROUND_PATIENCE_MS = 30_000;
/** Plans kept: some 20 bytes for each non-zero block, so that 10 GiB of disks are ready. */
export const PLANS_KEPT_BYTES_MAX = 64 * 1024 * 1024;

/** Blocks whose compressed size a plan asks for at most: 64 MiB, which take a holder 0.2 s of one core. */
export const SAMPLED_BLOCKS_MAX = 16_384;

/** Disks whose compressed sizes are remembered: a hundred bytes each; forgetting one costs a question. */
export const RATIOS_KEPT_MAX = 10_000;

/** Recipes up to this length come whole: at 10 MB/s they take 7 ms, less than one more round trip. */
export const WHOLE_RECIPE_BYTES_MAX = 64 * 1024;
/** Recipe files that one outline is looked up in: as many as images in one plan. */
export const RECIPES_SEARCHED_MAX = 65_535;

/** Steps of one pass over one teleport: a VM with 24 disks takes some 30. */
export const STEPS_MAX = 100;
/** Progress is reported at most this often; the console shows nothing finer. */
export const PROGRESS_INTERVAL_MS = 1000;
/** Pauses between tries of a teleport that met a problem which may pass: doubling between these. */
export const RETRY_MIN_MS = 1000;
export const RETRY_MAX_MS = 30_000;
/** Failures of the hypervisor in a row before the teleport is given up. */
export const START_ATTEMPTS_MAX = 3;
/** A VM that ends again and again is started at most this often. */
export const RESTART_PAUSE_MAX_MS = 300_000;

/** Words of an error that go into a report; the contract allows 2,000. */
export const MESSAGE_CHARACTERS_MAX = 1900;
/** Text of the descriptions that are kept verified: some 6,000 guests with 300 packages each. */
export const DESCRIPTIONS_BYTES_MAX = 128 * 1024 * 1024;
/** Tries to renew a grant begin when half of its time is over, and are this far apart. */
export const GRANT_RETRY_MS = 15_000;
/** Never closer together: a coordinator whose clock is behind gives grants that have ended already. */
export const GRANT_RENEW_MIN_MS = 1000;

/** A holder that sends nothing of a recipe for so long is passed over while another one may have it. */
export const HOLDER_STALL_MS = 5000;

/** A neighbour that failed is left alone between these, doubling; the longest is what its return may cost. */
export const BREAKER_PAUSE_MIN_MS = 1000;
export const BREAKER_PAUSE_MAX_MS = 60_000;
/** One that brought wrong bytes: a broken disk or machine is not mended within minutes. */
export const LIAR_PAUSE_MS = 600_000;

/** Packages fetched side by side: mirrors serve many at once, and small ones cost mostly round trips. */
export const PACKAGES_FETCHED_AT_ONCE = 4;
/** A disk of which less is missing is not worth a look at mirrors: the origin sends it in a second or so. */
export const PACKAGES_MISSING_BYTES_MIN = 2 * 1024 * 1024;
/** Room that package images may take of the store unless said: those of some 15 kinds of servers. */
export const PACKAGES_QUOTA_BYTES = 8 * 1024 ** 3;
/** Share of the processors that background work takes unless said: guests and deliveries have the rest. */
export const BACKGROUND_CPU_SHARE = 0.5;
/** Until something was measured: a mirror on a 200 Mbit/s line, and what one core unpacks and hashes. */
export const MIRROR_BYTES_PER_SECOND = 25_000_000;
export const UNPACK_BYTES_PER_SECOND = 80_000_000;
/** A recipe that no edge had shared is asked for again after so long. */
export const PACKAGE_RECIPES_ASKED_AGAIN_MS = 600_000;
/** Packages remembered as unknown to the coordinator; forgetting them costs a question. */
export const PACKAGES_REMEMBERED_MAX = 100_000;

/** A boot does not wait longer for what earlier boots read: it is a megabyte at most. */
export const TRACES_WAIT_MS = 5000;

/** Threads that hashed an imported image wait so long for the next one. */
export const IMPORT_THREADS_IDLE_MS = 5000;

function assertRelations(): void {
  const relations: readonly boolean[] = [
    DESIRED_TIMEOUT_MS > DESIRED_WAIT_SECONDS * 1000,
    AWAY_PAUSE_MIN_MS < AWAY_PAUSE_MAX_MS,
    RETRY_MIN_MS < RETRY_MAX_MS,
    BREAKER_PAUSE_MIN_MS < BREAKER_PAUSE_MAX_MS,
    SEEDS_MAX <= DELIVERIES_MAX,
    GRANT_RENEW_MIN_MS < GRANT_RETRY_MS,
    MESSAGE_CHARACTERS_MAX <= 2000,
  ];
  if (relations.includes(false)) throw new Error('limits.ts: two limits contradict each other');
}

assertRelations();

/** Plans for one disk, when the image that it would share storage with turns out bad: each takes one away. */
export const PLANS_MAX = 4;

/** Disks whose cost is remembered until a functional copy of them shows what it took: some 100 bytes each. */
export const EXACT_COSTS_MAX = 4096;
