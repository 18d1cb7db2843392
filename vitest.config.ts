/**
 * How the tests run: quick ones, then those with tools and whole networks, two at a time, then networks one
 * at a time that look at what a transfer has come to at some moment: beside another guest that moment is
 * another one. `slow` takes a quarter of an hour for one test, and is run by itself.
 * Limits only end what hangs, on a machine that is ten times slower too; none is a measure of speed.
 */

import { defineConfig } from 'vitest/config';

const ROOMS = ['{apps,packages}/*/src/**', 'infra/**', 'bin', 'test/**'];
const NETWORK = 'test/network/**/*.test.ts';
const ALONE = 'test/network/{boot-traces,failures,kills,lazy,lazy-libvirt,trade}.test.ts';
const SLOW = 'test/network/**/*.slow.test.ts';

export default defineConfig({
  test: {
    pool: 'forks',
    // Two cores: more forks only make each test slower.
    maxWorkers: 2,
    exclude: ['**/node_modules/**'],
    // Vitest's own limit is a second and is not followed by a last look: a process that stood still for so
    // long would fail a test whose condition holds.
    expect: { poll: { timeout: 15_000 } },
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ROOMS.map((room) => `${room}/*.test.ts`),
          exclude: ['**/node_modules/**', '**/*.integ.test.ts', NETWORK],
          testTimeout: 60_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'integ',
          include: ROOMS.map((room) => `${room}/*.integ.test.ts`),
          exclude: ['**/node_modules/**', NETWORK],
          testTimeout: 300_000,
          hookTimeout: 600_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: 'network',
          include: [NETWORK],
          exclude: ['**/node_modules/**', ALONE, SLOW],
          testTimeout: 600_000,
          hookTimeout: 600_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: 'alone',
          include: [ALONE],
          maxWorkers: 1,
          testTimeout: 600_000,
          hookTimeout: 600_000,
          sequence: { groupOrder: 2 },
        },
      },
      {
        extends: true,
        test: {
          name: 'slow',
          include: [SLOW],
          maxWorkers: 1,
          hookTimeout: 600_000,
          sequence: { groupOrder: 3 },
        },
      },
    ],
  },
});
