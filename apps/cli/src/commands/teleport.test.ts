import { expect, it } from 'vitest';
import {
  runTool,
  type Script,
  startStandIn,
  TELEPORT,
  TOKEN,
  teleportIn,
} from '../program.fixture.ts';

/** Asks for a teleport, and is interrupted where `script` says so. */
async function interrupted(script: (interrupt: () => void) => Script) {
  const stop = new AbortController();
  await using standIn = await startStandIn(script(() => stop.abort()));
  const env = { VMDN_URL: standIn.url, VMDN_TOKEN: TOKEN };
  const { signal } = stop;
  return await runTool(['teleport', 'web-01', '--near', 'paris'], env, { signal });
}

it('teleport leaves the teleport alone when it is interrupted, and says how to go on', async () => {
  const events = [teleportIn('syncing')];
  const { exitCode, stderr } = await interrupted((onFollow) => ({ events, onFollow }));
  expect(exitCode).toBe(130);
  expect(stderr).toContain(`vmdn status ${TELEPORT} --follow`);
  expect(stderr).toContain(`vmdn cancel ${TELEPORT}`);
});

it('teleport says that there may be one when it is interrupted before it has its answer', async () => {
  const { exitCode, stderr } = await interrupted((onRequest) => ({ events: [], onRequest }));
  expect(exitCode).toBe(130);
  expect(stderr).toContain('may have reached the coordinator: vmdn teleports');
});

it('cancel returns when the VM is gone, where that is waited for', async () => {
  const gone = teleportIn('cancelled', { released: true });
  await using standIn = await startStandIn({ events: [gone] });
  const env = { VMDN_URL: standIn.url, VMDN_TOKEN: TOKEN };
  const words = 'web-01 is gone from paris-1.';
  expect((await runTool(['cancel', TELEPORT], env)).stdout).not.toContain(words);
  expect((await runTool(['cancel', TELEPORT, '--wait'], env)).stdout).toContain(words);
});

it('cancel says of one that failed that nothing runs, and waits for nothing', async () => {
  await using standIn = await startStandIn({ events: [], cancelled: teleportIn('failed') });
  const env = { VMDN_URL: standIn.url, VMDN_TOKEN: TOKEN };
  const { exitCode, stdout } = await runTool(['cancel', TELEPORT, '--wait'], env);
  expect({ exitCode, stdout }).toEqual({
    exitCode: 0,
    stdout: 'web-01 on paris-1 failed before; nothing runs.\n',
  });
});
