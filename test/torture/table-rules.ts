/**
 * Tables: S1 over the conversations of one, T1 what a list shows is what is there, L1-L4 of its stream; and W1 of what waits, in
 * a table or in a conversation that stands alone: it is not left waiting while nothing runs.
 *
 * What happens in several streams is put in order by the place that the store gave each event among all: writers are
 * serialised, so it is the order of commits.
 */
import type { ConversationSummaryValue, Event } from '../../src/contracts/events.ts';
import { attemptKey, tableStream } from '../../src/contracts/ids.ts';
import { TABLE_PAGE } from '../../src/contracts/limits.ts';
import type { TableViewValue } from '../../src/contracts/view.ts';
import { emptyTableView, foldTableEvents } from '../../src/domain/table-fold.ts';
import {
  at,
  type Court,
  excerpt,
  firstDifference,
  type Known,
  OUTCOME_OF,
  type Place,
  type StreamRecord,
} from './court.ts';
import type { Evidence, TableEvidence } from './evidence.ts';
import { checkClient, checkLog, checkRereads } from './stream-rules.ts';

type Table = {
  evidence: TableEvidence;
  events: readonly Event[];
  stream: StreamRecord;
  members: readonly Known[];
};

/** An event with its place among all. */
type Placed = { order: number; event: Event; of: 'table' | Known };

export function checkTable(
  court: Court,
  evidence: TableEvidence,
  all: readonly Known[],
  run: Evidence,
): void {
  const { tableId, log, rereads, view, list } = evidence;
  const stream: StreamRecord = {
    log,
    rereads,
    bySeq: new Map(log.map(({ seq, json }) => [seq, json])),
    at: (seqs) => ({ tableId, seqs, excerpt: excerpt(log, seqs) }),
  };
  const table: Table = {
    evidence,
    events: log.map(({ json }) => JSON.parse(json) as Event),
    stream,
    members: all.filter((known) => known.tableId === tableId),
  };
  checkLog(court, stream);
  checkRereads(court, stream);
  for (const client of run.clients)
    if (client.stream === tableStream(tableId))
      checkClient(court, stream, client, (entry) => {
        if (entry.is === 'table')
          checkTableView(court, table, entry.view, `a snapshot of ${client.client}`);
      });
  checkTableView(court, table, view.table, 'the last snapshot');
  checkActive(court, table);
  checkNewChats(court, table, run);
  checkList(court, table, list);
  checkOrder(court, table);
  checkMoving(court, { events: inOrder(table), whose: `table ${tableId}`, place: stream.at, run });
}

/** W1 of a conversation that stands alone. */
export function checkAlone(court: Court, known: Known, run: Evidence): void {
  if (known.tableId !== null) return;
  const { conversationId } = known.evidence;
  const events = known.events.map((event) => ({ order: event.seq, event, of: known }));
  const place = (seqs: readonly number[]): Place => at(known, seqs);
  checkMoving(court, { events, whose: `conversation ${conversationId}`, place, run });
}

/** What waits and is not held starts soon when nothing runs: whatever died has come back by then, or somebody has looked. */
function checkMoving(
  court: Court,
  given: {
    events: readonly Placed[];
    whose: string;
    place: (seqs: readonly number[]) => Place;
    run: Evidence;
  },
): void {
  const { events, whose, place, run } = given;
  const { limitMs } = run.healing;
  const waiting = new Map<string, string>();
  let runs = 0;
  let since: { atMs: number; requestId: string } | null = null;
  for (const { event } of events) {
    const { conversationId = '' } = event;
    const atMs = Date.parse(event.at);
    if (event.type === 'chat.started') runs += 1;
    else if (event.type in OUTCOME_OF && event.attempt !== undefined) runs -= 1;
    else if (event.type === 'queue.changed') {
      const first = event.payload.queue.find((item) => item.held !== true);
      if (first === undefined) waiting.delete(conversationId);
      else waiting.set(conversationId, first.requestId);
    } else continue;
    const [requestId] = waiting.values();
    if (since !== null && (runs > 0 || requestId === undefined)) {
      const waited = atMs - since.atMs;
      const who = since.requestId;
      court.expect('W1', waited <= limitMs, () => ({
        what: `request ${who} waited for ${waited} ms in ${whose}, in which nothing ran; the limit is ${limitMs}`,
        ...place([event.seq]),
        conversationId,
      }));
      since = null;
    }
    if (since === null && runs === 0 && requestId !== undefined) since = { atMs, requestId };
  }
}

/**
 * L4: a table's snapshot is its stream folded up to it, and with the rest folded onto it the whole stream folded. A snapshot is
 * a page: what it has is the newest of all, and it says when there is more.
 */
function checkTableView(court: Court, table: Table, view: TableViewValue, whose: string): void {
  const { events, stream, evidence } = table;
  const start = emptyTableView(evidence.tableId);
  const upTo = foldTableEvents(
    start,
    events.filter(({ seq }) => seq <= view.lastSeq),
  );
  const whole = foldTableEvents(view, events);
  for (const [what, got, wanted] of [
    [`${whose} at seq ${view.lastSeq} is not the stream folded`, view, pageOf(upTo, TABLE_PAGE)],
    [
      `${whose} at seq ${view.lastSeq} with the rest of the stream is not the whole stream folded`,
      whole,
      // Of a page, what has come up meanwhile is in it, and what was archived is not replaced.
      view.hasOlder
        ? { ...pageOf(foldTableEvents(start, events), whole.conversations.length), hasOlder: true }
        : foldTableEvents(start, events),
    ],
  ] as const) {
    const differs = firstDifference(got, wanted);
    court.expect('L4', differs === null, () => ({
      what: `table ${evidence.tableId}: ${what}: ${differs}`,
      ...stream.at([view.lastSeq]),
    }));
  }
}

function pageOf(view: TableViewValue, size: number): TableViewValue {
  const hasOlder = view.conversations.length > size;
  return { ...view, conversations: view.conversations.slice(0, size), hasOlder };
}

/** L4 of the one call: with the table comes the conversation that it names. */
function checkActive(court: Court, { evidence, members, stream }: Table): void {
  const { table, active } = evidence.view;
  const known = members.find((each) => each.evidence.conversationId === table.activeConversationId);
  const differs =
    table.activeConversationId === null
      ? active && 'there is one'
      : active === null
        ? 'nothing'
        : firstDifference(active, known?.evidence.view);
  court.expect('L4', differs === null, () => ({
    what: `the one call of table ${evidence.tableId} gave another snapshot of the active conversation than its own: ${differs}`,
    ...stream.at([table.lastSeq]),
  }));
}

/** A3: a New chat that was answered as done was active. */
function checkNewChats(court: Court, { evidence, events, stream }: Table, run: Evidence): void {
  for (const { act, tableId, conversationId, answer } of run.acts) {
    if (tableId !== evidence.tableId || act.do !== 'new-chat' || answer.is !== 'done') continue;
    const activated = events.some(
      (event) =>
        event.type === 'conversation.activated' &&
        event.conversationId === conversationId &&
        event.payload.reason === 'created',
    );
    court.expect('A3', activated, () => ({
      what: `New chat ${conversationId} was answered as done, and never became active`,
      ...stream.at([]),
    }));
  }
}

/** T1: each row of the list says what its conversation says, and there is one for each. */
function checkList(court: Court, table: Table, list: readonly ConversationSummaryValue[]): void {
  const { evidence, members, stream } = table;
  const listed = list.map(({ conversationId }) => conversationId);
  const there = members.map((known) => known.evidence.conversationId);
  court.expect('T1', listed.toSorted().join(' ') === there.toSorted().join(' '), () => ({
    what: `table ${evidence.tableId} lists [${listed.join(', ')}], and has [${there.join(', ')}]`,
    ...stream.at([]),
  }));
  const isSorted = list.every(
    ({ lastAt }, index) => index === 0 || lastAt <= (list[index - 1]?.lastAt ?? ''),
  );
  court.expect('T1', isSorted, () => ({
    what: `the list of table ${evidence.tableId} is not in order: ${list.map(({ conversationId, lastAt }) => `${conversationId} ${lastAt}`).join(', ')}`,
    ...stream.at([]),
  }));
  for (const row of list) {
    const known = members.find((each) => each.evidence.conversationId === row.conversationId);
    if (known === undefined) continue;
    const differs = firstDifference(
      Object.fromEntries(Object.entries(row).filter(([name]) => name in facts(known))),
      facts(known),
    );
    court.expect('T1', differs === null, () => ({
      what: `the list says otherwise than conversation ${row.conversationId}: ${differs}`,
      conversationId: row.conversationId,
      ...stream.at([]),
    }));
  }
}

/** What a list must show of a conversation, by its own snapshot, transcript and turns. */
function facts(known: Known): Partial<ConversationSummaryValue> {
  const { view, messages, turns } = known.evidence;
  const created = known.events.find((event) => event.type === 'conversation.created');
  const shown = messages.filter(
    ({ kind, role, status, cut }) =>
      kind === 'text' &&
      (role === 'user' || role === 'assistant') &&
      (status === 'complete' || status === 'partial') &&
      cut !== true,
  );
  return {
    conversationId: view.conversationId,
    tableId: view.tableId,
    title: view.title,
    archived: view.archived,
    provider: view.provider,
    model: view.model,
    state: view.state,
    queued: view.queue.length,
    held: view.held,
    approvals: view.approvals.length,
    messageCount: shown.length,
    turnCount: turns.length,
    ...(created === undefined
      ? {}
      : { createdAt: created.at, forkedFrom: created.payload.forkedFrom ?? null }),
  };
}

/** What a conversation's own events say of it so far, of what a list shows. */
type Facts = { state: string; queued: number; held: boolean; approvals: number; title: string };

/** S1 and T1 in the order of commits. */
function checkOrder(court: Court, table: Table): void {
  const { evidence, stream } = table;
  let running: { name: string; conversationId: string; order: number } | null = null;
  let active: string | null = null;
  const told = new Map<string, Facts>();
  for (const { event, of } of inOrder(table)) {
    if (of === 'table') {
      if (event.type === 'conversation.activated') {
        const before: string | null = active;
        court.expect('S1', event.payload.previous === before, () => ({
          what: `table ${evidence.tableId}: ${event.conversationId} became active in place of ${event.payload.previous}, and ${before} was active`,
          ...stream.at([event.seq]),
        }));
        active = event.conversationId ?? null;
      } else checkRow(court, table, event, told);
      continue;
    }
    const { conversationId } = of.evidence;
    const place = (): Place => ({
      tableId: evidence.tableId,
      conversationId,
      seqs: [event.seq],
      excerpt: excerpt(of.evidence.log, [event.seq]),
    });
    learn(told, conversationId, event);
    if (event.type === 'chat.started') {
      const name = attemptKey(event.turnId ?? '', event.payload.attempt);
      const before: typeof running = running;
      const now: string | null = active;
      court.expect('S1', before === null, () => ({
        what: `attempt ${name} of ${conversationId} started while ${before?.name} of ${before?.conversationId} ran in the same table`,
        ...place(),
      }));
      court.expect('S1', now === conversationId, () => ({
        what: `attempt ${name} of ${conversationId} started while ${now} was the active one of its table`,
        ...place(),
      }));
      running = { name, conversationId, order: event.seq };
    } else if (event.type in OUTCOME_OF && event.attempt !== undefined) {
      if (running?.name === attemptKey(event.turnId ?? '', event.attempt)) running = null;
    }
  }
}

/** Every event of the table's stream and of its conversations, as they were committed. */
function inOrder({ evidence, events, members }: Table): Placed[] {
  const placed: Placed[] = [];
  const add = (
    of: Placed['of'],
    list: readonly Event[],
    places: readonly { seq: number; order: number }[],
  ): void => {
    const orders = new Map(places.map(({ seq, order }) => [seq, order]));
    for (const event of list) {
      const order = orders.get(event.seq);
      // One that was compacted away has no place any more.
      if (order !== undefined) placed.push({ order, event, of });
    }
  };
  add('table', events, evidence.places);
  for (const known of members) add(known, known.events, known.evidence.epochs);
  return placed.toSorted((a, b) => a.order - b.order);
}

function learn(told: Map<string, Facts>, conversationId: string, event: Event): void {
  const known = told.get(conversationId) ?? {
    state: 'idle',
    queued: 0,
    held: false,
    approvals: 0,
    title: '',
  };
  told.set(conversationId, known);
  switch (event.type) {
    case 'conversation.created':
      known.title = event.payload.title;
      return;
    case 'conversation.updated':
      known.title = event.payload.title ?? known.title;
      return;
    case 'conversation.state':
      known.state = event.payload.state;
      return;
    case 'queue.changed':
      known.queued = event.payload.queue.length;
      known.held = known.queued > 0 && (event.payload.held ?? known.held);
      return;
    case 'approval.requested':
      known.approvals += 1;
      return;
    case 'approval.resolved':
      known.approvals -= 1;
      return;
    default:
  }
}

/** T1: what is told to the table is what its conversation has just said. */
function checkRow(
  court: Court,
  { stream, evidence }: Table,
  event: Event,
  told: ReadonlyMap<string, Facts>,
): void {
  const row =
    event.type === 'conversation.state'
      ? event.payload
      : event.type === 'conversation.listed'
        ? event.payload.conversation
        : null;
  if (row === null) return;
  const known = told.get(event.conversationId ?? '');
  const differs =
    known === undefined
      ? 'that one does not exist'
      : firstDifference(
          {
            ...known,
            ...Object.fromEntries(Object.entries(row).filter(([name]) => name in known)),
          },
          known,
        );
  court.expect('T1', differs === null, () => ({
    what: `table ${evidence.tableId} was told otherwise of ${event.conversationId} than that one says: ${differs}`,
    ...stream.at([event.seq]),
  }));
}
