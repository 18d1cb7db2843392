/**
 * Room: origin. Every maximum of the origin, with its reason.
 */

/** VMs of one origin: a host with more disks than this has other problems. */
export const VMS_MAX = 1000;

/** Old versions of a VM that are remembered, so that their disks are `withdrawn` and not `not_found`. */
export const OLD_VERSIONS_MAX = 20;

/** QEMU's lock is let go so long after the last read: the owner waits no longer to start a VM. */
export const LOCK_IDLE_MS = 10_000;

/** A disk whose lock was let go on request is left alone so long, unless told otherwise. */
export const RELEASE_SECONDS = 60;

/** Without any sign of change everything is looked at this often: events can be lost. */
export const RESCAN_MS = 30_000;

/** After a sign of change: a program that writes a file writes it more than once. */
export const SETTLE_MS = 500;

/** A VM that could not be described (it runs, a file is missing) is tried again after this time. */
export const RETRY_MS = 5_000;

/** Making a pin again after it failed: a full disk does not get emptier within seconds. */
export const PIN_RETRY_MS = 60_000;

/**
 * A VM that runs is described for the first time so long after it was seen: a guest in its boot is in
 * between.
 */
export const RUNNING_FIRST_MS = 60_000;

/** A running VM that could not be described is left alone so long. */
export const RUNNING_RETRY_MS = 60_000;

/** What a guest may write into the overlay of one disk while the disk is read: left free where it lies. */
export const OVERLAY_ROOM_BYTES = 2 ** 30;

/** How often libvirt is asked again when it changed a domain while its overlays were merged. */
export const MERGE_ROUNDS_MAX = 3;

/** A journal names the disks of one VM, each with its XML. */
export const JOURNAL_BYTES_MAX = 1024 * 1024;

/** Recipes kept in memory: those of some 100 GiB of disks. */
export const RECIPE_MEMORY_BYTES_MAX = 256 * 2 ** 20;

/** Locks held at a time: each is a process of some 30 MB. */
export const LOCKS_MAX = 64;

/** A ledger holds OLD_VERSIONS_MAX short entries and one description with up to 50,000 packages. */
export const LEDGER_BYTES_MAX = 32 * 2 ** 20;

/** Bodies on the control socket are a name and a number. */
export const CONTROL_BODY_BYTES_MAX = 4096;

/** A fence's record has a path or two for each disk. */
export const FENCE_BYTES_MAX = 256 * 1024;

/**
 * How long an origin waits for a wish about its sources; below the coordinator's 60 s and a client's 30 s.
 */
export const FENCE_WAIT_SECONDS = 20;

/** What is wanted of a source and can't be done yet (it runs), or a coordinator that is away: tried again. */
export const FENCE_RETRY_MS = 2_000;

/** Why it can't be done, in words: what the contract takes. */
export const FENCE_MESSAGE_CHARACTERS_MAX = 2000;

/** A certificate chain in PEM has some 10 KiB. */
export const PEM_BYTES_MAX = 256 * 1024;
