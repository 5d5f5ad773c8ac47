/** A conversation's log, as JSON pages or as Server-Sent Events. Source: protocol.md section 2. */
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyPluginCallback } from 'fastify';

import { HoldfastError } from '../../contracts/errors.ts';
import { EventsAnswer, EventsQuery } from '../../contracts/http.ts';
import { conversationStream } from '../../contracts/ids.ts';
import { LIST_LIMIT } from '../../contracts/limits.ts';
import type { Store } from '../../store/port.ts';
import type { Connections } from '../connections.ts';
import type { Conversations } from '../conversations.ts';
import { openEventStream } from '../event-stream.ts';
import type { Feed } from '../feed.ts';
import { invalidRequest } from '../problem.ts';
import { ConversationParams } from './conversations.ts';

export type EventRoutes = {
  conversations: Conversations;
  connections: Connections;
  store: Store;
  feed: Feed;
  socketHighWaterBytes: number;
};

const EVENT_STREAM = 'text/event-stream';

export const eventRoutes: FastifyPluginCallback<EventRoutes> = (
  instance,
  { conversations, connections, store, feed, socketHighWaterBytes },
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

  app.get(
    '/v1/conversations/:conversationId/events',
    {
      schema: {
        params: ConversationParams,
        querystring: EventsQuery,
        response: { 200: EventsAnswer },
      },
      config: {
        document: {
          summary:
            'The log after a seq, upwards; as Server-Sent Events it goes on as the log grows.',
          errors: ['not_found', 'cursor_expired'],
          produces: [EVENT_STREAM],
        },
      },
    },
    async (request, reply) => {
      const { conversationId } = request.params;
      const stream = conversationStream(conversationId);
      await conversations.mustExist(conversationId);
      const { after = null, limit = LIST_LIMIT } = request.query;
      if (request.method === 'HEAD' || !wantsEventStream(request.headers.accept)) {
        const { items, lastSeq } = await store.events(stream, await cursorOf(stream, after), limit);
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
