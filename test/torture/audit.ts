/** Gathers, when everything is over, what the checker needs: from the store, by HTTP and from Temporal. */
import { DatabaseSync } from 'node:sqlite';

import { Client, Connection } from '@temporalio/client';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';

import { ensureWorkflowBundle } from '../../scripts/bundle.ts';
import type { ConversationSummaryValue } from '../../src/contracts/events.ts';
import { conversationStream, tableStream } from '../../src/contracts/ids.ts';
import { SIGNAL } from '../../src/contracts/names.ts';
import type {
  ConversationViewValue,
  MessageViewValue,
  TableWithActiveValue,
  TurnViewValue,
} from '../../src/contracts/view.ts';
import type { HttpClient } from './client.ts';
import type {
  ConversationEvidence,
  LogEntry,
  ReplayEvidence,
  Reread,
  SignalEvidence,
  TableEvidence,
} from './evidence.ts';
import type { Watcher } from './watcher.ts';

type Get = (path: string) => Promise<Record<string, unknown>>;

export async function gatherConversation(parts: {
  conversationId: string;
  watcher: Watcher;
  http: HttpClient;
  database: string;
}): Promise<ConversationEvidence> {
  const { conversationId, watcher, http, database } = parts;
  const stream = conversationStream(conversationId);
  const get = getter(http, `/v1/conversations/${conversationId}`);
  const rereads = await readAgain(stream, watcher, get);
  const view = (await get('')) as unknown as ConversationViewValue;
  return {
    conversationId,
    log: watcher.log(stream),
    rereads,
    epochs: placesOf(database, stream),
    view,
    messages: await allMessages(get),
    turns: await allTurns(get),
  };
}

export async function gatherTable(parts: {
  tableId: string;
  watcher: Watcher;
  http: HttpClient;
  database: string;
}): Promise<TableEvidence> {
  const { tableId, watcher, http, database } = parts;
  const stream = tableStream(tableId);
  const get = getter(http, `/v1/tables/${tableId}`);
  const rereads = await readAgain(stream, watcher, get);
  const view = (await get('/view')) as unknown as TableWithActiveValue;
  const list: ConversationSummaryValue[] = [];
  for (let cursor: string | null = ''; cursor !== null;) {
    const after = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`;
    // Small pages: where one ends, nothing may be lost or come twice.
    const page = await get(`/conversations?archived=any&limit=3${after}`);
    list.push(...(page['items'] as ConversationSummaryValue[]));
    cursor = page['nextCursor'] as string | null;
  }
  return {
    tableId,
    log: watcher.log(stream),
    rereads,
    places: placesOf(database, stream),
    view,
    list,
  };
}

function getter(http: HttpClient, base: string): Get {
  return async (path) => {
    const answer = await http.call({ method: 'GET', path: `${base}${path}`, timeoutMs: 30_000 });
    if (answer?.status !== 200) throw new Error(`GET ${base}${path}: ${answer?.status}`);
    return answer.body;
  };
}

/** The log once more, as the API and as the store give it. */
async function readAgain(stream: string, watcher: Watcher, get: Get): Promise<Reread[]> {
  const floor = await watcher.store.replayFloor(stream);
  const byHttp: LogEntry[] = [];
  for (let after = floor; ;) {
    const page = await get(`/events?after=${after}`);
    const items = page['items'] as { seq: number }[];
    for (const item of items) byHttp.push({ seq: item.seq, json: JSON.stringify(item) });
    after = items.at(-1)?.seq ?? Infinity;
    if (after >= Number(page['lastSeq'])) break;
  }
  const byStore: LogEntry[] = [];
  for (let after = floor; ;) {
    const { items, lastSeq } = await watcher.store.events(stream, after, 500);
    byStore.push(...items.map(({ seq, json }) => ({ seq, json })));
    after = items.at(-1)?.seq ?? Infinity;
    if (after >= lastSeq) break;
  }
  return [
    { from: 'http', floor, entries: byHttp },
    { from: 'store', floor, entries: byStore },
  ];
}

async function allMessages(get: Get): Promise<MessageViewValue[]> {
  const messages: MessageViewValue[] = [];
  for (let before: string | null = ''; before !== null;) {
    const page = await get(`/messages${before === '' ? '' : `?before=${before}`}`);
    messages.push(...(page['items'] as MessageViewValue[]));
    before = page['nextCursor'] as string | null;
  }
  return messages.toReversed();
}

async function allTurns(get: Get): Promise<TurnViewValue[]> {
  const turns: TurnViewValue[] = [];
  for (let cursor: string | null = ''; cursor !== null;) {
    const page = await get(`/turns${cursor === '' ? '' : `?cursor=${encodeURIComponent(cursor)}`}`);
    turns.push(...(page['items'] as TurnViewValue[]));
    cursor = page['nextCursor'] as string | null;
  }
  return turns;
}

/** The port does not tell under which epoch an event was appended, nor its place among all; the engine's own table does. */
function placesOf(
  database: string,
  stream: string,
): { seq: number; epoch: number | null; order: number }[] {
  const connection = new DatabaseSync(database, { readOnly: true });
  try {
    return connection
      .prepare('SELECT seq, epoch, event FROM log WHERE stream = ? ORDER BY seq')
      .all(stream)
      .map((row) => ({
        seq: Number(row['seq']),
        epoch: row['epoch'] === null ? null : Number(row['epoch']),
        order: Number(row['event']),
      }));
  } finally {
    connection.close();
  }
}

/** Fetches the histories of the run's workflows: their signals, and whether they replay on the present code (R1). */
export async function gatherHistories(parts: {
  address: string;
  namespace: string;
  /** Of conversations and tables, with the conversation that each is of. */
  workflows: readonly { workflowId: string; conversationId: string | null }[];
}): Promise<{ signals: SignalEvidence[]; replays: ReplayEvidence[] }> {
  const { address, namespace, workflows } = parts;
  const connection = await Connection.connect({ address });
  const signals: SignalEvidence[] = [];
  const histories: { workflowId: string; history: object }[] = [];
  const counts = new Map<string, number>();
  try {
    const client = new Client({ connection, namespace });
    for (const { workflowId, conversationId } of workflows) {
      // The newest run first, and each one names the one that it went on from.
      for (let runId: string | undefined; ;) {
        const history = await client.workflow.getHandle(workflowId, runId).fetchHistory();
        for (const event of history.events ?? []) {
          const { workflowExecutionSignaledEventAttributes: signaled, eventTime } = event;
          // Those that are about a queued message carry its requestId, too.
          const name = signaled?.signalName ?? '';
          if (name !== SIGNAL.send && name !== SIGNAL.retry) continue;
          if (signaled === undefined || signaled === null || conversationId === null) continue;
          const data = signaled.input?.payloads?.[0]?.data;
          const value = parse(
            data === undefined || data === null ? '' : Buffer.from(data).toString(),
          );
          const requestId = value?.['requestId'];
          if (typeof requestId !== 'string') continue;
          const atMs = Number(eventTime?.seconds ?? 0) * 1_000 + (eventTime?.nanos ?? 0) / 1e6;
          signals.push({ conversationId, requestId, atMs });
        }
        histories.push({ workflowId, history });
        counts.set(workflowId, (counts.get(workflowId) ?? 0) + (history.events?.length ?? 0));
        const before =
          history.events?.[0]?.workflowExecutionStartedEventAttributes?.continuedExecutionRunId ??
          '';
        if (before === '') break;
        runId = before;
      }
    }
  } finally {
    await connection.close();
  }
  return { signals, replays: await replay(histories, counts) };
}

async function replay(
  histories: readonly { workflowId: string; history: object }[],
  counts: ReadonlyMap<string, number>,
): Promise<ReplayEvidence[]> {
  const { path } = await ensureWorkflowBundle();
  quieten();
  const results: ReplayEvidence[] = [];
  const replays = Worker.runReplayHistories({ workflowBundle: { codePath: path } }, histories);
  for await (const { workflowId, error } of replays)
    results.push({
      workflowId,
      events: counts.get(workflowId) ?? 0,
      error: error === undefined ? null : error.message,
    });
  return results;
}

/** The SDK tells of every step of each replay. */
function quieten(): void {
  try {
    Runtime.install({ logger: new DefaultLogger('ERROR') });
  } catch {
    // There is a runtime already, with its own logger.
  }
}

function parse(text: string): Record<string, unknown> | null {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return null;
  }
}
