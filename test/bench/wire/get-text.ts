/**
 * Room: test, bench. Runs on the edge's side, where guests are reachable. Prints a page as
 * `{"atMs":…,"text":"…"}`, with the time at which it came.
 *
 *     node get-text.ts URL
 */

const [url] = process.argv.slice(2);
if (url === undefined) throw new TypeError('get-text.ts URL');
const response = await fetch(url);
const text = await response.text();
if (!response.ok) throw new Error(`${url}: status ${response.status}`);
process.stdout.write(JSON.stringify({ atMs: Date.now(), text }));
