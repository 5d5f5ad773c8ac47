/** Why a conversation does not go on. Source: protocol.md section 2; docs/why.md. */
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyPluginCallback } from 'fastify';

import { NoFields, WhyAnswer } from '../../contracts/http.ts';
import type { Why } from '../why.ts';
import { ConversationParams } from './conversations.ts';

export const whyRoutes: FastifyPluginCallback<{ why: Why }> = (instance, { why }, done) => {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>();

  app.get(
    '/v1/conversations/:conversationId/why',
    {
      schema: {
        params: ConversationParams,
        querystring: NoFields,
        response: { 200: WhyAnswer },
      },
      config: {
        document: {
          summary: 'What it waits for, since when, by what evidence, and the command that helps.',
          errors: ['not_found'],
        },
      },
    },
    async (request, reply) => {
      reply.header('cache-control', 'no-store');
      return why.of(request.params.conversationId);
    },
  );

  done();
};
