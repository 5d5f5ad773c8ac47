/**
 * A run with a table as an engine without faults would leave it, made of steps, so that a test can change one and have the rest
 * follow: what the table is told, what is listed, what clients were given.
 *
 * Table t1. In x: r1 runs; r2 and r3 wait; r2 is edited, r3 moved before it and then removed; r4 interrupts. New chat y, while
 * r4's turn runs: that is cancelled, and r2 held. r5 waits in y for it, then runs; r6 is taken in by r5's turn. r2 is released,
 * and runs with its new text. Then x is rolled back to r4's message, r7 is sent in place of that, and z is forked from what is
 * left. x is renamed, z archived.
 */
import type {
  ConversationSummaryValue,
  Event,
  QueueItemValue,
} from '../../src/contracts/events.ts';
import { conversationStream, tableStream } from '../../src/contracts/ids.ts';
import type { ConversationViewValue } from '../../src/contracts/view.ts';
import { emptyView, foldEvents } from '../../src/domain/fold.ts';
import { emptyTableView, foldTableEvents } from '../../src/domain/table-fold.ts';
import { OUTCOME_OF } from './court.ts';
import type {
  ActRecord,
  CommandRecord,
  ConversationEvidence,
  Evidence,
  LogEntry,
  SpoolTurn,
  TableEvidence,
} from './evidence.ts';

export const TABLE = 't1';
const T0 = Date.parse('2026-01-01T00:00:00.000Z');
const STEP_MS = 10;

export type TableLine = {
  type: string;
  turnId?: string;
  attempt?: number;
  requestId?: string;
  payload: Record<string, unknown>;
};

/** One append: to a conversation, to the table itself, or to a trigger (its stream). `name`: for a test to find it. `afterMs`: since the one before it. */
export type Step = { name: string; to: string; lines: TableLine[]; afterMs?: number };

const PROMPTS: Readonly<Record<string, string>> = {
  r1: '#script\nwords 3\n# 1',
  r2: '#script\nwords 2\n# 2',
  r3: '#script\nwords 1\n# 3',
  r4: '#script\nwords 2\n# 4',
  r5: '#script\nwords 2\n# 5',
  r6: '#script\nwords 1\n# 6',
  r7: '#script\nwords 1\n# 7',
};
export const EDITED = '#script\nwords 1\n# 2 edited';

/** A row of a queue, without its place. */
type Waiting = Omit<QueueItemValue, 'position'>;
export const waiting = (requestId: string, more: Partial<Waiting> = {}): Waiting => ({
  requestId,
  turnId: `t-${requestId}`,
  content: PROMPTS[requestId] ?? '',
  attempt: 1,
  ...more,
});
export const queueOf = (items: readonly Waiting[], more: object = {}): TableLine => ({
  type: 'queue.changed',
  payload: { queue: items.map((item, position) => ({ ...item, position })), ...more },
});
export const queued = (requestId: string, position: number): TableLine => ({
  type: 'chat.queued',
  turnId: `t-${requestId}`,
  requestId,
  payload: { position },
});
export const created = (title = '', more: object = {}): TableLine => ({
  type: 'conversation.created',
  payload: {
    tableId: TABLE,
    title,
    provider: 'scripted',
    model: null,
    workspacePath: '/w',
    ...more,
  },
});
export const state = (name: string): TableLine => ({
  type: 'conversation.state',
  payload: { state: name },
});
export const begin = (requestId: string, content = PROMPTS[requestId] ?? ''): TableLine[] => [
  {
    type: 'message.created',
    turnId: `t-${requestId}`,
    requestId,
    payload: { messageId: `m-${requestId}`, role: 'user', content },
  },
  {
    type: 'chat.started',
    turnId: `t-${requestId}`,
    attempt: 1,
    requestId,
    payload: { attempt: 1, provider: 'scripted', model: null },
  },
  state('processing'),
];
export const of = (
  requestId: string,
  type: string,
  payload: Record<string, unknown>,
): TableLine => ({
  type,
  turnId: `t-${requestId}`,
  attempt: 1,
  payload,
});
export const said = (
  requestId: string,
  content: string,
  { status = 'complete', part = 1 }: { status?: 'complete' | 'partial'; part?: number } = {},
): TableLine[] => {
  const messageId = `a-${requestId}-${part}`;
  return [
    of(requestId, 'assistant.segment.started', { messageId, kind: 'text' }),
    of(requestId, 'chat.delta', { messageId, text: content }),
    of(requestId, 'assistant.segment.ended', { messageId, content, status }),
  ];
};
export const cancelling = (requestId: string, by: string): TableLine[] => [
  of(requestId, 'chat.cancelling', { step: 'requested', by }),
  state('cancelled'),
];
const titled = (title: string, more: object = {}): TableLine => ({
  type: 'conversation.updated',
  payload: { title, ...more },
});
export const activated = (previous: string | null, reason: string): TableLine => ({
  type: 'conversation.activated',
  payload: { previous, reason },
});
const copy = (
  messageId: string,
  role: string,
  content: string,
  status = 'complete',
): TableLine => ({
  type: 'message.copied',
  payload: { messageId, role, kind: 'text', content, status, at: new Date(T0).toISOString() },
});

const edited = waiting('r2', { content: EDITED, edited: 1 });
const held: Waiting = { ...edited, held: true };
const step = (name: string, to: string, ...lines: TableLine[]): Step => ({ name, to, lines });
/** What the table's own steps are appended to; those of activations name the conversation. */
const active = (name: string, conversationId: string, line: TableLine): Step => ({
  name,
  to: `table ${conversationId}`,
  lines: [line],
});

export function goodSteps(): Step[] {
  return [
    {
      name: 'table',
      to: 'table',
      lines: [
        {
          type: 'table.created',
          payload: { title: '', workspacePath: '/w', provider: 'scripted', model: null },
        },
      ],
    },
    step('x', 'x', created()),
    active('x active', 'x', activated(null, 'created')),
    step('r1 starts', 'x', ...begin('r1'), titled('#script')),
    step('r2 waits', 'x', queued('r2', 0), queueOf([waiting('r2')])),
    step('r3 waits', 'x', queued('r3', 1), queueOf([waiting('r2'), waiting('r3')])),
    step('r2 edited', 'x', queueOf([edited, waiting('r3')], { commandId: 'k1' })),
    step('r3 moved', 'x', queueOf([waiting('r3'), edited], { commandId: 'k2' })),
    step(
      'r4 interrupts',
      'x',
      queued('r4', 0),
      queueOf([waiting('r4'), waiting('r3'), edited]),
      ...cancelling('r1', 'interrupt'),
    ),
    step(
      'r3 removed',
      'x',
      { type: 'chat.cancelled', turnId: 't-r3', requestId: 'r3', payload: { by: 'user' } },
      queueOf([waiting('r4'), edited], { commandId: 'k3' }),
    ),
    step('r1 said', 'x', ...said('r1', 'w0 ', { status: 'partial' })),
    step('r1 ends', 'x', of('r1', 'chat.cancelled', { by: 'interrupt' })),
    step('r4 starts', 'x', queueOf([edited]), ...begin('r4')),
    step('y', 'y', created()),
    active('y active', 'y', activated('x', 'created')),
    step('x left', 'x', queueOf([held], { held: true }), ...cancelling('r4', 'new-chat')),
    step('r5 waits', 'y', queued('r5', 0), queueOf([waiting('r5')])),
    step('r4 said', 'x', ...said('r4', 'w0 ', { status: 'partial' })),
    step('r4 ends', 'x', of('r4', 'chat.cancelled', { by: 'new-chat' })),
    step('x idle', 'x', state('idle')),
    step('r5 starts', 'y', queueOf([]), ...begin('r5'), titled('#script')),
    step('r5 said', 'y', ...said('r5', 'w0 ')),
    step('r6 waits', 'y', queued('r6', 0), queueOf([waiting('r6', { steer: true })])),
    step(
      'r6 taken',
      'y',
      {
        type: 'message.created',
        turnId: 't-r5',
        attempt: 1,
        requestId: 'r6',
        payload: { messageId: 'm-r6', role: 'user', content: PROMPTS['r6'] ?? '' },
      },
      {
        type: 'chat.steered',
        turnId: 't-r5',
        attempt: 1,
        requestId: 'r6',
        payload: { turnId: 't-r5', attempt: 1 },
      },
    ),
    step('r6 quoted', 'y', ...said('r5', 'steered: #script\nw1 ', { part: 2 })),
    step('r6 left', 'y', queueOf([])),
    step('r5 ends', 'y', of('r5', 'chat.done', {})),
    step('y idle', 'y', state('idle')),
    step('r2 released', 'x', queueOf([edited], { held: false, commandId: 'k4' })),
    active('x active again', 'x', activated('y', 'send')),
    step('r2 starts', 'x', queueOf([]), ...begin('r2', EDITED)),
    step('r2 said', 'x', ...said('r2', 'w0 ')),
    step('r2 ends', 'x', of('r2', 'chat.done', {})),
    step('x idle again', 'x', state('idle')),
    step('rollback', 'x', {
      type: 'history.cut',
      payload: { messageId: 'm-r4', by: 'rollback', commandId: 'k5' },
    }),
    step(
      'r7 starts',
      'x',
      {
        type: 'history.cut',
        turnId: 't-r7',
        requestId: 'r7',
        payload: { messageId: 'a-r1-1', by: 'edit' },
      },
      ...begin('r7'),
    ),
    step('r7 said', 'x', ...said('r7', 'w0 ')),
    step('r7 ends', 'x', of('r7', 'chat.done', {})),
    step('x idle at last', 'x', state('idle')),
    step(
      'z',
      'z',
      created('#script', { forkedFrom: { conversationId: 'x', messageId: null } }),
      copy('z1', 'user', PROMPTS['r1'] ?? ''),
      copy('z2', 'assistant', 'w0 ', 'partial'),
      copy('z3', 'user', PROMPTS['r7'] ?? ''),
      copy('z4', 'assistant', 'w0 '),
    ),
    step('renamed', 'x', titled('mine', { commandId: 'k6' })),
    step('archived', 'z', {
      type: 'conversation.updated',
      payload: { archived: true, commandId: 'k7' },
    }),
  ];
}

/** What the engine makes of the steps: logs, the table's stream, lists, snapshots. */
export class Engine {
  readonly #logs = new Map<string, { entries: LogEntry[]; orders: number[]; events: Event[] }>();
  readonly #views = new Map<string, ConversationViewValue>();
  readonly rows = new Map<string, ConversationSummaryValue>();
  #order = 0;

  take({ to, lines }: Step, atMs: number): void {
    const at = new Date(atMs).toISOString();
    if (to.startsWith('table')) {
      const [, conversationId] = to.split(' ');
      const whose = conversationId === undefined ? {} : { conversationId };
      for (const line of lines)
        this.#append(tableStream(TABLE), { ...line, ...whose, tableId: TABLE }, at);
      return;
    }
    if (to.startsWith('trigger:')) {
      for (const line of lines) this.#append(to, line, at);
      return;
    }
    for (const line of lines)
      this.#append(conversationStream(to), { ...line, conversationId: to }, at);
    this.#tell(to, lines, at);
  }

  log(stream: string) {
    return this.#logs.get(stream) ?? { entries: [], orders: [], events: [] };
  }

  view(conversationId: string): ConversationViewValue {
    return this.#views.get(conversationId) ?? emptyView(conversationId);
  }

  #append(stream: string, line: object, at: string): void {
    const log = this.log(stream);
    this.#logs.set(stream, log);
    const seq = log.entries.length + 1;
    const json = JSON.stringify({ ...line, seq, at });
    this.#order += 1;
    log.entries.push({ seq, json });
    log.orders.push(this.#order);
    log.events.push(JSON.parse(json) as Event);
  }

  /** T1: the row of the list, with the events that change it. */
  #tell(conversationId: string, lines: readonly TableLine[], at: string): void {
    const { events } = this.log(conversationStream(conversationId));
    const view = foldEvents(this.view(conversationId), events);
    this.#views.set(conversationId, view);
    const names = lines.some(({ type }) =>
      ['conversation.created', 'conversation.updated'].includes(type),
    );
    const activity = lines.some(({ type }) =>
      ['conversation.created', 'conversation.state', 'queue.changed', 'history.cut'].includes(type),
    );
    if (!names && !activity) return;
    const first = events.find((event) => event.type === 'conversation.created');
    const shown = view.messages.filter(
      ({ kind, status, cut }) => kind === 'text' && status !== 'open' && cut !== true,
    );
    const row: ConversationSummaryValue = {
      conversationId,
      tableId: TABLE,
      title: view.title,
      archived: view.archived,
      provider: view.provider,
      model: view.model,
      createdAt: first?.at ?? at,
      forkedFrom: first?.payload.forkedFrom ?? null,
      state: view.state,
      lastLine: shown.at(-1)?.content ?? '',
      messageCount: shown.length,
      turnCount: events.filter(({ type }) => type === 'chat.started').length,
      queued: view.queue.length,
      held: view.held,
      approvals: 0,
      lastAt: activity ? at : (this.rows.get(conversationId)?.lastAt ?? at),
    };
    this.rows.set(conversationId, row);
    this.#append(
      tableStream(TABLE),
      {
        type: 'conversation.listed',
        conversationId,
        tableId: TABLE,
        payload: { conversation: row },
      },
      at,
    );
  }
}

export function tableRunOf(steps: readonly Step[]): Evidence {
  const engine = new Engine();
  const times = new Map<string, number>();
  let now = T0 - STEP_MS;
  for (const each of steps) {
    now += each.afterMs ?? STEP_MS;
    times.set(each.name, now);
    engine.take(each, now);
  }
  const atMs = (name: string): number => times.get(name) ?? T0;
  return {
    conversations: [...engine.rows.keys()].map((id) => conversationOf(engine, id)),
    tables: [tableOf(engine)],
    triggers: [],
    triggerActs: [],
    readings: [],
    teams: [],
    agentActs: [],
    commands: commandsAt(atMs),
    acts: actsAt(atMs),
    cancels: [
      { conversationId: 'x', tableId: TABLE, sentAtMs: atMs('r4 interrupts') - 5, turnId: null },
      { conversationId: 'y', tableId: TABLE, sentAtMs: atMs('y') - 5, turnId: null },
    ],
    clients: clientsOf(engine),
    spools: spoolTurns(),
    lastWrites: [],
    faults: [],
    leftOver: [],
    strangersGone: [],
    healing: { settledAfterMs: 4_000, limitMs: 60_000, stuck: [] },
    silence: { quietMs: 5_000, stalledMs: 12_000, stalledInToolMs: 75_000, lateMs: 5_000 },
    fires: { graceMs: 10_000, lateMs: 60_000, latestMs: 600_000, lookMs: 10_000 },
    use: [],
    spoolFolders: { left: 3, limit: 44 },
    signals: Object.keys(PROMPTS).map((requestId) => ({
      conversationId: requestId === 'r5' || requestId === 'r6' ? 'y' : 'x',
      requestId,
      atMs: T0,
    })),
    replays: [{ workflowId: 'table:t1', events: 50, error: null }],
  };
}

export function conversationOf(engine: Engine, conversationId: string): ConversationEvidence {
  const { entries, orders, events } = engine.log(conversationStream(conversationId));
  const view = engine.view(conversationId);
  const turns = events.flatMap((event) => {
    if (event.type !== 'chat.started') return [];
    const end = events.find(
      ({ turnId, attempt, type }) =>
        turnId === event.turnId && attempt !== undefined && type in OUTCOME_OF,
    );
    const facts = {
      requestId: event.requestId ?? null,
      outcome: OUTCOME_OF[end?.type ?? ''] ?? null,
      cause: null,
      startedAt: event.at,
      endedAt: end?.at ?? null,
      usage: null,
    };
    return [
      {
        ...facts,
        turnId: event.turnId ?? '',
        conversationId,
        attempts: [{ ...facts, attempt: 1, provider: 'scripted', model: null }],
      },
    ];
  });
  return {
    conversationId,
    log: entries,
    rereads: [{ from: 'store', floor: 0, entries: structuredClone(entries) }],
    epochs: entries.map(({ seq }, index) => ({ seq, epoch: null, order: orders[index] ?? 0 })),
    view,
    messages: structuredClone(view.messages),
    turns,
  };
}

export function tableOf(engine: Engine): TableEvidence {
  const { entries, orders, events } = engine.log(tableStream(TABLE));
  const table = foldTableEvents(emptyTableView(TABLE), events);
  const list = [...engine.rows.values()].toSorted((a, b) =>
    `${b.lastAt} ${b.conversationId}`.localeCompare(`${a.lastAt} ${a.conversationId}`),
  );
  const { activeConversationId } = table;
  return {
    tableId: TABLE,
    log: entries,
    rereads: [{ from: 'http', floor: 0, entries: structuredClone(entries) }],
    places: entries.map(({ seq }, index) => ({ seq, order: orders[index] ?? 0 })),
    view: {
      table,
      active:
        activeConversationId === null ? null : structuredClone(engine.view(activeConversationId)),
    },
    list: structuredClone(list),
  };
}

function clientsOf(engine: Engine): Evidence['clients'] {
  const stream = tableStream(TABLE);
  const { entries, events } = engine.log(stream);
  const asEvents = (list: readonly LogEntry[]) =>
    list.map(({ seq, json }) => ({ is: 'event' as const, seq, json }));
  const view = foldTableEvents(emptyTableView(TABLE), events.slice(0, 9));
  return [
    {
      client: 'from the start',
      stream,
      entries: [
        { is: 'subscribed', lastSeq: 0 },
        ...asEvents(entries.slice(0, 6)),
        { is: 'closed', code: 1006 },
        { is: 'subscribed', lastSeq: 6 },
        { is: 'caught-up', seq: 6 },
        ...asEvents(entries.slice(6)),
      ],
    },
    {
      client: 'in the middle',
      stream,
      entries: [
        { is: 'subscribed', lastSeq: null },
        { is: 'table', view },
        ...asEvents(entries.slice(9)),
      ],
    },
  ];
}

function commandsAt(atMs: (name: string) => number): CommandRecord[] {
  const sent = (
    requestId: string,
    when: string,
    receipt: { status: 'started' | 'queued'; position?: number },
    more: Partial<CommandRecord> = {},
  ): CommandRecord => ({
    conversationId: requestId === 'r5' || requestId === 'r6' ? 'y' : 'x',
    kind: 'send',
    requestId,
    content: PROMPTS[requestId] ?? '',
    whenBusy: 'queue',
    sentAtMs: atMs(when) - 5,
    answeredAtMs: atMs(when) + 5,
    answer: { is: 'receipt', receipt: { turnId: `t-${requestId}`, ...receipt } },
    ...more,
  });
  return [
    sent('r1', 'r1 starts', { status: 'started' }),
    sent('r2', 'r2 waits', { status: 'queued', position: 0 }),
    sent(
      'r3',
      'r3 waits',
      { status: 'queued', position: 1 },
      {
        answer: {
          is: 'receipt',
          receipt: { status: 'queued', turnId: 't-r3', position: 1 },
          outcome: 'cancelled',
          text: '',
        },
      },
    ),
    sent('r4', 'r4 interrupts', { status: 'queued', position: 0 }, { whenBusy: 'interrupt' }),
    sent('r5', 'r5 waits', { status: 'queued', position: 0 }),
    sent(
      'r6',
      'r6 waits',
      { status: 'queued', position: 0 },
      {
        whenBusy: 'steer',
        answer: {
          is: 'receipt',
          receipt: { status: 'queued', turnId: 't-r6', position: 0 },
          outcome: 'completed',
          text: 'w0 steered: #script\nw1 ',
        },
      },
    ),
    sent('r7', 'r7 starts', { status: 'started' }, { replaces: 'm-r4' }),
  ];
}

function actsAt(atMs: (name: string) => number): ActRecord[] {
  const asked = (when: string, conversationId: string, act: ActRecord['act']): ActRecord => ({
    act,
    conversationId,
    tableId: TABLE,
    sentAtMs: atMs(when) - 5,
    answeredAtMs: atMs(when) + 5,
    answer: { is: 'done' },
  });
  return [
    asked('x', 'x', { do: 'new-chat' }),
    asked('r2 edited', 'x', { do: 'edit', requestId: 'r2', content: EDITED }),
    asked('r3 moved', 'x', { do: 'move', requestId: 'r3', position: 0 }),
    asked('r3 removed', 'x', { do: 'remove', requestId: 'r3' }),
    asked('y', 'y', { do: 'new-chat' }),
    asked('r2 released', 'x', { do: 'release' }),
    asked('rollback', 'x', { do: 'rollback', messageId: 'm-r4' }),
    asked('z', 'x', { do: 'fork', forkId: 'z', messageId: null }),
    asked('renamed', 'x', { do: 'rename', title: 'mine' }),
    asked('archived', 'z', { do: 'archive', archived: true }),
  ];
}

function spoolTurns(): SpoolTurn[] {
  const turn = (
    requestId: string,
    sessionId: string,
    text: string,
    history: string | null = null,
  ): SpoolTurn => ({
    spool: `${sessionId}-process`,
    conversationId: requestId === 'r5' ? 'y' : 'x',
    attemptKey: `t-${requestId}.1`,
    begins: 1,
    begunAtMs: null,
    sessions: 1,
    text,
    reasoning: '',
    end: 'completed',
    sessionId,
    history,
  });
  return [
    turn('r1', 's1', 'w0 '),
    turn('r4', 's1', 'w0 '),
    turn('r5', 's2', 'w0 steered: #script\nw1 '),
    turn('r2', 's1', 'w0 '),
    // After the cuts, in a session of its own, which is told what is left.
    turn(
      'r7',
      's3',
      'w0 ',
      `The user wrote:\n${PROMPTS['r1']}\nThe assistant wrote, and was cut off:\nw0 `,
    ),
  ];
}
