/**
 * Room: formats. The ar archive around the parts of a .deb: deb(5), ar(5) of FreeBSD ("common" format).
 *
 * I1: total: any 60 bytes give a member or `corrupt`.
 * I2: extended names (GNU's "/12", BSD's "#1/12") are refused: deb(5) has none.
 */

import { corruptPackage } from './archive.ts';
import { latin1 } from './image-bytes.ts';

export const AR_MAGIC = '!<arch>\n';
export const AR_HEADER_BYTES = 60;

export interface ArMember {
  readonly name: string;
  /** Of its content; an odd one is followed by one byte of padding. */
  readonly sizeBytes: number;
}

/** Reads the 60 bytes before a member. Throws `corrupt`. */
export function parseArHeader(header: Uint8Array): ArMember {
  const text = latin1(header);
  // dpkg-deb itself writes plain names; other makers end them with a slash.
  const name = /^([^\s/]+)\/? *$/.exec(text.slice(0, 16))?.[1];
  const size = /^([0-9]{1,10}) *$/.exec(text.slice(48, 58))?.[1];
  const isWhole = header.length === AR_HEADER_BYTES && text.slice(58) === '`\n';
  if (!isWhole || name === undefined || size === undefined)
    throw corruptPackage('a wrong ar header');
  return { name, sizeBytes: Number(size) };
}
