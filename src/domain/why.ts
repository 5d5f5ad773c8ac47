/**
 * Why a conversation does not go on, as a pure decision: facts in, one answer out. Source: docs/why.md.
 *
 *  1 What would happen next comes from the store alone ({@link nextStep}); what is in the way from everything else (why-obstacles.ts).
 *  2 An obstacle is the answer when the next step needs it; else it is said behind the answer.
 *  3 What could not be asked is evidence, never a guess; a command is given only where something is wrong.
 */
import type { Event, PhaseName } from '../contracts/events.ts';
import type { WhyValue } from '../contracts/http.ts';
import { conversationWorkflowId } from '../contracts/ids.ts';
import type { ConversationViewValue } from '../contracts/view.ts';
import { startable } from './conversation.ts';
import type { NextStep, ObstacleName, WhyFacts } from './why-facts.ts';
import { obstaclesOf } from './why-obstacles.ts';
import { lasting, quietEvidence, secondsBetween } from './why-words.ts';

const ENGINE = ['temporal', 'worker', 'workflow'] as const;
const EVERYTHING: readonly ObstacleName[] = [...ENGINE, 'turn-host', 'disk'];

/** The answer. */
export function whyOf(facts: WhyFacts): WhyValue {
  const next = nextStep(facts);
  const obstacles = obstaclesOf(facts, next);
  const evidence = [...(next.evidence ?? []), ...commonEvidence(facts)];
  const temporalUi = workflowPage(facts);
  const inTheWay = next.needs
    .map((name) => obstacles.find((obstacle) => obstacle.name === name))
    .find((obstacle) => obstacle !== undefined);
  const others = obstacles.filter((obstacle) => obstacle !== inTheWay);
  evidence.push(...obstacles.flatMap((obstacle) => obstacle.evidence));
  const besides = others.map(({ says }) => says);
  if (inTheWay !== undefined) {
    const { state, says, since, fix } = inTheWay;
    return {
      state,
      waitingFor: [says, consequenceOf(next), ...besides].join(' '),
      since,
      evidence: [{ what: 'without that', value: next.says }, ...evidence],
      fix,
      temporalUi,
    };
  }
  // A command is carried out by Temporal and a worker: without them it would only wait with the rest.
  const blocker = others.find(({ name }) => ENGINE.some((part) => part === name));
  const fix =
    next.fix !== null && blocker === undefined
      ? next.fix
      : (blocker?.fix ?? others.find((obstacle) => obstacle.fix !== null)?.fix ?? null);
  return {
    state: next.state,
    waitingFor: [next.says, ...besides].join(' '),
    since: next.since,
    evidence,
    fix,
    temporalUi,
  };
}

/** The first that holds, by the store alone. */
export function nextStep(facts: WhyFacts): NextStep {
  const { view } = facts;
  if (view.activeTurn !== null) return ofTurn(facts, view.activeTurn);
  if (view.state !== 'idle')
    return {
      state: 'settling',
      says: 'Its last turn has ended, and what follows from that is being recorded.',
      since: facts.lastTurn?.endedAt ?? null,
      fix: null,
      needs: ENGINE,
    };
  if (startable(view.queue) !== undefined) return ofQueue(facts);
  if (view.queue.length > 0) return ofHeldQueue(facts);
  return ofMail(facts) ?? ofRest(facts);
}

function ofTurn(facts: WhyFacts, turn: NonNullable<ConversationViewValue['activeTurn']>): NextStep {
  const { view, recent, now } = facts;
  const { conversationId } = view;
  const ofAttempt = recent.filter(
    (event) => event.turnId === turn.turnId && event.attempt === turn.attempt,
  );
  const cancel = {
    command: `holdfast cancel ${conversationId}`,
    why: 'Ends the turn. What it has said is kept, and it can be run again (holdfast retry).',
  };
  const base = { needs: ['turn-host'] as const, fix: null, evidence: turnEvidence(facts, turn) };

  if (view.state === 'cancelled' || turn.phase === 'cancelling')
    return ofCancel(base, ofAttempt, turn.phase);
  const [approval] = view.approvals;
  if (approval !== undefined) {
    const { approvalId, title, at } = approval;
    return {
      ...base,
      state: 'waiting-for-approval',
      says: `It waits for your answer: ${title}`,
      since: at,
      fix: {
        command: `holdfast answer ${conversationId} ${approvalId} allow`,
        why: 'Allows it; with deny in place of allow it is refused. Look at what it asks for first.',
      },
      evidence: [
        ...base.evidence,
        { what: 'asks for', value: asText(approval.input) },
        ...(view.approvals.length > 1
          ? [{ what: 'further approvals', value: String(view.approvals.length - 1) }]
          : []),
      ],
    };
  }
  if (facts.isBegun === false) {
    const wantsRoom = ofAttempt.find(
      (event) => event.type === 'notice' && event.payload.code === 'storage_full',
    );
    return {
      ...base,
      state: 'starting',
      says: 'Its turn is recorded, and the turn host is about to begin it.',
      since: turn.startedAt,
      needs: ['turn-host', 'disk'],
      evidence: [
        ...base.evidence,
        ...(wantsRoom === undefined ? [] : [{ what: 'notice', value: 'it waits for room' }]),
      ],
    };
  }
  const quiet = ofAttempt.at(-1);
  if (quiet?.type === 'chat.quiet' && quiet.at >= turn.lastActivityAt) {
    const { phase, silentMs, evidence } = quiet.payload;
    const silentFor = lasting(silentMs + secondsBetween(quiet.at, now) * 1_000);
    return {
      ...base,
      state: 'quiet',
      says: `The provider has said nothing for ${silentFor} while ${DOING[phase]}. It may be at work or stuck.`,
      since: turn.lastActivityAt,
      fix: cancel,
      evidence: [...base.evidence, ...quietEvidence(evidence)],
    };
  }
  const retrying = ofAttempt.findLast((event) => event.type !== 'usage');
  if (retrying?.type === 'chat.retrying') {
    const { attempt, delayMs, status } = retrying.payload;
    const leftMs = Math.max(0, delayMs - secondsBetween(retrying.at, now) * 1_000);
    return {
      ...base,
      state: 'retrying',
      says: `The model refused (${status}), and the provider tries again by itself${leftMs > 0 ? ` in ${lasting(leftMs)}` : ' now'}.`,
      since: retrying.at,
      evidence: [...base.evidence, { what: 'tries of the provider', value: String(attempt) }],
    };
  }
  const tool = view.messages.findLast((row) => row.tool !== undefined && row.status === 'open');
  return {
    ...base,
    state: 'running',
    says:
      turn.phase === 'tool-running' && tool?.tool !== undefined
        ? `Its turn runs: the tool ${tool.tool.name} is at work.`
        : RUNNING[turn.phase],
    since: turn.phase === 'tool-running' && tool !== undefined ? tool.at : turn.lastActivityAt,
  };
}

const DOING: Record<PhaseName, string> = {
  'waiting-for-model': 'it waits for the model',
  streaming: 'it was answering',
  'tool-running': 'a tool runs',
  'waiting-for-approval': 'it waits for an approval',
  cancelling: 'it is being cancelled',
};
const RUNNING: Record<PhaseName, string> = {
  'waiting-for-model': 'Its turn runs: the model was asked and has not begun to answer.',
  streaming: 'Its turn runs: the answer is being written.',
  'tool-running': 'Its turn runs: a tool is at work.',
  'waiting-for-approval': 'Its turn runs: an approval was just answered.',
  cancelling: 'Its turn is being cancelled.',
};

const STEPS = {
  requested: 'it was asked for',
  protocol: 'the provider was asked to stop',
  terminate: 'its processes were told to end (TERM)',
  kill: 'its processes were killed (KILL)',
  sweep: 'what it left behind is being ended',
} as const;
/** Protocol 2 s, TERM 3 s, KILL and the sweep: with some patience (docs/architecture.md). */
const CANCEL_TAKES_MS = 20_000;

function ofCancel(
  base: Pick<NextStep, 'fix' | 'needs' | 'evidence'>,
  ofAttempt: readonly Event[],
  phase: PhaseName,
): NextStep {
  const steps = ofAttempt.filter((event) => event.type === 'chat.cancelling');
  const step = steps.at(-1)?.payload.step ?? 'requested';
  return {
    ...base,
    state: 'cancelling',
    says: `Its turn is being cancelled: ${STEPS[step]}. The next step follows by itself; all of them take ${lasting(CANCEL_TAKES_MS)} at most.`,
    since: steps[0]?.at ?? null,
    // The turn host is told by the worker; from the first step on it needs nobody.
    needs: phase === 'cancelling' ? ['turn-host'] : [...ENGINE, 'turn-host'],
    evidence: [
      ...(base.evidence ?? []),
      ...steps.map(({ at, payload }) => ({ what: `${payload.step} at`, value: at })),
    ],
  };
}

function ofQueue(facts: WhyFacts): NextStep {
  const { view, table } = facts;
  const { conversationId, queue } = view;
  const since = startable(queue)?.at ?? null;
  const evidence = queueEvidence(view);
  const waits =
    queue.length === 1 ? 'One message waits here' : `${queue.length} messages wait here`;
  if (table !== null && !table.answered)
    evidence.push({ what: 'table', value: `could not be asked: ${table.says}` });
  if (table?.answered === true) {
    const { running, before } = table.value;
    if (running !== null) {
      const { title, phase, startedAt, turnId } = running;
      const doing = phase === null ? '' : `, ${PHASES[phase]}`;
      return {
        state: 'waiting-for-table',
        says: `${waits} for its table: there one turn runs at a time, and now one of conversation ${running.conversationId}${title === '' ? '' : ` (“${title}”)`} does${doing}.`,
        since,
        fix: {
          command: `holdfast cancel ${running.conversationId}`,
          why: 'It goes on by itself when that turn has ended; this ends it now. What it has said is kept.',
        },
        needs: [],
        evidence: [
          ...evidence,
          { what: 'runs in the table', value: `turn ${turnId} of ${running.conversationId}` },
          ...(startedAt === null ? [] : [{ what: 'that turn began', value: startedAt }]),
        ],
      };
    }
    const [first] = before;
    if (first !== undefined)
      return {
        state: 'waiting-for-table',
        says: `${waits} for its table: conversation ${first.conversationId} has waited longer and comes first.`,
        since,
        fix: null,
        needs: [...ENGINE, 'disk'],
        evidence: [
          ...evidence,
          ...before.map(({ conversationId: other, since: at }) => ({
            what: `${other} waits since`,
            value: at,
          })),
        ],
      };
  }
  return {
    state: 'queued',
    says: `${waits}, about to be started.`,
    since,
    fix: null,
    needs: [...ENGINE, 'disk'],
    evidence: [...evidence, { what: 'conversation', value: conversationId }],
  };
}

const PHASES: Record<PhaseName, string> = {
  'waiting-for-model': 'waiting for the model',
  streaming: 'answering',
  'tool-running': 'with a tool at work',
  'waiting-for-approval': 'waiting for an approval',
  cancelling: 'being cancelled',
};

function ofHeldQueue({ view }: WhyFacts): NextStep {
  const { conversationId, queue } = view;
  return {
    state: 'queue-held',
    says:
      queue.length === 1
        ? 'One message waits here, held: it starts when somebody releases it.'
        : `${queue.length} messages wait here, held: the first starts when somebody releases them.`,
    since: queue[0]?.at ?? null,
    fix: {
      command: `holdfast release ${conversationId}`,
      why: 'Releases what is held; the first message starts then.',
    },
    needs: [],
    evidence: queueEvidence(view),
  };
}

function ofMail({ view, mail }: WhyFacts): NextStep | null {
  if (!mail.answered) return null;
  const { takeable, untaken, isOwedRecovery } = mail.value;
  if (takeable)
    return {
      state: 'mail-waiting',
      says: 'Mail has come for it, and is about to be given to it.',
      since: null,
      fix: null,
      needs: [...ENGINE, 'disk'],
      evidence: [
        { what: 'mail that was not taken', value: String(untaken) },
        { what: 'its team', value: `holdfast agents ${view.conversationId}` },
      ],
    };
  if (isOwedRecovery)
    return {
      state: 'mail-waiting',
      says: 'A restart has interrupted its team, and it is about to be told.',
      since: null,
      fix: null,
      needs: ['turn-host', ...ENGINE],
    };
  return null;
}

/** Nothing is to happen by itself. */
function ofRest(facts: WhyFacts): NextStep {
  const { view, lastTurn, mail, nextTrigger } = facts;
  const evidence: WhyValue['evidence'] = [];
  if (lastTurn !== null)
    evidence.push({
      what: 'last turn',
      value: `${lastTurn.turnId}, ${lastTurn.outcome ?? 'running'}${lastTurn.cause === null ? '' : ` (${lastTurn.cause})`}${lastTurn.endedAt === null ? '' : ` at ${lastTurn.endedAt}`}`,
    });
  if (mail.answered && mail.value.untaken > 0)
    evidence.push({
      what: 'mail',
      value: `${mail.value.untaken} to be given with its next turn that ends well`,
    });
  if (nextTrigger !== null)
    evidence.push({
      what: 'next trigger',
      value: `${nextTrigger.triggerId}, due ${nextTrigger.dueAt}`,
    });
  if (lastTurn?.outcome !== 'failed' && lastTurn?.outcome !== 'interrupted')
    return {
      state: 'idle',
      says:
        lastTurn?.outcome === 'cancelled'
          ? 'Nothing runs and nothing waits: its last turn was cancelled.'
          : 'Nothing runs and nothing waits: it is your turn to write.',
      since: lastTurn?.endedAt ?? null,
      fix: null,
      needs: EVERYTHING,
      evidence,
    };
  const end = facts.recent.findLast(
    ({ type, turnId }) => turnId === lastTurn.turnId && BAD_ENDS.has(type),
  );
  const words =
    end?.type === 'chat.error' || end?.type === 'chat.interrupted'
      ? (end.payload.message ?? '')
      : '';
  const sentence = `its last turn ${lastTurn.outcome === 'failed' ? 'failed' : 'was interrupted'}`;
  return {
    state: 'ended-badly',
    says: `Nothing runs: ${words === '' ? sentence : `${sentence}: ${words}`}${/[.!?]$/.test(words) ? '' : '.'}`,
    since: lastTurn.endedAt,
    fix: {
      command: `holdfast retry ${view.conversationId} ${lastTurn.turnId}`,
      why: 'Runs it again, as a new attempt; or just write the next message.',
    },
    needs: EVERYTHING,
    evidence,
  };
}

const BAD_ENDS = new Set<string>(['chat.error', 'chat.interrupted']);

/** What an obstacle means for whoever asked. */
function consequenceOf({ state }: NextStep): string {
  switch (state) {
    case 'idle':
    case 'ended-badly':
      return 'Nothing runs here; what is sent now is not begun before that is over.';
    case 'starting':
    case 'queued':
    case 'waiting-for-table':
    case 'mail-waiting':
      return 'What waits here starts when that is over; nothing of it is lost.';
    default:
      return 'It goes on when that is over; nothing is lost.';
  }
}

function turnEvidence(
  { view, now }: WhyFacts,
  turn: NonNullable<ConversationViewValue['activeTurn']>,
): WhyValue['evidence'] {
  return [
    { what: 'turn', value: `${turn.turnId}, attempt ${turn.attempt}` },
    { what: 'began', value: turn.startedAt },
    {
      what: 'last sign of life',
      value: `${turn.lastActivityAt} (${lasting(secondsBetween(turn.lastActivityAt, now) * 1_000)} ago)`,
    },
    ...queueEvidence(view),
  ];
}

function queueEvidence({ queue }: ConversationViewValue): WhyValue['evidence'] {
  if (queue.length === 0) return [];
  const held = queue.filter((item) => item.held === true).length;
  return [{ what: 'queue', value: `${queue.length}${held === 0 ? '' : `, ${held} held`}` }];
}

/** What is said of every conversation. */
function commonEvidence({ view, temporal }: WhyFacts): WhyValue['evidence'] {
  const evidence: WhyValue['evidence'] = [
    {
      what: 'provider',
      value: view.model === null ? view.provider : `${view.provider}, ${view.model}`,
    },
  ];
  if (view.archived) evidence.push({ what: 'archived', value: 'yes' });
  if (temporal.answered && temporal.value.worker.is === 'answers')
    evidence.push({ what: 'its Workflow says', value: temporal.value.worker.inWords });
  return evidence;
}

/** The Web UI's page of its Workflow. */
function workflowPage({ view, temporalUi, namespace }: WhyFacts): string | null {
  if (temporalUi === null) return null;
  const workflowId = conversationWorkflowId(view.conversationId);
  return `${temporalUi.replace(/\/+$/, '')}/namespaces/${encodeURIComponent(namespace)}/workflows/${encodeURIComponent(workflowId)}`;
}

const SHOWN_CHARS = 400;

function asText(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.length <= SHOWN_CHARS ? text : `${text.slice(0, SHOWN_CHARS)} …`;
}
