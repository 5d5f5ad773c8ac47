/** A conversation without an engine: each state that the page can show, and a handle that notes what is asked of it. */
import type { MessageViewValue } from '../../../src/contracts/view.ts';
import type {
  Block,
  ConversationHandle,
  ConversationState,
  Edit,
  HoldfastClient,
  LinkState,
  Outcome,
  Readable,
  Row,
  TurnInfo,
  Work,
} from '../../../web/client/contract.ts';
import { hostileMarkdown, longAnswer } from './texts.ts';

export type Call = { name: string; arguments: readonly unknown[] };
export type FakeHandle = ConversationHandle & {
  readonly calls: readonly Call[];
  update(change: (state: ConversationState) => Partial<ConversationState>): void;
};

const T0 = Date.parse('2026-11-22T09:00:00.000Z');
const at = (second: number): string => new Date(T0 + second * 1_000).toISOString();
const message = (
  messageId: string,
  part: Partial<MessageViewValue> & Pick<MessageViewValue, 'role' | 'content'>,
): MessageViewValue => ({
  messageId,
  kind: 'text',
  turnId: 't1',
  attempt: 1,
  status: 'complete',
  at: at(0),
  ...part,
});

export function user(
  messageId: string,
  content: string,
  part: Partial<MessageViewValue> = {},
): Row {
  return {
    key: messageId,
    type: 'user',
    message: message(messageId, { role: 'user', content, attempt: null, ...part }),
  };
}

/** One row for each block. */
export function answer(
  messageId: string,
  blocks: readonly string[],
  part: Partial<MessageViewValue> = {},
): Row[] {
  const isOpen = part.status === 'open';
  const whole = message(messageId, { role: 'assistant', content: blocks.join('\n\n'), ...part });
  return blocks.map((text, index): Row => {
    const isLast = index === blocks.length - 1;
    const block: Block = { key: `${messageId}:${index}`, text, sealed: !(isLast && isOpen) };
    return {
      key: block.key,
      type: 'block',
      message: whole,
      block,
      isFirst: index === 0,
      isLast,
      isOpen,
    };
  });
}

export function reasoning(messageId: string, text: string, tookMs: number | null): Row {
  const isOpen = tookMs === null;
  const status = isOpen ? 'open' : 'complete';
  return {
    key: messageId,
    type: 'reasoning',
    message: message(messageId, { role: 'assistant', kind: 'reasoning', content: text, status }),
    text,
    isOpen,
    tookMs,
  };
}

type ToolPart = Partial<Extract<Row, { type: 'tool' }>> & {
  status?: NonNullable<MessageViewValue['tool']>['status'];
};

export function tool(
  messageId: string,
  name: string,
  input: unknown,
  content: string,
  { status = 'ok', ...part }: ToolPart = {},
): Row {
  return {
    key: messageId,
    type: 'tool',
    message: message(messageId, {
      role: 'tool',
      kind: 'tool',
      content,
      status: status === 'running' ? 'open' : 'complete',
      tool: { toolCallId: messageId, name, input, status },
    }),
    startedAtMs: Date.now() - 14_000,
    tookMs: status === 'running' ? null : 2_340,
    approval: null,
    answer: null,
    ...part,
  };
}

export function turnEnd(
  part: Partial<TurnInfo> & Partial<{ shown: number; isPartial: boolean }> = {},
): Row {
  const { shown, isPartial = false, ...info } = part;
  const outcome = info.outcome ?? 'completed';
  const usage = { inputTokens: 12_480, outputTokens: 943, costUsd: 0.0431 };
  const attempts = info.attempts ?? [
    {
      attempt: 1,
      requestId: 'r1',
      provider: 'claude',
      model: 'opus',
      outcome,
      cause: info.cause ?? null,
      startedAt: at(0),
      endedAt: at(14),
      usage,
    },
  ];
  const turn: TurnInfo = {
    turnId: 't1',
    attempts,
    outcome,
    cause: null,
    words: null,
    usage,
    retryable: outcome !== 'completed',
    ...info,
  };
  const attempt = attempts.find((each) => each.attempt === shown) ?? attempts.at(-1)!;
  return { key: `end:${turn.turnId}`, type: 'turn-end', turn, attempt, isPartial };
}

export function note(
  key: string,
  kind: Extract<Row, { type: 'note' }>['note']['kind'],
  text: string,
  link?: string,
): Row {
  return {
    key,
    type: 'note',
    note: { key, at: at(1), kind, text, ...(link === undefined ? {} : { link }) },
  };
}

const work = (part: Partial<Work> = {}): Work => ({
  turnId: 't1',
  attempt: 1,
  phase: 'streaming',
  phaseSinceMs: Date.now() - 12_000,
  startedAtMs: Date.now() - 34_000,
  lastSignMs: Date.now() - 400,
  detail: null,
  quiet: null,
  cancelling: [],
  retrying: null,
  usage: { inputTokens: 3_204, outputTokens: 118 },
  ...part,
});

const approval = (part: { input?: unknown; title?: string } = {}) => ({
  approvalId: 'a1',
  turnId: 't1',
  toolCallId: 'm-tool',
  title: 'Run a command',
  input: { command: 'rm -rf ./build && npm run build', timeoutMs: 120_000 },
  options: ['allow' as const, 'deny' as const],
  at: at(3),
  ...part,
});

const REASON =
  'The build fails because the lockfile names a version that is not in the registry. I should look at what changed last, then decide whether to pin it or to move on.';

const head: Row[] = [
  user('m1', 'Why does the build fail since yesterday? Please fix it.'),
  reasoning('m2', REASON, 3_200),
  ...answer('m3', [
    'I looked at the last three commits. The **lockfile** was regenerated on another machine, with another registry.',
    '## What I found\n\n1. `vite` is pinned to a version that exists nowhere\n2. the cache hides it on your machine\n\n- [x] read the log\n- [ ] run the build again',
    '```ts\nexport function outcomeWords(outcome: OutcomeName | null): string {\n  // null while it runs\n  return outcome === null ? "Running" : OUTCOMES[outcome];\n}\n```',
    '| package | wanted | found |\n|---|---|---|\n| vite | 8.3.8 | 8.3.9-rc.1 |\n| react | 19.3.1 | 19.3.1 |\n\nSee [the changelog](https://example.org/changelog) for more.',
  ]),
];

const running = (rows: readonly Row[], part: Partial<Work>) => ({
  rows: [...head, turnEnd(), user('m20', 'Now run it again.'), ...rows],
  work: work(part),
});

const buildOutput = Array.from(
  { length: 60 },
  (_, line) => `[${String(line).padStart(2, '0')}] transforming module ${line * 17} …`,
).join('\n');

const OUTCOMES = ['interrupted', 'failed', 'completed'] as const;
const attempts = ([1, 2, 3] as const).map((attempt) => ({
  attempt,
  requestId: `r${attempt}`,
  provider: 'claude',
  model: 'opus',
  outcome: OUTCOMES[attempt - 1]!,
  cause: ['provider_died', 'overloaded', null][attempt - 1]!,
  startedAt: at(attempt * 60),
  endedAt: at(attempt * 60 + 12),
  usage: { inputTokens: 9_000 + attempt, outputTokens: 200 * attempt, costUsd: 0.02 * attempt },
}));

const many: Row[] = Array.from({ length: 1_000 }, (_, index): Row[] =>
  index % 2 === 0
    ? [user(`u${index}`, `Question ${index}: what is next?`)]
    : answer(`b${index}`, [
        `Answer ${index}.`,
        index % 10 === 1 ? longAnswer.slice(0, 1_200) : 'Nothing that was not said before.',
      ]),
).flat();

const queue = ['Then commit it.', 'And tell the team what it was, in two sentences.', 'Mail'].map(
  (content, position) => ({
    requestId: `q${position}`,
    turnId: `qt${position}`,
    content,
    position,
    attempt: 1,
    at: at(position),
    ...(position === 1 ? { edited: 2, steer: true } : {}),
    ...(position === 2
      ? { mail: { messageId: 'x', from: 'agent-1', kind: 'message' as const, bytes: 120 } }
      : {}),
  }),
);

/** Name of a state → what of it differs from an idle conversation with one finished turn. */
export const STATES: Readonly<
  Record<string, () => Partial<ConversationState> & { held?: boolean }>
> = {
  empty: () => ({ rows: [] }),
  loading: () => ({ rows: [], is: 'loading' }),
  failed: () => ({
    rows: [],
    is: 'failed',
    problem: { code: 'not_found', status: 404, title: 'There is nothing under this address.' },
  }),
  finished: () => ({ rows: [...head, turnEnd()] }),
  thinking: () => running([reasoning('m21', REASON, null)], { phase: 'streaming' }),
  streaming: () =>
    running(
      answer('m21', ['It passes now.', 'The cache was cleared, and'], { status: 'open' }),
      {},
    ),
  waiting: () => running([], { phase: 'waiting-for-model', lastSignMs: Date.now() - 9_000 }),
  tools: () =>
    running(
      [
        tool('m21', 'Read', { file_path: 'package.json' }, '{ "name": "holdfast" }'),
        tool('m22', 'Bash', { command: 'npm run build' }, buildOutput),
        tool('m23', 'Bash', { command: 'npm test' }, 'Error: 3 tests failed', {
          status: 'error',
        }),
        tool('m24', 'Build', { command: 'npm run build -- --force' }, buildOutput, {
          status: 'running',
        }),
      ],
      { phase: 'tool-running', detail: 'Build' },
    ),
  approval: () => ({
    ...running(
      [
        tool('m-old', 'Bash', { command: 'git push' }, '', {
          status: 'denied',
          answer: { decision: 'deny', by: 'phone', at: at(2) },
        }),
        tool('m-tool', 'Bash', { command: 'rm -rf ./build && npm run build' }, '', {
          status: 'running',
          approval: approval(),
        }),
        {
          key: 'a2',
          type: 'approval',
          approval: {
            ...approval({
              title: 'Send a message',
              input: 'echo safe\u202e txt.exe\u200b\nsecond line',
            }),
            approvalId: 'a2',
          },
          answer: null,
        },
      ],
      { phase: 'waiting-for-approval', detail: 'Run a command' },
    ),
  }),
  answered: () => ({
    rows: [
      ...head,
      tool('m-tool', 'Bash', { command: 'npm run build' }, 'done in 3 s', {
        approval: approval(),
        answer: { decision: 'allow', by: 'laptop', at: at(5) },
      }),
      turnEnd(),
    ],
  }),
  quiet: () =>
    running(answer('m21', ['Let me see'], { status: 'open' }), {
      phase: 'streaming',
      lastSignMs: Date.now() - 100_000,
      quiet: {
        sinceMs: Date.now() - 100_000,
        evidence: [
          { what: 'Process', value: '4711 runs, 0.0 s of processor time in the last 60 s' },
          { what: 'Last output', value: '100 s ago, 34 bytes' },
          { what: 'Connections', value: '1 open, to api.example.org:443' },
        ],
      },
    }),
  retrying: () =>
    running([], {
      phase: 'waiting-for-model',
      retrying: { attempt: 2, untilMs: Date.now() + 20_000, status: '529 overloaded' },
    }),
  cancelling: () =>
    running(answer('m21', ['Half of a'], { status: 'open' }), {
      phase: 'cancelling',
      cancelling: (['requested', 'protocol', 'terminate', 'kill'] as const).map((step, index) => ({
        step,
        atMs: Date.now() - 6_000 + index * 1_800,
      })),
    }),
  attempts: () => ({
    rows: [
      user('m1', 'Why does the build fail?'),
      ...answer('m3', ['The third time it worked: the lockfile was wrong.'], { attempt: 3 }),
      turnEnd({ attempts, outcome: 'completed' }),
    ],
  }),
  ends: () => ({
    rows: [
      user('m1', 'One'),
      ...answer('m2', ['It said so much, and then'], { status: 'partial' }),
      turnEnd({ turnId: 'e1', outcome: 'cancelled', cause: 'laptop', isPartial: true }),
      user('m3', 'Two'),
      turnEnd({
        turnId: 'e2',
        outcome: 'failed',
        cause: 'provider_error',
        words: '529 overloaded_error: try again later',
      }),
      user('m5', 'Three'),
      ...answer('m6', ['The host was'], { status: 'partial' }),
      turnEnd({ turnId: 'e3', outcome: 'interrupted', cause: 'host_rebooted', isPartial: true }),
    ],
  }),
  mail: () => ({
    rows: [
      note('n1', 'trigger', 'Nightly report, due 3:00, fired in time', 'g1'),
      user('m1', 'Write the nightly report.'),
      note('n2', 'attached', 'turn re-attached after 0.6 s'),
      ...answer('m2', ['I asked three agents.']),
      turnEnd(),
      {
        key: 'm3',
        type: 'system',
        message: message('m3', {
          role: 'system',
          content:
            '[Holdfast mail] Agent tester (tests) has finished its task and says:\nAll **418** tests pass.\n\n[Holdfast mail] The task of agent docs ended failed:\nThe disk was full.',
          mail: [
            { messageId: 'x1', from: 'agent-1', kind: 'result' },
            { messageId: 'x2', from: 'agent-2', kind: 'error' },
          ],
        }),
      },
      ...answer('m4', ['One of them could not finish.']),
      {
        key: 'm5',
        type: 'system',
        message: message('m5', {
          role: 'system',
          content:
            '[Holdfast mail] After an interruption:\nHoldfast was stopped and has started again. At 09:00 it found that this had been interrupted:\n- your own turn: host_rebooted\n- docs: provider_died',
          mail: [{ messageId: 'x3', from: null, kind: 'recovery' }],
        }),
      },
      note('n3', 'agent', 'docs went on in its own session', 'agent-2'),
    ],
  }),
  cut: () => ({
    rows: [
      user('m1', 'First'),
      { key: 'cut1', type: 'cut', count: 2, isOpen: true },
      user('m2', 'A question that was edited later', { cut: true }),
      ...answer('m3', ['An answer that is no longer known.'], { cut: true }),
      user('m4', 'The question as it was meant'),
      ...answer('m5', ['The answer.']),
      { key: 'cut2', type: 'cut', count: 7, isOpen: false },
    ],
  }),
  unsent: () => ({
    rows: [
      ...head,
      turnEnd(),
      ...(['sending', 'accepted', 'refused'] as const).map((is): Row => ({
        key: is,
        type: 'unsent',
        unsent: {
          requestId: is,
          content: `A message that is ${is}.`,
          atMs: Date.now(),
          is,
          problem:
            is === 'refused'
              ? { code: 'queue_full', status: 429, title: 'Too many messages wait.' }
              : null,
          whenBusy: 'queue',
          replaces: null,
        },
      })),
    ],
  }),
  queue: () => running(answer('m21', ['On it'], { status: 'open' }), {}),
  held: () => ({ rows: [...head, turnEnd({ outcome: 'cancelled', cause: 'laptop' })] }),
  hostile: () => ({ rows: [user('m1', 'Show me'), ...answer('m2', [...hostileMarkdown])] }),
  long: () => ({
    rows: [
      user('m1', longAnswer.repeat(4)),
      reasoning('m2', REASON.repeat(400), 83_000),
      tool('m3', 'Bash', { command: 'cat everything' }, `${longAnswer}\n`.repeat(2_000)),
      ...answer('m4', [longAnswer, 'The end.']),
      turnEnd(),
    ],
  }),
  thousand: () => ({ rows: many, older: 'more' }),
};

/** A handle in that state of {@link STATES}. */
export function fakeHandle(name: string): FakeHandle {
  const { rows = [], work: now = null, ...part } = STATES[name]?.() ?? {};
  const waits = name === 'queue' || name === 'held' ? queue : [];
  let state: ConversationState = {
    is: 'ready',
    problem: null,
    view: {
      conversationId: `c-${name}`,
      tableId: null,
      title: name === 'empty' ? '' : 'Why does the build fail since yesterday?',
      archived: false,
      provider: 'claude',
      model: 'opus',
      workspacePath: '/srv/work',
      state: now === null ? 'idle' : 'processing',
      messages: [],
      activeTurn: null,
      overlays: {},
      queue: waits,
      held: name === 'held',
      approvals: [],
      usage: { inputTokens: 48_210, outputTokens: 3_114, costUsd: 0.412 },
      hasOlder: false,
      lastSeq: 1,
    },
    rows,
    work: now,
    older: 'none',
    isStale: false,
    ...part,
  };
  const listeners = new Set<() => void>();
  const calls: Call[] = [];
  const noted =
    <T>(call: string, give: T) =>
    (...given: readonly unknown[]): T => {
      calls.push({ name: call, arguments: given });
      return give;
    };
  const done = Promise.resolve<Outcome<never>>({ ok: true, accepted: true });
  const draft = writable('');
  const edits = writable<readonly Edit[]>([]);
  return {
    conversationId: `c-${name}`,
    calls,
    get: () => state,
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    update(change) {
      state = { ...state, ...change(state) };
      for (const listener of listeners) listener();
    },
    release: noted('release', undefined),
    send: noted('send', 'r-new'),
    sendAgain: noted('sendAgain', undefined),
    takeBack: noted('takeBack', 'what was refused'),
    cancel: noted('cancel', done),
    retry: noted('retry', done),
    retryAfterEnd: noted('retryAfterEnd', done),
    answer: noted('answer', done),
    updateQueued: noted('updateQueued', done),
    removeQueued: noted('removeQueued', done),
    holdQueue: noted('holdQueue', done),
    fork: noted('fork', done),
    rollback: noted('rollback', done),
    patch: noted('patch', done),
    loadOlder: noted('loadOlder', undefined),
    showAttempt: noted('showAttempt', undefined),
    rowsOfAttempt: (turnId, attempt) => [
      ...answer(`${turnId}-${attempt}`, [`What attempt ${attempt} said.`, longAnswer]),
    ],
    showCut: noted('showCut', undefined),
    why: noted('why', done),
    draft,
    setDraft: (text) => draft.set(text),
    edits,
    setEdit: (edit) => edits.set([...edits.get(), edit]),
    endEdit: noted('endEdit', undefined),
  };
}

function writable<T>(first: T): Readable<T> & { set(next: T): void } {
  let value = first;
  const listeners = new Set<() => void>();
  return {
    get: () => value,
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    set(next) {
      value = next;
      for (const listener of listeners) listener();
    },
  };
}

/** As much of a client as one conversation asks. */
export function fakeClient(
  link: LinkState = { is: 'live' },
): Pick<HoldfastClient, 'link' | 'reconnect'> {
  return { link: writable(link), reconnect: () => undefined };
}
