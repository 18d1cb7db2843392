/**
 * Room: coordinator, routes. The API as an OpenAPI 3.1 document, made from the same operations that the
 * routes are made from, so that it can't differ from them.
 */

import { CLIENT_OPERATIONS } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import { MOVE_OPERATIONS } from '@vmdn/core/http/contracts/coordinator-moves.ts';
import { NODE_OPERATIONS } from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import { PACKAGE_OPERATIONS } from '@vmdn/core/http/contracts/coordinator-packages.ts';
import { TELEPORT_OPERATIONS } from '@vmdn/core/http/contracts/coordinator-teleports.ts';
import { health, PROOF_HEADER } from '@vmdn/core/http/contracts/disks.ts';
import type { Caller, Operation } from '@vmdn/core/http/contracts/operation.ts';
import { errorReply } from '@vmdn/core/http/contracts/schemas.ts';
import { z } from 'zod';

type Json = Record<string, unknown>;

/** All operations of the coordinator. */
export const COORDINATOR_OPERATIONS: readonly Operation[] = [
  ...CLIENT_OPERATIONS,
  ...NODE_OPERATIONS,
  ...TELEPORT_OPERATIONS,
  ...MOVE_OPERATIONS,
  ...PACKAGE_OPERATIONS,
  health,
];

function schemaOf(schema: z.ZodType, io: 'input' | 'output'): Json {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' });
  return rest;
}

function isNothing(schema: z.ZodType): boolean {
  return schema.safeParse(undefined).success;
}

function parametersOf(operation: Operation): Json[] {
  const list = (schema: z.ZodType, where: 'path' | 'query'): Json[] => {
    if (!(schema instanceof z.ZodObject)) return [];
    const { properties = {}, required = [] } = schemaOf(schema, 'input') as {
      properties?: Record<string, Json>;
      required?: string[];
    };
    return Object.entries(properties).map(([name, type]) => ({
      name,
      in: where,
      required: where === 'path' || required.includes(name),
      schema: type,
    }));
  };
  return [...list(operation.params, 'path'), ...list(operation.query, 'query')];
}

function securityOf(caller: Caller): Json[] {
  if (caller === 'client') return [{ clientToken: [] }];
  if (caller === 'public' || caller === 'enrolment') return [];
  return [{ nodeProof: [] }];
}

function operationDocument(operation: Operation): Json {
  const body = isNothing(operation.body)
    ? {}
    : {
        requestBody: {
          required: true,
          content: { 'application/json': { schema: schemaOf(operation.body, 'input') } },
        },
      };
  // Replies are described as they are read: a name is a string in both directions.
  const mediaType = operation.id === 'followTeleport' ? 'text/event-stream' : 'application/json';
  return {
    operationId: operation.id,
    summary: operation.summary,
    description: `Caller: ${operation.caller}.`,
    security: securityOf(operation.caller),
    parameters: parametersOf(operation),
    ...body,
    responses: {
      [operation.status]: {
        description: operation.summary,
        content: { [mediaType]: { schema: schemaOf(operation.reply, 'input') } },
      },
      default: {
        description: 'An error; its code says which (docs/http-api.md).',
        content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
      },
    },
  };
}

function makeDocument(): Json {
  const paths: Record<string, Json> = {};
  for (const operation of COORDINATOR_OPERATIONS) {
    paths[operation.path] = {
      ...paths[operation.path],
      [operation.method]: operationDocument(operation),
    };
  }
  return {
    openapi: '3.1.0',
    info: { title: 'VMDN coordinator', version: '1', license: { name: 'Apache-2.0' } },
    paths,
    components: {
      schemas: { Error: schemaOf(errorReply, 'input') },
      securitySchemes: {
        clientToken: { type: 'http', scheme: 'bearer' },
        nodeProof: { type: 'apiKey', in: 'header', name: PROOF_HEADER },
      },
    },
  };
}

let made: Json | undefined;

/** The document; made once, when it is first asked for. */
export function openApiDocument(): Json {
  made ??= makeDocument();
  return made;
}
