/**
 * Room: infra, lab. Stops a network when whoever started it is gone, however it went: a pipe from the
 * starter to this process ends with the starter, even when that is killed.
 *
 * I1: a starter that says `keep` before it ends leaves its network running.
 * I2: a network that was stopped already has no record, and nothing is done; the record of another network,
 *     which began in the same folder since, is not touched.
 */

import { readRecord, stopRecorded } from './record.ts';

const [stateDir = '', mark = ''] = process.argv.slice(2);
// Ctrl-C is the starter's business; this process sees what comes of it.
for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined);

let said = '';
for await (const chunk of process.stdin) said += String(chunk);
if (!said.includes('keep')) {
  const record = await readRecord(stateDir);
  if (record?.mark === mark) await stopRecorded(record);
}
