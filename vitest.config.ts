/**
 * How the tests run. Three groups, one after the other: quick ones, those with tools, whole networks. A
 * fourth, `slow`, takes a quarter of an hour for one test, and is run by itself.
 */

import { defineConfig } from 'vitest/config';

const ROOMS = ['{apps,packages}/*/src/**', 'infra/**', 'bin', 'test/**'];
const NETWORK = 'test/network/**/*.test.ts';
const SLOW = 'test/network/**/*.slow.test.ts';

export default defineConfig({
  test: {
    pool: 'forks',
    // Two cores: more forks only make each test slower.
    maxWorkers: 2,
    exclude: ['**/node_modules/**'],
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ROOMS.map((room) => `${room}/*.test.ts`),
          exclude: ['**/node_modules/**', '**/*.integ.test.ts', NETWORK],
          testTimeout: 20_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'integ',
          include: ROOMS.map((room) => `${room}/*.integ.test.ts`),
          exclude: ['**/node_modules/**', NETWORK],
          testTimeout: 120_000,
          hookTimeout: 300_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: 'network',
          include: [NETWORK],
          exclude: ['**/node_modules/**', SLOW],
          // Guests boot under emulation here: two at once would each take twice as long.
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
