/** The routes of tables. Source: protocol.md section 2. */
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyPluginCallback } from 'fastify';
import { Type } from 'typebox';

import { Id } from '../../contracts/events.ts';
import {
  ActivateBody,
  CommandAcceptedAnswer,
  ConversationsAnswer,
  ConversationsQuery,
  CreateTableBody,
  ListQuery,
  NewChatBody,
  NoFields,
  PatchTableBody,
  TablesAnswer,
} from '../../contracts/http.ts';
import { LIST_LIMIT } from '../../contracts/limits.ts';
import { ConversationView, TableFacts, TableWithActive } from '../../contracts/view.ts';
import type { Holds } from '../holds.ts';
import type { Tables } from '../tables.ts';

export const TableParams = Type.Object({ tableId: Id });
const accepted = { accepted: true } as const;

export type TableRoutes = { tables: Tables; holds: Holds; receiptWaitMs: number };

export const tableRoutes: FastifyPluginCallback<TableRoutes> = (
  instance,
  { tables, holds, receiptWaitMs },
  done,
) => {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>();

  app.post(
    '/v1/tables',
    {
      schema: { querystring: NoFields, body: CreateTableBody, response: { 200: TableFacts } },
      config: {
        document: {
          summary: 'Create a table; one that exists is answered as it is.',
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
      tables.create(request.body, { waitMs: receiptWaitMs, abort: holds.begin(reply) }),
  );

  app.get(
    '/v1/tables',
    {
      schema: { querystring: ListQuery, response: { 200: TablesAnswer } },
      config: { document: { summary: 'Tables, newest first.' } },
    },
    ({ query: { cursor = null, limit = LIST_LIMIT } }) => tables.list(cursor, limit),
  );

  app.get(
    '/v1/tables/:tableId',
    {
      schema: { params: TableParams, querystring: NoFields, response: { 200: TableFacts } },
      config: { document: { summary: 'One table.', errors: ['not_found'] } },
    },
    (request) => tables.facts(request.params.tableId),
  );

  app.patch(
    '/v1/tables/:tableId',
    {
      schema: {
        params: TableParams,
        querystring: NoFields,
        body: PatchTableBody,
        response: { 200: TableFacts, 202: CommandAcceptedAnswer },
      },
      config: {
        document: {
          summary: 'Rename a table.',
          errors: ['not_found', 'rate_limited', 'temporal_unavailable', 'storage_full'],
        },
      },
    },
    async (request, reply) => {
      const facts = await tables.rename(
        { ...request.params, ...request.body },
        { waitMs: receiptWaitMs, abort: holds.begin(reply) },
      );
      return facts ?? reply.code(202).send(accepted);
    },
  );

  app.get(
    '/v1/tables/:tableId/view',
    {
      schema: { params: TableParams, querystring: NoFields, response: { 200: TableWithActive } },
      config: {
        document: {
          summary:
            'All that a client needs to show a table, from one read: its snapshot, and that of its active conversation.',
          errors: ['not_found'],
        },
      },
    },
    (request) => tables.withActive(request.params.tableId),
  );

  app.get(
    '/v1/tables/:tableId/conversations',
    {
      schema: {
        params: TableParams,
        querystring: ConversationsQuery,
        response: { 200: ConversationsAnswer },
      },
      config: {
        document: {
          summary:
            'Conversations of a table, most recent first; with q those in whose title or messages it is found.',
          errors: ['not_found'],
        },
      },
    },
    ({ params, query: { cursor = null, limit = LIST_LIMIT, archived, q = null } }) =>
      tables.conversations({
        ...params,
        archived: archived === 'any' ? null : archived === 'true',
        query: q,
        cursor,
        limit,
      }),
  );

  app.post(
    '/v1/tables/:tableId/conversations',
    {
      schema: {
        params: TableParams,
        querystring: NoFields,
        body: NewChatBody,
        response: { 200: ConversationView },
      },
      config: {
        document: {
          summary:
            'New chat: a conversation that is active at once. What ran in the table is cancelled, and its queue held.',
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
      tables.newConversation(
        { ...request.params, body: request.body },
        { waitMs: receiptWaitMs, abort: holds.begin(reply) },
      ),
  );

  app.post(
    '/v1/tables/:tableId/active',
    {
      schema: {
        params: TableParams,
        querystring: NoFields,
        body: ActivateBody,
        response: { 200: TableFacts, 202: CommandAcceptedAnswer },
      },
      config: {
        document: {
          summary: 'Go on with a conversation of the table: it becomes the active one.',
          errors: ['not_found', 'busy', 'rate_limited', 'temporal_unavailable'],
        },
      },
    },
    async (request, reply) => {
      const facts = await tables.activate(
        { ...request.params, body: request.body },
        { waitMs: receiptWaitMs, abort: holds.begin(reply) },
      );
      return facts ?? reply.code(202).send(accepted);
    },
  );

  done();
};
