/** OpenAPI and AsyncAPI, made from the very schemas that validate: the routes as they were registered, and the frames. */
import type { RouteOptions } from 'fastify';
import { Type, type TSchema } from 'typebox';

import { TeamView } from '../contracts/agents.ts';
import { ERRORS, type ErrorCode } from '../contracts/errors.ts';
import { EVENT_SCHEMAS } from '../contracts/events.ts';
import { CLIENT_FRAMES, SERVER_FRAMES } from '../contracts/frames.ts';
import { Problem } from '../contracts/http.ts';
import { WS_CLOSE, WS_PROTOCOL } from '../contracts/names.ts';
import { ConversationView, TableView } from '../contracts/view.ts';

/** What a route's `config` tells its reader. */
export type RouteDocument = {
  summary: string;
  /** Codes it may answer beside those of every route. */
  errors?: readonly ErrorCode[];
  /** Further media types of its 200. */
  produces?: readonly string[];
};

declare module 'fastify' {
  interface FastifyContextConfig {
    document?: RouteDocument;
  }
}

/** A registered route, as far as the documents and the 405 need it. */
export type RegisteredRoute = {
  method: string;
  url: string;
  schema: Readonly<Record<string, unknown>>;
  document: RouteDocument;
};

/** Reads what `onRoute` was given; nothing for the HEAD that Fastify adds to each GET. */
export function registeredRoutes(route: RouteOptions): RegisteredRoute[] {
  const { document } = route.config ?? {};
  if (document === undefined) return [];
  return [route.method]
    .flat()
    .filter((method) => method !== 'HEAD')
    .map((method) => ({ method, url: route.url, schema: { ...route.schema }, document }));
}

const everyRoute = ['invalid_request', 'origin_not_allowed', 'host_not_allowed'] as const;
const withToken = ['unauthorized', 'shutting_down', 'internal'] as const;
const withBody = ['payload_too_large', 'unsupported_media_type'] as const;

/** The OpenAPI document of `routes`. */
export function openApiOf({
  routes,
  version,
}: {
  routes: readonly RegisteredRoute[];
  version: string;
}): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const route of routes) {
    const path = route.url.replaceAll(/:([A-Za-z]+)/g, '{$1}');
    const operations = (paths[path] ??= {});
    operations[route.method.toLowerCase()] = operationOf(route);
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Holdfast', version, description: 'Durable conversations with agent CLIs.' },
    security: [{ token: [] }],
    paths,
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
      schemas: { Problem, ConversationView, TableView, TeamView, ...EVENT_SCHEMAS },
    },
  };
}

function operationOf({ method, url, schema, document }: RegisteredRoute): object {
  const open = url === '/healthz';
  const body = schema['body'];
  const errors = new Set<ErrorCode>([
    ...everyRoute,
    ...(open ? [] : withToken),
    ...(body === undefined ? [] : withBody),
    ...(document.errors ?? []),
  ]);
  return {
    operationId: `${method.toLowerCase()}${url.replaceAll(/[^A-Za-z0-9]+/g, '_')}`,
    summary: document.summary,
    ...(open ? { security: [] } : {}),
    parameters: [
      ...parametersOf(schema['params'], 'path'),
      ...parametersOf(schema['querystring'], 'query'),
    ],
    ...(body === undefined
      ? {}
      : { requestBody: { content: { 'application/json': { schema: body } } } }),
    responses: merged(answersOf(schema['response'], document), problemsOf(errors)),
  };
}

function entriesOf(value: unknown): [string, unknown][] {
  return typeof value === 'object' && value !== null ? Object.entries(value) : [];
}

function parametersOf(schema: unknown, place: 'path' | 'query'): object[] {
  const fields = Object.fromEntries(entriesOf(schema));
  const required: unknown = fields['required'];
  return entriesOf(fields['properties']).map(([name, property]) => ({
    name,
    in: place,
    required: Array.isArray(required) && required.includes(name),
    schema: property,
  }));
}

const ANSWERS: Readonly<Record<string, string>> = {
  '200': 'Done.',
  '202': 'Durable; its outcome is not known yet.',
  '503': 'Not now.',
};

type Responses = Record<string, { description: string; content: Record<string, object> }>;

/** A status may stand for an answer and for a problem: /readyz says 503 with its checks. */
function merged(answers: Responses, problems: Responses): Responses {
  const both = { ...problems, ...answers };
  for (const [status, answer] of Object.entries(both))
    answer.content = { ...problems[status]?.content, ...answer.content };
  return both;
}

function answersOf(response: unknown, { produces = [] }: RouteDocument): Responses {
  return Object.fromEntries(
    entriesOf(response).map(([status, schema]) => [
      status,
      {
        description: ANSWERS[status] ?? 'The answer.',
        content: {
          'application/json': { schema: schema ?? {} },
          ...Object.fromEntries(produces.map((type) => [type, { schema: { type: 'string' } }])),
        },
      },
    ]),
  );
}

function problemsOf(codes: Iterable<ErrorCode>): Responses {
  const byStatus = Map.groupBy(codes, (code) => ERRORS[code].status);
  return Object.fromEntries(
    [...byStatus].map(([status, list]) => [
      String(status),
      {
        description: list.map((code) => `\`${code}\`: ${ERRORS[code].message}`).join(' '),
        content: {
          'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } },
        },
      },
    ]),
  );
}

/** A server's frame that is no event, from the schema of its payload. */
function serverFrame(type: string, payload: TSchema): object {
  const id = { type: 'string' };
  return {
    type: 'object',
    required: ['type'],
    properties: {
      type: { const: type },
      conversationId: id,
      tableId: id,
      rootId: id,
      requestId: id,
      turnId: id,
      payload,
    },
  };
}

/** `hello` exists in both directions, so each direction has names of its own. */
function named(prefix: string, list: unknown[][]): Record<string, unknown> {
  return Object.fromEntries(list.map(([type, message]) => [`${prefix}.${String(type)}`, message]));
}

/** Of a conversation; of a table in a frame with a tableId, of a team in one with a rootId. */
const snapshot = Type.Union([ConversationView, TableView, TeamView]);

/** The AsyncAPI document of the WebSocket. */
export function asyncApiOf({ version }: { version: string }): object {
  const received = Object.entries(CLIENT_FRAMES).map(([type, payload]) => [type, { payload }]);
  const sent = [
    ...Object.entries(SERVER_FRAMES).map(([type, payload]) => [
      type,
      { payload: serverFrame(type, type === 'snapshot' ? snapshot : payload) },
    ]),
    ...Object.entries(EVENT_SCHEMAS).map(([type, payload]) => [type, { payload }]),
  ];
  const messages = { ...named('client', received), ...named('server', sent) };
  const references = (prefix: string): object[] =>
    Object.keys(messages)
      .filter((name) => name.startsWith(`${prefix}.`))
      .map((name) => ({ $ref: `#/channels/socket/messages/${name}` }));
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'Holdfast',
      version,
      description: `Subprotocol ${WS_PROTOCOL}. Close codes: ${Object.entries(WS_CLOSE)
        .map(([name, code]) => `${code} ${name}`)
        .join(', ')}.`,
    },
    channels: { socket: { address: '/v1/ws', messages } },
    operations: {
      receive: {
        action: 'receive',
        channel: { $ref: '#/channels/socket' },
        messages: references('client'),
      },
      send: {
        action: 'send',
        channel: { $ref: '#/channels/socket' },
        messages: references('server'),
      },
    },
  };
}
