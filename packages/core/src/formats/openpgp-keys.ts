/**
 * Room: formats. OpenPGP public keys as files hold them (RFC 9580, section 6): binary, or armoured.
 * gpgv 2.2 reads binary keyrings only.
 *
 * I1: total: bytes become binary packets that begin with a public key, or null. What is said of keys is
 *     gpgv's business; a damaged one verifies nothing.
 */

/** Debian's keyring of all its archive keys has 60 KB. */
export const KEYRING_BYTES_MAX = 4 * 2 ** 20;

const BLOCK =
  /-----BEGIN PGP PUBLIC KEY BLOCK-----[ \t]*\r?\n([\s\S]*?)-----END PGP PUBLIC KEY BLOCK-----/g;

/** The keys as one binary keyring; null when there is none, or the file is a keybox. */
export function binaryKeyring(bytes: Uint8Array): Uint8Array | null {
  if (isPublicKeyPacket(bytes)) return bytes;
  const text = Buffer.from(bytes).toString('latin1');
  const keys = [...text.matchAll(BLOCK)].map((match) => dearmor(match[1]!));
  const binary = Buffer.concat(keys);
  return keys.every(isPublicKeyPacket) && binary.length > 0 ? binary : null;
}

/** Headers end at the first empty line; a checksum line begins with `=`. */
function dearmor(block: string): Uint8Array {
  const lines = block.split('\n').map((line) => line.trim());
  const start = lines.indexOf('');
  const data = lines.slice(start + 1).filter((line) => !line.startsWith('='));
  return Buffer.from(data.join(''), 'base64');
}

/** Tag 6 in the old or in the new packet format. */
function isPublicKeyPacket(bytes: Uint8Array): boolean {
  const first = bytes[0] ?? 0;
  return (first & 0xfc) === 0x98 || first === 0xc6;
}
