/** docs/why.md: what is said of every state, and which of two reasons is the answer. */
import { describe, expect, it } from 'vitest';

import type { Event, QueueItemValue } from '../../src/contracts/events.ts';
import type { WhyStateName, WhyValue } from '../../src/contracts/http.ts';
import type { ConversationViewValue, TurnViewValue } from '../../src/contracts/view.ts';
import { emptyView } from '../../src/domain/fold.ts';
import type { EngineProcess, TemporalLook, WhyFacts } from '../../src/domain/why-facts.ts';
import { lasting } from '../../src/domain/why-words.ts';
import { whyOf } from '../../src/domain/why.ts';

const at = (seconds: number): string =>
  new Date(Date.UTC(2026, 0, 1, 12, 0, seconds)).toISOString();
const NOW = at(60);

const processes = (...changes: Partial<EngineProcess>[]): EngineProcess[] => {
  const roles = ['supervisor', 'temporal', 'worker', 'turn-host', 'gateway'] as const;
  return roles.map((role, index) => ({
    role,
    pid: 100 + index,
    startedAt: '2026-01-01T00:00:00.000Z',
    restarts: 0,
    stillForMs: role === 'supervisor' || role === 'temporal' ? null : 400,
    ...changes.find((change) => change.role === role),
  }));
};
const without = (role: EngineProcess['role']): EngineProcess[] =>
  processes().filter((each) => each.role !== role);

const look = (change: Partial<TemporalLook> = {}): WhyFacts['temporal'] => ({
  answered: true,
  value: {
    workflow: { is: 'running', task: null, turn: null },
    worker: { is: 'answers', inWords: 'Idle.' },
    polledAt: { workflows: at(50), turns: at(50) },
    ...change,
  },
});
const silent = { answered: false, says: 'does not answer' } as const;
const noWorker = look({ worker: { is: 'silent', says: 'has not answered within 1.5 s' } });

const view = (change: Partial<ConversationViewValue> = {}): ConversationViewValue => ({
  ...emptyView('c1'),
  provider: 'scripted',
  ...change,
});

const facts = (change: Partial<WhyFacts> = {}): WhyFacts => ({
  now: NOW,
  view: view(),
  recent: [],
  isBegun: null,
  lastTurn: null,
  table: null,
  mail: { answered: true, value: { takeable: false, untaken: 0, isOwedRecovery: false } },
  nextTrigger: null,
  room: { level: 'ample', freeBytes: 1e9, reserveBytes: 64e6 },
  processes: processes(),
  temporal: look(),
  embeddedTemporal: true,
  temporalUi: 'http://127.0.0.1:8233/',
  namespace: 'default',
  ...change,
});

const full = { level: 'low', freeBytes: 10 * 1024 ** 2, reserveBytes: 64 * 1024 ** 2 } as const;

type Turn = NonNullable<ConversationViewValue['activeTurn']>;
const running = (
  turn: Partial<Turn> = {},
  more: Partial<ConversationViewValue> = {},
): ConversationViewValue =>
  view({
    state: 'processing',
    activeTurn: {
      turnId: 't1',
      requestId: 'r1',
      attempt: 1,
      phase: 'streaming',
      startedAt: at(10),
      lastActivityAt: at(55),
      ...turn,
    },
    ...more,
  });
const turning = (change: Partial<WhyFacts> = {}): WhyFacts =>
  facts({ view: running(), isBegun: true, ...change });

let seq = 0;
const event = (type: Event['type'], seconds: number, payload: object, turnId = 't1'): Event =>
  ({ type, turnId, attempt: 1, seq: (seq += 1), at: at(seconds), payload }) as Event;

const queued = (requestId: string, more: Partial<QueueItemValue> = {}): QueueItemValue => ({
  requestId,
  turnId: `t-${requestId}`,
  content: 'x',
  position: 0,
  attempt: 1,
  at: at(30),
  ...more,
});

const ended = (outcome: TurnViewValue['outcome'], cause: string | null = null): TurnViewValue => ({
  turnId: 't1',
  conversationId: 'c1',
  requestId: 'r1',
  outcome,
  cause,
  startedAt: at(10),
  endedAt: at(40),
  usage: null,
  attempts: [],
});

const quiet = event('chat.quiet', 50, {
  phase: 'tool-running',
  silentMs: 20_000,
  evidence: {
    lastEvent: 'tool.start',
    lastOutputAt: at(30),
    processAlive: true,
    pid: 4711,
    cpuMsUsed: 30,
    cpuMsUsedSince: at(30),
    processes: 2,
  },
});
const quietTurn = turning({
  view: running({ phase: 'tool-running', lastActivityAt: at(30) }),
  recent: [event('tool.start', 30, {}), quiet],
});
const approval = {
  approvalId: 'a1',
  turnId: 't1',
  title: 'Run rm',
  input: { command: 'rm -r build' },
  options: ['allow' as const, 'deny' as const],
  at: at(45),
};
const asking = turning({
  view: running({ phase: 'waiting-for-approval' }, { approvals: [approval] }),
});
const table = (
  value: Partial<Extract<NonNullable<WhyFacts['table']>, { answered: true }>['value']>,
): WhyFacts['table'] => ({
  answered: true,
  value: { activeConversationId: null, running: null, before: [], ...value },
});
const behind = facts({
  view: view({ tableId: 'desk', queue: [queued('r2')] }),
  table: table({
    running: {
      conversationId: 'c2',
      title: 'Sums',
      turnId: 't9',
      phase: 'waiting-for-approval',
      startedAt: at(5),
    },
  }),
});
const held = facts({ view: view({ held: true, queue: [queued('r2', { held: true })] }) });
const waiting = facts({ view: view({ queue: [queued('r2')] }) });
const mail = (value: Partial<{ takeable: boolean; untaken: number; isOwedRecovery: boolean }>) =>
  facts({
    mail: {
      answered: true,
      value: { takeable: false, untaken: 0, isOwedRecovery: false, ...value },
    },
  });
const cancelling = turning({
  view: running({ phase: 'cancelling' }, { state: 'cancelled' }),
  recent: [
    event('chat.cancelling', 56, { step: 'requested' }),
    event('chat.cancelling', 58, { step: 'terminate' }),
  ],
});

type Expected = { state: WhyStateName; says: RegExp; since: string | null; fix: RegExp | null };

function expectAnswer(answer: WhyValue, { state, says, since, fix }: Expected): void {
  expect(answer).toMatchObject({ state, since });
  expect(answer.waitingFor).toMatch(says);
  expect(answer.fix?.command ?? 'none').toMatch(fix ?? /^none$/);
}

describe('each state: a sentence, since when, and one command or none', () => {
  const rows: [string, WhyFacts, Expected][] = [
    [
      'nothing was ever said',
      facts(),
      { state: 'idle', says: /your turn to write\.$/, since: null, fix: null },
    ],
    [
      'its last turn completed',
      facts({ lastTurn: ended('completed') }),
      { state: 'idle', says: /Nothing runs/, since: at(40), fix: null },
    ],
    [
      'somebody has cancelled its last turn: nothing is wrong',
      facts({ lastTurn: ended('cancelled') }),
      { state: 'idle', says: /was cancelled/, since: at(40), fix: null },
    ],
    [
      'its last turn failed, and said why',
      facts({
        lastTurn: ended('failed', 'provider'),
        recent: [event('chat.error', 40, { code: 'provider', message: 'out of luck' })],
      }),
      {
        state: 'ended-badly',
        says: /its last turn failed: out of luck\.$/,
        since: at(40),
        fix: /^holdfast retry c1 t1$/,
      },
    ],
    [
      'its last turn was interrupted without a word',
      facts({ lastTurn: ended('interrupted', 'process_lost') }),
      {
        state: 'ended-badly',
        says: /its last turn was interrupted\.$/,
        since: at(40),
        fix: /^holdfast retry c1 t1$/,
      },
    ],
    [
      'streaming',
      turning(),
      { state: 'running', says: /answer is being written/, since: at(55), fix: null },
    ],
    [
      'the model has not begun',
      turning({ view: running({ phase: 'waiting-for-model' }) }),
      { state: 'running', says: /model was asked/, since: at(55), fix: null },
    ],
    [
      'a tool runs',
      turning({
        view: running(
          { phase: 'tool-running' },
          {
            messages: [
              {
                messageId: 'm1',
                role: 'tool',
                kind: 'tool',
                turnId: 't1',
                attempt: 1,
                content: '',
                status: 'open',
                at: at(20),
                tool: { toolCallId: 'x', name: 'build', input: {}, status: 'running' },
              },
            ],
          },
        ),
      }),
      { state: 'running', says: /the tool build is at work/, since: at(20), fix: null },
    ],
    [
      'silent, by the engine’s own evidence',
      quietTurn,
      {
        state: 'quiet',
        says: /nothing for 30 s while a tool runs/,
        since: at(30),
        fix: /^holdfast cancel c1$/,
      },
    ],
    [
      'it was silent, and has spoken since',
      turning({
        view: running({ lastActivityAt: at(55) }),
        recent: [quiet, event('assistant.segment.started', 55, {})],
      }),
      { state: 'running', says: /written/, since: at(55), fix: null },
    ],
    [
      'another attempt was silent',
      turning({ recent: [{ ...quiet, turnId: 't0' }] }),
      { state: 'running', says: /written/, since: at(55), fix: null },
    ],
    [
      'the provider tries again',
      turning({
        recent: [
          event('chat.retrying', 55, { attempt: 2, delayMs: 9_000, status: '529 overloaded' }),
        ],
      }),
      { state: 'retrying', says: /529 overloaded.*in 4 s\.$/, since: at(55), fix: null },
    ],
    [
      'it waits for an approval',
      asking,
      {
        state: 'waiting-for-approval',
        says: /your answer: Run rm/,
        since: at(45),
        fix: /^holdfast answer c1 a1 allow$/,
      },
    ],
    [
      'it is being cancelled',
      cancelling,
      { state: 'cancelling', says: /told to end \(TERM\)/, since: at(56), fix: null },
    ],
    [
      'recorded and not begun',
      turning({ isBegun: false, view: running({ phase: 'waiting-for-model' }) }),
      { state: 'starting', says: /about to begin/, since: at(10), fix: null },
    ],
    [
      'its end is being recorded',
      facts({ view: view({ state: 'processing' }), lastTurn: ended('completed') }),
      { state: 'settling', says: /has ended/, since: at(40), fix: null },
    ],
    [
      'it is about to start',
      waiting,
      { state: 'queued', says: /One message waits/, since: at(30), fix: null },
    ],
    [
      'another conversation of the table runs: which, and what that waits for',
      behind,
      {
        state: 'waiting-for-table',
        says: /one of conversation c2 \(“Sums”\) does, waiting for an approval\./,
        since: at(30),
        fix: /^holdfast cancel c2$/,
      },
    ],
    [
      'another conversation of the table comes first',
      facts({
        view: view({ tableId: 'desk', queue: [queued('r2')] }),
        table: table({ before: [{ conversationId: 'c3', since: at(20) }] }),
      }),
      { state: 'waiting-for-table', says: /c3 has waited longer/, since: at(30), fix: null },
    ],
    [
      'the queue is held',
      held,
      { state: 'queue-held', says: /held/, since: at(30), fix: /^holdfast release c1$/ },
    ],
    [
      'some of the queue is held: the rest starts',
      facts({
        view: view({ queue: [queued('r2', { held: true }), queued('r3', { at: at(35) })] }),
      }),
      { state: 'queued', says: /2 messages wait/, since: at(35), fix: null },
    ],
    [
      'mail has come',
      mail({ takeable: true, untaken: 2 }),
      { state: 'mail-waiting', says: /Mail/, since: null, fix: null },
    ],
    [
      'mail that waits for a turn that ends well is no reason',
      mail({ untaken: 2 }),
      { state: 'idle', says: /Nothing runs/, since: null, fix: null },
    ],
    [
      'its team is to be told of a restart',
      mail({ isOwedRecovery: true }),
      { state: 'mail-waiting', says: /restart has interrupted/, since: null, fix: null },
    ],
  ];
  it.each(rows)('%s', (_what, given, expected) => {
    expectAnswer(whyOf(given), expected);
  });
});

describe('what is in the way, and whether the next step needs it', () => {
  const still = (role: EngineProcess['role']) => processes({ role, stillForMs: 8_000 });
  const rows: [string, WhyFacts, Expected][] = [
    [
      'Temporal stands still',
      facts({ temporal: silent }),
      {
        state: 'temporal-away',
        says: /Temporal server does not answer/,
        since: null,
        fix: /^kill -KILL 101$/,
      },
    ],
    [
      'Temporal died, and the supervisor starts it again',
      facts({ temporal: silent, processes: without('temporal') }),
      { state: 'temporal-away', says: /does not answer/, since: null, fix: null },
    ],
    [
      'Temporal is just starting',
      facts({ temporal: silent, processes: processes({ role: 'temporal', startedAt: at(50) }) }),
      { state: 'temporal-away', says: /does not answer/, since: null, fix: null },
    ],
    [
      'Temporal died after its supervisor',
      facts({
        temporal: silent,
        processes: processes().filter(({ role }) => role !== 'temporal' && role !== 'supervisor'),
      }),
      {
        state: 'temporal-away',
        says: /The supervisor was killed/,
        since: null,
        fix: /^holdfast start$/,
      },
    ],
    [
      'Temporal is somebody else’s',
      facts({ temporal: silent, embeddedTemporal: false }),
      { state: 'temporal-away', says: /does not answer/, since: null, fix: /^holdfast doctor$/ },
    ],
    [
      'the worker stands still',
      facts({ temporal: noWorker, processes: still('worker') }),
      { state: 'worker-away', says: /No worker answers/, since: null, fix: /^kill -KILL 102$/ },
    ],
    [
      'the worker stands still, and a command waits for it',
      facts({
        temporal: look({
          workflow: {
            is: 'running',
            task: { since: at(42), attempt: 1, isTaken: false },
            turn: null,
          },
          worker: { is: 'silent', says: 'has not answered within 1.5 s' },
        }),
        processes: still('worker'),
      }),
      { state: 'worker-away', says: /nobody takes it up/, since: at(42), fix: /^kill -KILL 102$/ },
    ],
    [
      'the worker died and is started again',
      facts({ temporal: noWorker, processes: without('worker') }),
      { state: 'worker-away', says: /No worker/, since: null, fix: null },
    ],
    [
      'the worker beats and does not answer: it is busy',
      facts({ temporal: noWorker }),
      { state: 'worker-away', says: /No worker/, since: null, fix: null },
    ],
    [
      'no worker, and nobody to start one',
      facts({ temporal: noWorker, processes: null }),
      { state: 'worker-away', says: /No worker/, since: null, fix: /^holdfast start$/ },
    ],
    [
      'a Workflow that is not there cannot be asked; the worker’s process tells',
      facts({
        temporal: look({ workflow: { is: 'unknown' }, worker: { is: 'not-asked' } }),
        processes: still('worker'),
      }),
      { state: 'worker-away', says: /No worker/, since: null, fix: /^kill -KILL 102$/ },
    ],
    [
      'its Workflow fails again and again',
      facts({
        temporal: look({
          workflow: {
            is: 'running',
            task: { since: at(20), attempt: 7, isTaken: false },
            turn: null,
          },
          worker: { is: 'failing', says: 'workflow task in failed state' },
        }),
      }),
      {
        state: 'workflow-stuck',
        says: /fails again and again/,
        since: at(20),
        fix: /^temporal workflow terminate --workflow-id conversation:c1 /,
      },
    ],
    [
      'a task that nobody takes is given out again: that is the worker',
      facts({
        temporal: look({
          workflow: {
            is: 'running',
            task: { since: at(20), attempt: 7, isTaken: false },
            turn: null,
          },
          worker: { is: 'silent', says: 'x' },
        }),
        processes: still('worker'),
      }),
      { state: 'worker-away', says: /No worker/, since: at(20), fix: /^kill/ },
    ],
    [
      'Temporal has lost its Workflow while something waits',
      { ...waiting, temporal: look({ workflow: { is: 'unknown' }, worker: { is: 'not-asked' } }) },
      { state: 'workflow-lost', says: /does not know its Workflow/, since: null, fix: null },
    ],
    [
      'an operator has terminated it while something waits',
      {
        ...waiting,
        temporal: look({
          workflow: { is: 'closed', status: 'terminated' },
          worker: { is: 'not-asked' },
        }),
      },
      { state: 'workflow-lost', says: /ended from outside/, since: null, fix: null },
    ],
    [
      'the same, with nothing to do: its next message starts it',
      facts({ temporal: look({ workflow: { is: 'unknown' }, worker: { is: 'not-asked' } }) }),
      { state: 'idle', says: /your turn/, since: null, fix: null },
    ],
    [
      'the turn host stands still in mid-turn',
      turning({ processes: still('turn-host') }),
      { state: 'turn-host-away', says: /provider goes on/, since: null, fix: /^kill -KILL 103$/ },
    ],
    [
      'the turn host died in mid-turn',
      turning({ processes: without('turn-host') }),
      { state: 'turn-host-away', says: /provider goes on/, since: null, fix: null },
    ],
    [
      'the turn host is elsewhere, and its heartbeat has stopped',
      turning({
        processes: null,
        temporal: look({
          workflow: {
            is: 'running',
            task: null,
            turn: {
              since: at(10),
              attempt: 1,
              isTaken: true,
              heartbeatAt: at(40),
              failure: null,
            },
          },
        }),
      }),
      { state: 'turn-host-away', says: /provider goes on/, since: at(40), fix: /^holdfast start$/ },
    ],
    [
      'the disk is full, and a turn waits for room',
      turning({ isBegun: false, room: full }),
      { state: 'disk-full', says: /10 MB are free/, since: null, fix: /^holdfast doctor$/ },
    ],
    [
      'the disk is full, and nothing runs: what is sent now is refused',
      facts({ room: full }),
      { state: 'disk-full', says: /Nothing new is begun/, since: null, fix: /^holdfast doctor$/ },
    ],

    // Not needed now: the answer stays, and what is wrong is said behind it.
    [
      'a turn runs while Temporal is away',
      turning({ temporal: silent }),
      {
        state: 'running',
        says: /written\. The Temporal server does not/,
        since: at(55),
        fix: /^kill -KILL 101$/,
      },
    ],
    [
      'a silent turn while the worker is away: a cancel could not be carried out',
      { ...quietTurn, temporal: noWorker, processes: still('worker') },
      { state: 'quiet', says: /No worker answers/, since: at(30), fix: /^kill -KILL 102$/ },
    ],
    [
      'the same while the worker is being started again: a cancel would only wait',
      { ...quietTurn, temporal: noWorker, processes: without('worker') },
      { state: 'quiet', says: /No worker answers/, since: at(30), fix: null },
    ],
    [
      'an approval while Temporal is away',
      { ...asking, temporal: silent },
      { state: 'waiting-for-approval', says: /Run rm .*Temporal/, since: at(45), fix: /^kill/ },
    ],
    [
      'an approval that nobody could pass on',
      { ...asking, processes: still('turn-host') },
      { state: 'turn-host-away', says: /turn host is away/, since: null, fix: /^kill -KILL 103$/ },
    ],
    [
      'a held queue while the worker is away',
      { ...held, temporal: noWorker, processes: still('worker') },
      { state: 'queue-held', says: /held.*No worker/, since: at(30), fix: /^kill -KILL 102$/ },
    ],
    [
      'what waits for the table goes on waiting for it, whatever else is wrong',
      { ...behind, temporal: silent },
      { state: 'waiting-for-table', says: /c2.*Temporal/, since: at(30), fix: /^kill -KILL 101$/ },
    ],
    [
      'a turn runs, and the disk is nearly full',
      turning({ room: full }),
      {
        state: 'running',
        says: /written\. The disk is full/,
        since: at(55),
        fix: /^holdfast doctor$/,
      },
    ],
    [
      'the supervisor was killed: nothing waits for it',
      turning({ processes: without('supervisor') }),
      {
        state: 'running',
        says: /The supervisor was killed/,
        since: at(55),
        fix: /^holdfast start$/,
      },
    ],
    [
      'an own command comes before that of what is not needed',
      { ...held, room: full },
      { state: 'queue-held', says: /disk is full/, since: at(30), fix: /^holdfast release c1$/ },
    ],
    [
      'of two that are in the way, Temporal comes before the disk',
      facts({ temporal: silent, room: full }),
      {
        state: 'temporal-away',
        says: /Temporal.*disk is full/,
        since: null,
        fix: /^kill -KILL 101$/,
      },
    ],
  ];
  it.each(rows)('%s', (_what, given, expected) => {
    expectAnswer(whyOf(given), expected);
  });
});

describe('evidence', () => {
  const of = (given: WhyFacts): Record<string, string> =>
    Object.fromEntries(whyOf(given).evidence.map(({ what, value }) => [what, value]));

  it('of a silence is what the engine has measured, in words', () => {
    expect(of(quietTurn)).toMatchObject({
      turn: 't1, attempt 1',
      'last event': 'tool.start',
      'last output': at(30),
      provider: 'scripted',
      'the provider’s process': 'lives',
      'its pid': '4711',
      'CPU used': '0.0 s',
      'processes of the turn': '2',
    });
  });

  it('of an approval is what it asks for', () => {
    expect(of(asking)['asks for']).toBe('{"command":"rm -r build"}');
  });

  it('of an obstacle names what the conversation would do without it', () => {
    expect(of({ ...waiting, temporal: silent })).toMatchObject({
      'without that': 'One message waits here, about to be started.',
      Temporal: 'does not answer',
    });
  });

  it('says what could not be asked', () => {
    const answer = of({ ...behind, table: { answered: false, says: 'does not answer' } });
    expect(answer['table']).toBe('could not be asked: does not answer');
  });

  it('of an idle conversation is its last turn and what comes next', () => {
    const answer = of(
      facts({
        lastTurn: ended('completed'),
        nextTrigger: { triggerId: 'nightly', dueAt: at(59) },
      }),
    );
    expect(answer['last turn']).toBe(`t1, completed at ${at(40)}`);
    expect(answer['next trigger']).toBe(`nightly, due ${at(59)}`);
    expect(answer['its Workflow says']).toBe('Idle.');
  });
});

it('the link is that Workflow’s page, or null when nobody knows the address', () => {
  expect(whyOf(facts({ namespace: 'my space' })).temporalUi).toBe(
    'http://127.0.0.1:8233/namespaces/my%20space/workflows/conversation%3Ac1',
  );
  expect(whyOf(facts({ temporalUi: null })).temporalUi).toBeNull();
});

it.each([
  [400, '0.4 s'],
  [12_000, '12 s'],
  [180_000, '3 min'],
  [7_500_000, '2 h 5 min'],
  [7_200_000, '2 h'],
  [-5, '0.0 s'],
])('%i ms is %s', (ms, words) => {
  expect(lasting(ms)).toBe(words);
});
