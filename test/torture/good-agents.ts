/**
 * A run with a team as an engine without faults would leave it, made of steps, so that a test can change one and have the rest
 * follow: what the team's stream is told, what is read of mailboxes, the tree.
 *
 * Root r. Its script spawns a; a client spawns b below a, which ends while a runs: that waits in a's queue, m1 of the root behind
 * it; a ends, and is given both in one turn. c is made without a task, d with one. m2 runs in c when a boot finds c, d and r dead:
 * the root is told of all three, and that covers d's end. m3 to b expires, and is sent again. d is tried again, m4 to it is
 * removed, and it ends well. e runs when r is cancelled by cascade: its end waits until q5 of the root has ended well; q5 takes
 * in m6 of c while it runs.
 */
import type { AgentViewValue, Event } from '../../src/contracts/events.ts';
import { conversationStream, teamStream } from '../../src/contracts/ids.ts';
import { emptyView, foldEvents } from '../../src/domain/fold.ts';
import { mailRequestId } from '../../src/store/mail-request-id.ts';
import { OUTCOME_OF, readLog } from './court.ts';
import type {
  AgentActRecord,
  CommandRecord,
  ConversationEvidence,
  Evidence,
  LogEntry,
  TeamEvidence,
} from './evidence.ts';
import { agentIdOf, linkOf, readMailbox } from './team-log.ts';

const T0 = Date.parse('2026-01-01T00:00:00.000Z');
const STEP_MS = 10;
export const BOOT = 'boot1';
const WORKSPACE = '/w';

export type TeamLine = {
  to: string;
  type: string;
  turnId?: string;
  attempt?: number;
  requestId?: string;
  payload: Record<string, unknown>;
};
/** One append, or a few of one commit. `afterMs`: since the one before it. */
export type TeamStep = { name: string; lines: TeamLine[]; afterMs?: number };

const TASKS = {
  a: '#script\nwords 1\n# task of a',
  b: '#script\nwords 2\n# task of b',
  d: '#script\nwords 2\n# task of d',
  e: '#script\nhang\n# task of e',
};
const PROMPTS = {
  q1: `#script\nspawn a ${JSON.stringify(TASKS.a)}\nwords 1\n# 1`,
  q2: '#script\nwords 9\n# 2',
  q4: '#script\nhang\n# 4',
  q5: '#script\nwords 2\n# 5',
};
type Prompt = keyof typeof PROMPTS;
export const CONTENTS = {
  m1: 'One thing for a.',
  m2: 'One thing for c.',
  m3: 'One thing for b.',
  m4: 'One thing for d.',
  m6: 'One thing for the root.',
};
const PARENTS: Readonly<Record<string, string>> = { a: 'r', b: 'a', c: 'r', d: 'r', e: 'r' };
const depthOf = (id: string): number => (id === 'r' ? 0 : 1 + depthOf(PARENTS[id] ?? 'r'));

/** A row of somebody's mailbox. */
export type Mail = { from: string | null; messageId: string; kind: string; content: string };
export const requestOf = ({ from, messageId }: Mail, sending = 1): string =>
  mailRequestId({ from, messageId, sending });
export const turnOf = (requestId: string): string => `t-${requestId.slice(0, 24)}`;

export const message = (id: keyof typeof CONTENTS, from: string): Mail => ({
  from,
  messageId: id,
  kind: 'message',
  content: CONTENTS[id],
});
const task = (child: keyof typeof TASKS): Mail => ({
  from: PARENTS[child] ?? '',
  messageId: 'task',
  kind: 'task',
  content: TASKS[child],
});
export const taskTurn = (child: keyof typeof TASKS): string => turnOf(requestOf(task(child)));
const endMail = (
  child: keyof typeof TASKS,
  attempt: number,
  kind: 'result' | 'error',
  content: string,
): Mail => ({ from: child, messageId: `end-${taskTurn(child)}-${attempt}`, kind, content });
export const ENDS = {
  a: endMail('a', 1, 'result', 'w0 '),
  b: endMail('b', 1, 'result', 'w0 w1 '),
  d1: endMail('d', 1, 'error', '(host_died)\nIt had said:\nw0 '),
  d2: endMail('d', 2, 'result', 'w0 w1 '),
  e: endMail('e', 1, 'error', '(cascade)\nIt had said nothing.'),
};
export const RECOVERY: Mail = {
  from: null,
  messageId: `recovery-${BOOT}`,
  kind: 'recovery',
  content: 'Interrupted: your own turn, c, d.',
};

const line = (
  to: string,
  type: string,
  payload: object,
  more: Partial<TeamLine> = {},
): TeamLine => ({
  to,
  type,
  payload: { ...payload },
  ...more,
});
export const accepted = (to: string, mail: Mail, more: object = {}): TeamLine =>
  line(to, 'mail.accepted', { ...mail, ...more });
const state = (to: string, name: string): TeamLine =>
  line(to, 'conversation.state', { state: name });
export const promptOf = ({ kind, from, content }: Mail): string =>
  kind === 'task'
    ? content
    : `[Holdfast mail] Something of ${from === 'r' ? 'root' : (from ?? 'nobody')}:\n${content}`;
const markOf = ({ messageId, from, kind }: Mail): object => ({ messageId, from, kind });
const waits = (mail: Mail, position: number, more: object = {}): object => {
  const requestId = requestOf(mail);
  const content = promptOf(mail);
  return {
    requestId,
    turnId: turnOf(requestId),
    content: content.slice(0, 20),
    position,
    attempt: 1,
    mail: { ...markOf(mail), bytes: Buffer.byteLength(content) },
    ...more,
  };
};
export const queueOf = (to: string, items: readonly object[], more: object = {}): TeamLine =>
  line(to, 'queue.changed', { queue: items, ...more });
export const queued = (
  to: string,
  mail: Mail,
  before: readonly Mail[] = [],
  more: object = {},
): TeamLine[] => {
  const requestId = requestOf(mail);
  const position = before.length;
  return [
    line(to, 'chat.queued', { position }, { turnId: turnOf(requestId), requestId }),
    queueOf(to, [...before.map((each, index) => waits(each, index)), waits(mail, position, more)]),
  ];
};
export const starts = (
  to: string,
  requestId: string,
  attempt = 1,
  turnId = turnOf(requestId),
): TeamLine[] => [
  line(
    to,
    'chat.started',
    { attempt, provider: 'scripted', model: null },
    { turnId, attempt, requestId },
  ),
];
/** A turn with mail, and with what is given along with it. */
export const startsWith = (
  to: string,
  mails: readonly Mail[],
  requestId = requestOf(mails[0]!),
): TeamLine[] => {
  const turnId = turnOf(requestId);
  return [
    line(
      to,
      'message.created',
      {
        messageId: `m-${turnId}`,
        role: 'user',
        content: mails.map((mail) => promptOf(mail)).join('\n\n'),
        mail: mails.map((mail) => markOf(mail)),
      },
      { turnId, requestId },
    ),
    ...starts(to, requestId),
    ...mails
      .slice(1)
      .map((mail) =>
        line(to, 'chat.steered', { turnId, attempt: 1 }, { requestId: requestOf(mail) }),
      ),
    state(to, 'processing'),
  ];
};
const begins = (requestId: Prompt): TeamLine[] => {
  const turnId = turnOf(requestId);
  return [
    line(
      'r',
      'message.created',
      { messageId: `m-${turnId}`, role: 'user', content: PROMPTS[requestId] },
      { turnId, requestId },
    ),
    ...starts('r', requestId),
    state('r', 'processing'),
  ];
};
const said = (to: string, turnId: string, text: string, attempt = 1, part = 1): TeamLine[] => {
  const messageId = `${turnId}-${attempt}-${part}`;
  const of = { turnId, attempt };
  return [
    line(to, 'assistant.segment.started', { messageId, kind: 'text' }, of),
    line(to, 'chat.delta', { messageId, text }, of),
    line(to, 'assistant.segment.ended', { messageId, content: text, status: 'complete' }, of),
  ];
};
export const ends = (
  to: string,
  turnId: string,
  type = 'chat.done',
  payload: object = {},
  attempt = 1,
): TeamLine => line(to, type, payload, { turnId, attempt });
const created = (id: string, more: object = {}): TeamLine =>
  line(id, 'conversation.created', {
    tableId: null,
    title: id,
    provider: 'scripted',
    model: null,
    workspacePath: WORKSPACE,
    ...(id === 'r'
      ? {}
      : {
          agent: {
            agentId: id,
            name: id,
            role: '',
            rootId: 'r',
            parentId: PARENTS[id] ?? '',
            depth: depthOf(id),
          },
        }),
    ...more,
  });
const cancelling = (to: string, turnId: string, by: string): TeamLine[] => [
  line(to, 'chat.cancelling', { step: 'requested', by }, { turnId, attempt: 1 }),
  state(to, 'cancelled'),
];
const step = (name: string, ...lines: (TeamLine | TeamLine[])[]): TeamStep => ({
  name,
  lines: lines.flat(),
});

const turn = (mail: Mail): string => turnOf(requestOf(mail));
const dead = { cause: 'host_died', retryable: true, boot: BOOT };
const m1 = message('m1', 'r');
const m2 = message('m2', 'r');
const m3 = message('m3', 'r');
const m4 = message('m4', 'r');
const m6 = message('m6', 'c');
/** A row, taken and run to its end. */
const runs = (name: string, to: string, mail: Mail, requestId = requestOf(mail)): TeamStep[] => [
  step(`${name} starts`, startsWith(to, [mail], requestId)),
  step(`${name} ends`, said(to, turnOf(requestId), 'Well.'), ends(to, turnOf(requestId))),
  step(`${name} idle`, state(to, 'idle')),
];

export function goodAgentSteps(): TeamStep[] {
  return [
    step('r', created('r')),
    step('q1 starts', begins('q1')),
    step(
      'a asked',
      line(
        'r',
        'tool.start',
        {
          toolCallId: 'tool-1',
          messageId: 'tool-row-1',
          name: 'spawn_agent',
          input: { name: 'a', prompt: TASKS.a, agent_id: 'a' },
        },
        { turnId: turnOf('q1'), attempt: 1 },
      ),
    ),
    step('a', created('a'), accepted('a', task('a'))),
    step(
      'a answered',
      line(
        'r',
        'tool.end',
        { toolCallId: 'tool-1', status: 'ok', output: '{}' },
        { turnId: turnOf('q1'), attempt: 1 },
      ),
    ),
    step('a starts', startsWith('a', [task('a')])),
    step('q1 ends', said('r', turnOf('q1'), 'w0 '), ends('r', turnOf('q1'))),
    step('q1 idle', state('r', 'idle')),
    step('b', created('b'), accepted('b', task('b'))),
    step('b starts', startsWith('b', [task('b')])),
    step(
      'b ends',
      said('b', taskTurn('b'), 'w0 w1 '),
      ends('b', taskTurn('b')),
      accepted('a', ENDS.b, { outcome: 'completed' }),
    ),
    step('b idle', state('b', 'idle')),
    step('b end waits', queued('a', ENDS.b)),
    step('m1', accepted('a', m1)),
    step('m1 waits', queued('a', m1, [ENDS.b])),
    step(
      'a ends',
      said('a', taskTurn('a'), 'w0 '),
      ends('a', taskTurn('a')),
      accepted('r', ENDS.a, { outcome: 'completed' }),
    ),
    step('a goes on', queueOf('a', []), startsWith('a', [ENDS.b, m1])),
    ...runs('a end', 'r', ENDS.a),
    step('a answers', said('a', turn(ENDS.b), 'Well.'), ends('a', turn(ENDS.b))),
    step('a idle', state('a', 'idle')),
    step('c', created('c')),
    step('d', created('d'), accepted('d', task('d'))),
    step('d starts', startsWith('d', [task('d')])),
    step('m2', accepted('c', m2)),
    step('m2 starts', startsWith('c', [m2])),
    step('q2 starts', begins('q2')),
    step('d said', said('d', taskTurn('d'), 'w0 ')),
    step('c dead', ends('c', turn(m2), 'chat.interrupted', dead)),
    step(
      'd dead',
      ends('d', taskTurn('d'), 'chat.interrupted', dead),
      accepted('r', ENDS.d1, { outcome: 'interrupted', boot: BOOT }),
    ),
    step('r dead', ends('r', turnOf('q2'), 'chat.interrupted', dead)),
    step(
      'recovery',
      accepted('r', RECOVERY, {
        boot: BOOT,
        covers: [{ messageId: ENDS.d1.messageId, from: 'd' }],
      }),
    ),
    step('all idle', state('c', 'idle'), state('d', 'idle'), state('r', 'idle')),
    ...runs('recovery', 'r', RECOVERY),
    step('m3', accepted('b', m3, { expiresAt: new Date(T0 + 700).toISOString() })),
    {
      ...step('m3 expires', line('b', 'mail.expired', { messageId: 'm3', from: 'r' })),
      afterMs: 400,
    },
    step('m3 again', line('b', 'mail.again', { messageId: 'm3', from: 'r', sending: 2 })),
    ...runs('m3', 'b', m3, requestOf(m3, 2)),
    step('d again', starts('d', 'q3', 2, taskTurn('d')), state('d', 'processing')),
    step('m4', accepted('d', m4)),
    step('m4 waits', queued('d', m4)),
    step(
      'm4 removed',
      line('d', 'chat.cancelled', { by: 'user' }, { turnId: turn(m4), requestId: requestOf(m4) }),
      queueOf('d', [], { commandId: 'k1' }),
    ),
    step(
      'd ends',
      said('d', taskTurn('d'), 'w0 w1 ', 2),
      ends('d', taskTurn('d'), 'chat.done', {}, 2),
      accepted('r', ENDS.d2, { outcome: 'completed' }),
    ),
    step('d idle', state('d', 'idle')),
    ...runs('d end', 'r', ENDS.d2),
    step('e', created('e'), accepted('e', task('e'))),
    step('e starts', startsWith('e', [task('e')])),
    step('q4 starts', begins('q4')),
    step('r cancelled', cancelling('r', turnOf('q4'), 'user')),
    step('e cancelled', cancelling('e', taskTurn('e'), 'cascade')),
    step('q4 ends', ends('r', turnOf('q4'), 'chat.cancelled', { by: 'user' })),
    step('q4 idle', state('r', 'idle')),
    step(
      'e ends',
      ends('e', taskTurn('e'), 'chat.cancelled', { by: 'cascade' }),
      accepted('r', ENDS.e, { outcome: 'cancelled', waits: true }),
    ),
    step('e idle', state('e', 'idle')),
    step('q5 starts', begins('q5')),
    step('q5 said', said('r', turnOf('q5'), 'w0 ')),
    step('m6', accepted('r', m6, { whenBusy: 'steer' })),
    step('m6 waits', queued('r', m6, [], { steer: true })),
    step(
      'm6 taken',
      line(
        'r',
        'message.created',
        { messageId: 'm-m6', role: 'user', content: promptOf(m6), mail: [markOf(m6)] },
        { turnId: turnOf('q5'), attempt: 1, requestId: requestOf(m6) },
      ),
      line(
        'r',
        'chat.steered',
        { turnId: turnOf('q5'), attempt: 1 },
        {
          turnId: turnOf('q5'),
          attempt: 1,
          requestId: requestOf(m6),
        },
      ),
    ),
    step('m6 left', queueOf('r', [])),
    step(
      'q5 quotes',
      said('r', turnOf('q5'), `steered: ${promptOf(m6).split('\n', 1)[0]}\nw1 `, 1, 2),
    ),
    step('q5 ends', ends('r', turnOf('q5'))),
    step('q5 idle', state('r', 'idle')),
    ...runs('e end', 'r', ENDS.e),
  ];
}

/** What the engine makes of the steps: logs, the team's stream, mailboxes. */
class TeamEngine {
  readonly #logs = new Map<string, { entries: LogEntry[]; orders: number[]; events: Event[] }>();
  readonly #shown = new Map<string, string>();
  /** In order of their creation. */
  readonly members: string[] = [];
  #order = 0;

  take({ lines }: TeamStep, atMs: number): void {
    const at = new Date(atMs).toISOString();
    for (const { to, ...each } of lines) {
      if (!this.members.includes(to)) this.members.push(to);
      this.#append(conversationStream(to), { ...each, conversationId: to }, at);
    }
    if (this.members.length < 2) return;
    for (const id of this.members) {
      const agent = this.agent(id);
      const { lastAt: _, ...facts } = agent;
      const text = JSON.stringify(facts);
      if (this.#shown.get(id) === text) continue;
      this.#shown.set(id, text);
      this.#append(teamStream('r'), { type: 'agent.changed', rootId: 'r', payload: { agent } }, at);
    }
  }

  log(stream: string) {
    return this.#logs.get(stream) ?? { entries: [], orders: [], events: [] };
  }

  conversation(id: string): ConversationEvidence {
    const { entries, orders, events } = this.log(conversationStream(id));
    const view = foldEvents(emptyView(id), events);
    const attempts = events.flatMap((event) => {
      if (event.type !== 'chat.started') return [];
      const { turnId = '', requestId = null } = event;
      const { attempt } = event.payload;
      const end = events.find(
        (each) => each.turnId === turnId && each.attempt === attempt && each.type in OUTCOME_OF,
      );
      const facts = {
        requestId,
        outcome: OUTCOME_OF[end?.type ?? ''] ?? null,
        cause: null,
        startedAt: event.at,
        endedAt: end?.at ?? null,
        usage: null,
      };
      return [{ turnId, ...facts, attempt, provider: 'scripted', model: null }];
    });
    const turns = [...Map.groupBy(attempts, ({ turnId }) => turnId)].flatMap(([turnId, list]) => {
      const last = list.at(-1);
      if (last === undefined) return [];
      const { attempt: _1, provider: _2, model: _3, ...facts } = last;
      return [{ ...facts, turnId, conversationId: id, attempts: list }];
    });
    return {
      conversationId: id,
      log: entries,
      rereads: [{ from: 'store', floor: 0, entries: structuredClone(entries) }],
      epochs: entries.map(({ seq }, index) => ({ seq, epoch: null, order: orders[index] ?? 0 })),
      view,
      messages: structuredClone(view.messages),
      turns,
    };
  }

  agent(id: string): AgentViewValue {
    const evidence = this.conversation(id);
    const known = readLog(evidence);
    const mailbox = readMailbox(known);
    const mail = { accepted: 0, delivered: 0, applied: 0, failed: 0, expired: 0 };
    for (const row of mailbox.rows.values()) mail[row.state] += 1;
    const { view, turns } = evidence;
    const link = linkOf(known);
    const last = known.events.findLast(
      ({ type, attempt }) => type in OUTCOME_OF && attempt !== undefined,
    );
    return {
      agentId: agentIdOf({ known, link, mailbox }),
      conversationId: id,
      parentId: link?.parentId ?? null,
      name: id,
      role: '',
      depth: link?.depth ?? 0,
      provider: 'scripted',
      model: null,
      workspacePath: WORKSPACE,
      providerSessionId: null,
      state: view.state,
      outcome: OUTCOME_OF[last?.type ?? ''] ?? null,
      lastLine: '',
      turnCount: turns.length,
      queued: view.queue.length,
      approvals: 0,
      usage: view.usage,
      mail,
      createdAt: known.events[0]?.at ?? '',
      lastAt: known.events.at(-1)?.at ?? '',
    };
  }

  #append(stream: string, content: object, at: string): void {
    const log = this.log(stream);
    this.#logs.set(stream, log);
    const seq = log.entries.length + 1;
    const json = JSON.stringify({ ...content, seq, at });
    this.#order += 1;
    log.entries.push({ seq, json });
    log.orders.push(this.#order);
    log.events.push(JSON.parse(json) as Event);
  }
}

export function agentRunOf(steps: readonly TeamStep[]): Evidence {
  const engine = new TeamEngine();
  const times = new Map<string, number>();
  let now = T0 - STEP_MS;
  for (const each of steps) {
    now += each.afterMs ?? STEP_MS;
    times.set(each.name, now);
    engine.take(each, now);
  }
  const atMs = (name: string): number => times.get(name) ?? T0;
  const conversations = engine.members.map((id) => engine.conversation(id));
  const held = (conversationId: string, when: string) => ({
    conversationId,
    tableId: null,
    sentAtMs: atMs(when) - 5,
    answeredAtMs: atMs(when) + 5,
    answer: { is: 'done' as const },
  });
  return {
    conversations,
    tables: [],
    triggers: [],
    triggerActs: [],
    readings: [],
    teams: [teamOf(engine, conversations)],
    agentActs: agentActsAt(atMs),
    commands: commandsAt(atMs),
    acts: [{ act: { do: 'remove', requestId: requestOf(m4) }, ...held('d', 'm4 removed') }],
    cancels: [],
    clients: [clientOf(engine)],
    spools: [],
    lastWrites: [],
    faults: [
      {
        atMs: atMs('c dead') - 1_000,
        role: 'turn-host',
        fault: 'kill',
        pid: 1,
        state: 'idle',
        conversationId: 'r',
        attemptKey: null,
        forMs: 0,
      },
    ],
    leftOver: [],
    strangersGone: [],
    healing: { settledAfterMs: 4_000, limitMs: 60_000, stuck: [] },
    silence: { quietMs: 5_000, stalledMs: 12_000, stalledInToolMs: 75_000, lateMs: 5_000 },
    fires: { graceMs: 10_000, lateMs: 60_000, latestMs: 600_000, lookMs: 10_000 },
    use: [],
    spoolFolders: { left: 3, limit: 44 },
    signals: [
      ...['q1', 'q2', 'q4', 'q5'].map((requestId) => ({
        conversationId: 'r',
        requestId,
        atMs: T0,
      })),
      { conversationId: 'd', requestId: 'q3', atMs: T0 },
      ...(
        [
          ['a', m1],
          ['c', m2],
          ['b', m3],
          ['d', m4],
          ['r', m6],
        ] as const
      ).map(([conversationId, mail]) => ({ conversationId, requestId: requestOf(mail), atMs: T0 })),
    ],
    replays: [],
  };
}

function teamOf(engine: TeamEngine, conversations: readonly ConversationEvidence[]): TeamEvidence {
  const { entries, orders, events } = engine.log(teamStream('r'));
  const agents = new Map<string, AgentViewValue>();
  for (const event of events)
    if (event.type === 'agent.changed')
      agents.set(event.payload.agent.conversationId, event.payload.agent);
  const view = { rootId: 'r', agents: [...agents.values()], lastSeq: entries.length };
  const rows = conversations.flatMap((conversation) => {
    const to = conversation.conversationId;
    const name = (id: string): string => (id === 'r' ? 'root' : id);
    return [...readMailbox(readLog(conversation)).rows.values()].map((row) => ({
      messageId: row.messageId,
      from: row.from === null ? null : name(row.from),
      to: name(to),
      fromConversationId: row.from,
      toConversationId: to,
      kind: row.kind,
      content: row.content,
      state: row.state,
      acceptedAt: row.acceptedAt,
      ...(row.outcome === null ? {} : { outcome: row.outcome }),
      ...(row.reason === null ? {} : { reason: row.reason }),
      ...(row.coveredBy === null ? {} : { coveredBy: row.coveredBy }),
      ...(row.applications[0] === undefined ? {} : { turnId: row.applications[0].turnId }),
    }));
  });
  return {
    rootId: 'r',
    log: entries,
    rereads: [{ from: 'http', floor: 0, entries: structuredClone(entries) }],
    places: entries.map(({ seq }, index) => ({ seq, order: orders[index] ?? 0 })),
    view,
    viewOfMember: structuredClone(view),
    mailboxes: engine.members.map((conversationId) => ({
      conversationId,
      rows: rows.filter(({ toConversationId }) => toConversationId === conversationId),
      sent: rows.filter(({ fromConversationId }) => fromConversationId === conversationId),
    })),
  };
}

function clientOf(engine: TeamEngine): Evidence['clients'][number] {
  const { entries } = engine.log(teamStream('r'));
  return {
    client: 'of the team',
    stream: teamStream('r'),
    entries: [
      { is: 'subscribed', lastSeq: 0 },
      ...entries.map(({ seq, json }) => ({ is: 'event' as const, seq, json })),
      { is: 'caught-up', seq: entries.length },
    ],
  };
}

function commandsAt(atMs: (name: string) => number): CommandRecord[] {
  const sent = (requestId: Prompt): CommandRecord => ({
    conversationId: 'r',
    kind: 'send',
    requestId,
    content: PROMPTS[requestId],
    whenBusy: 'queue',
    sentAtMs: atMs(`${requestId} starts`) - 5,
    answeredAtMs: atMs(`${requestId} starts`) + 5,
    answer: { is: 'receipt', receipt: { status: 'started', turnId: turnOf(requestId) } },
  });
  return [
    sent('q1'),
    sent('q2'),
    sent('q4'),
    sent('q5'),
    {
      ...sent('q1'),
      conversationId: 'd',
      kind: 'retry',
      requestId: 'q3',
      content: taskTurn('d'),
      sentAtMs: atMs('d again') - 5,
      answeredAtMs: atMs('d again') + 5,
      answer: { is: 'receipt', receipt: { status: 'started', turnId: taskTurn('d') } },
    },
  ];
}

function agentActsAt(atMs: (name: string) => number): AgentActRecord[] {
  const asked = (
    when: string,
    conversationId: string,
    act: AgentActRecord['act'],
    more: Partial<AgentActRecord> = {},
  ): AgentActRecord => ({
    act,
    conversationId,
    rootId: 'r',
    refusal: null,
    sentAtMs: atMs(when) - 5,
    answeredAtMs: atMs(when) + 5,
    answer: { is: 'done' },
    childId: null,
    row: null,
    ...more,
  });
  const spawned = (
    id: keyof typeof TASKS | 'c',
    when: string = id,
    more: Partial<AgentActRecord> = {},
  ) =>
    asked(
      when,
      PARENTS[id] ?? '',
      { do: 'spawn', agentId: id, name: id, role: '', content: id === 'c' ? null : TASKS[id] },
      { childId: id, ...more },
    );
  const wrote = (
    id: keyof typeof CONTENTS,
    from: string,
    to: string,
    more: Partial<AgentActRecord> = {},
    whenBusy: 'queue' | 'steer' = 'queue',
  ): AgentActRecord =>
    asked(
      id,
      from,
      {
        do: 'mail',
        messageId: id,
        to,
        content: CONTENTS[id],
        whenBusy,
        expiresInMs: id === 'm3' ? 1_000 : null,
      },
      {
        row: {
          messageId: id,
          from: from === 'r' ? 'root' : from,
          to: to === 'r' ? 'root' : to,
          fromConversationId: from,
          toConversationId: to,
          kind: 'message',
          content: CONTENTS[id],
          state: 'accepted',
          acceptedAt: new Date(atMs(id)).toISOString(),
        },
        ...more,
      },
    );
  return [
    spawned('b'),
    // Once more, as somebody does who was not answered; and with something else.
    spawned('b', 'b idle'),
    asked(
      'b idle',
      'a',
      { do: 'spawn', agentId: 'b', name: 'b', role: '', content: 'another' },
      { answer: { is: 'refused', code: 'request_id_reused' } },
    ),
    spawned('c'),
    spawned('d'),
    spawned('e'),
    wrote('m1', 'r', 'a'),
    wrote('m2', 'r', 'c', { answer: { is: 'accepted' }, row: null }),
    wrote('m3', 'r', 'b'),
    wrote('m4', 'r', 'd'),
    wrote('m6', 'c', 'r', {}, 'steer'),
    asked('m3 again', 'b', { do: 'resend', messageId: 'm3', from: 'root' }),
    asked('r cancelled', 'r', { do: 'cascade' }),
    asked(
      'm1',
      'r',
      {
        do: 'mail',
        messageId: 'm9',
        to: 'root',
        content: 'x',
        whenBusy: 'queue',
        expiresInMs: null,
      },
      { refusal: 'invalid_request', answer: { is: 'refused', code: 'invalid_request' } },
    ),
  ];
}
