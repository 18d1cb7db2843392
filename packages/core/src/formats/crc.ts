/**
 * Room: formats. The checksums of ext4: CRC-32C (Castagnoli) and CRC-16 (IBM), both as Linux computes them:
 * reflected, with the running value as argument and result, nothing inverted.
 */

/** The value that a checksum begins with. */
export const CRC_START = 0xffffffff;

const CRC32C_TABLE = tableOf(0x82f63b78);
const CRC16_TABLE = tableOf(0xa001);

function tableOf(polynomial: number): Uint32Array {
  return Uint32Array.from({ length: 256 }, (_, byte) => {
    let value = byte;
    for (let bit = 0; bit < 8; bit += 1) {
      value = (value & 1) === 0 ? value >>> 1 : (value >>> 1) ^ polynomial;
    }
    return value >>> 0;
  });
}

/** CRC-32C of `bytes`, going on from `value`. */
export function crc32c(value: number, bytes: Uint8Array): number {
  let crc = value;
  for (const byte of bytes) crc = CRC32C_TABLE[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  return crc >>> 0;
}

/** CRC-16 of `bytes`, going on from `value`, of which 16 bits count. */
export function crc16(value: number, bytes: Uint8Array): number {
  let crc = value & 0xffff;
  for (const byte of bytes) crc = CRC16_TABLE[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  return crc & 0xffff;
}
