import { expect, it } from 'vitest';
import { runTool, startStandIn, TELEPORT, TOKEN, teleportIn } from '../program.fixture.ts';

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
