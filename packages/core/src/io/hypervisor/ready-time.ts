/**
 * Room: io, hypervisor. The time that a guest has until its ready check must have succeeded.
 *
 * I1: time in which the guest is held up, its reads waiting for bytes that are not here yet, is not the
 *     guest's: it does not count, however long it is.
 */

/** Milliseconds left at each call. `heldUpSeconds`: how long the guest was held up so far; it only grows. */
export function readyTime(
  timeoutSeconds: number,
  heldUpSeconds: () => number = () => 0,
  nowMs: () => number = () => performance.now(),
): () => number {
  const startedMs = nowMs();
  const heldBefore = heldUpSeconds();
  return () => {
    const heldMs = (heldUpSeconds() - heldBefore) * 1000;
    return timeoutSeconds * 1000 - (nowMs() - startedMs - heldMs);
  };
}
