import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HTTP_STATUS } from '@vmdn/core/http/error-response.ts';
import { describe, expect, it } from 'vitest';
import { COORDINATOR_OPERATIONS } from './openapi.ts';

const page = await readFile(join(import.meta.dirname, '../../../../docs/http-api.md'), 'utf8');

describe('the page on the HTTP API', () => {
  it('lists every operation with its caller and status, and no other', () => {
    const rows = page.split('\n').filter((line) => /^\| `(GET|POST|PUT|DELETE) /.test(line));
    const wanted = COORDINATOR_OPERATIONS.map(
      ({ method, path, caller, status, summary }) =>
        `| \`${method.toUpperCase()} ${path}\` | ${caller} | ${status} | ${summary} |`,
    );
    expect(rows).toEqual(wanted);
  });

  it('lists every error with its status', () => {
    for (const [code, status] of Object.entries(HTTP_STATUS)) {
      expect(page).toContain(`| \`${code}\` | ${status} |`);
    }
  });
});
