/**
 * Room: domain. The store that a VM's overlays are promised: what the guest may write before it meets the
 * store's limit. The edge reserves it when it takes a teleport on and the coordinator routes by it, so
 * that an edge is not chosen which then has to refuse.
 */

/** For each disk; what a guest writes beyond it is taken as it comes. */
export const OVERLAY_HEADROOM_BYTES = 256 * 1024 * 1024;

/** Bytes of store to keep for the overlays of a VM with so many disks. */
export function overlayRoomBytes(disks: number): number {
  return OVERLAY_HEADROOM_BYTES * disks;
}
