/** What the rules of the checker have in common: a log as read, violations as counted. */
import type { Event, OutcomeName, PhaseName } from '../../src/contracts/events.ts';
import { attemptKey } from '../../src/contracts/ids.ts';
import type { ConversationEvidence, LogEntry, Reread } from './evidence.ts';

/**
 * Torture's own names: Q1 for the silence clock (design.md section 6), Q2 for a full disk, T1 for lists and titles (what is
 * listed is what is there), H1 for what a provider is told of before (docs/model.md).
 */
export const INVARIANTS = [
  'A1',
  'A2',
  'A3',
  'L1',
  'L2',
  'L3',
  'L4',
  'L5',
  'F1',
  'F2',
  'S1',
  'S2',
  'T1',
  'H1',
  'D1',
  'D2',
  'M1',
  'M2',
  'T2',
  'C1',
  'C2',
  'P1',
  'P2',
  'P3',
  'W1',
  'W2',
  'R1',
  'Q1',
  'Q2',
] as const;
export type Invariant = (typeof INVARIANTS)[number];

export type Violation = {
  invariant: Invariant;
  what: string;
  conversationId?: string;
  tableId?: string;
  triggerId?: string;
  turnId?: string;
  seqs?: readonly number[];
  /** Lines of the log around it, and what else shows it. */
  excerpt: readonly string[];
};

export type Verdict = {
  violations: readonly Violation[];
  /** How many single facts were checked, by invariant. */
  checked: ReadonlyMap<Invariant, number>;
};

/** Clocks of one machine, rounded to milliseconds. */
export const CLOCK_SLACK_MS = 50;
export const OUTCOME_OF: Readonly<Record<string, OutcomeName>> = {
  'chat.done': 'completed',
  'chat.error': 'failed',
  'chat.cancelled': 'cancelled',
  'chat.interrupted': 'interrupted',
};
/** Events that only a provider's output makes. */
const OUTPUT = new Set([
  'assistant.segment.started',
  'assistant.segment.ended',
  'assistant.segment.discarded',
  'chat.delta',
  'tool.start',
  'tool.output',
  'tool.end',
  'approval.requested',
  'chat.retrying',
  'usage',
]);

export class Court {
  readonly violations: Violation[] = [];
  readonly checked = new Map<Invariant, number>();

  /** Counts one fact, and holds it against the engine when it is false. */
  expect(
    invariant: Invariant,
    holds: boolean,
    violation: () => Omit<Violation, 'invariant'>,
  ): void {
    this.checked.set(invariant, (this.checked.get(invariant) ?? 0) + 1);
    if (!holds) this.violations.push({ invariant, ...violation() });
  }
}

export type Sign = { seq: number; atMs: number };

/** An attempt as the log tells it. */
export type Attempt = {
  turnId: string;
  attempt: number;
  requestId: string | null;
  content: string;
  startSeq: number;
  startAtMs: number;
  ends: { seq: number; type: string; cause: string | null; atMs: number }[];
  lastOutput: { seq: number; type: string } | null;
  segments: Map<string, { kind: string; text: string; end: string | null }>;
  /** Contents of the messages that it has taken in, in order. */
  steered: string[];
  tools: string[];
  cancelRequests: { seq: number; by: string; atMs: number }[];
  /** The last event before the end, and before it was stopped, from which silence counts. */
  lastSign: Sign;
  /** The same as the custody before the last takeover had it, when nothing has come since but the takeover. */
  signBeforeTakeover: Sign | null;
  /** The first step by which its present custody stops it, and whether any has begun to. */
  stoppingSeq: number | null;
  stopped: boolean;
  quiets: { seq: number; phase: PhaseName; silentMs: number; processAlive: boolean }[];
};

export type Known = {
  evidence: ConversationEvidence;
  tableId: string | null;
  events: readonly Event[];
  bySeq: ReadonlyMap<number, string>;
  attempts: ReadonlyMap<string, Attempt>;
  contents: ReadonlyMap<string, string>;
};

export function readLog(evidence: ConversationEvidence): Known {
  const events = evidence.log.map(({ json }) => JSON.parse(json) as Event);
  const bySeq = new Map(evidence.log.map(({ seq, json }) => [seq, json]));
  const attempts = new Map<string, Attempt>();
  const contents = new Map<string, string>();
  for (const event of events) {
    const { turnId } = event;
    // Its prompt; what a running turn takes in carries the attempt that did.
    if (event.type === 'message.created' && turnId !== undefined && event.attempt === undefined)
      contents.set(turnId, event.payload.content);
    if (turnId === undefined) continue;
    if (event.type === 'chat.started') {
      const { attempt } = event.payload;
      const key = attemptKey(turnId, attempt);
      // A second start under one name would hide what follows the first.
      if (!attempts.has(key))
        attempts.set(key, {
          turnId,
          attempt,
          requestId: event.requestId ?? null,
          content: contents.get(turnId) ?? '',
          startSeq: event.seq,
          startAtMs: Date.parse(event.at),
          ends: [],
          lastOutput: null,
          segments: new Map(),
          steered: [],
          tools: [],
          cancelRequests: [],
          lastSign: { seq: event.seq, atMs: Date.parse(event.at) },
          signBeforeTakeover: null,
          stoppingSeq: null,
          stopped: false,
          quiets: [],
        });
      continue;
    }
    if (event.attempt === undefined) continue;
    const found = attempts.get(attemptKey(turnId, event.attempt));
    if (found !== undefined) noteEvent(found, event);
  }
  const created = events.find((event) => event.type === 'conversation.created');
  const tableId = created?.payload.tableId ?? null;
  return { evidence, tableId, events, bySeq, attempts, contents };
}

function noteEvent(attempt: Attempt, event: Event): void {
  const { seq } = event;
  const atMs = Date.parse(event.at);
  if (OUTPUT.has(event.type)) attempt.lastOutput = { seq, type: event.type };
  noteSilence(attempt, event, atMs);
  switch (event.type) {
    case 'assistant.segment.started':
      attempt.segments.set(event.payload.messageId, {
        kind: event.payload.kind,
        text: '',
        end: null,
      });
      return;
    case 'chat.delta': {
      const segment = attempt.segments.get(event.payload.messageId);
      if (segment !== undefined) segment.text += event.payload.text;
      return;
    }
    case 'assistant.segment.ended': {
      const segment = attempt.segments.get(event.payload.messageId);
      if (segment !== undefined) segment.end = event.payload.content;
      return;
    }
    case 'assistant.segment.discarded':
      attempt.segments.delete(event.payload.messageId);
      return;
    case 'message.created':
      attempt.steered.push(event.payload.content);
      return;
    case 'tool.start':
      attempt.tools.push(event.payload.name);
      return;
    case 'chat.cancelling':
      if (event.payload.step === 'requested')
        attempt.cancelRequests.push({ seq, by: event.payload.by ?? '', atMs });
      return;
    case 'chat.done':
      attempt.ends.push({ seq, type: event.type, cause: null, atMs });
      return;
    case 'chat.error':
      attempt.ends.push({ seq, type: event.type, cause: event.payload.code, atMs });
      return;
    case 'chat.cancelled':
      attempt.ends.push({ seq, type: event.type, cause: event.payload.by, atMs });
      return;
    case 'chat.interrupted':
      attempt.ends.push({ seq, type: event.type, cause: event.payload.cause, atMs });
      return;
    default:
  }
}

function noteSilence(attempt: Attempt, event: Event, atMs: number): void {
  const { seq } = event;
  switch (event.type) {
    case 'chat.quiet': {
      const { phase, silentMs, evidence } = event.payload;
      const processAlive = evidence['processAlive'] === true && typeof evidence['pid'] === 'number';
      attempt.quiets.push({ seq, phase, silentMs, processAlive });
      return;
    }
    case 'chat.cancelling':
      if (event.payload.step === 'requested') return;
      attempt.stoppingSeq ??= seq;
      attempt.stopped = true;
      return;
    case 'chat.attached':
      // What nobody has asked for is a stop of the engine's own, and the next custody goes on with it.
      if (attempt.stopped && attempt.cancelRequests.length === 0) return;
      // Else the clock begins anew.
      attempt.stoppingSeq = null;
      attempt.signBeforeTakeover ??= attempt.lastSign;
      attempt.lastSign = { seq, atMs };
      return;
    default:
      // Once it is being stopped its silence has been measured: what comes is how it ends.
      if (attempt.stoppingSeq !== null || event.type in OUTCOME_OF) return;
      if (event.type === 'notice' && event.payload.code === 'storage_full') return;
  }
  attempt.lastSign = { seq, atMs };
  attempt.signBeforeTakeover = null;
}

/** What became of a request first, by the log. */
export type LoggedReceipt = {
  status: 'started' | 'queued' | 'rejected';
  turnId: string | null;
  seq: number;
  position?: number;
  code?: string;
};

/** By requestId. */
export function receiptsOf({ events }: Known): Map<string, LoggedReceipt[]> {
  const logged = new Map<string, LoggedReceipt[]>();
  for (const event of events) {
    const { requestId, seq } = event;
    if (requestId === undefined) continue;
    const turnId = event.turnId ?? null;
    const add = (receipt: LoggedReceipt): void => {
      logged.set(requestId, [...(logged.get(requestId) ?? []), receipt]);
    };
    if (event.type === 'chat.queued')
      add({ status: 'queued', turnId, seq, position: event.payload.position });
    else if (event.type === 'chat.rejected')
      add({ status: 'rejected', turnId: null, seq, code: event.payload.code });
    // A queued request starts later; its receipt for ever is "queued".
    else if (event.type === 'chat.started' && logged.get(requestId)?.[0]?.status !== 'queued')
      add({ status: 'started', turnId, seq });
  }
  return logged;
}

/** The content that was taken of a request: as it began to wait, or as it started. Null: none was, or its turn is a retried one. */
export function contentTaken(
  known: Known,
  requestId: string,
  receipt: LoggedReceipt,
): string | null {
  if (receipt.status === 'rejected') return null;
  for (const event of known.events) {
    if (event.type !== 'queue.changed') continue;
    // While it waits it may be edited.
    const row = event.payload.queue.find((each) => each.requestId === requestId);
    if (row !== undefined) return row.content;
  }
  return known.contents.get(receipt.turnId ?? '') ?? null;
}

/** Where a violation shows. */
export type Place = Omit<Violation, 'invariant' | 'what'>;

/** A stream as it was recorded, of a conversation or a table. */
export type StreamRecord = {
  log: readonly LogEntry[];
  rereads: readonly Reread[];
  bySeq: ReadonlyMap<number, string>;
  /** The lines around these seqs. */
  at: (seqs: readonly number[]) => Place;
};

/** The lines of a log around these seqs, shortened. */
export function excerpt(log: readonly LogEntry[], seqs: readonly number[]): string[] {
  const wanted = new Set(seqs.flatMap((seq) => [seq - 2, seq - 1, seq, seq + 1, seq + 2]));
  return log
    .filter(({ seq }) => wanted.has(seq))
    .slice(0, 40)
    .map(({ json }) => json.slice(0, 300));
}

export function at(known: Known, seqs: readonly number[], turnId?: string): Place {
  return {
    conversationId: known.evidence.conversationId,
    seqs,
    excerpt: excerpt(known.evidence.log, seqs),
    ...(turnId === undefined ? {} : { turnId }),
  };
}

export function streamOf(known: Known): StreamRecord {
  const { log, rereads } = known.evidence;
  return { log, rereads, bySeq: known.bySeq, at: (seqs) => at(known, seqs) };
}

/** A path at which two values differ, or null. Absent and undefined are the same. */
export function firstDifference(got: unknown, wanted: unknown, path = ''): string | null {
  if (Object.is(got, wanted)) return null;
  if (typeof got !== 'object' || typeof wanted !== 'object' || got === null || wanted === null)
    return `${path || 'it'} is ${short(got)}, not ${short(wanted)}`;
  const keys = new Set([...Object.keys(got), ...Object.keys(wanted)]);
  for (const key of keys) {
    const differs = firstDifference(
      Reflect.get(got, key) as unknown,
      Reflect.get(wanted, key) as unknown,
      `${path}/${key}`,
    );
    if (differs !== null) return differs;
  }
  return null;
}

function short(value: unknown): string {
  return (JSON.stringify(value) ?? 'absent').slice(0, 200);
}
