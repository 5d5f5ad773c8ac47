/** The checker, of tables, queues and histories: it accepts a good run, and rejects one for each way in which a rule can be broken. */
import { describe, expect, test } from 'vitest';

import type { Event } from '../../src/contracts/events.ts';
import { TABLE_PAGE } from '../../src/contracts/limits.ts';
import { check } from './checker.ts';
import type { Invariant } from './court.ts';
import type { Act, Evidence } from './evidence.ts';
import {
  activated,
  begin,
  created,
  EDITED,
  goodSteps,
  queueOf,
  type Step,
  type TableLine,
  tableRunOf,
  waiting,
} from './good-table.ts';

type Writable<T> = T extends object ? { -readonly [K in keyof T]: Writable<T[K]> } : T;
type Run = Writable<Evidence>;

/** The good run with something else in what was recorded of it. */
function broken(change: (run: Run) => void): Evidence {
  const run = structuredClone(tableRunOf(goodSteps())) as Run;
  change(run);
  return run;
}

/** A run whose engine did something else, consistently. */
function otherwise(change: (steps: Step[]) => void): Evidence {
  const steps = structuredClone(goodSteps());
  change(steps);
  return tableRunOf(steps);
}

const indexOf = (steps: readonly Step[], name: string): number => {
  const index = steps.findIndex((each) => each.name === name);
  if (index === -1) throw new Error(`no step ${name}`);
  return index;
};
const found = (steps: readonly Step[], name: string): Step => steps[indexOf(steps, name)]!;
const drop = (steps: Step[], name: string): void => void steps.splice(indexOf(steps, name), 1);
const after = (steps: Step[], name: string, ...added: Step[]): void =>
  void steps.splice(indexOf(steps, name) + 1, 0, ...added);
/** Moves a step to just before another. */
const moveBefore = (steps: Step[], name: string, other: string): void => {
  const [moved] = steps.splice(indexOf(steps, name), 1);
  steps.splice(indexOf(steps, other), 0, moved!);
};
const lineOf = (steps: readonly Step[], name: string, type: string): TableLine => {
  const line = found(steps, name).lines.find((each) => each.type === type);
  if (line === undefined) throw new Error(`no ${type} in ${name}`);
  return line;
};
/** Another queue in that step. */
const requeue = (steps: readonly Step[], name: string, line: TableLine): void => {
  lineOf(steps, name, 'queue.changed').payload = line.payload;
};
const unask = (run: Run, what: Act['do']): void => {
  run.acts = run.acts.filter(({ act }) => act.do !== what);
};
const conversation = (run: Run, id: string) =>
  run.conversations.find(({ conversationId }) => conversationId === id)!;
const rowOf = (run: Run, id: string, messageId: string) =>
  conversation(run, id).messages.find((row) => row.messageId === messageId)!;
const edited = waiting('r2', { content: EDITED, edited: 1 });

test('accepts a good run, and has looked at every rule', () => {
  const verdict = check(tableRunOf(goodSteps()));
  expect(verdict.violations).toEqual([]);
  for (const invariant of ['A1', 'A3', 'L1', 'L4', 'L5', 'S1', 'S2', 'T1', 'H1'] as const)
    expect(verdict.checked.get(invariant)).toBeGreaterThan(0);
});

/** What was broken, and in what words the checker says so. */
const cases: [Invariant, string, () => Evidence, RegExp][] = [
  [
    'S1',
    'two turns of one table at once',
    () =>
      otherwise((steps) => {
        moveBefore(steps, 'r5 starts', 'r4 ends');
      }),
    /t-r5\.1 of y started while t-r4\.1 of x ran in the same table/,
  ],
  [
    'S1',
    'a turn of a conversation that is not active',
    () =>
      otherwise((steps) => {
        drop(steps, 'x active again');
      }),
    /t-r2\.1 of x started while y was the active one/,
  ],
  [
    'S1',
    'one that becomes active in place of another than was',
    () =>
      otherwise((steps) => {
        found(steps, 'x active again').lines = [activated('x', 'send')];
      }),
    /x became active in place of x, and y was active/,
  ],
  [
    'S2',
    'a queue that is not started from its front',
    () =>
      otherwise((steps) => {
        requeue(steps, 'r4 starts', queueOf([waiting('r4')]));
        found(steps, 'r4 starts').lines.splice(1, 3, ...begin('r2', EDITED));
      }),
    /request r2 was started from the queue, before r4/,
  ],
  [
    'S2',
    'one that left the queue while another was started',
    () =>
      otherwise((steps) => {
        found(steps, 'r4 starts').lines.splice(1, 3, ...begin('r2', EDITED));
      }),
    /request r4 left the queue, and r2 was started/,
  ],
  [
    'S2',
    'one that vanished from the queue',
    () =>
      otherwise((steps) => {
        drop(steps, 'r2 starts');
        drop(steps, 'r2 said');
        drop(steps, 'r2 ends');
        found(steps, 'x idle again').lines.unshift(queueOf([]));
      }),
    /request r2 left the queue, and (r7 was started|was neither)/,
  ],
  [
    'S2',
    'two that left the queue at once',
    () =>
      otherwise((steps) => {
        requeue(steps, 'r4 starts', queueOf([]));
      }),
    /2 requests left the queue at once: r4, r2/,
  ],
  [
    'S2',
    'one that was started, and is still in the queue',
    () =>
      otherwise((steps) => {
        found(steps, 'r4 starts').lines.shift();
      }),
    /request r4 was started, and is still in the queue/,
  ],
  [
    'S2',
    'a new message that was started ahead of what waits',
    () =>
      otherwise((steps) => {
        after(steps, 'r5 waits', {
          name: 'new',
          to: 'y',
          lines: begin('r9', '#script\nwords 1\n# 9'),
        });
      }),
    /request r9 was started ahead of r5, which waits and is not held/,
  ],
  [
    'S2',
    'another order, without anybody having asked for it',
    () => broken((run) => unask(run, 'move')),
    /the queue was \[r2, r3\] and is \[r3, r2\], which no client had asked for/,
  ],
  [
    'S2',
    'another order than was asked for',
    () =>
      broken((run) => {
        for (const { act } of run.acts) if (act.do === 'move') act.position = 1;
      }),
    /the queue was \[r2, r3\] and is \[r3, r2\]/,
  ],
  [
    'S2',
    'a move that came before anybody had asked for it',
    () =>
      broken((run) => {
        for (const each of run.acts) if (each.act.do === 'move') each.sentAtMs += 60_000;
      }),
    /the queue was \[r2, r3\] and is \[r3, r2\]/,
  ],
  [
    'S2',
    'another text, without anybody having asked for it',
    () => broken((run) => unask(run, 'edit')),
    /the text of request r2 was changed in the queue/,
  ],
  [
    'S2',
    'an edit that is not counted',
    () =>
      otherwise((steps) => {
        const uncounted = waiting('r2', { content: EDITED });
        requeue(steps, 'r2 edited', queueOf([uncounted, waiting('r3')]));
      }),
    /the text of request r2 was changed in the queue/,
  ],
  [
    'S2',
    'a start with another text than waited',
    () =>
      otherwise((steps) => {
        lineOf(steps, 'r2 starts', 'message.created').payload['content'] = '#script\nwords 2\n# 2';
      }),
    /request r2 left the queue with another text than it had there/,
  ],
  [
    'S2',
    'a row that nobody has queued',
    () =>
      otherwise((steps) => {
        found(steps, 'r3 waits').lines.shift();
      }),
    /request r3 is in the queue, and was never queued/,
  ],
  [
    'S2',
    'one that was queued, and is not in the queue',
    () =>
      otherwise((steps) => {
        requeue(steps, 'r3 waits', queueOf([waiting('r2')]));
      }),
    /request r3 was queued, and is not in the queue/,
  ],
  [
    'S2',
    'one that came to the front without an interrupt',
    () =>
      broken((run) => {
        for (const asked of run.commands) if (asked.requestId === 'r4') asked.whenBusy = 'queue';
      }),
    /request r4 was queued at 0, and came to 0 of 3, without an interrupt/,
  ],
  [
    'S2',
    'one that is elsewhere in the queue than it was told',
    () =>
      otherwise((steps) => {
        lineOf(steps, 'r3 waits', 'chat.queued').payload['position'] = 0;
      }),
    /request r3 was queued at 0, and came to 1/,
  ],
  [
    'S2',
    'rows that are not numbered in order',
    () =>
      otherwise((steps) => {
        const line = lineOf(steps, 'r3 waits', 'queue.changed');
        (line.payload['queue'] as { position: number }[])[1]!.position = 7;
      }),
    /request r3 is at 1 in the queue, which says 7/,
  ],
  [
    'S2',
    'a removal that nobody had asked for',
    () => broken((run) => unask(run, 'remove')),
    /request r3 was removed from the queue, and no client had asked for it/,
  ],
  [
    'S2',
    'one that was removed as cut, and is no retry of what was',
    () =>
      otherwise((steps) => {
        lineOf(steps, 'r3 removed', 'chat.cancelled').payload['by'] = 'history-cut';
      }),
    /request r3 was removed from the queue as cut, and is no retry of what was/,
  ],
  [
    'S2',
    'one that ended as removed, and still waits',
    () =>
      otherwise((steps) => {
        requeue(steps, 'r3 removed', queueOf([waiting('r4'), waiting('r3'), edited]));
      }),
    /request r3 ended as removed, and was not in the queue, or still is/,
  ],
  [
    'S2',
    'one that a running turn took in without its having waited',
    () =>
      otherwise((steps) => {
        drop(steps, 'r6 waits');
      }),
    /request r6 was taken in by a running turn, and was not in the queue/,
  ],
  [
    'S2',
    'a queue that is held without a cause',
    () =>
      broken((run) => {
        run.acts = run.acts.filter(
          ({ act, conversationId }) => !(act.do === 'new-chat' && conversationId === 'y'),
        );
      }),
    /request r2 is held, and nobody did what holds it/,
  ],
  [
    'S2',
    'a message that is held as it comes',
    () =>
      otherwise((steps) => {
        requeue(steps, 'r5 waits', queueOf([waiting('r5', { held: true })], { held: true }));
      }),
    /request r5 was held as it came/,
  ],
  [
    'S2',
    'a queue that is told to be held, and whose rows are not',
    () =>
      otherwise((steps) => {
        requeue(steps, 'x left', queueOf([edited], { held: true }));
      }),
    /told to be held, and its rows say otherwise/,
  ],
  [
    'S2',
    'a held queue that nobody has released',
    () => broken((run) => unask(run, 'release')),
    /request r2 is no longer held, and nobody had released it/,
  ],
  [
    'S2',
    'a start from a held queue',
    () => {
      const run = otherwise((steps) => {
        drop(steps, 'r2 released');
      }) as Run;
      unask(run, 'release');
      return run;
    },
    /request r2 was held, and was started though nobody had released it/,
  ],
  [
    'A1',
    'one that was taken in by a turn, and was started as well',
    () =>
      otherwise((steps) => {
        after(steps, 'r5 ends', { name: 'again', to: 'y', lines: begin('r6') });
      }),
    /request r6 has more than one fate: started, taken in by a running turn/,
  ],
  [
    'A1',
    'one that was removed, and started as well',
    () =>
      otherwise((steps) => {
        after(steps, 'r1 ends', { name: 'again', to: 'x', lines: begin('r3') });
      }),
    /request r3 has more than one fate: started, removed/,
  ],
  [
    'A1',
    'one that waits at the end',
    () =>
      otherwise((steps) => {
        drop(steps, 'r6 taken');
        drop(steps, 'r6 left');
      }),
    /request r6 was queued, and never came to an end/,
  ],
  [
    'A1',
    'a message that a turn took in, of which another end was told',
    () =>
      broken((run) => {
        const asked = run.commands.find(({ requestId }) => requestId === 'r6')!;
        Object.assign(asked.answer, { outcome: 'cancelled' });
      }),
    /request r6 was told its turn ended cancelled; the log says completed/,
  ],
  [
    'A1',
    'a removed message that was told to have completed',
    () =>
      broken((run) => {
        const asked = run.commands.find(({ requestId }) => requestId === 'r3')!;
        Object.assign(asked.answer, { outcome: 'completed' });
      }),
    /request r3 was told its turn ended completed; the log says cancelled/,
  ],
  [
    'A2',
    'an edited message that began to wait with a text that nobody sent',
    () =>
      otherwise((steps) => {
        const foreign = waiting('r2', { content: '#script\nwords 9\n# foreign' });
        requeue(steps, 'r2 waits', queueOf([foreign]));
        requeue(steps, 'r3 waits', queueOf([foreign, waiting('r3')]));
      }),
    /the turn of request r2 has a prompt that nobody sent/,
  ],
  [
    'C2',
    'a cancel for a New chat that was made in another table',
    () =>
      broken((run) => {
        run.cancels = run.cancels.filter((cancel) => cancel.conversationId === 'y');
        for (const cancel of run.cancels) cancel.tableId = 't9';
      }),
    /cancelled by "new-chat", and no client had asked for it/,
  ],
  [
    'F2',
    'a message that was taken in, and that the turn does not quote',
    () =>
      otherwise((steps) => {
        const lines = found(steps, 'r6 quoted').lines;
        lines[1]!.payload['text'] = 'w1 ';
        lines[2]!.payload['content'] = 'w1 ';
      }),
    /quotes 0 of the 1 messages that it has taken in/,
  ],
  [
    'F2',
    'a message that was taken in once, and is quoted twice',
    () =>
      otherwise((steps) => {
        const lines = found(steps, 'r6 quoted').lines;
        const twice = 'steered: #script\nsteered: #script\nw1 ';
        lines[1]!.payload['text'] = twice;
        lines[2]!.payload['content'] = twice;
      }),
    /its text is not exactly the script's/,
  ],
  ...(['edit', 'remove', 'rename', 'rollback'] as const).map(
    (what): [Invariant, string, () => Evidence, RegExp] => [
      'A3',
      `an act (${what}) that was answered as done, and is not in the log`,
      () =>
        broken((run) => {
          for (const each of run.acts) if (each.act.do === what) each.sentAtMs += 60_000;
        }),
      new RegExp(`${what} of \\w+ was answered as done, and is not in the log`),
    ],
  ),
  [
    'A3',
    'a fork that was answered as done, and does not exist',
    () =>
      broken((run) => {
        for (const { act } of run.acts) if (act.do === 'fork') act.forkId = 'nobody';
      }),
    /the fork nobody was answered as done, and does not exist/,
  ],
  [
    'A3',
    'a New chat that was answered as done, and never became active',
    () =>
      otherwise((steps) => {
        found(steps, 'y active').lines = [activated('x', 'send')];
      }),
    /New chat y was answered as done, and never became active/,
  ],
  [
    'L1',
    'a gap in the stream of a table',
    () =>
      broken((run) => {
        run.tables[0]!.log.splice(4, 1);
      }),
    /goes on with seq 6 where 5 was due/,
  ],
  [
    'L1',
    'a gap in what a client was given of a table',
    () =>
      broken((run) => {
        run.clients[0]!.entries.splice(3, 1);
      }),
    /was given seq 4 after 2/,
  ],
  [
    'L2',
    'an event of a table that was changed',
    () =>
      broken((run) => {
        run.tables[0]!.rereads[0]!.entries[4]!.json += ' ';
      }),
    /event 5 was changed/,
  ],
  [
    'L3',
    'an event of a table that was delivered otherwise',
    () =>
      broken((run) => {
        Object.assign(run.clients[0]!.entries[2]!, { json: '{"seq":2}' });
      }),
    /was given another event 2/,
  ],
  [
    'L4',
    'a snapshot of a table that shows another active conversation',
    () =>
      broken((run) => {
        const entry = run.clients[1]!.entries[1]!;
        if (entry.is === 'table') entry.view.activeConversationId = 'z';
      }),
    /a snapshot of in the middle at seq 9 is not the stream folded/,
  ],
  [
    'L4',
    'a snapshot of a table that lacks a conversation',
    () =>
      broken((run) => {
        run.tables[0]!.view.table.conversations.pop();
      }),
    /the last snapshot at seq \d+ is not the stream folded/,
  ],
  [
    'L4',
    'a snapshot of a table with another title',
    () =>
      broken((run) => {
        const entry = run.clients[1]!.entries[1]!;
        if (entry.is === 'table') entry.view.title = 'another';
      }),
    /with the rest of the stream is not the whole stream folded/,
  ],
  [
    'L4',
    'one call with another snapshot than the conversation’s own',
    () =>
      broken((run) => {
        run.tables[0]!.view.active!.title = 'another';
      }),
    /the one call of table t1 gave another snapshot of the active conversation/,
  ],
  [
    'W1',
    'one that waits for a slot that nobody has',
    () =>
      otherwise((steps) => {
        found(steps, 'r5 starts').afterMs = 60_001;
      }),
    /request r5 waited for 60\d\d\d ms in table t1, in which nothing ran; the limit is 60000/,
  ],
  [
    'T1',
    'a row of the list that says otherwise than its conversation',
    () =>
      broken((run) => {
        run.tables[0]!.list.find(({ conversationId }) => conversationId === 'y')!.state =
          'processing';
      }),
    /the list says otherwise than conversation y: \/state/,
  ],
  [
    'T1',
    'a row of the list that counts messages which were cut',
    () =>
      broken((run) => {
        run.tables[0]!.list.find(({ conversationId }) => conversationId === 'x')!.messageCount = 8;
      }),
    /the list says otherwise than conversation x: \/messageCount/,
  ],
  [
    'T1',
    'a conversation that is not listed',
    () =>
      broken((run) => {
        run.tables[0]!.list.pop();
      }),
    /table t1 lists \[.*\], and has \[/,
  ],
  [
    'T1',
    'a list that is not in order',
    () =>
      broken((run) => {
        run.tables[0]!.list.reverse();
      }),
    /the list of table t1 is not in order/,
  ],
  [
    'T1',
    'a table that was told otherwise of a conversation than that one says',
    () =>
      broken((run) => {
        for (const entry of run.tables[0]!.log) {
          const event = JSON.parse(entry.json) as Event;
          if (event.type !== 'conversation.listed' || event.payload.conversation.queued !== 3)
            continue;
          event.payload.conversation.queued = 2;
          entry.json = JSON.stringify(event);
        }
      }),
    /table t1 was told otherwise of x than that one says: \/queued/,
  ],
  [
    'T1',
    'a title that was made twice',
    () =>
      otherwise((steps) => {
        found(steps, 'r4 starts').lines.push({
          type: 'conversation.updated',
          payload: { title: 'words 2' },
        });
      }),
    /a title was made a second time: "words 2"/,
  ],
  [
    'T1',
    'a title that was made in place of a person’s',
    () =>
      otherwise((steps) => {
        found(steps, 'x').lines = [created('mine from the start')];
      }),
    /a title was made in place of "mine from the start"/,
  ],
  [
    'T1',
    'a title that is none of the first message’s',
    () =>
      otherwise((steps) => {
        lineOf(steps, 'r1 starts', 'conversation.updated').payload['title'] = 'Something else';
      }),
    /the title "Something else" is none of the first message's/,
  ],
  [
    'T1',
    'a title that nobody has given',
    () => broken((run) => unask(run, 'rename')),
    /the title is "mine", which nobody has given/,
  ],
  [
    'L5',
    'a row that was cut, and is not in the transcript any more',
    () =>
      broken((run) => {
        const x = conversation(run, 'x');
        x.messages = x.messages.filter(({ messageId }) => messageId !== 'm-r2');
      }),
    /user row m-r2 is not in the transcript, and was only cut/,
  ],
  [
    'L5',
    'a row that was cut, and is not marked so',
    () =>
      broken((run) => {
        delete rowOf(run, 'x', 'a-r2-1').cut;
      }),
    /assistant row a-r2-1 was cut, and is not marked so/,
  ],
  [
    'L5',
    'a row that is marked as cut, and stays',
    () =>
      broken((run) => {
        rowOf(run, 'x', 'm-r1').cut = true;
      }),
    /user row m-r1 is marked as cut, and no cut has met it/,
  ],
  [
    'L5',
    'a message that was taken in, and is otherwise in the transcript',
    () =>
      broken((run) => {
        rowOf(run, 'y', 'm-r6').content = 'another';
      }),
    /user row m-r6 has another content in the transcript/,
  ],
  [
    'L5',
    'a cut that nobody had asked for',
    () => broken((run) => unask(run, 'rollback')),
    /the history was cut after m-r4, and no client had asked for it/,
  ],
  [
    'L5',
    'a cut for a message that then did not start',
    () =>
      otherwise((steps) => {
        found(steps, 'r7 starts').lines.splice(1, 3);
      }),
    /the history was cut for request r7, and that did not start with it/,
  ],
  [
    'L5',
    'a message that is replaced, and was not cut',
    () =>
      otherwise((steps) => {
        lineOf(steps, 'r7 starts', 'history.cut').payload['messageId'] = 'm-r4';
      }),
    /the message that it replaces \(m-r4\) was not cut with it/,
  ],
  [
    'L5',
    'a fork that lacks a row of its origin',
    () =>
      otherwise((steps) => {
        found(steps, 'z').lines.splice(2, 1);
      }),
    /the fork has 3 rows of the 4 that its origin had/,
  ],
  [
    'L5',
    'a fork that has what was cut',
    () =>
      otherwise((steps) => {
        const copied = lineOf(steps, 'z', 'message.copied');
        found(steps, 'z').lines.push({
          ...copied,
          payload: { ...copied.payload, messageId: 'z9', content: EDITED },
        });
      }),
    /the fork has 5 rows of the 4 that its origin had/,
  ],
  [
    'L5',
    'a fork whose rows have the ids of its origin',
    () =>
      otherwise((steps) => {
        lineOf(steps, 'z', 'message.copied').payload['messageId'] = 'm-r1';
      }),
    /a row of the fork has the id of its origin/,
  ],
  [
    'L5',
    'a turn that is tried again after its prompt was cut',
    () =>
      otherwise((steps) => {
        const [, start, processing] = begin('r4');
        const again = { ...start!, attempt: 2, payload: { ...start!.payload, attempt: 2 } };
        after(steps, 'x idle at last', { name: 'again', to: 'x', lines: [again, processing!] });
      }),
    /attempt t-r4\.2 was started after its prompt had been cut/,
  ],
  [
    'H1',
    'a session of the provider that knows of what was cut',
    () =>
      broken((run) => {
        run.spools.at(-1)!.sessionId = 's1';
      }),
    /t-r7\.1 ran in a session of the provider that knows of m-r4/,
  ],
  [
    'H1',
    'a provider that is told of what was cut',
    () =>
      broken((run) => {
        run.spools.at(-1)!.history += EDITED;
      }),
    /t-r7\.1 was told of m-r2, which was cut before/,
  ],
  [
    'H1',
    'a new session that is told nothing',
    () =>
      broken((run) => {
        run.spools.at(-1)!.history = null;
      }),
    /began a session of the provider that was told nothing of what was said before/,
  ],
  [
    'H1',
    'a new session that is not told of the newest message',
    () =>
      broken((run) => {
        run.spools.at(-1)!.history = 'The user wrote:\nsomething';
      }),
    /began a session of the provider that was not told of m-r1/,
  ],
];

describe('rejects', () => {
  test.each(cases)('%s: %s', (invariant, _what, run, words) => {
    const violations = check(run()).violations.filter((each) => each.invariant === invariant);
    expect(violations.map(({ what }) => what)).toContainEqual(expect.stringMatching(words));
  });
});

describe('accepts', () => {
  test('S2: one that is promoted goes to the front, and out of a held queue', () => {
    const run = otherwise((steps) => {
      requeue(steps, 'r2 released', queueOf([edited], { held: false, commandId: 'k4' }));
    }) as Run;
    for (const each of run.acts)
      if (each.act.do === 'release') each.act = { do: 'promote', requestId: 'r2' };
    expect(check(run).violations).toEqual([]);
  });

  test('S2: a new message is not held back by a queue that is held', () => {
    const run = tableRunOf(
      goodSteps().flatMap((each) =>
        each.name !== 'r2 released'
          ? [each]
          : [
              { name: 'back', to: 'table x', lines: [activated('y', 'send')] },
              { name: 'new', to: 'x', lines: begin('r8', '#script\nwords 1\n# 8') },
              {
                name: 'new said',
                to: 'x',
                lines: [
                  {
                    type: 'assistant.segment.started',
                    payload: { messageId: 'a-r8-1', kind: 'text' },
                  },
                  { type: 'chat.delta', payload: { messageId: 'a-r8-1', text: 'w0 ' } },
                  {
                    type: 'assistant.segment.ended',
                    payload: { messageId: 'a-r8-1', content: 'w0 ', status: 'complete' },
                  },
                  { type: 'chat.done', payload: {} },
                ].map((line) => ({ ...line, turnId: 't-r8', attempt: 1 })),
              },
              {
                name: 'new idle',
                to: 'x',
                lines: [{ type: 'conversation.state', payload: { state: 'idle' } }],
              },
              { name: 'away', to: 'table y', lines: [activated('x', 'user')] },
              each,
            ],
      ),
    );
    const [asked] = run.commands;
    run.commands = [
      ...run.commands,
      {
        ...asked!,
        requestId: 'r8',
        content: '#script\nwords 1\n# 8',
        answer: { is: 'unknown', why: 'no answer' },
      },
    ];
    expect(check(run).violations).toEqual([]);
  });

  /** A hundred more conversations than the snapshot's page has room for beside them. */
  function runWithMany(change: (view: Run['tables'][number]['view']['table']) => void): Evidence {
    const run = otherwise((steps) => {
      for (let n = 0; n < TABLE_PAGE; n += 1)
        steps.push({ name: `many ${n}`, to: `n${n}`, lines: [created()] });
    }) as Run;
    change(run.tables[0]!.view.table);
    return run;
  }

  test('L4: a snapshot of a table with the newest of its conversations', () => {
    const run = runWithMany((view) => {
      view.conversations = view.conversations.slice(0, TABLE_PAGE);
      view.hasOlder = true;
    });
    expect(check(run).violations).toEqual([]);
  });

  test.each([
    ['that lacks one of them', 1, TABLE_PAGE + 1],
    ['that is shorter than a page', 0, TABLE_PAGE - 1],
  ])('but no page %s', (_, from, to) => {
    const run = runWithMany((view) => {
      view.conversations = view.conversations.slice(from, to);
      view.hasOlder = true;
    });
    expect(check(run).violations.map(({ invariant }) => invariant)).toContain('L4');
  });

  test('A3: what was not answered as done, and did not come about', () => {
    const run = broken((each) => {
      each.acts.push({
        act: { do: 'rename', title: 'never' },
        conversationId: 'x',
        tableId: 't1',
        sentAtMs: 0,
        answeredAtMs: Infinity,
        answer: { is: 'unknown', why: 'no answer' },
      });
    });
    expect(check(run).violations).toEqual([]);
  });
});
