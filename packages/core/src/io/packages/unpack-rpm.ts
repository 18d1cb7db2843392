/**
 * Room: io, packages. The files of an .rpm: those of its payload, in its order.
 *
 * I1: the headers are held only while they are read.
 */

import { VmdnError } from '../../domain/errors.ts';
import { ArchiveFeeder } from '../../formats/archive.ts';
import { cpioMembers } from '../../formats/cpio.ts';
import {
  checkRpmLead,
  parseRpmHeader,
  RPM_INTRO_BYTES,
  RPM_LEAD_BYTES,
  type RpmHeader,
  rpmHeaderBytes,
} from '../../formats/rpm.ts';
import type { ByteSource } from './byte-source.ts';
import type { Compression } from './decompress.ts';
import type { PackageFiles } from './file-sink.ts';
import type { OpenStream } from './unpack-deb.ts';

const COMPRESSIONS: readonly Compression[] = ['gzip', 'bzip2', 'xz', 'lzma', 'zstd'];

/** Lays the files of an .rpm into `files`. Throws `corrupt`, `too_large`, `unsupported_format`. */
export async function unpackRpm(
  source: ByteSource,
  open: OpenStream,
  files: PackageFiles,
): Promise<void> {
  const { payloadCompressor, payloadFormat, payloadSizes } = await readHeader(source);
  const compression = COMPRESSIONS.find((known) => known === payloadCompressor);
  if (compression === undefined || payloadFormat !== 'cpio') {
    throw new VmdnError('unsupported_format', 'The payload of this rpm package cannot be read.', {
      data: { payloadCompressor, payloadFormat },
    });
  }
  const sink = files.sink(() => true);
  const feeder = new ArchiveFeeder(cpioMembers(payloadSizes), sink);
  const payload = source.pass(Number.POSITIVE_INFINITY);
  for await (const chunk of open(compression, payload)) feeder.push(chunk);
  feeder.end();
}

async function readHeader(source: ByteSource): Promise<RpmHeader> {
  checkRpmLead(await source.take(RPM_LEAD_BYTES));
  const signatureBytes = rpmHeaderBytes(await source.take(RPM_INTRO_BYTES));
  // Only the signature header is padded: intros are 16 bytes, so what counts is what follows.
  await source.skip(signatureBytes + ((8 - (signatureBytes % 8)) % 8));
  const intro = await source.take(RPM_INTRO_BYTES);
  return parseRpmHeader(intro, await source.take(rpmHeaderBytes(intro)));
}
