/** The routes of triggers. Source: protocol.md section 5. */
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyPluginCallback } from 'fastify';
import { Type } from 'typebox';

import type { ErrorCode } from '../../contracts/errors.ts';
import { Id } from '../../contracts/events.ts';
import { AcceptedAnswer, CommandAcceptedAnswer, NoFields } from '../../contracts/http.ts';
import {
  BackfillAnswer,
  BackfillBody,
  CreateTriggerBody,
  FireTriggerBody,
  LedgerAnswer,
  LedgerQuery,
  LedgerRow,
  PatchTriggerBody,
  RemovedTriggerAnswer,
  TriggersAnswer,
  TriggersQuery,
  TriggerView,
} from '../../contracts/triggers.ts';
import type { Holds } from '../holds.ts';
import type { Triggers } from '../triggers.ts';

const TriggerParams = Type.Object({ triggerId: Id });
const accepted = { accepted: true } as const;
/** What every new work may meet. */
const commandErrors = [
  'rate_limited',
  'temporal_unavailable',
  'storage_full',
] as const satisfies ErrorCode[];

export type TriggerRoutes = { triggers: Triggers; holds: Holds; receiptWaitMs: number };

export const triggerRoutes: FastifyPluginCallback<TriggerRoutes> = (
  instance,
  { triggers, holds, receiptWaitMs },
  done,
) => {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>();

  app.post(
    '/v1/triggers',
    {
      schema: { querystring: NoFields, body: CreateTriggerBody, response: { 200: TriggerView } },
      config: {
        document: {
          summary: 'Create a trigger; one that exists is answered as it is.',
          errors: ['not_found', 'request_id_reused', 'payload_too_large', ...commandErrors],
        },
      },
    },
    (request, reply) =>
      triggers.create(request.body, { waitMs: receiptWaitMs, abort: holds.begin(reply) }),
  );

  app.get(
    '/v1/triggers',
    {
      schema: { querystring: TriggersQuery, response: { 200: TriggersAnswer } },
      config: {
        document: { summary: 'Triggers, newest first; of one table or conversation, or all.' },
      },
    },
    (request) => triggers.list(request.query),
  );

  app.get(
    '/v1/triggers/:triggerId',
    {
      schema: { params: TriggerParams, querystring: NoFields, response: { 200: TriggerView } },
      config: { document: { summary: 'One trigger.', errors: ['not_found'] } },
    },
    (request) => triggers.view(request.params.triggerId),
  );

  app.patch(
    '/v1/triggers/:triggerId',
    {
      schema: {
        params: TriggerParams,
        querystring: NoFields,
        body: PatchTriggerBody,
        response: { 200: TriggerView, 202: CommandAcceptedAnswer },
      },
      config: {
        document: {
          summary: 'Edit, pause or resume a trigger. Up to this moment the old rule holds.',
          errors: ['not_found', 'payload_too_large', ...commandErrors],
        },
      },
    },
    async (request, reply) => {
      const view = await triggers.change(
        { ...request.params, body: request.body },
        { waitMs: receiptWaitMs, abort: holds.begin(reply) },
      );
      return view ?? reply.code(202).send(accepted);
    },
  );

  app.delete(
    '/v1/triggers/:triggerId',
    {
      schema: {
        params: TriggerParams,
        querystring: NoFields,
        response: { 200: RemovedTriggerAnswer, 202: CommandAcceptedAnswer },
      },
      config: {
        document: {
          summary: 'Remove a trigger: nothing is due of it any more. Its ledger stays.',
          errors: ['not_found', 'rate_limited', 'temporal_unavailable'],
        },
      },
    },
    async (request, reply) => {
      const removed = await triggers.remove(request.params.triggerId, {
        waitMs: receiptWaitMs,
        abort: holds.begin(reply),
      });
      return removed ?? reply.code(202).send(accepted);
    },
  );

  app.get(
    '/v1/triggers/:triggerId/ledger',
    {
      schema: { params: TriggerParams, querystring: LedgerQuery, response: { 200: LedgerAnswer } },
      config: {
        document: {
          summary:
            'What became of each due time, newest first, with the counts of the whole ledger; also of a trigger that was removed.',
          errors: ['not_found'],
        },
      },
    },
    (request) => triggers.ledger({ ...request.params, query: request.query }),
  );

  app.post(
    '/v1/triggers/:triggerId/fire',
    {
      schema: {
        params: TriggerParams,
        querystring: NoFields,
        body: FireTriggerBody,
        response: { 200: LedgerRow, 202: AcceptedAnswer },
      },
      config: {
        document: {
          summary: 'Run it now: a row of its own. Repeated with the same requestId, the first one.',
          errors: ['not_found', 'request_id_reused', ...commandErrors],
        },
      },
    },
    async (request, reply) => {
      const { requestId, row } = await triggers.fire(
        { ...request.params, requestId: request.body.requestId ?? null },
        { waitMs: receiptWaitMs, abort: holds.begin(reply) },
      );
      return row ?? reply.code(202).send({ requestId, ...accepted });
    },
  );

  app.post(
    '/v1/triggers/:triggerId/backfill',
    {
      schema: {
        params: TriggerParams,
        querystring: NoFields,
        body: BackfillBody,
        response: { 200: BackfillAnswer, 202: CommandAcceptedAnswer },
      },
      config: {
        document: {
          summary:
            'Run the due times of a past range that have not run. More than the limit are refused, with their count.',
          errors: ['not_found', 'request_id_reused', ...commandErrors],
        },
      },
    },
    async (request, reply) => {
      const answer = await triggers.backfill(
        { ...request.params, body: request.body },
        { waitMs: receiptWaitMs, abort: holds.begin(reply) },
      );
      return answer ?? reply.code(202).send(accepted);
    },
  );

  done();
};
