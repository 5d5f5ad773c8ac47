/** The routes of a conversation's queue. Source: protocol.md section 2. */
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyPluginCallback } from 'fastify';
import { Type } from 'typebox';

import { Id, QueueItem } from '../../contracts/events.ts';
import {
  AcceptedAnswer,
  CommandAcceptedAnswer,
  DequeuedAnswer,
  EnqueueBody,
  HoldQueueBody,
  NoFields,
  QueueAnswer,
  SendAnswer,
  UpdateQueuedBody,
  WaitQuery,
} from '../../contracts/http.ts';
import type { Conversations } from '../conversations.ts';
import type { Holds } from '../holds.ts';
import type { Queue } from '../queue.ts';
import type { TurnEnds } from '../turn-ends.ts';
import { ConversationParams } from './conversations.ts';

const ItemParams = Type.Object({ conversationId: Id, requestId: Id });
const accepted = { accepted: true } as const;

export type QueueRoutes = {
  queue: Queue;
  conversations: Conversations;
  turnEnds: TurnEnds;
  holds: Holds;
  receiptWaitMs: number;
};

export const queueRoutes: FastifyPluginCallback<QueueRoutes> = (
  instance,
  { queue, conversations, turnEnds, holds, receiptWaitMs },
  done,
) => {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>();

  app.get(
    '/v1/conversations/:conversationId/queue',
    {
      schema: {
        params: ConversationParams,
        querystring: NoFields,
        response: { 200: QueueAnswer },
      },
      config: {
        document: { summary: 'What waits, and whether all of it is held.', errors: ['not_found'] },
      },
    },
    (request) => queue.read(request.params.conversationId),
  );

  app.post(
    '/v1/conversations/:conversationId/queue',
    {
      schema: {
        params: ConversationParams,
        querystring: WaitQuery,
        body: EnqueueBody,
        response: { 200: SendAnswer, 202: AcceptedAnswer },
      },
      config: {
        document: {
          summary: 'Send with whenBusy "queue": it waits while something runs, else it starts.',
          errors: [
            'not_found',
            'request_id_reused',
            'queue_full',
            'rate_limited',
            'temporal_unavailable',
            'storage_full',
          ],
        },
      },
    },
    async (request, reply) => {
      const { wait } = request.query;
      const abort = holds.begin(reply);
      const { receipt } = conversations.send(
        { ...request.params, ...request.body, whenBusy: 'queue' },
        { waitMs: wait === 'end' ? null : receiptWaitMs, abort },
      );
      const answer = await turnEnds.answer(await receipt, wait, abort);
      if (answer !== null) return answer;
      return reply.code(202).send({ requestId: request.body.requestId, ...accepted });
    },
  );

  app.patch(
    '/v1/conversations/:conversationId/queue',
    {
      schema: {
        params: ConversationParams,
        querystring: NoFields,
        body: HoldQueueBody,
        response: { 200: QueueAnswer, 202: CommandAcceptedAnswer },
      },
      config: {
        document: {
          summary: 'Hold the queue, or release it. An empty one holds nothing back.',
          errors: ['not_found', 'rate_limited', 'temporal_unavailable', 'storage_full'],
        },
      },
    },
    async (request, reply) => {
      const { answer } = queue.hold(
        { ...request.params, ...request.body },
        { waitMs: receiptWaitMs, abort: holds.begin(reply) },
      );
      return (await answer) ?? reply.code(202).send(accepted);
    },
  );

  app.get(
    '/v1/conversations/:conversationId/queue/:requestId',
    {
      schema: { params: ItemParams, querystring: NoFields, response: { 200: QueueItem } },
      config: {
        document: {
          summary: 'One message that waits.',
          errors: ['not_found', 'already_resolved'],
        },
      },
    },
    (request) => queue.item(request.params),
  );

  app.patch(
    '/v1/conversations/:conversationId/queue/:requestId',
    {
      schema: {
        params: ItemParams,
        querystring: NoFields,
        body: UpdateQueuedBody,
        response: { 200: QueueAnswer, 202: CommandAcceptedAnswer },
      },
      config: {
        document: {
          summary:
            'Edit a message that waits, move it (past the end: to the end), or promote it: to the front, held no longer, with a cancel of what runs.',
          errors: [
            'not_found',
            'already_resolved',
            'busy',
            'queue_full',
            'rate_limited',
            'temporal_unavailable',
            'storage_full',
          ],
        },
      },
    },
    async (request, reply) => {
      const { answer } = queue.update(
        { ...request.params, change: request.body },
        { waitMs: receiptWaitMs, abort: holds.begin(reply) },
      );
      return (await answer) ?? reply.code(202).send(accepted);
    },
  );

  app.delete(
    '/v1/conversations/:conversationId/queue/:requestId',
    {
      schema: {
        params: ItemParams,
        querystring: NoFields,
        body: NoFields,
        response: { 200: DequeuedAnswer, 202: CommandAcceptedAnswer },
      },
      config: {
        document: {
          summary: 'Remove a message that waits; it ends with one chat.cancelled.',
          errors: ['not_found', 'already_resolved', 'busy', 'rate_limited', 'temporal_unavailable'],
        },
      },
    },
    async (request, reply) => {
      const { answer } = queue.remove(request.params, {
        waitMs: receiptWaitMs,
        abort: holds.begin(reply),
      });
      return (await answer) ?? reply.code(202).send(accepted);
    },
  );

  done();
};
