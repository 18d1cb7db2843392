/**
 * Room: coordinator, services. Tokens and enrolment: how users and nodes come to be known.
 *
 * I1: an enrolment token enrols one node, once; the same key with the same token again is the same
 *     node, so a lost reply is simply asked for again.
 * I2: a name belongs to one key; another key does not take it over.
 */

import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Location } from '@vmdn/core/domain/geography.ts';
import type { Id, Name } from '@vmdn/core/domain/names.ts';
import { findRegion, unknownRegion } from '@vmdn/core/domain/regions.ts';
import { ENROLMENT_SECONDS_DEFAULT } from '../limits.ts';
import type { EnrolmentToken, NewNode, NodeFacts, PublicKeyValue, Tables } from '../ports.ts';
import type { ClientIdentity, Context } from './context.ts';
import { requireProtocol } from './protocol.ts';
import { hashSecret, makeSecret } from './secrets.ts';

export interface Enrolment {
  readonly enrolmentToken: string;
  readonly kind: 'origin' | 'edge';
  readonly name: Name;
  readonly region?: Name | undefined;
  readonly location?: Location | undefined;
  readonly url: string;
  readonly publicKey: PublicKeyValue;
  readonly protocol: number;
}

/** Makes a one-time token. */
export async function createEnrolmentToken(
  context: Context,
  client: ClientIdentity,
  wish: { readonly kind: 'origin' | 'edge'; readonly validSeconds?: number | undefined },
) {
  const { secret, hash } = makeSecret('vmdn-enrol-');
  const expiresAt = await context.store.read((tables) =>
    tables.clients.addEnrolmentToken({
      project: client.project,
      kind: wish.kind,
      tokenHash: hash,
      validSeconds: wish.validSeconds ?? ENROLMENT_SECONDS_DEFAULT,
    }),
  );
  context.events('enrolment_token_made', { kind: wish.kind, client: client.client });
  return { enrolmentToken: secret, kind: wish.kind, expiresAt: expiresAt.toISOString() };
}

/** Enrols a node. Throws `unauthenticated`, `forbidden`, `conflict`, `not_found`, `incompatible_protocol`. */
export async function enrolNode(context: Context, enrolment: Enrolment) {
  requireProtocol(context, enrolment.protocol);
  const thumbprint = await context.keys.thumbprintOf(enrolment.publicKey);
  const tokenHash = hashSecret(enrolment.enrolmentToken);
  const { node, project } = await context.store.transaction(async (tables) => {
    const token = requireToken(await tables.clients.lockEnrolmentToken(tokenHash), enrolment);
    const present = await tables.nodes.findByThumbprint(thumbprint);
    requireUsable(token, present, enrolment);
    const place = placeOf(enrolment);
    const facts: NewNode = { ...enrolment, ...place, thumbprint, project: token.project };
    const id = await addOrUpdate(tables, present, facts);
    await tables.clients.useEnrolmentToken(token.id, id);
    await tables.notify(`edges:${token.project}`);
    return { node: id, project: token.project };
  });
  context.events('node_enrolled', { node, name: enrolment.name, kind: enrolment.kind });
  return {
    node,
    project,
    coordinatorKey: context.keys.coordinatorKey,
    protocol: context.protocol,
  };
}

function requireToken(token: EnrolmentToken | undefined, enrolment: Enrolment): EnrolmentToken {
  if (token === undefined) {
    throw new VmdnError('unauthenticated', 'This enrolment token is not known; get a new one.');
  }
  if (token.kind === enrolment.kind) return token;
  throw new VmdnError(
    'forbidden',
    `This enrolment token is for an ${token.kind}, not for an ${enrolment.kind}.`,
  );
}

function requireUsable(
  token: EnrolmentToken,
  present: NodeFacts | undefined,
  enrolment: Enrolment,
): void {
  const isRetry = token.usedBy !== null && token.usedBy === present?.id;
  if (token.usedBy !== null && !isRetry) {
    throw new VmdnError('unauthenticated', 'This enrolment token was used before; get a new one.');
  }
  if (token.expired && !isRetry) {
    throw new VmdnError('unauthenticated', 'This enrolment token has expired; get a new one.');
  }
  if (present === undefined) return;
  if (present.project !== token.project || present.kind !== enrolment.kind) {
    throw new VmdnError('conflict', 'This key is enrolled already, as another node.');
  }
}

async function addOrUpdate(
  tables: Tables,
  present: NodeFacts | undefined,
  facts: NewNode,
): Promise<Id> {
  const namesake = await tables.nodes.findByName(facts.project, facts.name);
  if (namesake !== undefined && namesake.id !== present?.id) {
    throw new VmdnError(
      'conflict',
      `There is a node "${facts.name}" with another key already; choose another name.`,
      { data: { name: facts.name } },
    );
  }
  if (present === undefined) return await tables.nodes.add(facts);
  await tables.nodes.update(present.id, facts);
  return present.id;
}

/** Where the node is: its own coordinates, else its region's. An edge must be somewhere. */
function placeOf(enrolment: Enrolment): Pick<NewNode, 'region' | 'latitude' | 'longitude'> {
  const region = enrolment.region ?? null;
  if (enrolment.location !== undefined) return { region, ...enrolment.location };
  if (region === null) {
    if (enrolment.kind === 'origin') return { region, latitude: null, longitude: null };
    throw new VmdnError('invalid_input', 'An edge needs a region or a location.');
  }
  const known = findRegion(region);
  if (known === undefined) throw unknownRegion(region);
  return { region, latitude: known.latitude, longitude: known.longitude };
}
