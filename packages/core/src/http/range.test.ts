/** Table of RFC 9110 section 14, for http/range.ts. */

import { describe, expect, test } from 'vitest';
import { decideRange } from './range.ts';

const SIZE_BYTES = 1000;
const part = (fromByte: number, toByte: number) => ({
  status: 206,
  range: { fromByte, toByte },
  contentRange: `bytes ${fromByte}-${toByte - 1}/1000`,
});
const whole = { status: 200 };
const outside = { status: 416, contentRange: 'bytes */1000' };

describe('decideRange', () => {
  test.each([
    [undefined, whole],
    ['bytes=0-0', part(0, 1)],
    ['bytes=0-499', part(0, 500)],
    ['bytes=500-', part(500, 1000)],
    ['bytes=990-5000', part(990, 1000)],
    ['bytes=-1', part(999, 1000)],
    ['bytes=-5000', part(0, 1000)],
    ['BYTES=1-2', part(1, 3)],
    ['bytes= 1-2 ', part(1, 3)],
    ['bytes=1000-', outside],
    ['bytes=999999999999999-', outside],
    ['bytes=-0', outside],
    // I1: everything else is as if no Range had been sent.
    ['bytes=2-1', whole],
    ['bytes=0-1,5-6', whole],
    ['bytes=-', whole],
    ['bytes=a-b', whole],
    ['bytes=--1', whole],
    ['bytes=+1-2', whole],
    ['bytes=1-2-3', whole],
    ['bytes=0x1-2', whole],
    ['bytes=99999999999999999999-', whole],
    ['blocks=0-1', whole],
    ['', whole],
  ])('answers %j with %j', (header, decision) => {
    expect(decideRange(header, SIZE_BYTES)).toEqual(decision);
  });

  test('I2: nothing of an empty file can be asked for', () => {
    expect(decideRange('bytes=0-', 0)).toEqual({ status: 416, contentRange: 'bytes */0' });
    expect(decideRange('bytes=-1', 0)).toEqual({ status: 416, contentRange: 'bytes */0' });
  });
});
