/** Reading: a ledger's pages and counts, however long it is, and the list of triggers. */
import { LIST_LIMIT } from '../../src/contracts/limits.ts';
import type { Store } from '../../src/store/port.ts';
import { type Figure, quantile } from '../figures.ts';
import { HttpReader } from '../readers/http-reader.ts';
import { alternate, type Pair, ratioRow } from '../readers/pairs.ts';
import { newConversation, type Stack } from '../stack.ts';
import { createWithLedger } from './history.ts';

const SHORT_ROWS = 100;
const LONG_ROWS = 100_000;
/** Of each trigger of a list. */
const LISTED_ROWS = { old: 500, young: 5 } as const;
const READS = 500;
const LISTS = 200;
const LIMIT = 1.2;
/** Of Temporal's Schedules none is made for one that is never due again. */
const schedule = { at: '2020-01-01T00:00:00.000Z', timezone: 'UTC' } as const;

export async function measureLedgers({
  stack,
  store,
}: {
  stack: Stack;
  store: Store;
}): Promise<Figure[]> {
  const http = new HttpReader(stack);
  const parts = { stack, store, http };
  try {
    return [...(await measurePages(parts)), ...(await measureLists(parts))];
  } finally {
    http.close();
  }
}

type Parts = { stack: Stack; store: Store; http: HttpReader };

async function measurePages({ stack, store, http }: Parts): Promise<Figure[]> {
  const conversationId = await newConversation(stack);
  for (const [triggerId, rows] of [
    ['hundred', SHORT_ROWS],
    // A shorter ledger has no full page.
    ['page', LIST_LIMIT],
    ['hundred-thousand', LONG_ROWS],
  ] as const)
    await createWithLedger(store, { triggerId, asked: { schedule, conversationId }, rows });
  const compare = async (
    name: string,
    path: (triggerId: string) => string,
    young: string,
  ): Promise<Figure> => {
    const ms: Pair = { old: [], young: [] };
    await alternate(READS, async (which) => {
      ms[which].push(await http.read(path(which === 'old' ? 'hundred-thousand' : young)));
    });
    return ratioRow(`${name}, p50`, ms, LIMIT);
  };
  const ledger = (limit: number, more = '') => {
    return (triggerId: string): string => `/v1/triggers/${triggerId}/ledger?limit=${limit}${more}`;
  };
  const of = `of a ledger of ${LONG_ROWS.toLocaleString('en')} rows`;
  return [
    await compare(
      `a page of ${LIST_LIMIT} with the counts ${of} (floor: of ${LIST_LIMIT})`,
      ledger(LIST_LIMIT),
      'page',
    ),
    await compare(
      `a page of ${SHORT_ROWS} with the counts ${of} (floor: of ${SHORT_ROWS})`,
      ledger(SHORT_ROWS),
      'hundred',
    ),
    await compare(
      `a page of 10 of one outcome ${of} (floor: of ${SHORT_ROWS})`,
      ledger(10, '&outcome=rejected'),
      'hundred',
    ),
    await compare(
      `a trigger with counts, last row and last trouble ${of} (floor: of ${SHORT_ROWS})`,
      (triggerId) => `/v1/triggers/${triggerId}`,
      'hundred',
    ),
  ];
}

/** Of two tables, with as many triggers each. */
async function measureLists({ stack, store, http }: Parts): Promise<Figure[]> {
  for (const tableId of ['old', 'young'] as const) {
    await stack.call('POST', '/v1/tables', { tableId, provider: 'scripted' });
    for (let index = 0; index < LIST_LIMIT; index += 1)
      await createWithLedger(store, {
        triggerId: `${tableId}-${index}`,
        asked: { schedule, tableId },
        rows: LISTED_ROWS[tableId],
      });
  }
  const ms: Pair = { old: [], young: [] };
  await alternate(LISTS, async (which) => {
    ms[which].push(await http.read(`/v1/triggers?tableId=${which}&limit=${LIST_LIMIT}`));
  });
  return [
    {
      ...ratioRow(
        `the list of ${LIST_LIMIT} triggers with ${LISTED_ROWS.old} rows each (floor: ${LISTED_ROWS.young} each), p50`,
        ms,
        LIMIT,
      ),
      note: `p99 ${quantile(ms.old, 0.99).toFixed(1)} ms`,
    },
  ];
}
