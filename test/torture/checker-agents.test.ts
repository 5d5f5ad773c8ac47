/** The checker, of agents: it accepts a good run, and rejects one for each way in which a rule can be broken. */
import { describe, expect, test } from 'vitest';

import { check } from './checker.ts';
import type { Invariant } from './court.ts';
import type { AgentAct, AgentActRecord, Evidence } from './evidence.ts';
import {
  accepted,
  agentRunOf,
  BOOT,
  ENDS,
  ends,
  goodAgentSteps,
  type Mail,
  message,
  queued,
  queueOf,
  RECOVERY,
  requestOf,
  startsWith,
  taskTurn,
  type TeamLine,
  type TeamStep,
  turnOf,
} from './good-agents.ts';
import { fitsText, GAP } from './script.ts';

type Writable<T> = T extends object ? { -readonly [K in keyof T]: Writable<T[K]> } : T;
type Run = Writable<Evidence>;

/** The good run with something else in what was recorded of it. */
function broken(change: (run: Run) => void): Evidence {
  const run = structuredClone(agentRunOf(goodAgentSteps())) as Run;
  change(run);
  return run;
}

/** A run whose engine did something else, consistently. */
function otherwise(change: (steps: TeamStep[]) => void): Evidence {
  const steps = structuredClone(goodAgentSteps());
  change(steps);
  return agentRunOf(steps);
}

const found = (steps: readonly TeamStep[], name: string): TeamStep => {
  const step = steps.find((each) => each.name === name);
  if (step === undefined) throw new Error(`no step ${name}`);
  return step;
};
const drop = (steps: TeamStep[], ...names: string[]): void => {
  for (const name of names) steps.splice(steps.indexOf(found(steps, name)), 1);
};
const after = (steps: TeamStep[], name: string, ...lines: TeamLine[]): void =>
  void steps.splice(steps.indexOf(found(steps, name)) + 1, 0, { name: `after ${name}`, lines });
const lineOf = (steps: readonly TeamStep[], name: string, type: string, to?: string): TeamLine => {
  const line = found(steps, name).lines.find(
    (each) => each.type === type && (to === undefined || each.to === to),
  );
  if (line === undefined) throw new Error(`no ${type} in ${name}`);
  return line;
};
const without = (steps: readonly TeamStep[], name: string, type: string): void => {
  const step = found(steps, name);
  step.lines = step.lines.filter((each) => each.type !== type);
};
const payloadOf = (steps: readonly TeamStep[], name: string, type: string) =>
  lineOf(steps, name, type).payload;
const runOfMail = (steps: TeamStep[], name: string): void =>
  drop(steps, `${name} starts`, `${name} ends`, `${name} idle`);
const unask = (run: Run, is: (act: AgentAct, of: Run['agentActs'][number]) => boolean): void => {
  run.agentActs = run.agentActs.filter((each) => !is(each.act, each));
};
const actOf = (run: Run, is: (act: AgentAct) => boolean): Writable<AgentActRecord> => {
  const record = run.agentActs.find(({ act }) => is(act));
  if (record === undefined) throw new Error('no such act');
  return record;
};
const team = (run: Run): Run['teams'][number] => run.teams[0]!;
const mailboxOf = (run: Run, id: string) =>
  team(run).mailboxes.find(({ conversationId }) => conversationId === id)!;
const viewOf = (run: Run, id: string) =>
  team(run).view.agents.find(({ conversationId }) => conversationId === id)!;
/** In both answers: else it is told that they differ. */
const inTrees = (run: Run, change: (agents: Run['teams'][number]['view']['agents']) => void) => {
  change(team(run).view.agents);
  change(team(run).viewOfMember.agents);
};

test('accepts a good run, and has looked at the rules of agents', () => {
  const verdict = check(agentRunOf(goodAgentSteps()));
  expect(verdict.violations).toEqual([]);
  for (const invariant of ['A1', 'A3', 'S2', 'M1', 'M2', 'T2'] as const)
    expect(verdict.checked.get(invariant)).toBeGreaterThan(0);
});

const m1 = message('m1', 'r');
const m7: Mail = { from: 'r', messageId: 'm7', kind: 'message', content: 'One more thing.' };

/** What was broken, and in what words the checker says so. */
const cases: [Invariant, string, () => Evidence, RegExp][] = [
  // Rows.
  [
    'M1',
    'a row that was accepted twice',
    () => otherwise((steps) => after(steps, 'm1 waits', accepted('a', m1))),
    /row m1 from r was accepted 2 times/,
  ],
  [
    'M1',
    'a row that nobody takes',
    () => otherwise((steps) => runOfMail(steps, 'a end')),
    /row end-t-mail-.*-1 from a \(result\) is still accepted when everything is over/,
  ],
  [
    'M1',
    'a row that stays in the queue',
    () =>
      otherwise((steps) => {
        payloadOf(steps, 'a goes on', 'queue.changed')['queue'] = (
          lineOf(steps, 'm1 waits', 'queue.changed').payload['queue'] as { position: number }[]
        )
          .slice(1)
          .map((item) => ({ ...item, position: 0 }));
        without(steps, 'a goes on', 'chat.steered');
        const told = payloadOf(steps, 'a goes on', 'message.created');
        Object.assign(told, startsWith('a', [ENDS.b])[0]?.payload);
      }),
    /row m1 from r \(message\) is still delivered when everything is over/,
  ],
  [
    'M1',
    'a row that two turns begin with',
    () =>
      otherwise((steps) => {
        after(steps, 'a idle', ...startsWith('a', [ENDS.b]), ends('a', turnOf(requestOf(ENDS.b))));
      }),
    /row end-t-.* from b was applied 2 times: started .*, started/,
  ],
  [
    'M1',
    'a row that was given along and also run',
    () =>
      otherwise((steps) => {
        after(steps, 'a idle', ...startsWith('a', [m1]), ends('a', turnOf(requestOf(m1))), {
          to: 'a',
          type: 'conversation.state',
          payload: { state: 'idle' },
        });
      }),
    /row m1 from r was applied 2 times: joined .*, started/,
  ],
  [
    'M1',
    'a row that is applied and then removed',
    () =>
      otherwise((steps) => {
        after(steps, 'a idle', {
          to: 'a',
          type: 'chat.cancelled',
          requestId: requestOf(m1),
          turnId: turnOf(requestOf(m1)),
          payload: { by: 'user' },
        });
      }),
    /row m1 from r was applied, and is failed \(removed\)/,
  ],
  [
    'M1',
    'a row that expires before its time',
    () =>
      otherwise((steps) => {
        found(steps, 'm3 expires').afterMs = 10;
      }),
    /row m3 from r expired \d+ ms before its time/,
  ],
  [
    'M1',
    'a row that was sent again though it was applied',
    () =>
      otherwise((steps) => {
        after(steps, 'a idle', {
          to: 'a',
          type: 'mail.again',
          payload: { messageId: 'm1', from: 'r', sending: 2 },
        });
      }),
    /row m1 from r was sent again when it was applied/,
  ],
  [
    'M1',
    'a row that was sent again, and nobody asked for it',
    () => broken((run) => unask(run, (act) => act.do === 'resend')),
    /row m3 from r was sent again, and nobody had asked for it/,
  ],
  [
    'M1',
    'a row that was sent a third time after the first',
    () =>
      otherwise((steps) => {
        payloadOf(steps, 'm3 again', 'mail.again')['sending'] = 3;
        runOfMail(steps, 'm3');
      }),
    /row m3 from r was sent for the 3th time after the 1th/,
  ],
  [
    'M1',
    'what was to be sent again, and was not',
    () =>
      otherwise((steps) => {
        drop(steps, 'm3 again');
        runOfMail(steps, 'm3');
      }),
    /m3 was to be sent again, which was answered as done, and it was not/,
  ],
  // Texts.
  [
    'M1',
    'a row without its text in the transcript',
    () =>
      otherwise((steps) => {
        Object.assign(
          payloadOf(steps, 'a goes on', 'message.created'),
          startsWith('a', [ENDS.b])[0]?.payload,
        );
      }),
    /row m1 from r is 0 times in the transcript of a, and was applied 1 times/,
  ],
  [
    'M1',
    'a row with its text in the transcript twice',
    () =>
      otherwise((steps) => {
        Object.assign(
          payloadOf(steps, 'a end starts', 'message.created'),
          startsWith('r', [ENDS.a, ENDS.a])[0]?.payload,
        );
        const told = { ...lineOf(steps, 'a end starts', 'message.created') };
        after(steps, 'a end ends', { ...told, payload: { ...told.payload, messageId: 'more' } });
      }),
    /row end-.*from a is 2 times in the transcript of r/,
  ],
  [
    'M1',
    'a row in the transcript of another turn than the one that took it',
    () =>
      otherwise((steps) => {
        lineOf(steps, 'a goes on', 'chat.steered').payload['turnId'] = taskTurn('a');
      }),
    /row m1 from r was applied by turn .*, and its text is in turn/,
  ],
  [
    'M1',
    'another text than was sent',
    () =>
      otherwise((steps) => {
        const told = payloadOf(steps, 'm2 starts', 'message.created');
        told['content'] = String(told['content']).replace('One thing', 'Another thing');
      }),
    /row m2 from r was given with another text than it has/,
  ],
  [
    'M1',
    'text beside that of the mail',
    () =>
      otherwise((steps) => {
        const told = payloadOf(steps, 'm2 starts', 'message.created');
        told['content'] = `${String(told['content'])} And more.`;
      }),
    /more was given than the mail of its marks: " And more\."/,
  ],
  [
    'M1',
    'mail that does not say whose it is',
    () =>
      otherwise((steps) => {
        const told = payloadOf(steps, 'm2 starts', 'message.created');
        told['content'] = String(told['content']).replace('root', 'somebody');
      }),
    /row m2 from r is given without the name of root/,
  ],
  [
    'M1',
    'two pieces of mail that run into each other',
    () =>
      otherwise((steps) => {
        const told = payloadOf(steps, 'a goes on', 'message.created');
        told['content'] = String(told['content']).replace('\n\n', ' ');
      }),
    /row m1 from r is not set apart from the mail before it/,
  ],
  [
    'M1',
    'a task that is given together with other mail',
    () =>
      otherwise((steps) => {
        const own = payloadOf(steps, 'b starts', 'message.created')['content'] as string;
        const [told] = startsWith('b', [
          m7,
          { from: 'a', messageId: 'task', kind: 'task', content: own },
        ]);
        Object.assign(payloadOf(steps, 'b starts', 'message.created'), told?.payload);
      }),
    /the task of b was given together with other mail/,
  ],
  [
    'M1',
    'a mark of mail that is in no mailbox',
    () =>
      otherwise((steps) => {
        payloadOf(steps, 'm2 starts', 'message.created')['mail'] = [
          { messageId: 'm0', from: 'r', kind: 'message' },
        ];
      }),
    /is marked as mail m0 \(message\) from r, which is no row of the mailbox/,
  ],
  // Order.
  [
    'M1',
    'two of one sender in another order than they were accepted',
    () =>
      otherwise((steps) => {
        after(steps, 'm1 waits', accepted('a', m7));
        after(
          steps,
          'a goes on',
          ends('a', turnOf(requestOf(ENDS.b))),
          ...startsWith('a', [m7]),
          ends('a', turnOf(requestOf(m7))),
        );
        const late = startsWith('a', [m1]);
        after(steps, 'a idle', ...late, ends('a', turnOf(requestOf(m1))));
        without(steps, 'a goes on', 'chat.steered');
        Object.assign(
          payloadOf(steps, 'a goes on', 'message.created'),
          startsWith('a', [ENDS.b])[0]?.payload,
        );
      }),
    /row m7 from r was applied before m1, which was accepted earlier/,
  ],
  [
    'M1',
    'a row that waits for a turn that ends well, and starts one before',
    () =>
      otherwise((steps) => {
        drop(steps, 'q5 starts', 'q5 said', 'm6', 'm6 waits', 'm6 taken', 'm6 left', 'q5 quotes');
        drop(steps, 'q5 ends', 'q5 idle');
        found(steps, 'e starts').afterMs = 60_000;
      }),
    /row end-.* from e waits for a turn that ends well, and was taken by r before there was one/,
  ],
  // Ends.
  [
    'M1',
    'an end that the parent never got',
    () =>
      otherwise((steps) => {
        without(steps, 'a ends', 'mail.accepted');
        runOfMail(steps, 'a end');
      }),
    /attempt .* of the task of a ended \(completed\), and its parent r has no row of it/,
  ],
  [
    'M1',
    'a second attempt that the parent was not told of',
    () =>
      otherwise((steps) => {
        without(steps, 'd ends', 'mail.accepted');
        runOfMail(steps, 'd end');
      }),
    /attempt .*\.2 of the task of d ended \(completed\), and its parent r has no row of it/,
  ],
  [
    'M1',
    'an end of another kind',
    () =>
      otherwise((steps) => {
        payloadOf(steps, 'a ends', 'mail.accepted')['outcome'] = 'failed';
      }),
    /task of a ended completed, and its parent's row says result \(failed\)/,
  ],
  [
    'M1',
    'an end without what the child had said',
    () =>
      otherwise((steps) => {
        payloadOf(steps, 'a ends', 'mail.accepted')['content'] = 'Nothing.';
      }),
    /what a said in attempt .* is not in its parent's row/,
  ],
  [
    'M1',
    'an end by cascade that does not wait',
    () =>
      otherwise((steps) => {
        delete payloadOf(steps, 'e ends', 'mail.accepted')['waits'];
      }),
    /task of e ended cancelled by cascade, and its row does not wait/,
  ],
  [
    'M1',
    'an ordinary end that waits',
    () =>
      otherwise((steps) => {
        payloadOf(steps, 'a ends', 'mail.accepted')['waits'] = true;
      }),
    /task of a ended completed by null, and its row waits/,
  ],
  [
    'M1',
    'an end that does not say its boot',
    () =>
      otherwise((steps) => {
        delete payloadOf(steps, 'd dead', 'mail.accepted')['boot'];
      }),
    /task of d was ended by boot boot1, and its row says null/,
  ],
  [
    'M1',
    'an end whose row is of a later commit',
    () =>
      otherwise((steps) => {
        const line = lineOf(steps, 'a ends', 'mail.accepted');
        without(steps, 'a ends', 'mail.accepted');
        after(
          steps,
          'a ends',
          { to: 'b', type: 'notice', payload: { code: 'x', text: 'x' } },
          line,
        );
      }),
    /are not of one commit/,
  ],
  [
    'M1',
    'an end of a turn that is no task',
    () =>
      otherwise((steps) => {
        const mail: Mail = {
          from: 'a',
          messageId: `end-${turnOf(requestOf(ENDS.b))}-1`,
          kind: 'result',
          content: 'Well.',
        };
        after(steps, 'a answers', accepted('r', mail, { outcome: 'completed' }));
        after(steps, 'a idle', ...startsWith('r', [mail]), ends('r', turnOf(requestOf(mail))));
      }),
    /tells r of an end \(completed\) that is none of a task of a child of its/,
  ],
  // Beginnings.
  [
    'M1',
    'an agent without its task',
    () =>
      otherwise((steps) => {
        without(steps, 'd', 'mail.accepted');
      }),
    /agent d was answered as made, and its task is not there/,
  ],
  [
    'M1',
    'an agent whose task came later',
    () =>
      otherwise((steps) => {
        const line = lineOf(steps, 'd', 'mail.accepted');
        without(steps, 'd', 'mail.accepted');
        after(steps, 'd', { to: 'd', type: 'conversation.updated', payload: { host: 'h' } }, line);
      }),
    /agent d was there \(place \d+\) before its task \(\d+\)/,
  ],
  [
    'M1',
    'an agent that nobody asked for',
    () => broken((run) => unask(run, (act) => act.do === 'spawn' && act.agentId === 'c')),
    /agent c was made for r with no task, and nobody had asked for that/,
  ],
  [
    'M1',
    'an agent of a script with another task',
    () =>
      otherwise((steps) => {
        payloadOf(steps, 'a', 'mail.accepted')['content'] = 'another';
      }),
    /agent a was made for r with the task "another", and nobody had asked for that/,
  ],
  [
    'M1',
    'an agent that was answered and does not exist',
    () =>
      broken((run) => {
        actOf(run, (act) => act.do === 'spawn' && act.agentId === 'c').childId = 'nobody';
      }),
    /r was answered that its agent c is nobody, which is not there/,
  ],
  [
    'M1',
    'an agent that was answered as another the second time',
    () =>
      broken((run) => {
        run.agentActs[1]!.childId = 'c';
      }),
    /spawn was asked for again, and answered with c in the place of b/,
  ],
  [
    'M1',
    'an agent of another depth than its parent leads to',
    () =>
      otherwise((steps) => {
        const link = payloadOf(steps, 'b', 'conversation.created')['agent'] as { depth: number };
        link.depth = 1;
      }),
    /agent b is a child of a, which is of depth 1, and says it is of depth 1/,
  ],
  [
    'M1',
    'two agents with one name',
    () =>
      otherwise((steps) => {
        const link = payloadOf(steps, 'd', 'conversation.created')['agent'] as { agentId: string };
        link.agentId = 'c';
      }),
    /two of team r are called c/,
  ],
  [
    'M1',
    'another task under the same agentId that was not refused',
    () =>
      broken((run) => {
        const record = run.agentActs[2]!;
        record.answer = { is: 'done' };
        record.childId = 'b';
      }),
    /spawn was asked for again with something else, and answered/,
  ],
  [
    'M1',
    'the same asked for again, and refused',
    () =>
      broken((run) => {
        run.agentActs[1]!.answer = { is: 'refused', code: 'request_id_reused' };
      }),
    /spawn was asked for again as before, and answered/,
  ],
  [
    'M1',
    'an agent that a tool said is made, with another task',
    () =>
      otherwise((steps) => {
        const input = payloadOf(steps, 'a asked', 'tool.start')['input'] as { prompt: string };
        input.prompt = 'another';
      }),
    /r was answered that agent a is made, and its task is another one/,
  ],
  [
    'M1',
    'an agent that a tool said is made, and that is not there',
    () =>
      otherwise((steps) => {
        const input = payloadOf(steps, 'a asked', 'tool.start')['input'] as { agent_id: string };
        input.agent_id = 'f';
      }),
    /r was answered that agent f is made, and it is not there/,
  ],
  [
    'M1',
    'a message that a tool said is sent, and that is nowhere',
    () =>
      otherwise((steps) => {
        Object.assign(payloadOf(steps, 'a asked', 'tool.start'), {
          name: 'send_message',
          input: { to: 'b', content: 'x', message_id: 'm8' },
        });
      }),
    /r was answered that its message to b is sent, and it is in no mailbox/,
  ],
  // Messages.
  [
    'M1',
    'a message that was answered and is nowhere',
    () =>
      broken((run) => {
        actOf(run, (act) => act.do === 'mail' && act.messageId === 'm2').act = {
          do: 'mail',
          messageId: 'm8',
          to: 'c',
          content: 'x',
          whenBusy: 'queue',
          expiresInMs: null,
        };
      }),
    /message m8 to c was answered as accepted, and is in no mailbox/,
  ],
  [
    'A3',
    'a message that was answered before Temporal had it',
    () =>
      broken((run) => {
        run.signals = run.signals.filter(({ conversationId }) => conversationId !== 'c');
      }),
    /message m2 to c was answered as accepted, and Temporal had no signal of it by then/,
  ],
  [
    'M1',
    'a message that nobody has sent',
    () => otherwise((steps) => after(steps, 'm2', accepted('c', m7))),
    /row m7 from r is in the mailbox of c, and nobody has sent that/,
  ],
  [
    'M1',
    'a message with another text than was sent',
    () =>
      broken((run) => {
        const record = actOf(run, (act) => act.do === 'mail' && act.messageId === 'm1');
        if (record.act.do === 'mail') record.act.content = 'Something else.';
      }),
    /row m1 from r is in the mailbox of a, and nobody has sent that/,
  ],
  [
    'M1',
    'a message of somebody who is not in the team',
    () => otherwise((steps) => after(steps, 'm2', accepted('c', { ...m7, from: 'stranger' }))),
    /is in the mailbox of c, and stranger is none of its team/,
  ],
  [
    'M1',
    'a message that had to be refused',
    () =>
      broken((run) => {
        actOf(run, (act) => act.do === 'mail' && act.messageId === 'm9').answer = { is: 'done' };
      }),
    /mail was to be refused with invalid_request, and was answered/,
  ],
  [
    'M1',
    'a message of a script that is there more often than the script ran',
    () =>
      otherwise((steps) => {
        const tell = `#script\ntell c "Told."\n# 5`;
        payloadOf(steps, 'q5 starts', 'message.created')['content'] = tell;
        const told = (messageId: string): Mail => ({
          from: 'r',
          messageId,
          kind: 'message',
          content: 'Told.',
        });
        for (const id of ['s1', 's2'])
          after(
            steps,
            'q5 idle',
            accepted('c', told(id)),
            ...startsWith('c', [told(id)]),
            ends('c', turnOf(requestOf(told(id)))),
          );
      }),
    /"Told\." is 2 times in the mailbox of c; the script of r that says it ran 1 times/,
  ],
  // What is read.
  [
    'M1',
    'a mailbox that leaves out a row',
    () => broken((run) => void mailboxOf(run, 'a').rows.pop()),
    /the mailbox of a has 2 rows, or others, or in another order, than the 3 of its log/,
  ],
  [
    'M1',
    'a row that is read in another state',
    () =>
      broken((run) => {
        mailboxOf(run, 'd').rows[1]!.state = 'delivered';
      }),
    /row m4 from r is otherwise in the mailbox of d than its log says: .*state/,
  ],
  [
    'M1',
    'a row that is read with another reason',
    () =>
      broken((run) => {
        mailboxOf(run, 'd').rows[1]!.reason = 'expired';
      }),
    /row m4 from r is otherwise in the mailbox of d than its log says: .*reason/,
  ],
  [
    'M1',
    'a row that its sender is not told of',
    () => broken((run) => void mailboxOf(run, 'r').sent.pop()),
    /r has sent \d+ rows, and is told of \d+, or of others/,
  ],
  [
    'M1',
    'mail of one that is in no team',
    () =>
      broken((run) => {
        const lone = structuredClone(
          run.conversations.find(({ conversationId }) => conversationId === 'c')!,
        );
        lone.conversationId = 'lone';
        lone.log = lone.log.map(({ seq, json }) => {
          const event = JSON.parse(json) as { payload: Record<string, unknown> };
          delete event.payload['agent'];
          return { seq, json: JSON.stringify(event) };
        });
        run.conversations.push(lone);
      }),
    /lone is in no team, and has mail/,
  ],
  // Queues.
  [
    'S2',
    'mail that left the queue with another, and was given to nobody',
    () => otherwise((steps) => without(steps, 'a goes on', 'chat.steered')),
    /request mail-.* left the queue with one that was started, and was not given to its turn/,
  ],
  [
    'S2',
    'what is no mail, given to the turn of another',
    () =>
      otherwise((steps) => {
        for (const name of ['m1 waits', 'b end waits'])
          for (const item of payloadOf(steps, name, 'queue.changed')['queue'] as object[])
            Reflect.deleteProperty(item, 'mail');
      }),
    /2 requests left the queue at once/,
  ],
  [
    'S2',
    'mail that was given to a turn past another that stood before it',
    () =>
      otherwise((steps) => {
        after(steps, 'm1', accepted('a', m7), ...queued('a', m7, [ENDS.b]));
        Object.assign(lineOf(steps, 'm1 waits', 'chat.queued').payload, { position: 2 });
        Object.assign(lineOf(steps, 'm1 waits', 'queue.changed').payload, {
          queue: [...(queued('a', m1, [ENDS.b, m7])[1]!.payload['queue'] as object[])],
        });
        const left = queued('a', m7)[1]!.payload['queue'];
        Object.assign(lineOf(steps, 'a goes on', 'queue.changed').payload, { queue: left });
      }),
    /were given to the turn of mail-.*, behind which mail-.* stood first/,
  ],
  [
    'C2',
    'a cancel by cascade that nobody asked for',
    () => broken((run) => unask(run, (act) => act.do === 'cascade')),
    /was cancelled by "cascade", and no client had asked for it/,
  ],
  // Recovery.
  [
    'M2',
    'what a boot interrupted, and the root was never told',
    () =>
      otherwise((steps) => {
        drop(steps, 'recovery');
        runOfMail(steps, 'recovery');
      }),
    /of c was interrupted by boot boot1, and its root was never told/,
  ],
  [
    'M2',
    'a recovery of nothing',
    () =>
      otherwise((steps) => {
        const again = { ...RECOVERY, messageId: 'recovery-boot2' };
        after(steps, 'q5 idle', accepted('r', again, { boot: 'boot2' }));
      }),
    /was sent the recovery recovery-boot2, and nothing of it was interrupted since the one before/,
  ],
  [
    'M2',
    'two recoveries of one boot',
    () =>
      otherwise((steps) => {
        const again = { ...RECOVERY, messageId: 'recovery-again' };
        after(steps, 'recovery', accepted('r', again, { boot: BOOT }));
      }),
    /was sent two recoveries of boot boot1/,
  ],
  [
    'M2',
    'a recovery of another boot than the newest',
    () =>
      otherwise((steps) => {
        lineOf(steps, 'r dead', 'chat.interrupted').payload['boot'] = 'boot2';
      }),
    /was sent recovery-boot1 of boot boot1; the newest that has interrupted something of it is boot2/,
  ],
  [
    'M2',
    'a recovery of somebody who is no root',
    () => otherwise((steps) => after(steps, 'recovery', accepted('a', RECOVERY, { boot: BOOT }))),
    /a is no root, and was sent a recovery/,
  ],
  [
    'M2',
    'a recovery that leaves out one of them',
    () =>
      otherwise((steps) => {
        payloadOf(steps, 'recovery', 'mail.accepted')['content'] = 'Interrupted: your own turn, d.';
      }),
    /says nothing of c, which was interrupted/,
  ],
  [
    'M2',
    'a recovery that covers nothing',
    () =>
      otherwise((steps) => {
        delete payloadOf(steps, 'recovery', 'mail.accepted')['covers'];
      }),
    /the recovery recovery-boot1 of team r covers \[\]; the root was interrupted by 1 boots, so that is \[d end-/,
  ],
  [
    'M2',
    'a recovery that covers what is no end of this boot',
    () =>
      otherwise((steps) => {
        payloadOf(steps, 'recovery', 'mail.accepted')['covers'] = [
          { messageId: ENDS.d1.messageId, from: 'd' },
          { messageId: ENDS.a.messageId, from: 'a' },
        ];
      }),
    /the recovery recovery-boot1 of team r covers \[d end-.*, a end-/,
  ],
  [
    'M1',
    'what a recovery tells, told once more',
    () =>
      otherwise((steps) =>
        after(
          steps,
          'recovery idle',
          ...startsWith('r', [ENDS.d1]),
          ends('r', turnOf(requestOf(ENDS.d1))),
        ),
      ),
    /row end-.*from d is 1 times in the transcript of r, and was applied with recovery-boot1/,
  ],
  // The tree.
  [
    'T2',
    'a tree that could not be read',
    () => broken((run) => void run.teams.splice(0)),
    /r has agents, and no tree could be read/,
  ],
  [
    'T2',
    'a tree that is not its stream folded',
    () => broken((run) => inTrees(run, (agents) => void (agents[1]!.lastLine = 'another'))),
    /the last tree at seq \d+ is not the stream folded: \/0\/lastLine/,
  ],
  [
    'T2',
    'another tree for another member',
    () => broken((run) => void (team(run).viewOfMember.agents[1]!.queued = 3)),
    /the tree of r, asked of another member, is another/,
  ],
  [
    'T2',
    'a member before its parent',
    () => broken((run) => inTrees(run, (agents) => void agents.push(...agents.splice(0, 1)))),
    /the last tree has a before its parent/,
  ],
  [
    'T2',
    'a member that is missing',
    () =>
      broken((run) => {
        inTrees(run, (agents) => void agents.pop());
        team(run).log = team(run).log.filter(({ json }) => !json.includes('"agentId":"e"'));
      }),
    /the tree of r has 5 members, or others, than the 6 that there are/,
  ],
  [
    'T2',
    'a state that is told otherwise than the member says',
    () =>
      broken((run) => {
        const row = team(run).log.find(({ json }) => json.includes('"state":"processing"'))!;
        row.json = row.json.replace('"state":"processing"', '"state":"idle"');
      }),
    /team r was told otherwise of root \(r\) than that one says: \/state/,
  ],
  [
    'T2',
    'mail that is counted otherwise',
    () =>
      broken((run) => {
        const row = team(run).log.find(({ json }) => json.includes('"delivered":1'))!;
        row.json = row.json.replace('"delivered":1', '"delivered":2');
      }),
    /team r was told otherwise of a \(a\) than that one says: \/mail\/delivered/,
  ],
  [
    'T2',
    'a tree whose last word of a member is an old one',
    () =>
      broken((run) => {
        const rows = team(run).log;
        const last = rows.findLast(({ json }) => json.includes('"agentId":"e"'))!;
        rows.splice(rows.indexOf(last));
        const agents = rows.map(({ json }) => JSON.parse(json) as { payload: { agent: never } });
        inTrees(run, (list) => {
          list[list.length - 1] = agents
            .map(({ payload }) => payload.agent as (typeof list)[number])
            .findLast(({ agentId }) => agentId === 'e')!;
        });
      }),
    /the tree of r says otherwise of e \(e\) than that one does/,
  ],
  [
    'T2',
    'a usage that is none of the member',
    () =>
      broken((run) => {
        viewOf(run, 'a').usage = { inputTokens: 5, outputTokens: 5 };
      }),
    /the tree of r says otherwise of a \(a\) than that one does: \/usage/,
  ],
  [
    'L1',
    'a hole in the stream of a team',
    () => broken((run) => void team(run).log.splice(3, 1)),
    /the log goes on with seq 5 where 4 was due/,
  ],
  [
    'L2',
    'an event of a team that is gone',
    () => broken((run) => void team(run).rereads[0]!.entries.splice(3, 1)),
    /event 4 is gone \(http\)/,
  ],
];

describe('rejects a run with', () => {
  test.each(cases)('%s: %s', (invariant, _what, make, words) => {
    const said = check(make()).violations.filter((each) => each.invariant === invariant);
    expect(said.map(({ what }) => what)).toContainEqual(expect.stringMatching(words));
  });
});

describe('accepts', () => {
  test('S2: what a release of a held queue gives to one turn', () => {
    const run = otherwise((steps) => {
      const hold = (name: string): object[] =>
        (payloadOf(steps, name, 'queue.changed')['queue'] as object[]).map((item) => ({
          ...item,
          held: true,
        }));
      after(steps, 'm1 waits', queueOf('a', hold('m1 waits'), { held: true, commandId: 'k9' }));
    }) as Run;
    const asked = {
      conversationId: 'a',
      tableId: null,
      sentAtMs: 0,
      answeredAtMs: Infinity,
      answer: { is: 'done' as const },
    };
    run.acts.push({ act: { do: 'hold' }, ...asked }, { act: { do: 'release' }, ...asked });
    expect(check(run).violations).toEqual([]);
  });

  test('M2: what a boot interrupted and did not live to tell, told by the next', () => {
    const run = otherwise((steps) => {
      lineOf(steps, 'r dead', 'chat.interrupted').payload['boot'] = 'boot2';
      Object.assign(payloadOf(steps, 'recovery', 'mail.accepted'), {
        boot: 'boot2',
        messageId: 'recovery-boot2',
        covers: undefined,
      });
      const told = { ...RECOVERY, messageId: 'recovery-boot2' };
      const index = steps.indexOf(found(steps, 'recovery starts'));
      runOfMail(steps, 'recovery');
      steps.splice(index, 0, {
        name: 'recovery runs',
        lines: [told, ENDS.d1].flatMap((mail): TeamLine[] => [
          ...startsWith('r', [mail]),
          ends('r', turnOf(requestOf(mail))),
          { to: 'r', type: 'conversation.state', payload: { state: 'idle' } },
        ]),
      });
    });
    expect(check(run).violations).toEqual([]);
  });
});

test('F2: a text with a gap is met by what has its pieces in order, and nothing else', () => {
  const wanted = `w0 ${GAP}w1 ${GAP}`;
  expect(fitsText('w0 {"agent":1}\nw1 {}', wanted, true)).toBe(true);
  expect(fitsText('w0 {"agent":1}\nw', wanted, false)).toBe(true);
  expect(fitsText('w', wanted, false)).toBe(true);
  expect(fitsText('w', wanted, true)).toBe(false);
  expect(fitsText('w0 something', wanted, true)).toBe(false);
  expect(fitsText('x0 w1 ', wanted, false)).toBe(false);
  expect(fitsText('w0 ...w1', `w0 ${GAP}w1 `, true)).toBe(false);
});
