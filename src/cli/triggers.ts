/** `holdfast triggers`: what is due next, what went wrong last; and a trigger's ledger. */
import { parseArgs } from 'node:util';

import type { TriggerOutcomeName } from '../contracts/events.ts';
import { LIST_LIMIT } from '../contracts/limits.ts';
import type { LedgerCountsValue, LedgerRowValue, TriggerViewValue } from '../contracts/triggers.ts';
import { isRecord } from './api-client.ts';
import { type CommandContext, CommandError, EXIT, read, UsageError } from './command.ts';
import { harmless } from './terminal-text.ts';
import { countsLine, ledgerTable, triggerTable } from './trigger-tables.ts';

export const triggersUsage = `holdfast triggers [--json]
  Every trigger: when it is due next, what came of its last due time, and what went wrong last.

holdfast triggers [options] ID
  What became of each of its due times, newest first; also of a trigger that was removed.

  --limit N      so many rows (20)
  --outcome X    only those: fired, late, caught-up, skipped or rejected
  --json         the items as the API answers them
`;

const SHOWN_ROWS = 20;
const OUTCOMES: readonly TriggerOutcomeName[] = [
  'fired',
  'late',
  'caught-up',
  'skipped',
  'rejected',
];

export async function triggers(context: CommandContext): Promise<number> {
  const { values, positionals } = parseArgs({
    args: context.args,
    allowPositionals: true,
    options: {
      json: { type: 'boolean', default: false },
      limit: { type: 'string' },
      outcome: { type: 'string' },
    },
  });
  const [triggerId, ...others] = positionals;
  if (others.length > 0) throw new UsageError('Name one trigger, or none for all of them.');
  if (triggerId === undefined) {
    if (values.limit !== undefined || values.outcome !== undefined)
      throw new UsageError('--limit and --outcome are for the ledger of one trigger: name it.');
    return listAll(context, values.json);
  }
  const limit = values.limit === undefined ? SHOWN_ROWS : Number(values.limit);
  if (!(Number.isSafeInteger(limit) && limit > 0))
    throw new UsageError(`--limit takes a number from 1 on, not "${values.limit}".`);
  const { outcome = null } = values;
  if (outcome !== null && !OUTCOMES.some((known) => known === outcome))
    throw new UsageError(`--outcome takes one of ${OUTCOMES.join(', ')}, not "${outcome}".`);
  return showLedger(context, { triggerId, limit, outcome, json: values.json });
}

async function listAll(context: CommandContext, json: boolean): Promise<number> {
  const { items } = await pages({
    context,
    path: '/v1/triggers',
    query: {},
    limit: Infinity,
    isItem: isTrigger,
  });
  if (json) writeJson(context, items);
  else if (items.length === 0) context.out.write('There is no trigger.\n');
  else context.out.write(triggerTable(items, { nowMs: Date.now() }));
  return EXIT.ok;
}

async function showLedger(
  context: CommandContext,
  {
    triggerId,
    limit,
    outcome,
    json,
  }: { triggerId: string; limit: number; outcome: string | null; json: boolean },
): Promise<number> {
  const { items, first, more } = await pages({
    context,
    path: `/v1/triggers/${encodeURIComponent(triggerId)}/ledger`,
    query: outcome === null ? {} : { outcome },
    limit,
    isItem: isRow,
  });
  if (json) {
    writeJson(context, items);
    return EXIT.ok;
  }
  const { out } = context;
  out.write(
    items.length === 0
      ? 'There is no such row in its ledger.\n'
      : ledgerTable(items, { nowMs: Date.now() }),
  );
  if (more) out.write('[older rows are not shown: --limit]\n');
  if (isRecord(first) && isCounts(first['counts'])) out.write(countsLine(first['counts']));
  return EXIT.ok;
}

/** The first `limit` items of a list, with the first page's answer. */
async function pages<T>({
  context,
  path,
  query,
  limit,
  isItem,
}: {
  context: CommandContext;
  path: string;
  query: Record<string, string>;
  limit: number;
  isItem: (item: unknown) => item is T;
}): Promise<{ items: T[]; first: unknown; more: boolean }> {
  const items: T[] = [];
  let first: unknown = null;
  for (let cursor: string | null = null; ;) {
    const asked = new URLSearchParams({
      ...query,
      limit: String(Math.min(LIST_LIMIT, limit - items.length)),
      ...(cursor === null ? {} : { cursor }),
    });
    const { body } = await read(context.config, `${path}?${asked.toString()}`);
    const page = isRecord(body) ? body : {};
    const { items: found, nextCursor } = page;
    if (!Array.isArray(found) || !found.every(isItem))
      throw new CommandError('The gateway did not answer with a list.');
    first ??= body;
    items.push(...found);
    cursor = typeof nextCursor === 'string' ? nextCursor : null;
    if (cursor === null || items.length >= limit) return { items, first, more: cursor !== null };
  }
}

/** As far as the table needs it. */
function isTrigger(value: unknown): value is TriggerViewValue {
  return isRecord(value) && typeof value['triggerId'] === 'string' && isRecord(value['schedule']);
}

function isRow(value: unknown): value is LedgerRowValue {
  return (
    isRecord(value) && typeof value['dueAt'] === 'string' && typeof value['words'] === 'string'
  );
}

function isCounts(value: unknown): value is LedgerCountsValue {
  return isRecord(value) && OUTCOMES.every((outcome) => typeof value[outcome] === 'number');
}

function writeJson({ out }: CommandContext, items: unknown[]): void {
  const json = JSON.stringify(items, null, 2);
  out.write(`${out.isTerminal ? harmless(json) : json}\n`);
}
