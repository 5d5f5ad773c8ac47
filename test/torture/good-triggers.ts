/**
 * A run with two triggers as an engine without faults would leave it, made of steps as good-table.ts is.
 *
 * Trigger g, into the active conversation x of table t1. r1, every second, whenBusy skip, missed run-once: 1 s fires; 2 s is
 * skipped, for its turn still runs; 3 s is refused, for a client was faster. It is run by hand. The engine is away until 20 s,
 * which is caught up. r2, run-all 2, whenBusy queue: 21 s fires, 22 s waits behind it; away until 36 s, and 35 and 36 s are
 * caught up. Paused at 36.5 s, resumed at 38.5 s as r3, every two seconds, a window of 5 s, whenBusy interrupt: away until 54 s,
 * 50 s interrupts a client's turn, 52 and 54 s wait behind it. r4, a cron in Kathmandu, missed skip: away until 72 s; then so
 * busy that 80 s is late. A backfill runs 0 and 10 s, not 20 s, which ran. It is removed.
 *
 * Trigger h, into x: one moment, 200 s, which is still to come when everything is over. It is paused.
 */
import type { DecidedFireValue, TriggerDefinitionValue } from '../../src/contracts/events.ts';
import { tableStream, triggerStream } from '../../src/contracts/ids.ts';
import type { LedgerRowValue } from '../../src/contracts/triggers.ts';
import type { Evidence, TriggerActRecord, TriggerEvidence } from './evidence.ts';
import {
  activated,
  begin,
  cancelling,
  conversationOf,
  created,
  Engine,
  of,
  queued,
  queueOf,
  said,
  state,
  type Step,
  TABLE,
  tableOf,
  type TableLine,
  waiting,
} from './good-table.ts';

export const T0 = Date.parse('2026-01-01T00:00:00.000Z');
export const at = (seconds: number): string =>
  new Date(T0 + Math.round(seconds * 1_000)).toISOString();

export type TimedStep = Step & { atSeconds: number };

const CLIENT_CONTENT = '#script\nwords 1\n# a client';
const ONE: TriggerDefinitionValue = {
  title: 'every second',
  tableId: TABLE,
  conversationId: null,
  content: '#script\nwords 1\n# one.',
  schedule: { everyMs: 1_000, timezone: 'UTC' },
  jitterMs: 0,
  startAt: null,
  endAt: null,
  missed: { policy: 'run-once' },
  whenBusy: 'skip',
  newConversation: false,
  paused: false,
};
const TWO: TriggerDefinitionValue = {
  ...ONE,
  content: '#script\nwords 1\n# two.',
  missed: { policy: 'run-all', limit: 2 },
  whenBusy: 'queue',
};
const THREE: TriggerDefinitionValue = {
  ...TWO,
  schedule: { everyMs: 2_000, timezone: 'UTC' },
  missed: { policy: 'window', windowMs: 5_000 },
  whenBusy: 'interrupt',
};
const FOUR: TriggerDefinitionValue = {
  ...THREE,
  schedule: { cron: '*/10 * * * * *', timezone: 'Asia/Kathmandu' },
  missed: { policy: 'skip' },
};
const SOON: TriggerDefinitionValue = {
  ...ONE,
  title: 'once',
  tableId: null,
  conversationId: 'x',
  schedule: { at: at(200), timezone: 'UTC' },
};
/** What a rule sends. */
const CONTENTS: Readonly<Record<string, string>> = {
  r1: ONE.content,
  r2: TWO.content,
  r3: THREE.content,
  r4: FOUR.content,
};
const RAN = ['fired', 'late', 'caught-up'];

/** A row; `ran`: as which request, and how it goes before what is there. */
export function fire(
  dueSeconds: number,
  decidedSeconds: number,
  rule: string,
  outcome: DecidedFireValue['outcome'],
  more: Partial<DecidedFireValue> = {},
): DecidedFireValue {
  return {
    dueAt: at(dueSeconds),
    decidedAt: at(decidedSeconds),
    outcome,
    words: `It is ${outcome}.`,
    rule,
    ...(RAN.includes(outcome) ? { conversationId: 'x' } : {}),
    ...more,
  };
}

const ofTrigger = (
  name: string,
  atSeconds: number,
  type: string,
  payload: Record<string, unknown>,
  triggerId = 'g',
): TimedStep => ({
  name,
  atSeconds,
  to: triggerStream(triggerId),
  lines: [{ type, payload: { triggerId, ...payload } }],
});

/** All that was due after `from` is decided, up to then. */
function decided(
  from: number,
  until: number,
  next: number | null,
  ...fires: DecidedFireValue[]
): TimedStep {
  return ofTrigger(`decided ${until}`, until, 'trigger.decided', {
    cause: 'due',
    from: at(from),
    until: at(until),
    nextDueAt: next === null ? null : at(next),
    fires,
  });
}

const updated = (
  seconds: number,
  rule: string,
  definition: TriggerDefinitionValue,
  next: number,
): TimedStep =>
  ofTrigger(`updated ${seconds}`, seconds, 'trigger.updated', {
    rule,
    definition,
    from: at(seconds),
    nextDueAt: at(next),
    commandId: `k${seconds}`,
  });

const inX = (name: string, atSeconds: number, ...lines: TableLine[]): TimedStep => ({
  name,
  atSeconds,
  to: 'x',
  lines,
});

const announced = (row: DecidedFireValue): TableLine => ({
  type: 'trigger.fired',
  requestId: row.requestId ?? '',
  payload: {
    triggerId: 'g',
    title: 'every second',
    dueAt: row.dueAt,
    outcome: row.outcome,
    words: row.words,
  },
});

/** Told, run and ended within a tenth of a second. */
export function runs(atSeconds: number, row: DecidedFireValue): TimedStep[] {
  const { requestId = '', rule } = row;
  return [
    inX(`${requestId} announced`, atSeconds, announced(row)),
    inX(`${requestId} starts`, atSeconds + 0.01, ...begin(requestId, CONTENTS[rule])),
    inX(`${requestId} ends`, atSeconds + 0.05, ...said(requestId, 'w0 '), done(requestId)),
    inX(`${requestId} idle`, atSeconds + 0.06, state('idle')),
  ];
}

const done = (requestId: string): TableLine => of(requestId, 'chat.done', {});

/** Told while something runs, waits, and runs when that has ended at `freeAt`. */
function waitsAndRuns(atSeconds: number, freeAt: number, row: DecidedFireValue): TimedStep[] {
  const { requestId = '', rule } = row;
  const content = CONTENTS[rule] ?? '';
  return [
    inX(`${requestId} announced`, atSeconds, announced(row)),
    inX(
      `${requestId} waits`,
      atSeconds + 0.01,
      queued(requestId, 0),
      queueOf([waiting(requestId, { content })]),
    ),
    inX(`${requestId} starts`, freeAt, queueOf([]), ...begin(requestId, content)),
    inX(`${requestId} ends`, freeAt + 0.05, ...said(requestId, 'w0 '), done(requestId)),
    inX(`${requestId} idle`, freeAt + 0.06, state('idle')),
  ];
}

const range = (first: number, last: number, step: number): number[] =>
  Array.from({ length: (last - first) / step + 1 }, (_, index) => first + index * step);
const missed = (first: number, last: number, step: number, now: number, rule: string) =>
  range(first, last, step).map((due) => fire(due, now, rule, 'skipped', { reason: 'missed' }));

/** Rows that run, by their request. */
const ROWS = {
  q1: fire(1, 1.005, 'r1', 'fired', { requestId: 'q1', whenBusy: 'reject' }),
  q3: fire(3, 3.003, 'r1', 'fired', { requestId: 'q3', whenBusy: 'reject' }),
  m1: fire(3.5, 3.5, 'r1', 'fired', { requestId: 'm1', whenBusy: 'reject', reason: 'manual' }),
  q20: fire(20, 20.002, 'r1', 'caught-up', { requestId: 'q20', whenBusy: 'reject' }),
  q21: fire(21, 21.004, 'r2', 'fired', { requestId: 'q21', whenBusy: 'queue' }),
  q22: fire(22, 22.004, 'r2', 'fired', { requestId: 'q22', whenBusy: 'queue' }),
  q35: fire(35, 36.003, 'r2', 'caught-up', { requestId: 'q35', whenBusy: 'queue' }),
  q36: fire(36, 36.003, 'r2', 'caught-up', { requestId: 'q36', whenBusy: 'queue' }),
  q50: fire(50, 54.001, 'r3', 'caught-up', { requestId: 'q50', whenBusy: 'interrupt' }),
  q52: fire(52, 54.001, 'r3', 'caught-up', { requestId: 'q52', whenBusy: 'queue' }),
  q54: fire(54, 54.001, 'r3', 'caught-up', { requestId: 'q54', whenBusy: 'queue' }),
  q80: fire(80, 92, 'r4', 'late', { requestId: 'q80', whenBusy: 'interrupt' }),
  q90: fire(90, 92, 'r4', 'fired', { requestId: 'q90', whenBusy: 'queue' }),
  b0: fire(0, 94, 'r4', 'caught-up', {
    requestId: 'b0',
    whenBusy: 'interrupt',
    reason: 'backfill',
  }),
  b10: fire(10, 94, 'r4', 'caught-up', { requestId: 'b10', whenBusy: 'queue', reason: 'backfill' }),
} as const;

export function goodTriggerSteps(): TimedStep[] {
  const client = (requestId: string, atSeconds: number): TimedStep =>
    inX(`${requestId} starts`, atSeconds, ...begin(requestId, CLIENT_CONTENT));
  return [
    {
      name: 'table',
      atSeconds: -3,
      to: 'table',
      lines: [
        {
          type: 'table.created',
          payload: { title: '', workspacePath: '/w', provider: 'scripted', model: null },
        },
      ],
    },
    inX('x', -2, created('named')),
    { name: 'x active', atSeconds: -1.9, to: 'table x', lines: [activated(null, 'created')] },
    ofTrigger('created', 0.3, 'trigger.created', {
      rule: 'r1',
      definition: ONE,
      decidedUntil: at(0.3),
      nextDueAt: at(1),
    }),
    decided(0.3, 1.005, 2, ROWS.q1),
    inX('q1 announced', 1.01, announced(ROWS.q1)),
    inX('q1 starts', 1.02, ...begin('q1', ONE.content)),
    decided(1.005, 2.004, 3, fire(2, 2.004, 'r1', 'skipped', { reason: 'busy' })),
    inX('q1 ends', 2.5, ...said('q1', 'w0 '), done('q1')),
    inX('q1 idle', 2.51, state('idle')),
    decided(2.004, 3.003, 4, ROWS.q3),
    client('c1', 3.005),
    inX('q3 announced', 3.01, announced(ROWS.q3)),
    inX('q3 refused', 3.02, {
      type: 'chat.rejected',
      requestId: 'q3',
      payload: { code: 'busy' },
    }),
    inX('c1 ends', 3.3, ...said('c1', 'w0 '), done('c1')),
    inX('c1 idle', 3.31, state('idle')),
    ofTrigger('by hand', 3.5, 'trigger.decided', {
      cause: 'manual',
      fires: [ROWS.m1],
      commandId: 'm1',
    }),
    ...runs(3.51, ROWS.m1),
    decided(3.003, 20.002, 21, ...missed(4, 19, 1, 20.002, 'r1'), ROWS.q20),
    ...runs(20.01, ROWS.q20),
    decided(20.002, 20.5, 21),
    updated(20.5, 'r2', TWO, 21),
    decided(20.5, 21.004, 22, ROWS.q21),
    inX('q21 announced', 21.01, announced(ROWS.q21)),
    inX('q21 starts', 21.02, ...begin('q21', TWO.content)),
    decided(21.004, 22.004, 23, ROWS.q22),
    ...waitsAndRuns(22.01, 22.6, ROWS.q22),
    inX('q21 ends', 22.5, ...said('q21', 'w0 '), done('q21')),
    decided(22.004, 36.003, 37, ...missed(23, 34, 1, 36.003, 'r2'), ROWS.q35, ROWS.q36),
    ...runs(36.01, ROWS.q35),
    ...runs(36.11, ROWS.q36),
    decided(36.003, 36.5, 37),
    updated(36.5, 'r2', { ...TWO, paused: true }, 37),
    decided(
      36.5,
      38.004,
      39,
      fire(37, 38.004, 'r2', 'skipped', { reason: 'paused' }),
      fire(38, 38.004, 'r2', 'skipped', { reason: 'paused' }),
    ),
    decided(38.004, 38.5, 39),
    updated(38.5, 'r3', THREE, 40),
    client('c2', 53.9),
    decided(38.5, 54.001, 56, ...missed(40, 48, 2, 54.001, 'r3'), ROWS.q50, ROWS.q52, ROWS.q54),
    inX('q50 announced', 54.01, announced(ROWS.q50)),
    inX(
      'q50 interrupts',
      54.02,
      queued('q50', 0),
      queueOf([waiting('q50', { content: THREE.content })]),
      ...cancelling('c2', 'interrupt'),
    ),
    inX('c2 ends', 54.03, of('c2', 'chat.cancelled', { by: 'interrupt' })),
    inX('q50 starts', 54.04, queueOf([]), ...begin('q50', THREE.content)),
    inX('q50 ends', 54.08, ...said('q50', 'w0 '), done('q50')),
    inX('q50 idle', 54.09, state('idle')),
    ...runs(54.1, ROWS.q52),
    ...runs(54.2, ROWS.q54),
    decided(54.001, 55, 56),
    updated(55, 'r4', FOUR, 60),
    decided(55, 72, 80, ...missed(60, 70, 10, 72, 'r4')),
    decided(72, 92, 100, ROWS.q80, ROWS.q90),
    ...runs(92.01, ROWS.q80),
    ...runs(92.11, ROWS.q90),
    ofTrigger('backfilled', 94, 'trigger.decided', {
      cause: 'backfill',
      fires: [ROWS.b0, ROWS.b10],
      commandId: 'b',
    }),
    ...runs(94.01, ROWS.b0),
    ...runs(94.11, ROWS.b10),
    decided(92, 96, 100),
    ofTrigger('removed', 96, 'trigger.removed', { from: at(96), commandId: 'k96' }),
    ofTrigger(
      'once created',
      97,
      'trigger.created',
      { rule: 'r1', definition: SOON, decidedUntil: at(97), nextDueAt: at(200) },
      'h',
    ),
    ofTrigger(
      'once decided',
      98,
      'trigger.decided',
      { cause: 'due', from: at(97), until: at(98), nextDueAt: at(200), fires: [] },
      'h',
    ),
    ofTrigger(
      'once paused',
      98.01,
      'trigger.updated',
      {
        rule: 'r1',
        definition: { ...SOON, paused: true },
        from: at(98),
        nextDueAt: at(200),
        commandId: 'k98',
      },
      'h',
    ),
  ].toSorted((a, b) => a.atSeconds - b.atSeconds);
}

export function triggerRunOf(steps: readonly TimedStep[]): Evidence {
  const engine = new Engine();
  for (const each of steps) engine.take(each, T0 + Math.round(each.atSeconds * 1_000));
  const names = [...engine.rows.keys()];
  const conversations = names.map((id) => conversationOf(engine, id));
  const requests = conversations.flatMap(({ conversationId, log }) =>
    log.flatMap(({ json }) => {
      const { requestId, type } = JSON.parse(json) as { requestId?: string; type: string };
      return requestId === undefined || type === 'trigger.fired'
        ? []
        : [{ conversationId, requestId }];
    }),
  );
  return {
    conversations,
    tables: [tableOf(engine)],
    triggers: ['g', 'h'].map((triggerId) => triggerOf(engine, triggerId)),
    triggerActs: actsOfClients(),
    readings: [
      {
        triggerId: 'g',
        sentAtMs: T0 + 20_300,
        outcome: null,
        items: [...rowsUpTo(engine, 20.3)],
        whole: true,
      },
      {
        triggerId: 'g',
        sentAtMs: T0 + 36_300,
        outcome: null,
        items: rowsUpTo(engine, 36.3).slice(0, 5),
        whole: false,
      },
      {
        triggerId: 'g',
        sentAtMs: T0 + 92_500,
        outcome: 'late',
        items: rowsUpTo(engine, 92.5).filter(({ outcome }) => outcome === 'late'),
        whole: true,
      },
    ],
    teams: [],
    agentActs: [],
    commands: ['c1', 'c2'].map((requestId) => ({
      conversationId: 'x',
      kind: 'send',
      requestId,
      content: CLIENT_CONTENT,
      whenBusy: 'queue',
      sentAtMs: T0 + (requestId === 'c1' ? 3_001 : 53_890),
      answeredAtMs: T0 + (requestId === 'c1' ? 3_010 : 53_910),
      answer: {
        is: 'receipt',
        receipt: { status: 'started', turnId: `t-${requestId}` },
      },
    })),
    acts: [
      {
        act: { do: 'new-chat' },
        conversationId: 'x',
        tableId: TABLE,
        sentAtMs: T0 - 2_500,
        answeredAtMs: T0 - 1_500,
        answer: { is: 'done' },
      },
    ],
    cancels: [],
    clients: [
      {
        client: 'of the table',
        stream: tableStream(TABLE),
        entries: [{ is: 'subscribed', lastSeq: 0 }],
      },
    ],
    spools: [],
    lastWrites: [],
    faults: [],
    leftOver: [],
    strangersGone: [],
    healing: { settledAfterMs: 4_000, limitMs: 60_000, stuck: [] },
    silence: { quietMs: 5_000, stalledMs: 12_000, stalledInToolMs: 75_000, lateMs: 5_000 },
    fires: { graceMs: 10_000, lateMs: 60_000, latestMs: 600_000, lookMs: 10_000 },
    use: [],
    spoolFolders: { left: 3, limit: 44 },
    signals: requests.map((request) => ({ ...request, atMs: T0 })),
    replays: [],
  };
}

function triggerOf(engine: Engine, triggerId: string): TriggerEvidence {
  const { entries, orders, events } = engine.log(triggerStream(triggerId));
  const ledger = triggerId === 'g' ? rowsUpTo(engine, Infinity) : [];
  const last = events.findLast(({ type }) => type === 'trigger.updated');
  const counts = { fired: 0, late: 0, 'caught-up': 0, skipped: 0, rejected: 0 };
  for (const { outcome } of ledger) counts[outcome] += 1;
  return {
    triggerId,
    log: entries,
    rereads: [{ from: 'store', floor: 0, entries: structuredClone(entries) }],
    places: entries.map(({ seq }, index) => ({ seq, order: orders[index] ?? 0 })),
    ledger,
    counts,
    view:
      triggerId === 'g' || last?.type !== 'trigger.updated'
        ? null
        : {
            triggerId,
            ...last.payload.definition,
            rule: last.payload.rule,
            createdAt: at(97),
            updatedAt: at(98),
            nextDueAt: null,
            counts,
            last: null,
            trouble: null,
          },
    gatheredAtMs: T0 + 120_000,
  };
}

/** The ledger of g as it was then, newest first: what is decided, with what x has answered. */
function rowsUpTo(engine: Engine, seconds: number): LedgerRowValue[] {
  const untilMs = T0 + seconds * 1_000;
  const rows = new Map<string, LedgerRowValue>();
  for (const event of engine.log(triggerStream('g')).events) {
    if (event.type !== 'trigger.decided' || Date.parse(event.at) > untilMs) continue;
    const { cause, fires } = event.payload;
    for (const { whenBusy: _, ...row } of fires)
      rows.set(cause === 'manual' ? `by hand ${row.dueAt}` : row.dueAt, {
        triggerId: 'g',
        cause,
        ...row,
      });
  }
  for (const event of engine.log('conversation:x').events) {
    const row = [...rows.values()].find((each) => each.requestId === (event.requestId ?? ''));
    if (row === undefined || Date.parse(event.at) > untilMs) continue;
    if (event.type === 'chat.rejected') Object.assign(row, { outcome: 'skipped', reason: 'busy' });
    else if (event.turnId !== undefined && event.type !== 'trigger.fired')
      row.turnId = event.turnId;
  }
  return [...rows.values()].toSorted((a, b) => (a.dueAt < b.dueAt ? 1 : -1));
}

function actsOfClients(): TriggerActRecord[] {
  const asked = (
    seconds: number,
    act: TriggerActRecord['act'],
    more: Partial<TriggerActRecord> = {},
  ): TriggerActRecord => ({
    act,
    triggerId: 'g',
    sentAtMs: T0 + Math.round(seconds * 1_000) - 5,
    answeredAtMs: T0 + Math.round(seconds * 1_000) + 5,
    answer: { is: 'done' },
    row: null,
    count: null,
    ...more,
  });
  const byHand: LedgerRowValue = { triggerId: 'g', cause: 'manual', ...withoutManner(ROWS.m1) };
  return [
    asked(0.3, { do: 'create', asked: { ...ONE, schedule: { everyMs: 1_000 } } }),
    asked(3.5, { do: 'fire', requestId: 'm1' }, { row: { ...byHand } }),
    // Once more, as somebody does who was not answered.
    asked(3.6, { do: 'fire', requestId: 'm1' }, { row: { ...byHand } }),
    asked(20.5, {
      do: 'change',
      change: { content: TWO.content, missed: TWO.missed, whenBusy: 'queue' },
    }),
    asked(36.5, { do: 'change', change: { paused: true } }),
    asked(38.5, {
      do: 'change',
      change: {
        paused: false,
        schedule: { everyMs: 2_000 },
        missed: THREE.missed,
        whenBusy: 'interrupt',
      },
    }),
    asked(55, { do: 'change', change: { schedule: FOUR.schedule, missed: { policy: 'skip' } } }),
    asked(94, { do: 'backfill', requestId: 'b', from: at(-5), to: at(25) }, { count: 2 }),
    asked(96, { do: 'remove' }),
    asked(97, { do: 'create', asked: SOON }, { triggerId: 'h' }),
    asked(98, { do: 'change', change: { paused: true } }, { triggerId: 'h' }),
  ];
}

function withoutManner(row: DecidedFireValue): Omit<DecidedFireValue, 'whenBusy'> {
  const { whenBusy: _, ...rest } = row;
  return rest;
}
