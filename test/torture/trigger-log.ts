/** A trigger as its stream tells it, and what came of the requests that it names: what the rules of triggers rest on. */
import type {
  DecidedFireValue,
  Event,
  TriggerCauseName,
  TriggerDefinitionValue,
} from '../../src/contracts/events.ts';
import { excerpt, type Known, type LoggedReceipt, receiptsOf, type StreamRecord } from './court.ts';
import type { TriggerEvidence } from './evidence.ts';

/** A definition in force after `fromMs`. */
export type Rule = { name: string; definition: TriggerDefinitionValue; fromMs: number };

/** One decision, with the rule that was in force and its place among all events. */
export type Fire = DecidedFireValue & {
  triggerId: string;
  cause: TriggerCauseName;
  definition: TriggerDefinitionValue;
  dueMs: number;
  decidedMs: number;
  recordedMs: number;
  seq: number;
  order: number;
};

export type Trigger = {
  evidence: TriggerEvidence;
  events: readonly Event[];
  stream: StreamRecord;
  /** In order. */
  rules: Rule[];
  fires: Fire[];
  isRemoved: boolean;
};

export type Decided = Extract<Event, { type: 'trigger.decided' }>;

/** What came of a request. */
export type Fate = { known: Known; receipt: LoggedReceipt; order: number };

export const RAN = new Set(['fired', 'late', 'caught-up']);

/** Counts one fact about a trigger. */
export type Expect = (holds: boolean, what: () => string) => void;

export function readTrigger(evidence: TriggerEvidence): Trigger {
  const { triggerId, log, rereads, places } = evidence;
  const events = log.map(({ json }) => JSON.parse(json) as Event);
  const orders = new Map(places.map(({ seq, order }) => [seq, order]));
  const rules: Rule[] = [];
  const fires: Fire[] = [];
  for (const event of events) {
    if (event.type === 'trigger.created' || event.type === 'trigger.updated') {
      const { rule: name, definition, ...rest } = event.payload;
      const fromMs = Date.parse('from' in rest ? rest.from : rest.decidedUntil);
      rules.push({ name, definition, fromMs });
    }
    const rule = rules.at(-1);
    if (event.type !== 'trigger.decided' || rule === undefined) continue;
    const { cause } = event.payload;
    for (const fire of event.payload.fires)
      fires.push({
        ...fire,
        triggerId,
        cause,
        definition: rule.definition,
        dueMs: Date.parse(fire.dueAt),
        decidedMs: Date.parse(fire.decidedAt),
        recordedMs: Date.parse(event.at),
        seq: event.seq,
        order: orders.get(event.seq) ?? Infinity,
      });
  }
  return {
    evidence,
    events,
    stream: {
      log,
      rereads,
      bySeq: new Map(log.map(({ seq, json }) => [seq, json])),
      at: (seqs) => ({ triggerId, seqs, excerpt: excerpt(log, seqs) }),
    },
    rules,
    fires,
    isRemoved: events.some(({ type }) => type === 'trigger.removed'),
  };
}

/** By requestId. */
export function fatesOf(all: readonly Known[]): Map<string, Fate[]> {
  const fates = new Map<string, Fate[]>();
  for (const known of all) {
    const orders = new Map(known.evidence.epochs.map(({ seq, order }) => [seq, order]));
    for (const [requestId, receipts] of receiptsOf(known))
      for (const receipt of receipts) {
        const fate = { known, receipt, order: orders.get(receipt.seq) ?? -1 };
        fates.set(requestId, [...(fates.get(requestId) ?? []), fate]);
      }
  }
  return fates;
}

export const stamp = (ms: number): string => new Date(ms).toISOString();
