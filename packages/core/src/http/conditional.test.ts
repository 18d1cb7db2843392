/** Tables for http/conditional.ts. */

import { describe, expect, test } from 'vitest';
import { acceptsCoding, matchesAnyTag, rangeStands } from './conditional.ts';

describe('matchesAnyTag', () => {
  test.each([
    [undefined, false],
    ['"abc"', true],
    ['W/"abc"', true],
    ['"x", "abc"', true],
    ['*', true],
    ['abc', false],
    ['"ABC"', false],
    ['"abc', false],
    ['"ab"c"', false],
    ['', false],
    [`${'"x",'.repeat(40)}"abc"`, false],
  ])('%j against abc is %j', (header, expected) => {
    expect(matchesAnyTag(header, ['abc', 'abc-zstd'])).toBe(expected);
  });
});

describe('rangeStands', () => {
  test.each([
    [undefined, true],
    ['"abc"', true],
    ['W/"abc"', false],
    ['"abd"', false],
    ['Wed, 21 Oct 2026 07:28:00 GMT', false],
  ])('a range with If-Range %j stands: %j', (header, expected) => {
    expect(rangeStands(header, 'abc')).toBe(expected);
  });
});

describe('acceptsCoding', () => {
  test.each([
    [undefined, false],
    ['', false],
    ['zstd', true],
    ['gzip, ZSTD;q=0.5', true],
    ['zstd;q=0', false],
    ['zstd;q=0.000', false],
    ['*', true],
    ['*;q=0', false],
    ['*, zstd;q=0', false],
    ['gzip', false],
    ['zstandard', false],
    ['zstd;q=abc', false],
  ])('%j accepts zstd: %j', (header, expected) => {
    expect(acceptsCoding(header, 'zstd')).toBe(expected);
  });
});
