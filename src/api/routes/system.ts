/** Providers, health, figures, documents, tickets. Source: protocol.md sections 2 and 3. */
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyPluginCallback } from 'fastify';

import {
  HealthAnswer,
  NoFields,
  ProvidersAnswer,
  ReadyAnswer,
  TicketAnswer,
  type ReadyAnswerValue,
} from '../../contracts/http.ts';
import { conversationStream } from '../../contracts/ids.ts';
import type { Store } from '../../store/port.ts';
import type { WorkflowCommands } from '../commands.ts';
import type { Metrics } from '../metrics.ts';
import type { ProviderDirectory } from '../provider-directory.ts';
import type { Tickets } from '../security.ts';

export type SystemRoutes = {
  store: Store;
  commands: WorkflowCommands;
  providers: ProviderDirectory;
  metrics: Metrics;
  tickets: Tickets;
  openApi: () => object;
  asyncApi: () => object;
};

export const systemRoutes: FastifyPluginCallback<SystemRoutes> = (
  instance,
  { store, commands, providers, metrics, tickets, openApi, asyncApi },
  done,
) => {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>();

  app.get(
    '/v1/providers',
    {
      schema: { response: { 200: ProvidersAnswer } },
      config: { document: { summary: 'The agent CLIs, and which of them are there.' } },
    },
    async () => ({ items: await providers.describe() }),
  );

  app.post(
    '/v1/ws-tickets',
    {
      schema: { body: NoFields, response: { 200: TicketAnswer } },
      config: { document: { summary: 'A ticket that opens one WebSocket within 30 s.' } },
    },
    async (_request, reply) => {
      reply.header('cache-control', 'no-store');
      const { ticket, expiresAt } = tickets.issue();
      return { ticket, expiresAt: expiresAt.toISOString() };
    },
  );

  app.get(
    '/healthz',
    {
      schema: { response: { 200: HealthAnswer } },
      config: { document: { summary: 'The process serves requests. Needs no token.' } },
    },
    async () => ({ status: 'ok' as const }),
  );

  app.get(
    '/readyz',
    {
      schema: { response: { 200: ReadyAnswer, 503: ReadyAnswer } },
      config: { document: { summary: 'Whether the store and Temporal answer.' } },
    },
    async (_request, reply) => {
      const checks = await Promise.all([
        checkOf('store', () => store.lastSeq(conversationStream('readyz'))),
        checkOf('temporal', () => commands.check()),
      ]);
      const answer: ReadyAnswerValue = { ready: checks.every((check) => check.ok), checks };
      if (answer.ready) return answer;
      return reply.code(503).header('retry-after', '1').send(answer);
    },
  );

  app.get(
    '/metrics',
    { config: { document: { summary: 'Figures in the Prometheus text format.' } } },
    async (_request, reply) =>
      reply.type('text/plain; version=0.0.4; charset=utf-8').send(metrics.render()),
  );

  app.get(
    '/openapi.json',
    { config: { document: { summary: 'This API, as an OpenAPI document.' } } },
    async () => openApi(),
  );

  app.get(
    '/asyncapi.json',
    { config: { document: { summary: 'The WebSocket, as an AsyncAPI document.' } } },
    async () => asyncApi(),
  );

  done();
};

async function checkOf(
  what: string,
  check: () => Promise<unknown>,
): Promise<ReadyAnswerValue['checks'][number]> {
  try {
    await check();
    return { what, ok: true, problem: null };
  } catch {
    // What exactly is wrong is for the log and for `holdfast doctor`; an address of the inside is not told here.
    return { what, ok: false, problem: `the ${what} does not answer` };
  }
}
