/** Gathers, when everything is over, what the checker needs: from the store, by HTTP and from Temporal. */
import { DatabaseSync } from 'node:sqlite';

import { Client, Connection, isGrpcServiceError, type WorkflowHandle } from '@temporalio/client';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';

import { ensureWorkflowBundle } from '../../scripts/bundle.ts';
import type { MailRowValue, TeamViewValue } from '../../src/contracts/agents.ts';
import type { ConversationSummaryValue } from '../../src/contracts/events.ts';
import {
  conversationStream,
  tableStream,
  teamStream,
  triggerStream,
} from '../../src/contracts/ids.ts';
import { SIGNAL, WORKFLOW_TYPE } from '../../src/contracts/names.ts';
import type {
  LedgerCountsValue,
  LedgerRowValue,
  TriggerViewValue,
} from '../../src/contracts/triggers.ts';
import type {
  ConversationViewValue,
  MessageViewValue,
  TableWithActiveValue,
  TurnViewValue,
} from '../../src/contracts/view.ts';
import { mailRequestId } from '../../src/store/mail-request-id.ts';
import type { HttpClient } from './client.ts';
import type {
  ConversationEvidence,
  LogEntry,
  ReplayEvidence,
  Reread,
  SignalEvidence,
  TableEvidence,
  TeamEvidence,
  TriggerEvidence,
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

/** Of a team with children; `members`: conversationIds, the root's first. */
export async function gatherTeam(parts: {
  rootId: string;
  members: readonly string[];
  watcher: Watcher;
  http: HttpClient;
  database: string;
}): Promise<TeamEvidence> {
  const { rootId, members, watcher, http, database } = parts;
  const stream = teamStream(rootId);
  const get = getter(http, `/v1/conversations/${rootId}/agents`);
  const rereads = await readAgain(stream, watcher, get);
  const member = members.at(-1) ?? rootId;
  const ofMember = getter(http, `/v1/conversations/${member}/agents`);
  const mailboxes = [];
  for (const conversationId of members) {
    const read = getter(http, `/v1/conversations/${conversationId}/mailbox`);
    const [rows, sent] = [await mailOf(read, 'in'), await mailOf(read, 'out')];
    mailboxes.push({ conversationId, rows, sent });
  }
  return {
    rootId,
    log: watcher.log(stream),
    rereads,
    places: placesOf(database, stream),
    view: (await get('')) as unknown as TeamViewValue,
    viewOfMember: (await ofMember('')) as unknown as TeamViewValue,
    mailboxes,
  };
}

/** By small pages: where one ends, nothing may be lost or come twice. */
async function mailOf(get: Get, box: 'in' | 'out'): Promise<MailRowValue[]> {
  const rows: MailRowValue[] = [];
  for (let cursor = ''; ;) {
    const after = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`;
    const page = await get(`?box=${box}&limit=5${after}`);
    rows.push(...(page['items'] as MailRowValue[]));
    const next = page['nextCursor'] as string | null;
    if (next === null) return rows;
    cursor = next;
  }
}

/** Conversations that somebody has made, by the engine's own table: also one that no team knows of. */
export function agentsIn(database: string): string[] {
  const connection = new DatabaseSync(database, { readOnly: true });
  try {
    return connection
      .prepare(`SELECT DISTINCT stream FROM log WHERE stream LIKE 'conversation:agent-%'`)
      .all()
      .map((row) => String(row['stream']).slice('conversation:'.length));
  } finally {
    connection.close();
  }
}

/** Rows of a page: where one ends, nothing may be lost or come twice. */
const LEDGER_PAGE = 37;
const MOST_TRIES = 20;
const GRPC_NOT_FOUND = 5;

/** All of one moment: of a trigger that is paused more is decided meanwhile. */
export async function gatherTrigger(parts: {
  triggerId: string;
  watcher: Watcher;
  http: HttpClient;
  database: string;
}): Promise<TriggerEvidence> {
  const { triggerId, watcher, http, database } = parts;
  const stream = triggerStream(triggerId);
  const base = `/v1/triggers/${triggerId}`;
  for (let tries = 1; ; tries += 1) {
    const lastSeq = await watcher.store.lastSeq(stream);
    const gatheredAtMs = Date.now();
    const found = await http.call({ method: 'GET', path: base, timeoutMs: 30_000 });
    const ledger = await wholeLedger(getter(http, base));
    if ((await watcher.store.lastSeq(stream)) !== lastSeq && tries < MOST_TRIES) continue;
    await watcher.catchUp();
    return {
      triggerId,
      log: watcher.log(stream).filter(({ seq }) => seq <= lastSeq),
      rereads: [{ from: 'store', floor: 0, entries: await readStore(stream, 0, watcher) }],
      places: placesOf(database, stream),
      ...ledger,
      view: found?.status === 200 ? (found.body as unknown as TriggerViewValue) : null,
      gatheredAtMs,
    };
  }
}

async function wholeLedger(get: Get): Promise<Pick<TriggerEvidence, 'ledger' | 'counts'>> {
  const ledger: LedgerRowValue[] = [];
  for (let cursor = ''; ;) {
    const after = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`;
    const page = await get(`/ledger?limit=${LEDGER_PAGE}${after}`);
    ledger.push(...(page['items'] as LedgerRowValue[]));
    const next = page['nextCursor'] as string | null;
    if (next === null) return { ledger, counts: page['counts'] as LedgerCountsValue };
    cursor = next;
  }
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
  return [
    { from: 'http', floor, entries: byHttp },
    { from: 'store', floor, entries: await readStore(stream, floor, watcher) },
  ];
}

async function readStore(stream: string, floor: number, watcher: Watcher): Promise<LogEntry[]> {
  const entries: LogEntry[] = [];
  for (let after = floor; ;) {
    const { items, lastSeq } = await watcher.store.events(stream, after, 500);
    entries.push(...items.map(({ seq, json }) => ({ seq, json })));
    after = items.at(-1)?.seq ?? Infinity;
    if (after >= lastSeq) return entries;
  }
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
  /** How many of the short workflows of triggers are replayed, out of all that there are. */
  ofTriggers: number;
}): Promise<{ signals: SignalEvidence[]; replays: ReplayEvidence[] }> {
  const { address, namespace, workflows, ofTriggers } = parts;
  const connection = await Connection.connect({ address });
  const signals: SignalEvidence[] = [];
  const histories: { workflowId: string; history: object }[] = [];
  const counts = new Map<string, number>();
  try {
    const client = new Client({ connection, namespace });
    for (const { workflowId, conversationId } of workflows) {
      // The newest run first, and each one names the one that it went on from.
      for (let runId: string | undefined; ;) {
        const history = await historyOf(client, workflowId, runId);
        if (history === null) break;
        for (const event of history.events ?? []) {
          const { workflowExecutionSignaledEventAttributes: signaled, eventTime } = event;
          // Those that are about a queued message carry its requestId, too.
          const name = signaled?.signalName ?? '';
          if (name !== SIGNAL.send && name !== SIGNAL.retry && name !== SIGNAL.mail) continue;
          if (signaled === undefined || signaled === null || conversationId === null) continue;
          const data = signaled.input?.payloads?.[0]?.data;
          const value = parse(
            data === undefined || data === null ? '' : Buffer.from(data).toString(),
          );
          const requestId = name === SIGNAL.mail ? mailIn(value) : value?.['requestId'];
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
    for (const { workflowId, runId } of await triggerRuns(client, ofTriggers)) {
      const history = await historyOf(client, workflowId, runId);
      if (history === null) continue;
      histories.push({ workflowId, history });
      counts.set(workflowId, (counts.get(workflowId) ?? 0) + (history.events?.length ?? 0));
    }
  } finally {
    await connection.close();
  }
  return { signals, replays: await replay(histories, counts) };
}

/** The request that the message of a Signal becomes; null: it has none. */
function mailIn(value: Record<string, unknown> | null): string | null {
  const message = value?.['message'] as { messageId: string; from: string } | undefined;
  return message === undefined
    ? null
    : mailRequestId({ from: message.from, messageId: message.messageId, sending: 1 });
}

/**
 * Null: Temporal has none. A conversation that was made in a table, and in which nobody has asked for anything, needs none; where
 * somebody has, the checker misses the signal (A3).
 */
async function historyOf(
  client: Client,
  workflowId: string,
  runId: string | undefined,
): Promise<Awaited<ReturnType<WorkflowHandle['fetchHistory']>> | null> {
  try {
    return await client.workflow.getHandle(workflowId, runId).fetchHistory();
  } catch (error) {
    const status: number | null = isGrpcServiceError(error) ? error.code : null;
    if (status === GRPC_NOT_FOUND) return null;
    throw error;
  }
}

/** Some of them, evenly out of all: there is one for each due time. */
async function triggerRuns(
  client: Client,
  most: number,
): Promise<{ workflowId: string; runId: string }[]> {
  const runs: { workflowId: string; runId: string }[] = [];
  for await (const { workflowId, runId } of client.workflow.list({
    query: `WorkflowType = '${WORKFLOW_TYPE.trigger}'`,
  }))
    runs.push({ workflowId, runId });
  const every = Math.max(1, runs.length / most);
  return runs.filter((_, index) => Math.floor(index / every) !== Math.floor((index - 1) / every));
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
