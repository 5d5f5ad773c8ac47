/** The routes that change a conversation as a whole: names and provider, fork, rollback. Source: protocol.md section 2. */
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyPluginCallback } from 'fastify';

import {
  CommandAcceptedAnswer,
  ForkBody,
  NoFields,
  PatchConversationBody,
  RollbackBody,
} from '../../contracts/http.ts';
import { ConversationView } from '../../contracts/view.ts';
import type { History } from '../history.ts';
import type { Holds } from '../holds.ts';
import { ConversationParams } from './conversations.ts';

const accepted = { accepted: true } as const;

export type HistoryRoutes = { history: History; holds: Holds; receiptWaitMs: number };

export const historyRoutes: FastifyPluginCallback<HistoryRoutes> = (
  instance,
  { history, holds, receiptWaitMs },
  done,
) => {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>();

  app.patch(
    '/v1/conversations/:conversationId',
    {
      schema: {
        params: ConversationParams,
        querystring: NoFields,
        body: PatchConversationBody,
        response: { 200: ConversationView, 202: CommandAcceptedAnswer },
      },
      config: {
        document: {
          summary:
            'Rename, archive, or change provider or model, which count from the next turn. Answers with the snapshot.',
          errors: [
            'not_found',
            'provider_not_found',
            'rate_limited',
            'temporal_unavailable',
            'storage_full',
          ],
        },
      },
    },
    async (request, reply) => {
      const view = await history.update(
        { ...request.params, change: request.body },
        { waitMs: receiptWaitMs, abort: holds.begin(reply) },
      );
      return view ?? reply.code(202).send(accepted);
    },
  );

  app.post(
    '/v1/conversations/:conversationId/fork',
    {
      schema: {
        params: ConversationParams,
        querystring: NoFields,
        body: ForkBody,
        response: { 200: ConversationView },
      },
      config: {
        document: {
          summary:
            'A new conversation beside this one, with copies of its history up to and with a message. Answers with its snapshot.',
          errors: [
            'not_found',
            'provider_not_found',
            'request_id_reused',
            'rate_limited',
            'temporal_unavailable',
            'storage_full',
          ],
        },
      },
    },
    (request, reply) =>
      history.fork(
        { ...request.params, body: request.body },
        { waitMs: receiptWaitMs, abort: holds.begin(reply) },
      ),
  );

  app.post(
    '/v1/conversations/:conversationId/rollback',
    {
      schema: {
        params: ConversationParams,
        querystring: NoFields,
        body: RollbackBody,
        response: { 200: ConversationView, 202: CommandAcceptedAnswer },
      },
      config: {
        document: {
          summary:
            'Cut what comes after a message (null: everything). It stays readable. Answers with the snapshot.',
          errors: ['not_found', 'busy', 'rate_limited', 'temporal_unavailable', 'storage_full'],
        },
      },
    },
    async (request, reply) => {
      const view = await history.rollback(
        { ...request.params, ...request.body },
        { waitMs: receiptWaitMs, abort: holds.begin(reply) },
      );
      return view ?? reply.code(202).send(accepted);
    },
  );

  done();
};
