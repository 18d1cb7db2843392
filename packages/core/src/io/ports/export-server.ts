/**
 * Room: io, ports. What a server of exported disks must do for those who decide what is exported.
 */

import type { ExportedDisk } from './exported-disk.ts';

/** A user of this machine. */
export interface SocketUser {
  readonly uid: number;
  readonly gid: number;
}

export interface ExportServer {
  /** Leaves no connection and no socket. Idempotent. */
  close(): Promise<void>;
}

export interface ExportServerOptions {
  /** Absolute path of the unix socket; its directory is made for it. */
  readonly socketPath: string;
  /** Who may connect; null: the user of this process. */
  readonly user: SocketUser | null;
  /** By name. */
  readonly disks: ReadonlyMap<string, ExportedDisk>;
}

/** Serves disks, read-only, at a unix socket. Throws `invalid_input`, `forbidden`, `conflict`. */
export type ServeExports = (options: ExportServerOptions) => Promise<ExportServer>;
