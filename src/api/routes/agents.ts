/** The routes of agents and their mail. Source: protocol.md section 6. */
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyPluginCallback } from 'fastify';
import { Type } from 'typebox';

import {
  MailAcceptedAnswer,
  MailboxAnswer,
  MailboxQuery,
  MailRow,
  PostMailBody,
  ResendMailBody,
  SpawnAgentAnswer,
  SpawnAgentBody,
  TeamView,
} from '../../contracts/agents.ts';
import type { ErrorCode } from '../../contracts/errors.ts';
import { Id } from '../../contracts/events.ts';
import { NoFields } from '../../contracts/http.ts';
import type { Agents } from '../agents.ts';
import type { Holds } from '../holds.ts';
import { ConversationParams } from './conversations.ts';

const MailParams = Type.Object({ conversationId: Id, messageId: Id });
/** What every new work may meet. */
const commandErrors = [
  'not_found',
  'rate_limited',
  'temporal_unavailable',
  'storage_full',
] as const satisfies ErrorCode[];

export type AgentRoutes = { agents: Agents; holds: Holds; receiptWaitMs: number };

export const agentRoutes: FastifyPluginCallback<AgentRoutes> = (
  instance,
  { agents, holds, receiptWaitMs },
  done,
) => {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>();

  app.post(
    '/v1/conversations/:conversationId/agents',
    {
      schema: {
        params: ConversationParams,
        querystring: NoFields,
        body: SpawnAgentBody,
        response: { 200: SpawnAgentAnswer },
      },
      config: {
        document: {
          summary:
            'Make an agent, a child of this conversation: answered when child, link and first prompt are durable. Asked again with the same agentId, the same one.',
          errors: [
            'request_id_reused',
            'provider_not_found',
            'workspace_not_allowed',
            'budget_exceeded',
            ...commandErrors,
          ],
        },
      },
    },
    (request, reply) =>
      agents.spawn(request.params.conversationId, request.body, {
        waitMs: receiptWaitMs,
        abort: holds.begin(reply),
      }),
  );

  app.get(
    '/v1/conversations/:conversationId/agents',
    {
      schema: { params: ConversationParams, querystring: NoFields, response: { 200: TeamView } },
      config: {
        document: {
          summary:
            'The team of this conversation, whichever member it is: a parent before its children.',
          errors: ['not_found'],
        },
      },
    },
    (request) => agents.team(request.params.conversationId),
  );

  app.post(
    '/v1/conversations/:conversationId/mailbox',
    {
      schema: {
        params: ConversationParams,
        querystring: NoFields,
        body: PostMailBody,
        response: { 200: MailRow, 202: MailAcceptedAnswer },
      },
      config: {
        document: {
          summary:
            'This conversation writes to another agent of its team. Sent again with the same messageId it is the same message.',
          errors: ['request_id_reused', 'queue_full', ...commandErrors],
        },
      },
    },
    async (request, reply) => {
      const sent = await agents.send(request.params.conversationId, request.body, {
        waitMs: receiptWaitMs,
        abort: holds.begin(reply),
      });
      if (sent.status === 'recorded') return sent.row;
      return reply.code(202).send({ messageId: sent.messageId, accepted: true });
    },
  );

  app.get(
    '/v1/conversations/:conversationId/mailbox',
    {
      schema: {
        params: ConversationParams,
        querystring: MailboxQuery,
        response: { 200: MailboxAnswer },
      },
      config: {
        document: {
          summary: 'What this conversation was sent (in), has sent (out), or both; oldest first.',
          errors: ['not_found'],
        },
      },
    },
    (request) => agents.mailbox(request.params.conversationId, request.query),
  );

  app.post(
    '/v1/conversations/:conversationId/mailbox/:messageId/resend',
    {
      schema: {
        params: MailParams,
        querystring: NoFields,
        body: ResendMailBody,
        response: { 200: MailRow, 202: MailAcceptedAnswer },
      },
      config: {
        document: {
          summary: 'Send a message of this mailbox again that has failed or expired.',
          errors: ['already_resolved', ...commandErrors],
        },
      },
    },
    async (request, reply) => {
      const sent = await agents.resend(
        { ...request.params, from: request.body.from },
        { waitMs: receiptWaitMs, abort: holds.begin(reply) },
      );
      if (sent.status === 'recorded') return sent.row;
      return reply.code(202).send({ messageId: sent.messageId, accepted: true });
    },
  );

  done();
};
