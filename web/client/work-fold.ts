/**
 * What the running turn does: the snapshot's active turn, and what events say beside it.
 *
 * The phase is the view's (src/domain/fold.ts); since when it lasts is not in the view, so the same rule is followed here event by
 * event. After a snapshot, which does not say it either, it is the newest moment that may have begun it.
 */
import type { Event, PhaseName } from '../../src/contracts/events.ts';
import type { ConversationViewValue } from '../../src/contracts/view.ts';
import { quietEvidence } from '../../src/domain/why-words.ts';
import type { Work } from './contract.ts';
import { endOf } from './turn-book.ts';

/** Everything in the server's time. */
type Marks = {
  turnId: string;
  attempt: number;
  phase: PhaseName;
  phaseSinceMs: number;
  segments: Set<string>;
  /** toolCallId → name. */
  tools: Map<string, string>;
  /** approvalId → title. */
  approvals: Map<string, string>;
  /** Something was heard of it since it began. */
  isHeard: boolean;
  /** It has an event that was not told by a snapshot. */
  isMoved: boolean;
  quiet: Work['quiet'];
  cancelling: Work['cancelling'];
  retrying: Work['retrying'];
};

export class WorkFold {
  #marks: Marks | null = null;

  /** From a snapshot; what was known of the same attempt beside it is kept. */
  begin(view: ConversationViewValue): void {
    const turn = view.activeTurn;
    if (turn === null) {
      this.#marks = null;
      return;
    }
    const { turnId, attempt, phase } = turn;
    const rows = view.messages.filter(
      (row) => row.turnId === turnId && row.attempt === attempt && row.status === 'open',
    );
    const known =
      this.#marks?.turnId === turnId && this.#marks.attempt === attempt ? this.#marks : null;
    const marks: Marks = {
      turnId,
      attempt,
      phase,
      phaseSinceMs: 0,
      segments: new Set(rows.flatMap((row) => (row.tool === undefined ? [row.messageId] : []))),
      tools: new Map(
        rows.flatMap(({ tool }) => (tool === undefined ? [] : [[tool.toolCallId, tool.name]])),
      ),
      approvals: new Map(view.approvals.map(({ approvalId, title }) => [approvalId, title])),
      isHeard: turn.lastActivityAt !== turn.startedAt,
      isMoved: false,
      quiet: known?.quiet ?? null,
      cancelling: known?.cancelling ?? [],
      retrying: known?.retrying ?? null,
    };
    marks.phaseSinceMs =
      known?.phase === phase ? known.phaseSinceMs : sinceOf(view, marks, turn.lastActivityAt);
    this.#marks = marks;
  }

  apply(event: Event): void {
    const { turnId, type } = event;
    if (type === 'chat.started') {
      if (turnId === undefined) return;
      const { attempt } = event.payload;
      this.#marks = emptyMarks({ turnId, attempt, sinceMs: Date.parse(event.at) });
      return;
    }
    const marks = this.#marks;
    if (marks === null || turnId !== marks.turnId) return;
    if (event.attempt !== undefined && event.attempt !== marks.attempt) return;
    if (endOf(event) !== null) {
      if (event.attempt !== undefined) this.#marks = null;
      return;
    }
    marks.isMoved = true;
    if (type === 'chat.quiet') {
      const atMs = Date.parse(event.at);
      const { silentMs, evidence } = event.payload;
      marks.quiet = {
        sinceMs: atMs - silentMs,
        evidence: quietEvidence(evidence),
      };
      return;
    }
    marks.isHeard = true;
    marks.quiet = null;
    if (type === 'chat.retrying') {
      const { attempt, delayMs, status } = event.payload;
      marks.retrying = { attempt, untilMs: Date.parse(event.at) + delayMs, status };
      return;
    }
    // Its own words are over; a look at its processes or a new host is not the provider's.
    if (type !== 'chat.attached' && type !== 'chat.cancelling') marks.retrying = null;
    this.#changePhase(marks, event);
  }

  #changePhase(marks: Marks, event: Event): void {
    switch (event.type) {
      case 'chat.cancelling': {
        const { step } = event.payload;
        const isBegun = marks.cancelling.length > 0;
        // The sweep comes after every end, wanted or not; alone it is no cancel.
        if (step === 'sweep' && !isBegun) return;
        if (!marks.cancelling.some((each) => each.step === step))
          marks.cancelling = [...marks.cancelling, { step, atMs: Date.parse(event.at) }];
        if (step !== 'sweep') enter(marks, 'cancelling', event);
        return;
      }
      case 'assistant.segment.started':
        marks.segments.add(event.payload.messageId);
        break;
      case 'assistant.segment.ended':
      case 'assistant.segment.discarded':
        marks.segments.delete(event.payload.messageId);
        break;
      case 'tool.start':
        marks.tools.set(event.payload.toolCallId, event.payload.name);
        break;
      case 'tool.end':
        marks.tools.delete(event.payload.toolCallId);
        break;
      case 'approval.requested':
        marks.approvals.set(event.payload.approvalId, event.payload.title);
        break;
      case 'approval.resolved':
        marks.approvals.delete(event.payload.approvalId);
        break;
      default:
        return;
    }
    if (marks.phase === 'cancelling') return;
    const phase =
      marks.approvals.size > 0
        ? 'waiting-for-approval'
        : marks.tools.size > 0
          ? 'tool-running'
          : marks.segments.size > 0
            ? 'streaming'
            : 'waiting-for-model';
    enter(marks, phase, event);
  }

  /** Events of before the snapshot: what it does not say of the running attempt. What was heard since then counts more. */
  recall(events: readonly Event[]): void {
    const marks = this.#marks;
    if (marks === null) return;
    const { turnId, attempt, phase } = marks;
    const before = new WorkFold();
    before.#marks = emptyMarks({ turnId, attempt, sinceMs: 0 });
    for (const event of events)
      if (event.turnId === turnId && event.attempt === attempt) before.apply(event);
    const told = before.#marks;
    if (told === null) return;
    const steps = new Set(marks.cancelling.map(({ step }) => step));
    const earlier = told.cancelling.filter(({ step }) => !steps.has(step));
    marks.cancelling = [...earlier, ...marks.cancelling];
    if (marks.isMoved) return;
    marks.quiet = told.quiet;
    marks.retrying = told.retrying;
    if (told.phase === phase && told.phaseSinceMs > 0) marks.phaseSinceMs = told.phaseSinceMs;
  }

  /** As of `view`, which all events that were applied are folded into. `clockOffsetMs`: how far the server's clock is ahead. */
  work(view: ConversationViewValue, clockOffsetMs: number, usage: Work['usage']): Work | null {
    const turn = view.activeTurn;
    const marks = this.#marks;
    if (turn === null || marks === null) return null;
    const here = (ms: number): number => ms - clockOffsetMs;
    const { phase, quiet, retrying } = marks;
    return {
      turnId: turn.turnId,
      attempt: turn.attempt,
      phase: phase === 'waiting-for-model' && !marks.isHeard ? 'starting' : phase,
      phaseSinceMs: here(marks.phaseSinceMs),
      startedAtMs: here(Date.parse(turn.startedAt)),
      lastSignMs: here(Date.parse(turn.lastActivityAt)),
      detail: detailOf(marks),
      quiet: quiet === null ? null : { ...quiet, sinceMs: here(quiet.sinceMs) },
      cancelling: marks.cancelling.map(({ step, atMs }) => ({ step, atMs: here(atMs) })),
      retrying: retrying === null ? null : { ...retrying, untilMs: here(retrying.untilMs) },
      usage,
    };
  }
}

function emptyMarks({
  turnId,
  attempt,
  sinceMs,
}: {
  turnId: string;
  attempt: number;
  sinceMs: number;
}): Marks {
  return {
    turnId,
    attempt,
    phase: 'waiting-for-model',
    phaseSinceMs: sinceMs,
    segments: new Set(),
    tools: new Map(),
    approvals: new Map(),
    isHeard: false,
    isMoved: false,
    quiet: null,
    cancelling: [],
    retrying: null,
  };
}

function enter(marks: Marks, phase: PhaseName, event: Event): void {
  if (marks.phase === phase) return;
  marks.phase = phase;
  marks.phaseSinceMs = Date.parse(event.at);
}

function detailOf({ phase, approvals, tools }: Marks): string | null {
  const names =
    phase === 'waiting-for-approval' ? approvals : phase === 'tool-running' ? tools : null;
  return names === null ? null : ([...names.values()].at(-1) ?? null);
}

function sinceOf(view: ConversationViewValue, marks: Marks, lastActivityAt: string): number {
  const last = Date.parse(lastActivityAt);
  switch (marks.phase) {
    case 'waiting-for-approval': {
      const [first] = view.approvals;
      return first === undefined ? last : Date.parse(first.at);
    }
    case 'tool-running':
    case 'streaming': {
      const open = view.messages.find(
        ({ messageId, tool, status, turnId }) =>
          status === 'open' &&
          turnId === marks.turnId &&
          (marks.phase === 'tool-running' ? tool !== undefined : marks.segments.has(messageId)),
      );
      return open === undefined ? last : Date.parse(open.at);
    }
    default:
      return last;
  }
}
