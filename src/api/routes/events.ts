/** The logs of conversations, tables and teams, as JSON pages or as Server-Sent Events. Source: protocol.md section 2. */
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyPluginCallback, FastifyReply, FastifyRequest } from 'fastify';

import { HoldfastError } from '../../contracts/errors.ts';
import { EventsAnswer, EventsQuery } from '../../contracts/http.ts';
import { conversationStream, tableStream, teamStream } from '../../contracts/ids.ts';
import { LIST_LIMIT } from '../../contracts/limits.ts';
import type { Store } from '../../store/port.ts';
import type { Agents } from '../agents.ts';
import type { Connections } from '../connections.ts';
import type { Conversations } from '../conversations.ts';
import type { RouteDocument } from '../documents.ts';
import { openEventStream } from '../event-stream.ts';
import type { Feed } from '../feed.ts';
import { invalidRequest } from '../problem.ts';
import type { Tables } from '../tables.ts';
import { ConversationParams } from './conversations.ts';
import { TableParams } from './tables.ts';

export type EventRoutes = {
  conversations: Conversations;
  tables: Tables;
  agents: Agents;
  connections: Connections;
  store: Store;
  feed: Feed;
  socketHighWaterBytes: number;
};

const EVENT_STREAM = 'text/event-stream';

export const eventRoutes: FastifyPluginCallback<EventRoutes> = (
  instance,
  { conversations, tables, agents, connections, store, feed, socketHighWaterBytes },
  done,
) => {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>();

  /** The cursor to go on from. Without one the log is read from the oldest event that can still be replayed. */
  async function cursorOf(stream: string, asked: number | null): Promise<number> {
    const floor = await store.replayFloor(stream);
    if (asked !== null && asked < floor)
      throw new HoldfastError('cursor_expired', undefined, { replayFloor: floor });
    return asked ?? floor;
  }

  /** A page after the cursor. What is folded away between the look at the floor and the read is looked at again. */
  async function gaplessPage(
    stream: string,
    after: number | null,
    limit: number,
  ): ReturnType<Store['events']> {
    for (;;) {
      const cursor = await cursorOf(stream, after);
      const page = await store.events(stream, cursor, limit);
      if (page.items.every(({ seq }, index) => seq === cursor + 1 + index)) return page;
    }
  }

  /** Answers `request` from a stream that exists. */
  async function answer(
    stream: string,
    { after = null, limit = LIST_LIMIT }: { after?: number | null; limit?: number },
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<FastifyReply> {
    if (request.method === 'HEAD' || !wantsEventStream(request.headers.accept)) {
      const { items, lastSeq } = await gaplessPage(stream, after, limit);
      // The stored text itself: what is read back is what was delivered.
      const json = items.map((item) => item.json).join(',');
      return reply
        .type('application/json; charset=utf-8')
        .serializer(() => `{"items":[${json}],"lastSeq":${lastSeq}}`)
        .send({ items, lastSeq });
    }
    const afterSeq = await cursorOf(stream, lastEventId(request.headers) ?? after);
    const end = await store.lastSeq(stream);
    if (afterSeq > end)
      throw new HoldfastError('cursor_expired', 'This cursor is beyond the end of the log.', {
        lastSeq: end,
      });
    reply.hijack();
    for (const [name, value] of Object.entries(reply.getHeaders()))
      if (value !== undefined) reply.raw.setHeader(name, value);
    reply.raw.writeHead(200, {
      'content-type': EVENT_STREAM,
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
    });
    const connection = openEventStream({
      response: reply.raw,
      feed,
      stream,
      afterSeq,
      highWaterBytes: socketHighWaterBytes,
    });
    connections.add(connection);
    reply.raw.once('close', () => connections.remove(connection));
    return reply;
  }

  const schema = { querystring: EventsQuery, response: { 200: EventsAnswer } };
  const document = (what: string): RouteDocument => ({
    summary: `${what} after a seq, upwards; as Server-Sent Events it goes on as the log grows.`,
    errors: ['not_found', 'cursor_expired'],
    produces: [EVENT_STREAM],
  });

  app.get(
    '/v1/conversations/:conversationId/events',
    {
      schema: { params: ConversationParams, ...schema },
      config: { document: document('The log') },
    },
    async (request, reply) => {
      const { conversationId } = request.params;
      await conversations.mustExist(conversationId);
      return answer(conversationStream(conversationId), request.query, request, reply);
    },
  );

  app.get(
    '/v1/tables/:tableId/events',
    {
      schema: { params: TableParams, ...schema },
      config: { document: document("The table's log") },
    },
    async (request, reply) => {
      const { tableId } = request.params;
      await tables.facts(tableId);
      return answer(tableStream(tableId), request.query, request, reply);
    },
  );

  app.get(
    '/v1/conversations/:conversationId/agents/events',
    {
      schema: { params: ConversationParams, ...schema },
      config: { document: document("The team's log") },
    },
    async (request, reply) => {
      const rootId = await agents.rootOf(request.params.conversationId);
      return answer(teamStream(rootId), request.query, request, reply);
    },
  );

  done();
};

function wantsEventStream(accept: string | undefined): boolean {
  return accept !== undefined && accept.includes(EVENT_STREAM) && !accept.includes('json');
}

/** Throws: `invalid_request` when the header is no seq. */
function lastEventId(headers: Readonly<Record<string, unknown>>): number | null {
  const given = headers['last-event-id'];
  // EventSource sends an empty one after an event without an id.
  if (given === undefined || given === '') return null;
  if (typeof given !== 'string' || !/^[0-9]{1,15}$/.test(given))
    throw invalidRequest([{ path: '/headers/last-event-id', message: 'must be a seq' }]);
  return Number(given);
}
