import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { parseDigest } from '../../domain/digest.ts';
import { parseId } from '../../domain/names.ts';
import { type GrantClaims, signGrant, verifyGrant } from './grant.ts';
import { generateNodeKey } from './keys.ts';
import { signDescription, verifyDescription } from './signed-description.ts';

async function exampleGrant(): Promise<GrantClaims> {
  return {
    grant: parseId(randomUUID(), 'grant'),
    project: parseId(randomUUID(), 'project'),
    edge: parseId(randomUUID(), 'edge'),
    edgeKey: (await generateNodeKey()).publicKey,
    purpose: 'teleport',
    disks: [parseDigest('a'.repeat(64))],
    scopes: ['recipe', 'blocks'],
    bytesMax: 1000,
    expiresAt: Math.floor(Date.now() / 1000) + 60,
  };
}

describe('a grant', () => {
  it('says the same to the node that verifies it as to the coordinator that signed it', async () => {
    const coordinator = await generateNodeKey();
    const grant = await exampleGrant();
    const token = await signGrant(coordinator, grant);
    await expect(verifyGrant(token, coordinator.publicKey, Date.now())).resolves.toEqual(grant);
  });

  it('is refused when it has expired', async () => {
    const coordinator = await generateNodeKey();
    const token = await signGrant(coordinator, await exampleGrant());
    const later = Date.now() + 61_000;
    await expect(verifyGrant(token, coordinator.publicKey, later)).rejects.toMatchObject({
      code: 'unauthenticated',
    });
  });

  it('is refused when another coordinator signed it, when it was altered, when it is missing', async () => {
    const coordinator = await generateNodeKey();
    const other = await generateNodeKey();
    const grant = await exampleGrant();
    const foreign = await signGrant(other, grant);
    const [head, , signature] = (await signGrant(coordinator, grant)).split('.');
    const larger = Buffer.from(JSON.stringify({ ...grant, bytesMax: 1e12 })).toString('base64url');
    for (const token of [foreign, `${head}.${larger}.${signature}`, 'nonsense', undefined]) {
      await expect(verifyGrant(token, coordinator.publicKey, Date.now())).rejects.toMatchObject({
        code: 'unauthenticated',
      });
    }
  });

  it('cannot be replaced by another document that the same key signed', async () => {
    const coordinator = await generateNodeKey();
    const grant = await exampleGrant();
    const document = await signDescription(coordinator, grant.edge, grant as never);
    await expect(verifyGrant(document, coordinator.publicKey, Date.now())).rejects.toMatchObject({
      code: 'unauthenticated',
    });
    const token = await signGrant(coordinator, grant);
    await expect(verifyDescription(token, coordinator.publicKey)).rejects.toMatchObject({
      code: 'forbidden',
    });
  });
});
