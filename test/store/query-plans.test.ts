/**
 * What is read often is read by an index, in its order: a page costs a page, whatever lies around it. Asked of the database
 * itself, for the very statements that the store prepares.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

import { conversationStream, tableStream, triggerStream } from '../../src/contracts/ids.ts';
import { mailRequestId } from '../../src/store/mail-request-id.ts';
import type { Store } from '../../src/store/port.ts';
import { openSqliteStore } from '../../src/store/sqlite/store.ts';
import {
  accepted,
  begun,
  childCreated,
  ended,
  linkOf,
  queuedUp,
  rejected,
  say,
} from './agent-events.ts';
import {
  activated,
  closed,
  created,
  done,
  segment,
  started,
  tableCreated,
  turn,
  user,
} from './contract-events.ts';
import { definition, fire, second } from './trigger-model.ts';

/** All statements that ran while `act` did, with how each is carried out. */
type Plan = { sql: string; steps: string[] };

let folder = '';
let path = '';
let store: Store;
const prepared = new Set<string>();

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-plans-'));
  path = join(folder, 'holdfast.db');
  store = await openSqliteStore({ path });
  // The store prepares each statement once, when it first needs it. What the migrations did is not meant.
  const seen = vi.spyOn(DatabaseSync.prototype, 'prepare');
  await useEverything();
  await useTriggers();
  await useAgents();
  for (const [sql] of seen.mock.calls) prepared.add(sql);
  seen.mockRestore();
});
afterAll(async () => {
  await store.close();
  rmSync(folder, { recursive: true });
});

async function useEverything(): Promise<void> {
  const table = tableStream('tb');
  const stream = conversationStream('c1');
  await store.append({ stream: table, events: [tableCreated()] });
  await store.append({ stream, key: 'k', events: [created('tb', 'title')] });
  await store.append({ stream: table, events: [activated('c1')] });
  await store.append({
    stream,
    unlessWaitedBefore: '2026',
    events: [user('m1'), started(turn), segment('s1'), closed('s1', 'text')],
  });
  const place = { spool: 's', from: 0 };
  await store.claim({ conversationId: 'c1', ...turn, host: 'h', place });
  await store.snapshot('c1', 10);
  await store.append({
    stream,
    events: [{ type: 'history.cut', payload: { messageId: 'm1', by: 'edit' } }],
  });
  await store.append({ stream, events: [segment('s2'), closed('s2', 'more'), done()] });
  await store.append({ stream, events: [started({ turnId: 't2', attempt: 1 })] });
  await store.fork({
    conversationId: 'f',
    create: { tableId: 'tb', title: '', provider: 'p', model: null, workspacePath: '/' },
    origin: { conversationId: 'c1', messageId: 'm1' },
  });
  await store.compact({ endedBefore: '9', limit: 10 });
  const list = { tableId: 'tb', archived: null, cursor: null, limit: 10 };
  await Promise.all([
    store.conversation('c1'),
    store.workflowState('c1'),
    store.unsettled('', 10),
    store.waitingTables('', 10),
    store.tableState('tb'),
    store.tables(null, 10),
    store.tableWithActive('tb', 10, 10),
    store.conversations({ ...list, query: null }),
    store.conversations({ ...list, query: 'title' }),
    store.conversations({ ...list, query: 'text' }),
    store.summary('c1'),
    store.message('c1', 'm1'),
    store.history('c1', 't2', 100),
    store.messages('c1', 's1', 10),
    store.turns('c1', null, 10),
    store.turn('c1', 't1'),
    store.attempt('t1', 1),
    store.latestAttempt('t1'),
    store.unclaimedAttempt('c1', 'h'),
    store.runningAttempts('h'),
    store.runningAttempts(null),
    store.request('c1', 'r'),
    store.answerText('t1', 1),
    store.approval('c1', 'a'),
    store.events(stream, 0, 10),
    store.replayFloor(stream),
  ]);
}

async function useTriggers(): Promise<void> {
  const stream = triggerStream('x');
  const triggerId = 'x';
  const until = second(9);
  const fires = [fire(second(1)), fire(second(2), { outcome: 'skipped' })];
  const common = { triggerId, rule: 'r1', definition: definition(), nextDueAt: until };
  await store.append({
    stream,
    events: [
      { type: 'trigger.created', payload: { ...common, decidedUntil: second(0) } },
      {
        type: 'trigger.decided',
        payload: { triggerId, cause: 'due', from: second(0), until, nextDueAt: null, fires },
      },
      { type: 'trigger.updated', payload: { ...common, from: until, commandId: 'c' } },
      {
        type: 'trigger.decided',
        payload: { triggerId, cause: 'backfill', fires: [fire(second(2))] },
      },
      { type: 'trigger.decided', payload: { triggerId, cause: 'manual', fires } },
    ],
  });
  for (const [index, status] of (['started', 'rejected'] as const).entries())
    await store.append({
      stream: conversationStream('c1'),
      events: [],
      request: {
        requestId: fires[index]?.requestId ?? fire(second(2)).requestId ?? '',
        kind: 'send',
        status,
        turnId: null,
        attempt: 1,
        contentHash: '',
      },
    });
  await store.markDelivered('x', ['r']);
  const list = { conversationId: null, tableId: null, cursor: null, limit: 9 };
  const page = { triggerId: 'x', outcome: null, from: null, to: null, cursor: null, limit: 9 };
  await Promise.all([
    store.trigger('x'),
    store.triggers(list),
    store.triggers({ ...list, tableId: 'tb' }),
    store.triggers({ ...list, conversationId: 'c1' }),
    store.triggerCount(),
    store.ledger(page),
    store.ledger({ ...page, outcome: 'late' }),
    store.ledgerSummary('x'),
    store.ledgerRow('x', 'r'),
    store.ranBetween('x', '', '9'),
    store.undelivered('x', 9),
    store.overdueTriggers({ dueBefore: '9', decidedBefore: '9', after: '', limit: 9 }),
  ]);
}

async function useAgents(): Promise<void> {
  const own = (from: string | null, messageId: string): string =>
    mailRequestId({ from, messageId, sending: 1 });
  await say(store, 'r', created(null, 'the root'));
  await say(store, 'a', ...childCreated(linkOf('a'), 'do it'));
  await say(store, 'a', queuedUp(own('r', 'task')));
  await say(store, 'a', begun(own('r', 'task'), { turnId: 't3', attempt: 1 }));
  await say(store, 'a', ended({ turnId: 't3', attempt: 1 }, 'interrupted', { boot: 'b' }));
  const covers = [{ messageId: 'end-t3-1', from: 'a' }];
  const recovery = { messageId: 'x', from: null, kind: 'recovery' as const, boot: 'b', covers };
  await say(store, 'r', accepted(recovery), accepted({ messageId: 'm' }));
  await say(store, 'r', accepted({ messageId: 'n' }), rejected(own('a', 'n')));
  await say(store, 'r', { type: 'mail.expired', payload: { messageId: 'm', from: 'a' } });
  await say(store, 'r', { type: 'mail.again', payload: { messageId: 'm', from: 'a', sending: 2 } });
  await store.append({
    stream: conversationStream('r'),
    events: [],
    request: {
      requestId: own('a', 'later'),
      kind: 'send',
      status: 'queued',
      turnId: 't9',
      attempt: 1,
      contentHash: '',
    },
  });
  await say(store, 'r', accepted({ messageId: 'later' }));
  const page = { conversationId: 'r', cursor: null, limit: 9 };
  await Promise.all([
    store.agent('a'),
    store.memberByAgentId('r', 'a'),
    store.memberByAgentId('r', 'root'),
    store.children('r'),
    store.team('r'),
    store.team('f'),
    ...(['in', 'out'] as const).flatMap((box) =>
      ([null, 'failed'] as const).map((state) => store.mail({ ...page, box, state })),
    ),
    store.mailRow({ conversationId: 'r', from: null, messageId: 'x' }),
    store.takeableMail({ conversationId: 'r', limit: 9, limitBytes: 9, waiting: true }),
    store.mailTexts('r', [own('a', 'm')]),
    store.withUntakenMail({ acceptedBefore: '9', after: '', limit: 9 }),
    store.owedRecoveries('h'),
  ]);
}

/** How the database carries out each statement whose text has all of `parts`. */
function plansOf(...parts: string[]): Plan[] {
  const database = new DatabaseSync(path);
  const plans = [...prepared]
    .filter((sql) => parts.every((part) => sql.replaceAll(/\s+/gu, ' ').includes(part)))
    .map((sql) => ({
      sql,
      steps: database
        .prepare(`EXPLAIN QUERY PLAN ${sql}`)
        .all(...(sql.match(/\?(?!\d)/gu) ?? []).map(() => null))
        .map(({ detail }) => String(detail)),
    }));
  database.close();
  return plans;
}

describe('the plans of the store’s statements', () => {
  it.each([
    [
      'a page of a list',
      ['FROM conversations WHERE table_id = ? AND archived = ? AND (last_at'],
      ['conversations_by_time'],
    ],
    [
      'whether another is above',
      ['SELECT 1 FROM conversations WHERE table_id'],
      ['conversations_by_time'],
    ],
    [
      'who waits',
      [
        'SELECT conversation_id, waiting_at FROM conversations WHERE table_id = ? AND waiting_at IS NOT NULL ORDER BY waiting_at, conversation_id',
      ],
      ['conversations_waiting'],
    ],
    ['who has waited longer', ['waiting_at < ?'], ['conversations_waiting']],
    [
      'tables in which somebody waits',
      ['SELECT DISTINCT table_id'],
      ['conversations_waiting', 'attempts_running_of_table'],
    ],
    ['what is unsettled', ["WHERE (state <> 'idle'"], ['conversations_unsettled']],
    ['tables by age', ['FROM tables WHERE (created_at'], ['tables_by_age']],
    [
      'who runs at a table',
      ['SELECT conversation_id, turn_id, attempt, cancel_by'],
      ['attempts_running_of_table'],
    ],
    [
      'a turn of another of the table',
      ['SELECT turn_id, conversation_id FROM attempts'],
      ['attempts_running_of_table'],
    ],
    [
      'a turn of its own',
      ['SELECT turn_id FROM attempts WHERE outcome IS NULL AND conversation_id'],
      ['attempts_running'],
    ],
    [
      'a page of messages',
      ['FROM messages WHERE conversation_id = ? AND seq < ? ORDER BY seq DESC LIMIT'],
      ['messages_by_seq'],
    ],
    [
      'the message before',
      ['SELECT message_id FROM messages', 'cut = 0 ORDER BY seq DESC LIMIT 1'],
      ['messages_by_seq'],
    ],
    [
      'the history of a turn',
      ["AND cut = 0 AND status IN ('complete', 'partial') ORDER BY seq DESC"],
      ['messages_by_seq'],
    ],
    [
      'the newest line',
      ['SELECT content FROM messages WHERE conversation_id = ? AND kind'],
      ['messages_shown'],
    ],
    ['counting up to a turn', ['SET counted_seq ='], ['messages_shown']],
    [
      'counting and who waits',
      ['SET last_at ='],
      ['messages_shown', 'attempts_running', 'approvals_open'],
    ],
    ['what may be folded away', ["a.pieces = 'due'"], ['attempts_due']],
    ['the turn after one', ['SELECT started_seq FROM attempts'], ['attempts_by_start']],
    ['the last turn', ["SET pieces = 'due'"], ['attempts_by_start']],
    ['whether a turn is new', ['SET turn_count ='], ['sqlite_autoindex_attempts_1 \\(turn_id']],
    [
      'a page of turns',
      ['SELECT turn_id, started_seq FROM attempts a'],
      ['attempts_by_start', 'sqlite_autoindex_attempts_1 \\(turn_id'],
    ],
    [
      'what was open at an end',
      ["SELECT message_id FROM messages WHERE conversation_id = ? AND status = 'open'"],
      ['messages_open'],
    ],
    ['approvals of an ended turn', ["SET decision = 'withdrawn'"], ['approvals_open']],
    ['a page of the log', ['SELECT seq, type, json FROM events'], ['events_by_seq']],
    ['the pieces of a turn', ['SELECT event, seq FROM events'], ['events_by_seq']],
    ['a page of triggers', ['WHERE t.removed_at IS NULL AND (t.created_at'], ['triggers_by_age']],
    ['triggers of a table', ['AND t.table_id = ? AND (t.created_at'], ['triggers_of_table']],
    [
      'triggers of a conversation',
      ['AND t.conversation_id = ? AND (t.created_at'],
      ['triggers_of_conversation'],
    ],
    [
      'how many triggers there are',
      ['SELECT count(*) AS count FROM triggers'],
      ['triggers_by_age'],
    ],
    ['a page of a ledger', ['FROM ledger WHERE stream = ? AND due_at >= ?'], ['ledger_by_time']],
    [
      'a page of one outcome',
      ['FROM ledger INDEXED BY ledger_by_outcome WHERE outcome = ?'],
      ['ledger_by_outcome \\(stream=\\? AND outcome=\\? AND '],
    ],
    [
      'the newest row',
      ['SELECT * FROM ledger WHERE stream = ? ORDER BY due_at DESC'],
      ['ledger_by_time'],
    ],
    ['the newest trouble', ["reason IS NOT 'paused'", 'LIMIT 1'], ['ledger_trouble']],
    ['the row of a request', ['AND request_id = ? ORDER BY row'], ['ledger_by_request']],
    [
      'what ran in a range',
      ['SELECT due_at FROM ledger'],
      ['ledger_(due|by_time) \\(stream=\\? AND due_at>\\? AND due_at<'],
    ],
    ['what is to be sent', ['AND delivered = 0 ORDER BY'], ['ledger_undelivered']],
    ['what was sent', ['UPDATE ledger SET delivered = 1'], ['ledger_']],
    ['a receipt that takes', ['UPDATE ledger SET turn_id'], ['ledger_unsettled']],
    ['a receipt that refuses', ['SELECT row, stream, outcome, words'], ['ledger_unsettled']],
    ['a due time’s row', ['SELECT row, outcome FROM ledger'], ['ledger_due']],
    [
      'a page of what was received',
      ['WHERE m.receiver = ? AND m.row > ?'],
      ['mail_received \\(receiver=\\? AND ', 'sqlite_autoindex_agents_1 \\(conversation_id=\\?'],
    ],
    [
      'a page of what was received, of one state',
      ['WHERE m.receiver = ? AND m.state = ? AND m.row > ?'],
      ['mail_received_by_state \\(receiver=\\? AND state=\\? AND '],
    ],
    [
      'a page of what was sent',
      ["WHERE m.sender = ? AND m.sender <> '' AND m.row > ?"],
      ['mail_sent \\(sender=\\? AND '],
    ],
    [
      'a page of what was sent, of one state',
      ["WHERE m.sender = ? AND m.sender <> '' AND m.state = ?"],
      ['mail_sent_by_state \\(sender=\\? AND state=\\? AND '],
    ],
    [
      'a row of a mailbox',
      ['receiver = ? AND', 'sender = ? AND', 'message_id = ?'],
      ['mail_once \\(receiver=\\? AND sender=\\? AND message_id=\\?\\)'],
    ],
    [
      'the row of a request of mail',
      ['receiver = ? AND', 'request_id = ?'],
      ['mail_by_request \\(receiver=\\? AND request_id=\\?\\)'],
    ],
    [
      'what is to be taken',
      ['o.at > ?)) ORDER BY m.row'],
      [
        'mail_received_by_state \\(receiver=\\? AND state=\\?\\)',
        'owed_recoveries_of_root \\(root_id=\\?\\)',
      ],
    ],
    ['what an agent was made with', ['AS task FROM agents a'], ['mail_tasks \\(receiver=\\?\\)']],
    [
      'who has mail that nobody has taken',
      ['SELECT DISTINCT receiver'],
      ['mail_untaken \\(receiver>\\?\\)', 'owed_recoveries_of_root \\(root_id=\\?\\)'],
    ],
    ['what a row covers', ['WHERE covered_by = ?'], ['mail_covered \\(covered_by=\\?\\)']],
    ['the task of a turn', ["m.kind = 'task'"], ['mail_tasks \\(receiver=\\?\\)']],
    [
      'counting the mail of who stands alone',
      ['SELECT state, count(*) AS count FROM mail'],
      ['mail_received_by_state \\(receiver=\\?\\)'],
    ],
    [
      'whether a root was told of a boot',
      ["SELECT 1 FROM mail WHERE receiver = ? AND sender = ? AND kind = 'recovery'"],
      ['mail_once \\(receiver=\\? AND sender=\\?\\)'],
    ],
    [
      'what a host owes',
      ['FROM owed_recoveries WHERE host = ? ORDER BY owed'],
      ['owed_recoveries_of_host \\(host=\\?\\)'],
    ],
    ['what was owed', ['DELETE FROM owed_recoveries'], ['owed_recoveries_of_root \\(root_id=\\?']],
    ['children', ['FROM agents WHERE parent_id = ? ORDER BY member'], ['agents_by_parent']],
    [
      'how many children, and how many agents',
      ['SELECT count(*) AS count FROM agents'],
      ['agents_(by_parent|of_team) \\((parent|root)_id=\\?\\)'],
    ],
    [
      'a member by its agentId',
      ['FROM agents WHERE root_id = ? AND agent_id = ?'],
      ['agents_by_id \\(root_id=\\? AND agent_id=\\?\\)'],
    ],
    [
      'a team as it was told',
      ['SELECT e.json FROM agents a'],
      ['agents_of_team \\(root_id=\\?\\)', 'events_by_seq \\(stream=\\? AND seq=\\?\\)'],
    ],
    [
      'what the tree shows of a member',
      ['AS outcome FROM conversations c'],
      [
        'sqlite_autoindex_conversations_1 \\(conversation_id=\\?\\)',
        'sqlite_autoindex_agents_1 \\(conversation_id=\\?\\)',
        'attempts_by_start \\(conversation_id=\\?\\)',
      ],
    ],
    ['a run by hand', ['SELECT 1 FROM ledger WHERE stream = ?'], ['ledger_(manual|by_request)']],
  ])('%s', (_, parts, indexes) => {
    const plans = plansOf(...parts);
    expect(plans).not.toHaveLength(0);
    for (const { sql, steps } of plans) {
      const text = `${sql}\n${steps.join('\n')}`;
      for (const index of indexes) expect(text).toMatch(new RegExp(`INDEX ${index}`, 'u'));
      // In the index's own order.
      expect(text).not.toContain('TEMP B-TREE');
    }
  });

  it('a search looks its conversations up, each once', () => {
    const [plan, ...others] = plansOf('WITH found AS');
    expect(others).toStrictEqual([]);
    const steps = plan?.steps ?? [];
    const outer = steps.findIndex((step) => step === 'SCAN found');
    expect(steps[outer + 1]).toMatch(/^SEARCH c USING INDEX .*\(stream=\?\)$/u);
  });

  it('what is overdue is looked for among what is due and what is to be sent, not among all triggers', () => {
    const [plan, ...others] = plansOf('next_due_at < ?1');
    expect(others).toStrictEqual([]);
    const steps = (plan?.steps ?? []).filter((step) => /^(SCAN|SEARCH) /u.test(step));
    expect(steps).toStrictEqual([
      'SEARCH triggers USING COVERING INDEX triggers_due (next_due_at>? AND next_due_at<?)',
      'SCAN l USING COVERING INDEX ledger_undelivered',
      expect.stringMatching(/^SEARCH t USING INDEX .*\(stream=\?\)$/u) as string,
    ]);
  });

  it('none reads a whole table or index, but those of what runs, what is to be sent and what roots are to be told, and a count of triggers', () => {
    const scans = plansOf().flatMap(({ steps }) =>
      steps.filter((step) => step.startsWith('SCAN ') && !NO_TABLE.test(step)),
    );
    expect([...new Set(scans)]).toStrictEqual([
      'SCAN a USING INDEX attempts_running',
      'SCAN triggers USING INDEX triggers_by_age',
      'SCAN l USING COVERING INDEX ledger_undelivered',
      'SCAN owed_recoveries USING COVERING INDEX owed_recoveries_of_host',
      'SCAN owed_recoveries',
    ]);
  });
});

/** What a statement brings with it, or a search has found. */
const NO_TABLE = /VALUES CLAUSE|CONSTANT ROW|VIRTUAL TABLE|SCAN found/u;
