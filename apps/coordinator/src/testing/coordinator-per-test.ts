/**
 * Room: coordinator, testing. A coordinator for each test of a file, on a schema of its own in a PostgreSQL
 * that the file's tests share.
 */

import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { startTestDatabase, type TestDatabase } from './test-database.ts';
import { startTestCoordinator, type TestCoordinator } from './test-network.ts';

/** The coordinator of the test that runs. */
export interface CoordinatorPerTest
  extends Omit<TestCoordinator, 'pace' | typeof Symbol.asyncDispose> {
  readonly databaseUrl: string;
}

/** To be called once, at the top of a test file, before its own `beforeEach`. */
export function coordinatorPerTest(): CoordinatorPerTest {
  let database: TestDatabase;
  let databaseUrl: string;
  let current: TestCoordinator;
  beforeAll(async () => {
    database = await startTestDatabase();
  });
  afterAll(() => database?.[Symbol.asyncDispose]());
  beforeEach(async () => {
    databaseUrl = await database.freshUrl();
    current = await startTestCoordinator(databaseUrl);
  });
  afterEach(() => current?.[Symbol.asyncDispose]());
  return {
    get coordinator() {
      return current.coordinator;
    },
    get url() {
      return current.url;
    },
    get user() {
      return current.user;
    },
    get stateDir() {
      return current.stateDir;
    },
    get databaseUrl() {
      return databaseUrl;
    },
  };
}
