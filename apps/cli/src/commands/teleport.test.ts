import { expect, it } from 'vitest';
import { runTool, startStandIn, TELEPORT, TOKEN, teleportIn } from '../program.fixture.ts';

it('cancel returns when nothing of the VM is left, where that is waited for', async () => {
  const gone = teleportIn('cancelled', { released: true });
  await using standIn = await startStandIn({ events: [gone] });
  const env = { VMDN_URL: standIn.url, VMDN_TOKEN: TOKEN };
  const left = 'Nothing of it is left on';
  expect((await runTool(['cancel', TELEPORT], env)).stdout).not.toContain(left);
  expect((await runTool(['cancel', TELEPORT, '--wait'], env)).stdout).toContain(left);
});
