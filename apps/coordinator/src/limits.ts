/**
 * Room: coordinator, limits. Every maximum of the coordinator, with its reason.
 */

/** Connections of one coordinator; PostgreSQL allows 100 by default, so nine can share one. */
export const POOL_CONNECTIONS_MAX = 10;

/** Longer than any query of ours on 100,000 rows; a stuck one must not hold its connection. */
export const STATEMENT_TIMEOUT_MS = 30_000;

/** Transactions that collide do so rarely; more attempts only hide a defect. */
export const TRANSACTION_ATTEMPTS_MAX = 5;

/** A compressed package recipe of some 8 MiB in base64, and the words around it. */
export const PACKAGE_RECIPE_BODY_BYTES_MAX = 12 * 1024 * 1024;

/** All packages of Debian's main for one architecture are some 65,000; three releases of it. */
export const PACKAGE_RECIPES_MAX = 200_000;

/** Compressed; 200,000 recipes of the usual 5 to 10 kB are less. */
export const PACKAGE_RECIPES_BYTES_MAX = 4 * 1024 * 1024 * 1024;

/** Additions between two evictions (each looks at every row): the bounds may be passed by as many. */
export const PACKAGE_RECIPES_PER_EVICTION = 64;

/** Answers full of recipes that are made at once: each takes some 40 MiB of memory for a moment. */
export const PACKAGE_RECIPES_ANSWERS_MAX = 8;

/** A boot trace of some 1 MiB in base64, and the words around it. */
export const BOOT_TRACE_BODY_BYTES_MAX = 2 * 1024 * 1024;

/** Boot traces kept of one VM: its newest versions; an older one says less with each version. */
export const TRACES_PER_VM_MAX = 4;

/** Boot traces in one answer: what the contract takes. */
export const TRACES_MAX = 4;

/** Boot traces in all: of 10,000 guests at the usual 100 kB each. */
export const TRACES_BYTES_MAX = 1024 * 1024 * 1024;

/** An edge's library of 100,000 images at some 350 bytes of JSON each. */
export const HOLDINGS_BODY_BYTES_MAX = 48 * 1024 * 1024;

/** A signed description of at most 16 MiB in base64url, and the words around it. */
export const DESCRIPTION_BODY_BYTES_MAX = 17 * 1024 * 1024;

/** Edges that a route explains; the nearest matter, and the answer stays readable. */
export const OTHERS_MAX = 64;

/** Teleports in one page unless the request says otherwise. */
export const TELEPORTS_PAGE_DEFAULT = 100;

/** Nodes that one long poll names as holders of a disk: what the contract takes. */
export const HOLDERS_MAX = 64;

/** Event streams open at once: each costs a socket and a query per change. */
export const EVENT_STREAMS_MAX = 1000;

/** Long polls open at once: two per edge of a network of 500 edges. */
export const LONG_POLLS_MAX = 1000;

/** A poll or stream looks again after this time even when nothing woke it (a lost notification). */
export const WATCH_TIMER_MS = 5_000;

/** So long a report that asks to boot a moved VM waits for its origin: below a client's usual 30 s. */
export const FENCE_WAIT_MS = 10_000;

/** Comments on a silent event stream; proxies cut connections that are silent for 30 s or more. */
export const EVENT_COMMENT_MS = 10_000;

/** Silent for longer than this, a connection that waits for notifications is made anew. */
export const LISTEN_CHECK_MS = 15_000;

/** A grant can carry each block about four times: retries after a restart, or a bad source. */
export const GRANT_BYTES_FACTOR = 4;

/** On top, for recipes, headers and small disks. */
export const GRANT_BYTES_EXTRA = 64 * 1024 * 1024;

/** Signed grants that are kept instead of being signed again at each poll. */
export const GRANTS_KEPT_MAX = 10_000;

/** Enrolment tokens are for now: an hour unless the request says otherwise. */
export const ENROLMENT_SECONDS_DEFAULT = 3600;

/** Teleports that one pass of a reconciler looks at; the next pass takes the next ones. */
export const RECONCILED_MAX = 100;

/**
 * So long after a coordinator is there again a living node has called it: the longest pause between a node's
 * attempts is 30 s, and one that began before takes up to 10 s to fail.
 */
export const NODE_RETRY_SECONDS_MAX = 40;

/** Missed beats after which a node counts as away. */
export const BEATS_MISSED_MAX = 3;
