/** The routes of one conversation. Source: protocol.md section 2. */
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyPluginCallback } from 'fastify';
import { Type } from 'typebox';

import { Id } from '../../contracts/events.ts';
import {
  AcceptedAnswer,
  ApprovalAcceptedAnswer,
  ApprovalAnswer,
  ApprovalBody,
  CancelAnswer,
  CancelBody,
  CreateConversationBody,
  ListQuery,
  MessagesAnswer,
  MessagesQuery,
  NoFields,
  RetryBody,
  SendAnswer,
  SendBody,
  TurnsAnswer,
  WaitQuery,
} from '../../contracts/http.ts';
import { LIST_LIMIT, MESSAGE_PAGE } from '../../contracts/limits.ts';
import { ConversationView, TurnView } from '../../contracts/view.ts';
import type { Conversations } from '../conversations.ts';
import type { Holds } from '../holds.ts';
import type { TurnEnds } from '../turn-ends.ts';

export const ConversationParams = Type.Object({ conversationId: Id });
const TurnParams = Type.Object({ conversationId: Id, turnId: Id });
const ApprovalParams = Type.Object({ conversationId: Id, approvalId: Id });

export type ConversationRoutes = {
  conversations: Conversations;
  turnEnds: TurnEnds;
  holds: Holds;
  receiptWaitMs: number;
};

export const conversationRoutes: FastifyPluginCallback<ConversationRoutes> = (
  instance,
  { conversations, turnEnds, holds, receiptWaitMs },
  done,
) => {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>();

  app.post(
    '/v1/conversations',
    {
      schema: {
        querystring: NoFields,
        body: CreateConversationBody,
        response: { 200: ConversationView },
      },
      config: {
        document: {
          summary: 'Create a conversation that stands alone; one that exists is answered as it is.',
          errors: [
            'provider_not_found',
            'workspace_not_allowed',
            'rate_limited',
            'temporal_unavailable',
            'storage_full',
          ],
        },
      },
    },
    (request, reply) =>
      conversations.create(request.body, { waitMs: receiptWaitMs, abort: holds.begin(reply) }),
  );

  app.get(
    '/v1/conversations/:conversationId',
    {
      schema: {
        params: ConversationParams,
        querystring: NoFields,
        response: { 200: ConversationView },
      },
      config: { document: { summary: 'The snapshot.', errors: ['not_found'] } },
    },
    (request) => conversations.snapshot(request.params.conversationId),
  );

  app.get(
    '/v1/conversations/:conversationId/messages',
    {
      schema: {
        params: ConversationParams,
        querystring: MessagesQuery,
        response: { 200: MessagesAnswer },
      },
      config: {
        document: { summary: 'Older messages, newest first.', errors: ['not_found'] },
      },
    },
    ({ params, query: { before = null, limit = MESSAGE_PAGE } }) =>
      conversations.messages({ ...params, before, limit }),
  );

  app.post(
    '/v1/conversations/:conversationId/messages',
    {
      schema: {
        params: ConversationParams,
        querystring: WaitQuery,
        body: SendBody,
        response: { 200: SendAnswer, 202: AcceptedAnswer },
      },
      config: {
        document: {
          summary:
            'Send; with replaces, instead of an earlier message of the user. With wait=end the answer comes when the turn has ended.',
          errors: [
            'not_found',
            'busy',
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
        { conversationId: request.params.conversationId, ...request.body },
        { waitMs: wait === 'end' ? null : receiptWaitMs, abort },
      );
      const answer = await turnEnds.answer(await receipt, wait, abort);
      if (answer !== null) return answer;
      return reply.code(202).send({ requestId: request.body.requestId, accepted: true });
    },
  );

  app.post(
    '/v1/conversations/:conversationId/cancel',
    {
      schema: {
        params: ConversationParams,
        querystring: WaitQuery,
        body: CancelBody,
        response: { 200: CancelAnswer },
      },
      config: {
        document: {
          summary:
            'Cancel the running turn; with holdQueue what waits stays in the queue; with cascade in every agent below it too. With wait=end the answer comes when it has ended.',
          errors: ['not_found', 'turn_mismatch', 'rate_limited', 'temporal_unavailable'],
        },
      },
    },
    async (request, reply) => {
      const { conversationId } = request.params;
      const abort = holds.begin(reply);
      const cancelled = await conversations.cancel({
        conversationId,
        turnId: request.body.turnId ?? null,
        holdQueue: request.body.holdQueue,
        cascade: request.body.cascade,
      });
      if (cancelled === null) return { turnId: null };
      const { turnId } = cancelled;
      if (request.query.wait === undefined) return { turnId };
      return { turnId, ...(await turnEnds.end({ conversationId, ...cancelled }, abort)) };
    },
  );

  app.get(
    '/v1/conversations/:conversationId/turns',
    {
      schema: {
        params: ConversationParams,
        querystring: ListQuery,
        response: { 200: TurnsAnswer },
      },
      config: {
        document: { summary: 'Turns with their attempts, newest first.', errors: ['not_found'] },
      },
    },
    ({ params, query: { cursor = null, limit = LIST_LIMIT } }) =>
      conversations.turns({ ...params, cursor, limit }),
  );

  app.get(
    '/v1/conversations/:conversationId/turns/:turnId',
    {
      schema: { params: TurnParams, querystring: NoFields, response: { 200: TurnView } },
      config: { document: { summary: 'One turn with its attempts.', errors: ['not_found'] } },
    },
    ({ params }) => conversations.turn(params),
  );

  app.post(
    '/v1/conversations/:conversationId/turns/:turnId/retry',
    {
      schema: {
        params: TurnParams,
        querystring: WaitQuery,
        body: RetryBody,
        response: { 200: SendAnswer, 202: AcceptedAnswer },
      },
      config: {
        document: {
          summary: 'A new attempt of a turn that ended interrupted, failed or cancelled.',
          errors: [
            'not_found',
            'not_retryable',
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
      const { conversationId, turnId } = request.params;
      const { requestId } = request.body;
      const { wait } = request.query;
      const abort = holds.begin(reply);
      const { receipt } = conversations.retry(
        { conversationId, turnId, requestId },
        { waitMs: wait === 'end' ? null : receiptWaitMs, abort },
      );
      const answer = await turnEnds.answer(await receipt, wait, abort);
      if (answer !== null) return answer;
      return reply.code(202).send({ requestId, accepted: true });
    },
  );

  app.post(
    '/v1/conversations/:conversationId/approvals/:approvalId',
    {
      schema: {
        params: ApprovalParams,
        querystring: NoFields,
        body: ApprovalBody,
        response: { 200: ApprovalAnswer, 202: ApprovalAcceptedAnswer },
      },
      config: {
        document: {
          summary: 'Answer an approval, once.',
          errors: ['not_found', 'already_resolved', 'rate_limited', 'temporal_unavailable'],
        },
      },
    },
    async (request, reply) => {
      const { conversationId, approvalId } = request.params;
      const { decision, message } = request.body;
      const answer = await conversations.resolveApproval(
        { conversationId, approvalId, decision, message },
        { waitMs: receiptWaitMs, abort: holds.begin(reply) },
      );
      if (answer !== null) return answer;
      return reply.code(202).send({ approvalId, accepted: true });
    },
  );

  done();
};
