/**
 * Room: io, command. qemu-img: argument building, output parsing, exit codes.
 *
 * I1: every image is named by an explicit block graph (`--image-opts`) or an absolute path with an explicit
 *     format: no probing, no protocol in a name (QEMU takes `x:` for one, but not after a `/`).
 * I2: only files that were inspected (io/disk-export/inspect-layers.ts), that we made, or locked exports
 *     come here: qemu-img itself follows what a header names.
 */

import { isAbsolute } from 'node:path';
import type { DiskLayer } from '../../domain/disk-format.ts';
import { VmdnError } from '../../domain/errors.ts';
import type { CommandRunner } from './command-runner.ts';

/** A disk to read: one file, or a locked export (io/disk-export). */
export type ReadableDisk = DiskLayer | { readonly socketPath: string };

export interface ImageInfo {
  /** Size as the guest sees it. */
  readonly virtualSizeBytes: number;
  /** Bytes that the file takes on its file system. */
  readonly allocatedBytes: number;
}

interface Cancellable {
  readonly signal?: AbortSignal | undefined;
}

export interface QemuImg {
  /** Makes an empty image. */
  create(image: DiskLayer & { readonly virtualSizeBytes: number }): Promise<void>;
  /**
   * Makes an empty qcow2 whose unwritten parts are `backing`. Without a size the backing file is opened
   * (in the format that is named) to learn it; with one it is not.
   */
  createOverlay(overlay: {
    readonly path: string;
    readonly backing: DiskLayer;
    readonly virtualSizeBytes?: number;
  }): Promise<void>;
  /** Sizes of an image; its backing file is not opened. */
  info(image: DiskLayer): Promise<ImageInfo>;
  /** Copies the guest-visible bytes of `from` into a new image; a VMDK as a stream where that is wished. */
  convert(
    job: Cancellable & {
      readonly from: ReadableDisk;
      readonly to: DiskLayer;
      readonly isStream?: boolean;
    },
  ): Promise<void>;
  /**
   * Writes what lies in a qcow2 overlay into the layer below it, durably; the overlay stays as it is. Fails
   * when another process has one of both open.
   */
  commit(overlay: { readonly path: string }): Promise<void>;
  /**
   * Whether two disks hold the same bytes. Disks of different sizes are `false`: qemu-img alone calls them
   * identical when the rest is zero.
   */
  compare(one: ReadableDisk, other: ReadableDisk, options?: Cancellable): Promise<boolean>;
  /** Checks the metadata of a qcow2, vdi, vhdx or vmdk that nobody has open. */
  check(image: DiskLayer): Promise<'clean' | 'leaks' | 'corrupt'>;
}

const QUICK_MS = 60_000;
/** A terabyte at 100 MB/s takes three hours. */
const COPY_MS = 6 * 3_600_000;

export function createQemuImg(runner: CommandRunner): QemuImg {
  const run = (args: readonly string[], timeoutMs: number, options: RunMore = {}) =>
    runner.run('qemu-img', args, { timeoutMs, ...options });
  return {
    async create({ path, format, virtualSizeBytes }) {
      const size = String(virtualSizeBytes);
      await run(['create', '-q', '-f', format, '--', safePath(path), size], QUICK_MS);
    },
    async createOverlay({ path, backing, virtualSizeBytes }) {
      const base = ['-b', safePath(backing.path), '-F', backing.format];
      const [blind, size] =
        virtualSizeBytes === undefined ? [[], []] : [['-u'], [String(virtualSizeBytes)]];
      const rest = [...blind, '--', safePath(path), ...size];
      await run(['create', '-q', '-f', 'qcow2', ...base, ...rest], QUICK_MS);
    },
    async info(image) {
      const args = ['info', '--output=json', '--image-opts', '--', blockOptions(image)];
      return parseInfo((await run(args, QUICK_MS)).stdout);
    },
    async convert({ from, to, isStream = false, signal }) {
      const kind = isStream ? ['-o', 'subformat=streamOptimized'] : [];
      const target = ['-O', to.format, ...kind, '--', blockOptions(from), safePath(to.path)];
      await run(['convert', '-q', '--image-opts', ...target], COPY_MS, { signal });
    },
    async commit({ path }) {
      await run(['commit', '-q', '-d', '-f', 'qcow2', '--', safePath(path)], COPY_MS);
    },
    async compare(one, other, options = {}) {
      const args = ['compare', '-s', '--image-opts', '--', blockOptions(one), blockOptions(other)];
      const { exitCode } = await run(args, COPY_MS, { ...options, okExitCodes: [0, 1] });
      return exitCode === 0;
    },
    async check(image) {
      const args = ['check', '-q', '-f', image.format, '--', safePath(image.path)];
      const { exitCode } = await run(args, COPY_MS, { okExitCodes: [0, 2, 3] });
      return exitCode === 0 ? 'clean' : exitCode === 3 ? 'leaks' : 'corrupt';
    },
  };
}

interface RunMore extends Cancellable {
  readonly okExitCodes?: readonly number[];
}

/** What `--image-opts` takes. A comma in a name is written twice. */
export function blockOptions(disk: ReadableDisk): string {
  if ('socketPath' in disk) {
    const path = withDoubledCommas(disk.socketPath);
    return `driver=raw,file.driver=nbd,file.server.type=unix,file.server.path=${path}`;
  }
  return `driver=${disk.format},file.driver=file,file.filename=${withDoubledCommas(safePath(disk.path))}`;
}

/** Reads `qemu-img info --output=json`. Throws `tool_failed` when it is not what it should be. */
export function parseInfo(output: string): ImageInfo {
  let info: Record<string, unknown> = {};
  try {
    info = JSON.parse(output) as Record<string, unknown>;
  } catch {
    // Reported below: no sizes were found.
  }
  const [size, allocated] = [info['virtual-size'], info['actual-size']];
  if (!Number.isSafeInteger(size) || !Number.isSafeInteger(allocated)) {
    throw new VmdnError('tool_failed', 'qemu-img info printed something else than sizes.', {
      data: { output: output.slice(0, 500) },
    });
  }
  return { virtualSizeBytes: size as number, allocatedBytes: allocated as number };
}

/** Absolute paths only: those cannot be taken for a protocol or an option. */
function safePath(path: string): string {
  if (isAbsolute(path) && !path.includes('\0')) return path;
  throw new VmdnError('invalid_input', 'A disk is named by an absolute path.', { data: { path } });
}

const withDoubledCommas = (value: string): string => value.replaceAll(',', ',,');
