/** The checker accepts a good run, and rejects a history for each way in which an invariant can be broken. */
import { describe, expect, test } from 'vitest';

import type { Event } from '../../src/contracts/events.ts';
import { conversationStream } from '../../src/contracts/ids.ts';
import { emptyView, foldEvents } from '../../src/domain/fold.ts';
import { check } from './checker.ts';
import { INVARIANTS, type Invariant } from './court.ts';
import type { ConversationEvidence, Evidence, Fault, LogEntry } from './evidence.ts';

const T0 = Date.parse('2026-01-01T00:00:00.000Z');
const conversationId = 'c1';
const stream = conversationStream(conversationId);

/** An event without its place; `at` follows from its place. */
type Line = {
  type: string;
  turnId?: string;
  attempt?: number;
  requestId?: string;
  payload: object;
  /** Since the line before it; 10 ms unless told. */
  afterMs?: number;
};

const started = (turnId: string, requestId: string, attempt = 1): Line => ({
  type: 'chat.started',
  turnId,
  attempt,
  requestId,
  payload: { attempt, provider: 'scripted', model: null },
});
const prompt = (turnId: string, requestId: string, content: string): Line => ({
  type: 'message.created',
  turnId,
  requestId,
  payload: { messageId: `m-${turnId}`, role: 'user', content },
});
const of = (turnId: string, type: string, payload: object, attempt = 1): Line => ({
  type,
  turnId,
  attempt,
  payload,
});
const state = (name: string): Line => ({ type: 'conversation.state', payload: { state: name } });

/**
 * r1 starts t1 (three words); r2 waits behind it and becomes t2, which hangs after two words and is cancelled; r3 is
 * rejected; r4 becomes t3, whose provider takes back what it said and dies; r6 becomes t4, which waits for room on the disk,
 * then hangs until the silence clock ends it; r7 is refused for want of room.
 */
function takenOver(turnId: string): Line {
  return of(turnId, 'chat.attached', { epoch: 9, host: 'h', cause: 'turn_host_restarted' });
}

function goodLines(): Line[] {
  return [
    {
      type: 'conversation.created',
      payload: { tableId: null, title: '', provider: 'scripted', model: null, workspacePath: '/w' },
    },
    { type: 'conversation.updated', payload: { host: 'h' } },
    prompt('t1', 'r1', '#script\nwords 3\n# 1'),
    started('t1', 'r1'),
    state('processing'),
    of('t1', 'assistant.segment.started', { messageId: 't1-1-1', kind: 'text' }),
    of('t1', 'chat.delta', { messageId: 't1-1-1', text: 'w0 w1 ' }),
    { type: 'chat.queued', turnId: 't2', requestId: 'r2', payload: { position: 0 } },
    {
      type: 'queue.changed',
      payload: {
        queue: [
          {
            requestId: 'r2',
            turnId: 't2',
            content: '#script\nwords 2\nhang\n# 2',
            position: 0,
            attempt: 1,
          },
        ],
      },
    },
    of('t1', 'chat.attached', { epoch: 2, host: 'h', cause: 'turn_host_restarted' }),
    of('t1', 'chat.delta', { messageId: 't1-1-1', text: 'w2 ' }),
    of('t1', 'assistant.segment.ended', {
      messageId: 't1-1-1',
      content: 'w0 w1 w2 ',
      status: 'complete',
    }),
    of('t1', 'chat.done', {}),
    { type: 'queue.changed', payload: { queue: [] } },
    prompt('t2', 'r2', '#script\nwords 2\nhang\n# 2'),
    started('t2', 'r2'),
    of('t2', 'assistant.segment.started', { messageId: 't2-1-1', kind: 'text' }),
    of('t2', 'chat.delta', { messageId: 't2-1-1', text: 'w0 w1 ' }),
    { type: 'chat.rejected', requestId: 'r3', payload: { code: 'busy' } },
    of('t2', 'chat.cancelling', { step: 'requested', by: 'user' }),
    state('cancelled'),
    of('t2', 'assistant.segment.ended', {
      messageId: 't2-1-1',
      content: 'w0 w1 ',
      status: 'partial',
    }),
    of('t2', 'chat.cancelled', { by: 'user' }),
    state('idle'),
    prompt('t3', 'r4', '#script\nwords 9\nretry\n# 3'),
    started('t3', 'r4'),
    state('processing'),
    of('t3', 'assistant.segment.started', { messageId: 't3-1-1', kind: 'text' }),
    of('t3', 'chat.delta', { messageId: 't3-1-1', text: 'w0 w1 w2 ' }),
    of('t3', 'assistant.segment.discarded', { messageId: 't3-1-1', reason: 'retry' }),
    of('t3', 'assistant.segment.started', { messageId: 't3-1-2', kind: 'text' }),
    of('t3', 'chat.delta', { messageId: 't3-1-2', text: 'w0 ' }),
    of('t3', 'assistant.segment.ended', { messageId: 't3-1-2', content: 'w0 ', status: 'partial' }),
    of('t3', 'chat.interrupted', { cause: 'provider_died', retryable: true }),
    state('idle'),
    prompt('t4', 'r6', HANGS),
    started('t4', 'r6'),
    state('processing'),
    of('t4', 'notice', { code: 'storage_full', text: 'It waits for room.' }),
    after(1_000, of('t4', 'assistant.segment.started', { messageId: 't4-1-1', kind: 'text' })),
    of('t4', 'chat.delta', { messageId: 't4-1-1', text: 'w0 ' }),
    after(5_000, of('t4', 'chat.quiet', quiet())),
    after(7_000, of('t4', 'chat.cancelling', { step: 'protocol' })),
    of('t4', 'assistant.segment.ended', {
      messageId: 't4-1-1',
      content: 'w0 ',
      status: 'partial',
    }),
    of('t4', 'chat.interrupted', { cause: 'stalled', retryable: true }),
    state('idle'),
  ];
}

const HANGS = '#script\nwords 1\nhang\n# 4 left alone';

function quiet(evidence: object = {}): object {
  const told = { processAlive: true, pid: 7, lastEvent: 'chat.delta', ...evidence };
  return { phase: 'streaming', silentMs: 5_001, evidence: told };
}

/** This line so much later than the one before it. */
function after(ms: number, line: Line): Line {
  return { ...line, afterMs: ms };
}

const epochAt: Readonly<Record<number, number>> = {
  6: 1,
  7: 1,
  10: 2,
  11: 2,
  12: 2,
  13: 2,
  17: 3,
  18: 3,
};

function entriesOf(lines: readonly Line[]): LogEntry[] {
  let atMs = T0;
  return lines.map(({ afterMs = 10, ...line }, index) => {
    atMs += afterMs;
    const at = new Date(atMs).toISOString();
    return {
      seq: index + 1,
      json: JSON.stringify({ conversationId, ...line, seq: index + 1, at }),
    };
  });
}

function eventsOf(entries: readonly LogEntry[]): Event[] {
  return entries.map(({ json }) => JSON.parse(json) as Event);
}

const outcomes: Readonly<Record<string, string>> = {
  'chat.done': 'completed',
  'chat.error': 'failed',
  'chat.cancelled': 'cancelled',
  'chat.interrupted': 'interrupted',
};

/** What an engine without faults would answer about this log. */
function conversationOf(lines: readonly Line[]): ConversationEvidence {
  const log = entriesOf(lines);
  const events = eventsOf(log);
  const view = foldEvents(emptyView(conversationId), events);
  const turns = events
    .filter((event) => event.type === 'chat.started')
    .map((event) => {
      const end = events.find((each) => each.turnId === event.turnId && each.type in outcomes);
      const outcome = (outcomes[end?.type ?? ''] ?? null) as 'completed' | null;
      const facts = {
        requestId: null,
        outcome,
        cause: null,
        startedAt: event.at,
        endedAt: null,
        usage: null,
      };
      return {
        ...facts,
        turnId: event.turnId ?? '',
        conversationId,
        attempts: [{ ...facts, attempt: 1, provider: 'scripted', model: null }],
      };
    });
  return {
    conversationId,
    log,
    // Copies: what is changed in one must not change in another.
    rereads: [{ from: 'store', floor: 0, entries: structuredClone(log) }],
    epochs: log.map(({ seq }) => ({ seq, epoch: epochAt[seq] ?? null, order: seq })),
    view,
    messages: structuredClone(view.messages),
    turns,
  };
}

const ask = {
  conversationId,
  kind: 'send',
  sentAtMs: T0 + 1,
  answeredAtMs: T0 + 90,
} as const;

function runOf(lines: readonly Line[]): Evidence {
  const conversation = conversationOf(lines);
  const { log } = conversation;
  return {
    conversations: [conversation],
    tables: [],
    triggers: [],
    triggerActs: [],
    readings: [],
    teams: [],
    agentActs: [],
    acts: [],
    commands: [
      {
        ...ask,
        requestId: 'r1',
        content: '#script\nwords 3\n# 1',
        answer: {
          is: 'receipt',
          receipt: { status: 'started', turnId: 't1' },
          outcome: 'completed',
          text: 'w0 w1 w2 ',
        },
      },
      {
        ...ask,
        requestId: 'r2',
        content: '#script\nwords 2\nhang\n# 2',
        answer: { is: 'accepted' },
      },
      {
        ...ask,
        requestId: 'r2',
        sentAtMs: T0 + 100,
        answeredAtMs: T0 + 110,
        content: '#script\nwords 2\nhang\n# 2',
        answer: { is: 'receipt', receipt: { status: 'queued', turnId: 't2', position: 0 } },
      },
      {
        ...ask,
        requestId: 'r2',
        sentAtMs: T0 + 120,
        answeredAtMs: T0 + 130,
        content: 'another',
        answer: { is: 'refused', code: 'request_id_reused' },
      },
      {
        ...ask,
        requestId: 'r3',
        content: 'no matter',
        answer: { is: 'receipt', receipt: { status: 'rejected', turnId: null, code: 'busy' } },
      },
      {
        ...ask,
        requestId: 'r4',
        content: '#script\nwords 9\nretry\n# 3',
        answer: { is: 'unknown', why: 'no answer' },
      },
      {
        ...ask,
        requestId: 'r5',
        content: 'lost on the way',
        answer: { is: 'unknown', why: 'no answer' },
      },
      {
        ...ask,
        requestId: 'r7',
        content: 'no room',
        answer: { is: 'no-room' },
      },
      {
        ...ask,
        requestId: 'r6',
        sentAtMs: T0 - 20,
        answeredAtMs: T0 - 10,
        content: HANGS,
        answer: { is: 'no-room' },
      },
      {
        ...ask,
        requestId: 'r6',
        content: HANGS,
        answer: { is: 'receipt', receipt: { status: 'started', turnId: 't4' } },
      },
    ],
    cancels: [{ conversationId, sentAtMs: T0 + 195, turnId: null }],
    clients: [
      {
        client: 'from the start',
        stream,
        entries: [
          { is: 'subscribed', lastSeq: 0 },
          ...log.slice(0, 10).map(({ seq, json }) => ({ is: 'event' as const, seq, json })),
          { is: 'closed', code: 1006 },
          { is: 'subscribed', lastSeq: 10 },
          { is: 'caught-up', seq: 10 },
          ...log.slice(10).map(({ seq, json }) => ({ is: 'event' as const, seq, json })),
        ],
      },
      {
        client: 'in the middle',
        stream,
        entries: [
          { is: 'subscribed', lastSeq: null },
          { is: 'snapshot', view: viewAt(log, 7) },
          ...log.slice(7, 20).map(({ seq, json }) => ({ is: 'event' as const, seq, json })),
          { is: 'reset' },
          { is: 'snapshot', view: viewAt(log, 25) },
        ],
      },
    ],
    spools: [
      spoolTurn('t1', 'w0 w1 w2 '),
      spoolTurn('t2', 'w0 w1 '),
      spoolTurn('t3', 'w0 '),
      spoolTurn('t4', 'w0 ', T0 + 1_350),
    ],
    lastWrites: [{ spool: 't3.1', atMs: T0 + 300 }],
    faults: [fault({ role: 'disk', fault: 'fill', atMs: T0 + 300, forMs: 1_000 })],
    leftOver: [],
    strangersGone: [],
    healing: { settledAfterMs: 4_000, limitMs: 60_000, stuck: [] },
    silence: { quietMs: 5_000, stalledMs: 12_000, stalledInToolMs: 75_000, lateMs: 5_000 },
    use: [{ role: 'gateway', residentMb: 140, descriptors: 40 }],
    fires: { graceMs: 10_000, lateMs: 60_000, latestMs: 600_000, lookMs: 10_000 },
    spoolFolders: { left: 3, limit: 44 },
    signals: ['r1', 'r2', 'r3', 'r4', 'r6'].map((requestId) => ({
      conversationId,
      requestId,
      atMs: T0 + 5,
    })),
    replays: [{ workflowId: 'conversation:c1', events: 50, error: null }],
  };
}

function viewAt(log: readonly LogEntry[], seq: number) {
  return foldEvents(emptyView(conversationId), eventsOf(log.slice(0, seq)));
}

function spoolTurn(turnId: string, text: string, begunAtMs: number | null = null) {
  return {
    spool: `${turnId}.1`,
    conversationId,
    attemptKey: `${turnId}.1`,
    begins: 1,
    begunAtMs,
    sessions: 1,
    text,
    reasoning: '',
    end: null,
    sessionId: 's1',
    history: null,
  };
}

/** The good run with something else in it. Everything is plain data: it may be changed in place. */
function broken(change: (run: Writable<Evidence>) => void): Evidence {
  const run = structuredClone(runOf(goodLines())) as Writable<Evidence>;
  change(run);
  return run;
}

/** A run whose engine made this log, consistently, of the good one. */
function brokenLog(change: (lines: Line[]) => void): Evidence {
  const lines = goodLines();
  change(lines);
  return runOf(lines);
}

/** In the middle of everything, at the provider, unless told. */
function fault(what: Partial<Fault>): Fault {
  return {
    atMs: T0 + 390,
    role: 'provider',
    fault: 'stop',
    pid: 1,
    state: 'streaming',
    conversationId,
    attemptKey: null,
    forMs: 0,
    ...what,
  };
}

type Writable<T> = T extends object ? { -readonly [K in keyof T]: Writable<T[K]> } : T;

/** t3, whose script does not hang, ends as the silence clock would end it. */
function stallT3(lines: Line[]): void {
  lines[33] = of('t3', 'chat.interrupted', { cause: 'stalled', retryable: true });
  insert(
    lines,
    32,
    after(5_000, of('t3', 'chat.quiet', quiet())),
    after(7_000, of('t3', 'chat.cancelling', { step: 'protocol' })),
  );
}

const insert = (lines: Line[], afterSeq: number, ...added: Line[]): void => {
  lines.splice(afterSeq, 0, ...added);
};
const log = (run: Writable<Evidence>) => run.conversations[0]!.log;
const client = (run: Writable<Evidence>, index = 0) => run.clients[index]!.entries;
const swapText = (entry: { json: string }, from: string, to: string): void => {
  entry.json = entry.json.replace(from, to);
};

/** Those are of tables, queues and histories (checker-tables.test.ts), and of triggers (checker-triggers.test.ts). */
const ELSEWHERE: readonly Invariant[] = ['S2', 'T1', 'H1', 'D1', 'D2', 'M1', 'M2', 'T2'];

test('accepts a good run, and has looked at every invariant', () => {
  const verdict = check(runOf(goodLines()));
  expect(verdict.violations).toEqual([]);
  const unseen = INVARIANTS.filter((invariant) => (verdict.checked.get(invariant) ?? 0) === 0);
  expect(unseen.filter((invariant) => !ELSEWHERE.includes(invariant))).toEqual([]);
});

/** What was broken, and in what words the checker says so where one invariant has several rules. */
const cases: [Invariant, string, () => Evidence, RegExp?][] = [
  [
    'A1',
    'an acknowledged send that the log knows nothing of',
    () =>
      broken((run) => {
        run.commands.push({ ...ask, requestId: 'r9', content: 'x', answer: { is: 'accepted' } });
        run.signals.push({ conversationId, requestId: 'r9', atMs: T0 });
      }),
  ],
  [
    'A1',
    'a receipt that is missing',
    () =>
      brokenLog((lines) => {
        lines.splice(18, 1);
      }),
  ],
  [
    'A1',
    'two receipts',
    () =>
      brokenLog((lines) =>
        insert(lines, 19, { type: 'chat.rejected', requestId: 'r3', payload: { code: 'busy' } }),
      ),
  ],
  [
    'A1',
    'one request that is started twice',
    () =>
      brokenLog((lines) =>
        lines.push(
          prompt('t4', 'r1', '#script\nwords 3\n# 1'),
          started('t4', 'r1'),
          of('t4', 'chat.done', {}),
        ),
      ),
  ],
  [
    'A1',
    'an attempt without an end',
    () =>
      brokenLog((lines) => {
        lines.splice(33, 1);
      }),
  ],
  [
    'A1',
    'two ends',
    () =>
      brokenLog((lines) =>
        insert(lines, 34, of('t3', 'chat.interrupted', { cause: 'again', retryable: true })),
      ),
  ],
  [
    'A1',
    'a queued send that never came to an end',
    () =>
      brokenLog((lines) =>
        insert(lines, 8, {
          type: 'chat.queued',
          turnId: 't9',
          requestId: 'r9',
          payload: { position: 1 },
        }),
      ),
  ],
  [
    'A1',
    'a turn whose row tells another end',
    () =>
      broken((run) => {
        run.conversations[0]!.turns[0]!.attempts[0]!.outcome = 'failed';
      }),
  ],
  [
    'A1',
    '?wait=end that told another end',
    () =>
      broken((run) => {
        Object.assign(run.commands[0]!.answer, { outcome: 'failed' });
      }),
  ],
  [
    'A2',
    'a repeat that was given another turn',
    () =>
      broken((run) => {
        Object.assign(run.commands[2]!.answer, {
          receipt: { status: 'queued', turnId: 't8', position: 0 },
        });
      }),
  ],
  [
    'A2',
    'a repeat that was refused',
    () =>
      broken((run) => {
        run.commands.push({
          ...ask,
          requestId: 'r1',
          content: '#script\nwords 3\n# 1',
          sentAtMs: T0 + 999,
          answeredAtMs: T0 + 1_000,
          answer: { is: 'refused', code: 'request_id_reused' },
        });
      }),
  ],
  [
    'A2',
    'other content that was accepted',
    () =>
      broken((run) => {
        run.commands[3]!.answer = { is: 'accepted' };
      }),
  ],
  [
    'A2',
    'other content that was given the receipt',
    () =>
      broken((run) => {
        run.commands[3]!.answer = {
          is: 'receipt',
          receipt: { status: 'queued', turnId: 't2', position: 0 },
        };
      }),
  ],
  [
    'A2',
    'a prompt that nobody sent',
    () =>
      broken((run) => {
        run.commands = run.commands.filter(({ requestId }) => requestId !== 'r4');
        run.commands.push({
          ...ask,
          requestId: 'r4',
          content: 'mine',
          answer: { is: 'unknown', why: '' },
        });
      }),
  ],
  [
    'A3',
    'a send that was acknowledged before Temporal had it',
    () =>
      broken((run) => {
        run.signals[0]!.atMs = T0 + 5_000;
      }),
  ],
  [
    'A3',
    'an acknowledged send of which Temporal knows nothing',
    () =>
      broken((run) => {
        run.signals.shift();
      }),
  ],
  [
    'A3',
    'a send that was refused for want of room, and signalled all the same',
    () =>
      broken((run) => {
        run.signals.push({ conversationId, requestId: 'r7', atMs: T0 + 10 });
      }),
    /refused with storage_full, and there is a signal/,
  ],
  [
    'A3',
    'a send that was refused for want of room, and has a receipt',
    () =>
      brokenLog((lines) =>
        lines.push({ type: 'chat.rejected', requestId: 'r7', payload: { code: 'busy' } }),
      ),
    /refused with storage_full, and there is an event/,
  ],
  [
    'A3',
    'a send that was refused for want of room, and has a turn',
    () =>
      broken((run) => {
        run.conversations[0]!.turns[0]!.requestId = 'r7';
      }),
    /refused with storage_full, and there is a turn/,
  ],
  [
    'A3',
    'a send that was refused for want of room, and signalled before it was sent again',
    () =>
      broken((run) => {
        run.signals.find(({ requestId }) => requestId === 'r6')!.atMs = T0 - 60;
      }),
    /refused with storage_full, and there is a signal/,
  ],
  [
    'L1',
    'a gap in the log',
    () =>
      broken((run) => {
        log(run).splice(5, 1);
      }),
  ],
  [
    'L1',
    'a repeat in the log',
    () =>
      broken((run) => {
        log(run).splice(5, 0, log(run)[5]!);
      }),
  ],
  [
    'L1',
    'a gap in what a client was given',
    () =>
      broken((run) => {
        client(run).splice(4, 1);
      }),
  ],
  [
    'L1',
    'a repeat in what a client was given',
    () =>
      broken((run) => {
        client(run).splice(4, 0, client(run)[4]!);
      }),
  ],
  [
    'L1',
    'a gap after a reconnect',
    () =>
      broken((run) => {
        client(run).splice(14, 1);
      }),
  ],
  [
    'L1',
    'an event after a reset, without a snapshot',
    () =>
      broken((run) => {
        client(run, 1).splice(-1, 1, { is: 'event', seq: 21, json: log(run)[20]!.json });
      }),
  ],
  [
    'L1',
    '"caught up" with what was not given',
    () =>
      broken((run) => {
        Object.assign(client(run)[13]!, { seq: 12 });
      }),
  ],
  [
    'L2',
    'an event that was changed',
    () =>
      broken((run) => {
        swapText(run.conversations[0]!.rereads[0]!.entries[6]!, 'w1', 'v1');
      }),
  ],
  [
    'L2',
    'an event that is gone',
    () =>
      broken((run) => {
        run.conversations[0]!.rereads[0]!.entries.splice(6, 1);
      }),
  ],
  [
    'L3',
    'an event that was delivered and not logged',
    () =>
      broken((run) => {
        client(run).push({ is: 'event', seq: 36, json: '{"seq":36}' });
      }),
  ],
  [
    'L3',
    'an event that was delivered otherwise',
    () =>
      broken((run) => {
        swapText(client(run)[7] as { json: string }, 'w1', 'v1');
      }),
  ],
  [
    'L3',
    '?wait=end that told another text',
    () =>
      broken((run) => {
        Object.assign(run.commands[0]!.answer, { text: 'w0 w1 ' });
      }),
  ],
  [
    'L4',
    'a snapshot that lacks what was streamed',
    () =>
      broken((run) => {
        const entry = client(run, 1)[1]!;
        if (entry.is === 'snapshot') entry.view.overlays['t1-1-1'] = 'w0 ';
      }),
  ],
  [
    'L4',
    'a snapshot that is older than it says',
    () =>
      broken((run) => {
        const entry = client(run, 1)[1]!;
        if (entry.is === 'snapshot') entry.view.lastSeq = 12;
      }),
  ],
  [
    'L4',
    'a last snapshot that is not the log folded',
    () =>
      broken((run) => {
        run.conversations[0]!.view.state = 'processing';
      }),
  ],
  [
    'L5',
    'delivered text that is lost from the transcript',
    () =>
      broken((run) => {
        run.conversations[0]!.messages = run.conversations[0]!.messages.filter(
          ({ messageId }) => messageId !== 't2-1-1',
        );
      }),
  ],
  [
    'L5',
    'delivered text that was cut in the transcript',
    () =>
      broken((run) => {
        run.conversations[0]!.messages.find(({ messageId }) => messageId === 't2-1-1')!.content =
          'w0 ';
      }),
  ],
  [
    'L5',
    'a segment that nobody closed',
    () =>
      brokenLog((lines) => {
        lines.splice(21, 1);
      }),
  ],
  [
    'L5',
    'a prompt that is not in the transcript',
    () =>
      broken((run) => {
        run.conversations[0]!.messages = run.conversations[0]!.messages.filter(
          ({ messageId }) => messageId !== 'm-t1',
        );
      }),
  ],
  [
    'F1',
    'an epoch that goes back',
    () =>
      broken((run) => {
        run.conversations[0]!.epochs[16]!.epoch = 1;
      }),
  ],
  [
    'F1',
    'a takeover that raises no epoch',
    () => brokenLog((lines) => insert(lines, 10, lines[9]!)),
  ],
  [
    'F2',
    'a word that is lost',
    () =>
      brokenLog((lines) => {
        lines[6] = of('t1', 'chat.delta', { messageId: 't1-1-1', text: 'w0 ' });
        lines[11] = of('t1', 'assistant.segment.ended', {
          messageId: 't1-1-1',
          content: 'w0 w2 ',
          status: 'complete',
        });
      }),
  ],
  [
    'F2',
    'a word that came twice',
    () =>
      brokenLog((lines) => {
        lines[6] = of('t1', 'chat.delta', { messageId: 't1-1-1', text: 'w0 w1 w1 ' });
        lines[11] = of('t1', 'assistant.segment.ended', {
          messageId: 't1-1-1',
          content: 'w0 w1 w1 w2 ',
          status: 'complete',
        });
      }),
  ],
  [
    'F2',
    'a cancelled turn whose text is not a beginning of the script',
    () =>
      brokenLog((lines) => {
        lines[17] = of('t2', 'chat.delta', { messageId: 't2-1-1', text: 'w1 ' });
      }),
  ],
  [
    'F2',
    'a segment that ended with other text than it streamed',
    () =>
      brokenLog((lines) => {
        lines[11] = of('t1', 'assistant.segment.ended', {
          messageId: 't1-1-1',
          content: 'w0 w1 ',
          status: 'complete',
        });
      }),
  ],
  [
    'F2',
    'a turn that is done though its script hangs',
    () =>
      brokenLog((lines) => {
        lines[22] = of('t2', 'chat.done', {});
      }),
  ],
  [
    'F2',
    'a tool that ran twice',
    () =>
      brokenLog((lines) =>
        insert(
          lines,
          6,
          of('t1', 'tool.start', {
            toolCallId: 'x',
            messageId: 't1-1-9',
            name: 'build',
            input: {},
          }),
        ),
      ),
  ],
  [
    'F2',
    'a spool that holds more than the log',
    () =>
      broken((run) => {
        run.spools[1]!.text = 'w0 w1 w2 ';
      }),
  ],
  [
    'F2',
    'a prompt that was given twice',
    () =>
      broken((run) => {
        run.spools[0]!.begins = 2;
      }),
  ],
  [
    'F2',
    'an attempt that ran in two processes',
    () =>
      broken((run) => {
        run.spools.push({ ...run.spools[0]!, spool: 't1.2' });
      }),
  ],
  [
    'S1',
    'two turns at once',
    () =>
      brokenLog((lines) => {
        const [end] = lines.splice(12, 1);
        insert(lines, 16, end!);
      }),
  ],
  [
    'C1',
    'done and cancelled',
    () => brokenLog((lines) => insert(lines, 23, of('t2', 'chat.done', {}))),
  ],
  [
    'C1',
    'a cancel that, without any fault, interrupted',
    () =>
      brokenLog((lines) => {
        lines[22] = of('t2', 'chat.interrupted', { cause: 'provider_died', retryable: true });
      }),
  ],
  [
    'C1',
    'a cancel after which, without any fault, its turn was ended as stalled',
    () =>
      brokenLog((lines) =>
        insert(lines, 42, of('t4', 'chat.cancelling', { step: 'requested', by: 'user' })),
      ),
  ],
  [
    'C1',
    'a cancel that was answered, and is nowhere in the log',
    () =>
      broken((run) => {
        run.cancels.push({ conversationId, sentAtMs: T0, turnId: 't1', doneAtMs: T0 + 90 });
        run.healing = { ...run.healing, settledAfterMs: 0, limitMs: 0 };
      }),
  ],
  [
    'C2',
    'a cancel that nobody asked for',
    () =>
      broken((run) => {
        run.cancels = [];
      }),
  ],
  [
    'C2',
    'a cancel that was asked for only afterwards',
    () =>
      broken((run) => {
        run.cancels[0]!.sentAtMs = T0 + 60_000;
      }),
  ],
  [
    'C2',
    'cancelled without a request in the log',
    () =>
      brokenLog((lines) => {
        lines.splice(19, 1);
      }),
  ],
  [
    'P1',
    'a process that is left over',
    () =>
      broken((run) => {
        run.leftOver.push({ pid: 7, mark: 't2.1', command: 'sleep 600' });
      }),
  ],
  [
    'P2',
    'a stranger that was killed',
    () =>
      broken((run) => {
        run.strangersGone.push({ pid: 8, mark: null, command: 'sleep' });
      }),
  ],
  [
    'P3',
    'interrupted, then more output',
    () =>
      brokenLog((lines) =>
        insert(lines, 34, of('t3', 'chat.delta', { messageId: 't3-1-2', text: 'w1 ' })),
      ),
  ],
  [
    'P3',
    'a provider that still wrote to its spool',
    () =>
      broken((run) => {
        run.lastWrites[0]!.atMs = T0 + 10_000;
      }),
  ],
  [
    'P3',
    'the same, of a session that had served another turn before',
    () =>
      broken((run) => {
        run.spools[2]!.spool = 't2.1';
        run.lastWrites = [{ spool: 't2.1', atMs: T0 + 10_000 }];
      }),
  ],
  [
    'W1',
    'a run that did not settle',
    () =>
      broken((run) => {
        run.healing.settledAfterMs = null;
      }),
  ],
  [
    'W1',
    'a run that settled late',
    () =>
      broken((run) => {
        run.healing.settledAfterMs = 60_001;
      }),
  ],
  [
    'W2',
    'memory without bound',
    () =>
      broken((run) => {
        run.use[0]!.residentMb = 2_000;
      }),
  ],
  [
    'W2',
    'descriptors without bound',
    () =>
      broken((run) => {
        run.use[0]!.descriptors = 5_000;
      }),
  ],
  [
    'W2',
    'spools that are not removed',
    () =>
      broken((run) => {
        run.spoolFolders.left = 500;
      }),
  ],
  [
    'Q1',
    'a turn that does not hang, and was ended as stalled',
    () => brokenLog(stallT3),
    /does not hang, and its provider was stopped for 0 ms/,
  ],
  [
    'Q1',
    'the same, though its provider was stopped, for less than the limit',
    () => ({
      ...brokenLog(stallT3),
      faults: [fault({ fault: 'stop', attemptKey: 't3.1', forMs: 3_000 })],
    }),
    /does not hang, and its provider was stopped for 3000 ms/,
  ],
  [
    'Q1',
    'a hanging turn that nobody cancelled, and that ended otherwise',
    () =>
      brokenLog((lines) => {
        lines[44] = of('t4', 'chat.cancelled', { by: 'user' });
      }),
    /hangs, nobody cancelled it, and it ended with chat.cancelled/,
  ],
  [
    'Q1',
    'a hanging turn whose process died though nothing had killed it',
    () =>
      brokenLog((lines) => {
        lines[44] = of('t4', 'chat.interrupted', { cause: 'provider_died', retryable: true });
      }),
    /hangs, nobody cancelled it, and it ended with chat.interrupted .provider_died/,
  ],
  [
    'Q1',
    'a hanging turn that was called stalled too early',
    () =>
      brokenLog((lines) => {
        Object.assign(lines[42]!, { afterMs: 4_000 });
      }),
    /stalled 9020 ms after its last output; the limit is 12000/,
  ],
  [
    'Q1',
    'a turn that was ended as stalled and never called quiet',
    () =>
      brokenLog((lines) => {
        lines.splice(41, 1);
        Object.assign(lines[41]!, { afterMs: 12_000 });
      }),
    /was not called quiet before/,
  ],
  [
    'Q1',
    'a turn that was ended as stalled soon after a takeover, and never called quiet before it',
    () =>
      brokenLog((lines) => {
        lines.splice(41, 1, after(11_000, takenOver('t4')));
        Object.assign(lines[42]!, { afterMs: 1_000 });
      }),
    /was not called quiet before/,
  ],
  [
    'Q1',
    'a turn that was called quiet, spoke again, and was ended without being called quiet again',
    () => brokenLog((lines) => lines.splice(40, 2, ...lines.slice(40, 42).toReversed())),
    /was not called quiet before/,
  ],
  [
    'Q1',
    'a turn that was called quiet too early',
    () =>
      brokenLog((lines) => {
        Object.assign(lines[41]!.payload, { silentMs: 900 });
      }),
    /called quiet after 900 ms/,
  ],
  [
    'Q1',
    'a turn that was called quiet, with its process shown as dead',
    () =>
      brokenLog((lines) => {
        lines[41]!.payload = quiet({ processAlive: false });
      }),
    /without evidence of its process/,
  ],
  [
    'W1',
    'a hanging turn that was ended long after its limit',
    () =>
      brokenLog((lines) => {
        Object.assign(lines[42]!, { afterMs: 13_000 });
      }),
    /should have been within 17000/,
  ],
  [
    'Q2',
    'an attempt that was told twice to wait for room',
    () => brokenLog((lines) => insert(lines, 39, lines[38]!)),
    /told twice/,
  ],
  [
    'Q2',
    'an attempt that was told to wait for room, and was given its prompt before there was any',
    () =>
      broken((run) => {
        run.spools[3]!.begunAtMs = T0 + 700;
      }),
    /given its prompt 600 ms before there was any/,
  ],
  [
    'R1',
    'a history that does not replay',
    () =>
      broken((run) => {
        run.replays[0]!.error = 'nondeterminism';
      }),
  ],
];

describe('rejects', () => {
  test.each(cases)('%s: %s', (invariant, _what, run, words = /./) => {
    const found = check(run()).violations.filter((each) => each.invariant === invariant);
    expect(found.map(({ what }) => what)).toContainEqual(expect.stringMatching(words));
  });

  test('there is a broken history for each invariant', () => {
    const proven = new Set([...ELSEWHERE, ...cases.map(([invariant]) => invariant)]);
    expect(INVARIANTS.filter((invariant) => !proven.has(invariant))).toEqual([]);
  });
});

describe('accepts', () => {
  test('F2 L2: a log of which the oldest part was compacted', () => {
    const run = broken((each) => {
      each.conversations[0]!.rereads[0]!.floor = 5;
      each.conversations[0]!.rereads[0]!.entries.splice(0, 5);
    });
    expect(check(run).violations).toEqual([]);
  });

  test('C1: a cancelled turn that was interrupted, when a fault hit it', () => {
    const lines = goodLines();
    lines[22] = of('t2', 'chat.interrupted', { cause: 'provider_died', retryable: true });
    const faults = [fault({ fault: 'kill', atMs: T0 + 205, attemptKey: 't2.1' })];
    expect(check({ ...runOf(lines), faults }).violations).toEqual([]);
  });

  test('P3: a session that went on after a turn which the silence clock had ended', () => {
    const run = broken((each) => {
      each.lastWrites = [{ spool: 't4.1', atMs: T0 + 60_000 }];
      each.spools.push({ ...spoolTurn('t9', ''), spool: 't4.1' });
    });
    expect(check(run).violations).toEqual([]);
  });

  test('C1: a cancel that came when its turn was being stopped as stalled', () => {
    const lines = goodLines();
    insert(lines, 43, of('t4', 'chat.cancelling', { step: 'requested', by: 'user' }));
    expect(check(runOf(lines)).violations).toEqual([]);
  });

  test('Q1: a turn that does not hang, when its provider was stopped for long enough', () => {
    const run = brokenLog(stallT3);
    const faults = [fault({ fault: 'stop', attemptKey: 't3.1', forMs: 14_000 })];
    const { violations } = check({ ...run, faults });
    expect(violations).toEqual([]);
  });

  test.each([
    ['its provider was killed', 'provider_died', fault({ fault: 'kill', attemptKey: 't4.1' })],
    ['its turn host died', 'prompt_unconfirmed', fault({ role: 'turn-host', fault: 'kill' })],
    [
      'its turn host died while it was being stopped',
      'provider_exited',
      fault({ role: 'turn-host', fault: 'kill', atMs: T0 + 12_405 }),
    ],
  ])('Q1: a hanging turn that ended otherwise, when %s', (_what, cause, hit) => {
    const lines = goodLines();
    lines[44] = of('t4', 'chat.interrupted', { cause, retryable: true });
    expect(check({ ...runOf(lines), faults: [hit] }).violations).toEqual([]);
  });

  test.each([
    ['had said so', 43, 300, null],
    ['could not say so any more', 42, 6_900, 100],
  ])(
    'Q1: a stop of the engine’s own that the next custody goes on with, when the first %s',
    (_what, place, takenOverMs, thenMs) => {
      const lines = goodLines();
      insert(lines, place, after(takenOverMs, takenOver('t4')));
      if (thenMs !== null) Object.assign(lines[place + 1]!, { afterMs: thenMs });
      const faults = [fault({ role: 'turn-host', fault: 'kill', atMs: T0 + 12_500 })];
      expect(check({ ...runOf(lines), faults }).violations).toEqual([]);
    },
  );

  test('Q1 W1: the clock begins anew with each custody, and stands still while the turn host does', () => {
    const lines = goodLines();
    insert(lines, 41, after(4_000, takenOver('t4')), after(5_000, of('t4', 'chat.quiet', quiet())));
    Object.assign(lines[44]!, { afterMs: 18_000 });
    const faults = [
      fault({ role: 'turn-host', fault: 'kill', atMs: T0 + 9_000 }),
      fault({ role: 'turn-host', fault: 'stop', atMs: T0 + 16_000, forMs: 8_000 }),
    ];
    expect(check({ ...runOf(lines), faults }).violations).toEqual([]);
  });

  test('W1: a stop of a session that an earlier turn told to ignore stops goes its whole way', () => {
    const run = structuredClone(
      brokenLog((lines) => {
        Object.assign(lines[42]!, { afterMs: 13_000 });
        const earlier = lines.find(
          ({ turnId, type }) => turnId === 't3' && type === 'message.created',
        );
        earlier!.payload = {
          ...earlier!.payload,
          content: '#script\nwords 9\nignore-cancel\nretry\n# 3',
        };
      }),
    ) as Writable<Evidence>;
    const late = () =>
      check(run).violations.filter(({ what }) => what.includes('should have been within'));
    expect(late()).toHaveLength(1);
    for (const turn of run.spools) if (turn.attemptKey === 't4.1') turn.spool = 't3.1';
    expect(late()).toEqual([]);
  });
});

describe('Q1, W1: a tool may be silent for longer', () => {
  const stalledAfter = (ms: number) =>
    check(
      brokenLog((lines) => {
        Object.assign(lines[41]!.payload, { phase: 'tool-running' });
        Object.assign(lines[42]!, { afterMs: ms - 5_000 });
      }),
    ).violations.map(({ what }) => what);

  test.each([
    [12_000, /stalled 12020 ms after its last output; the limit is 75000/],
    [90_000, /90020 ms after its last output, and should have been within 80000/],
  ])('ended after %d ms', (ms, what) => {
    expect(stalledAfter(ms)).toEqual([expect.stringMatching(what)]);
  });

  test('ended in time', () => {
    expect(stalledAfter(75_000)).toEqual([]);
  });
});
