/**
 * Room: io, packages. The files of a .deb (deb(5)): what dpkg keeps of its control part, then its data, then
 * the file list that dpkg writes.
 *
 * I1: the order is that of the two archives, and the list comes last: no name decides where a file lies.
 */

import { VmdnError } from '../../domain/errors.ts';
import { AR_HEADER_BYTES, AR_MAGIC, type ArMember, parseArHeader } from '../../formats/ar.ts';
import { ArchiveFeeder, type ArchiveSink, corruptPackage } from '../../formats/archive.ts';
import { DpkgList, dpkgPath } from '../../formats/dpkg-list.ts';
import { latin1 } from '../../formats/image-bytes.ts';
import { tarMembers } from '../../formats/tar.ts';
import type { ByteSource } from './byte-source.ts';
import type { Compression } from './decompress.ts';
import type { PackageFiles } from './file-sink.ts';

/** Opens a compressed stream; see decompress.ts. */
export type OpenStream = (
  compression: Compression,
  input: AsyncIterable<Uint8Array>,
) => AsyncIterable<Uint8Array>;

/** What deb(5) and dpkg-deb(1) know. */
const COMPRESSION_OF: Readonly<Record<string, Compression>> = {
  '': 'none',
  '.gz': 'gzip',
  '.xz': 'xz',
  '.zst': 'zstd',
  '.bz2': 'bzip2',
  '.lzma': 'lzma',
};

/** The version of the format is a line of text. */
const VERSION_BYTES_MAX = 64;

/** What dpkg does not copy to its info directory: the fields go to its status, the list is its own. */
const NOT_KEPT = new Set(['/control', '/list']);

/** Lays the files of a .deb into `files`. Throws `corrupt`, `too_large`, `unsupported_format`. */
export async function unpackDeb(
  source: ByteSource,
  open: OpenStream,
  files: PackageFiles,
): Promise<void> {
  const magic = await source.take(AR_MAGIC.length);
  if (latin1(magic) !== AR_MAGIC) throw corruptPackage('it is no Debian package');
  await checkVersion(source);
  const isControlFile = (path: string): boolean =>
    path.lastIndexOf('/') === 0 && !NOT_KEPT.has(path);
  await unpackTar(
    source,
    open,
    'control.tar',
    files.sink(({ path }) => isControlFile(dpkgPath(path))),
  );
  const list = new DpkgList();
  const data = files.sink(({ path }) => {
    list.add(path);
    return true;
  });
  await unpackTar(source, open, 'data.tar', data);
  files.add(list.bytes);
}

async function checkVersion(source: ByteSource): Promise<void> {
  const { name, sizeBytes } = parseArHeader(await source.take(AR_HEADER_BYTES));
  if (name !== 'debian-binary' || sizeBytes > VERSION_BYTES_MAX) {
    throw corruptPackage('it is no Debian package');
  }
  const version = latin1(await source.take(sizeBytes + (sizeBytes % 2)));
  if (version.startsWith('2.')) return;
  throw new VmdnError('unsupported_format', 'This Debian package has another format than 2.', {
    data: { version },
  });
}

/** Unpacks the next archive, which must be `name` with any compression. */
async function unpackTar(
  source: ByteSource,
  open: OpenStream,
  name: string,
  sink: ArchiveSink,
): Promise<void> {
  const member = await nextMember(source);
  const compression = member.name.startsWith(name)
    ? COMPRESSION_OF[member.name.slice(name.length)]
    : undefined;
  if (compression === undefined) throw corruptPackage(`${name} is missing`);
  const feeder = new ArchiveFeeder(tarMembers(), sink);
  for await (const chunk of open(compression, source.pass(member.sizeBytes))) feeder.push(chunk);
  feeder.end();
  await source.skipRest();
  // The last member of some packages lacks its padding; what follows data.tar is passed over anyway.
  if (member.sizeBytes % 2 === 1 && name !== 'data.tar') await source.skip(1);
}

/** The header of the next member; those whose names begin with an underscore are passed over (deb(5)). */
async function nextMember(source: ByteSource): Promise<ArMember> {
  for (;;) {
    const member = parseArHeader(await source.take(AR_HEADER_BYTES));
    if (!member.name.startsWith('_')) return member;
    await source.skip(member.sizeBytes + (member.sizeBytes % 2));
  }
}
