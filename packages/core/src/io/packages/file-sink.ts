/**
 * Room: io, packages. Lays the files of an archive into a package image.
 *
 * I1: files that have content, and are wanted, lie in the image in the order of the archive; nothing else.
 * I2: members are counted, whatever they are; too many are `too_large`.
 */

import { PACKAGE_MEMBERS_MAX } from '../../domain/limits.ts';
import { type ArchiveMember, type ArchiveSink, tooLargePackage } from '../../formats/archive.ts';
import type { ImageWriter } from './image-writer.ts';

/** The image in the making, shared by all archives of a package. */
export class PackageFiles {
  readonly #image: ImageWriter;
  #files = 0;
  #members = 0;

  constructor(image: ImageWriter) {
    this.#image = image;
  }

  /** Files in the image. */
  get count(): number {
    return this.#files;
  }

  /** Adds a file as a whole. */
  add(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#begin();
    this.#image.write(bytes);
  }

  /** A sink that lays those files into the image for which `isWanted` answers true. */
  sink(isWanted: (member: ArchiveMember) => boolean): ArchiveSink {
    let isKept = false;
    return {
      member: (member) => {
        this.#members += 1;
        if (this.#members > PACKAGE_MEMBERS_MAX) {
          throw tooLargePackage('it has too many files', PACKAGE_MEMBERS_MAX);
        }
        // Asked for every member: who lists them must see those without content too.
        isKept = isWanted(member) && member.kind === 'file' && member.sizeBytes > 0;
        if (isKept) this.#begin();
      },
      content: (bytes) => {
        if (isKept) this.#image.write(bytes);
      },
    };
  }

  #begin(): void {
    this.#image.align();
    this.#files += 1;
  }
}
