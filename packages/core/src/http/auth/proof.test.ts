import { randomUUID } from 'node:crypto';
import { CompactSign, decodeJwt } from 'jose';
import { beforeAll, describe, expect, it } from 'vitest';
import type { PublicKey } from '../contracts/schemas.ts';
import { generateNodeKey, type NodeKey } from './keys.ts';
import { createProofVerifier, PROOF_WINDOW_SECONDS, signProof } from './proof.ts';

describe('a proof of possession', () => {
  const node = randomUUID();
  const body = new TextEncoder().encode('{"a":1}');
  const sent = { method: 'POST', path: '/v1/x?y=1', body, grant: 'grant-1' };
  let key: NodeKey;
  let stranger: NodeKey;
  const findKey = async (keyId: string): Promise<PublicKey | undefined> =>
    keyId === node ? key.publicKey : undefined;

  /** When a proof says that it was made: our own look at the clock may come seconds before or after. */
  const signedMs = (proof: string): number => decodeJwt(proof).iat! * 1000;

  beforeAll(async () => {
    key = await generateNodeKey();
    stranger = await generateNodeKey();
  });

  it('is accepted once for the request it was made for', async () => {
    const verifier = createProofVerifier({ audience: 'edge-1' });
    const proof = await signProof(key, { ...sent, keyId: node, audience: 'edge-1' });
    await expect(verifier.verify(proof, sent, findKey)).resolves.toEqual({ keyId: node });
    await expect(verifier.verify(proof, sent, findKey)).rejects.toThrow('used before');
  });

  it.each([
    ['another method', { method: 'PUT' }, 'another request'],
    ['another path', { path: '/v1/z' }, 'another request'],
    ['another body', { body: new TextEncoder().encode('{"a":2}') }, 'body'],
    ['no body', { body: undefined }, 'body'],
    ['another grant', { grant: 'grant-2' }, 'grant'],
    ['no grant', { grant: undefined }, 'grant'],
  ])('is refused for %s (I1)', async (_, change, words) => {
    const verifier = createProofVerifier({ audience: 'edge-1' });
    const proof = await signProof(key, { ...sent, keyId: node, audience: 'edge-1' });
    await expect(verifier.verify(proof, { ...sent, ...change }, findKey)).rejects.toThrow(words);
  });

  it('is refused by a receiver it was not meant for (I1)', async () => {
    const proof = await signProof(key, { ...sent, keyId: node, audience: 'edge-1' });
    const other = createProofVerifier({ audience: 'edge-2' });
    await expect(other.verify(proof, sent, findKey)).rejects.toThrow('another receiver');
  });

  it('is refused when another key signed it, or nobody', async () => {
    const verifier = createProofVerifier({ audience: 'edge-1' });
    const forged = await signProof(stranger, { ...sent, keyId: node, audience: 'edge-1' });
    await expect(verifier.verify(forged, sent, findKey)).rejects.toThrow('signature');
    const unknown = await signProof(key, { ...sent, keyId: randomUUID(), audience: 'edge-1' });
    await expect(verifier.verify(unknown, sent, findKey)).rejects.toThrow('not known');
    await expect(verifier.verify(undefined, sent, findKey)).rejects.toThrow('there is none');
    await expect(verifier.verify('x.y.z', sent, findKey)).rejects.toThrow('not a JWS');
  });

  it('is refused outside its window of time (I2)', async () => {
    const proof = await signProof(key, { ...sent, keyId: node, audience: 'edge-1' });
    for (const skew of [PROOF_WINDOW_SECONDS + 2, -PROOF_WINDOW_SECONDS - 2]) {
      const now = signedMs(proof) + skew * 1000;
      const verifier = createProofVerifier({ audience: 'edge-1', now: () => now });
      await expect(verifier.verify(proof, sent, findKey)).rejects.toThrow('too old');
    }
  });

  it('remembers a spent proof for as long as it could be good again (I2)', async () => {
    const proof = await signProof(key, { ...sent, keyId: node, audience: 'edge-1' });
    let nowMs = signedMs(proof) - (PROOF_WINDOW_SECONDS - 2) * 1000;
    const verifier = createProofVerifier({ audience: 'edge-1', now: () => nowMs });
    await verifier.verify(proof, sent, findKey);
    nowMs = signedMs(proof) + (PROOF_WINDOW_SECONDS - 2) * 1000;
    await expect(verifier.verify(proof, sent, findKey)).rejects.toThrow('used before');
  });

  it('is refused when it is a JWS of another kind by the same key', async () => {
    const verifier = createProofVerifier({ audience: 'edge-1' });
    const other = await new CompactSign(new TextEncoder().encode('{}'))
      .setProtectedHeader({ alg: 'EdDSA', typ: 'vmdn-description+json', kid: node })
      .sign(key.privateKey);
    await expect(verifier.verify(other, sent, findKey)).rejects.toThrow('no proof');
  });
});
