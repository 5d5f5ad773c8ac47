/** Triggers with a ledger, written straight into the store by the appends that the engine makes. Nothing is due of them. */
import type { DecidedFireValue, TriggerDefinitionValue } from '../../src/contracts/events.ts';
import { appendKey, triggerStream } from '../../src/contracts/ids.ts';
import { DECISIONS_AT_ONCE } from '../../src/contracts/limits.ts';
import type { Store } from '../../src/store/port.ts';

const FIRST_MS = Date.UTC(2020, 0, 1);
const SECOND_MS = 1_000;

/** What is asked of a trigger that a measurement writes; the rest is as the gateway fills it in. */
export type Asked = Pick<TriggerDefinitionValue, 'schedule'> &
  Partial<Omit<TriggerDefinitionValue, 'schedule'>>;

export async function createInStore(
  store: Store,
  {
    triggerId,
    asked,
    decidedUntilMs,
    nextDueAtMs,
  }: { triggerId: string; asked: Asked; decidedUntilMs: number; nextDueAtMs: number | null },
): Promise<void> {
  await store.append({
    stream: triggerStream(triggerId),
    key: appendKey.created(),
    events: [
      {
        type: 'trigger.created',
        payload: {
          triggerId,
          rule: 'r1',
          definition: {
            title: 'A trigger with a past',
            tableId: null,
            conversationId: null,
            content: 'What is new?',
            jitterMs: 0,
            startAt: null,
            endAt: null,
            missed: { policy: 'run-once' },
            whenBusy: 'queue',
            newConversation: false,
            paused: false,
            ...asked,
          },
          decidedUntil: stamp(decidedUntilMs),
          nextDueAt: nextDueAtMs === null ? null : stamp(nextDueAtMs),
        },
      },
    ],
  });
}

/** One that nobody looks at any more, with so many rows, a second apart. */
export async function createWithLedger(
  store: Store,
  { triggerId, asked, rows }: { triggerId: string; asked: Asked; rows: number },
): Promise<void> {
  await createInStore(store, {
    triggerId,
    asked,
    decidedUntilMs: FIRST_MS,
    nextDueAtMs: null,
  });
  for (let written = 0; written < rows; written += DECISIONS_AT_ONCE) {
    const end = Math.min(rows, written + DECISIONS_AT_ONCE);
    await store.append({
      stream: triggerStream(triggerId),
      events: [
        {
          type: 'trigger.decided',
          payload: {
            triggerId,
            cause: 'due',
            from: stamp(FIRST_MS + written * SECOND_MS),
            until: stamp(FIRST_MS + end * SECOND_MS),
            nextDueAt: null,
            fires: Array.from({ length: end - written }, (_, index) => row(written + index + 1)),
          },
        },
      ],
    });
  }
}

function row(index: number): DecidedFireValue {
  const dueAt = stamp(FIRST_MS + index * SECOND_MS);
  return index % 10 === 0
    ? {
        dueAt,
        decidedAt: dueAt,
        outcome: 'rejected',
        reason: 'not_found',
        words: 'In time, 40 ms after it was due. There is no conversation home any more.',
        rule: 'r1',
      }
    : {
        dueAt,
        decidedAt: dueAt,
        outcome: 'skipped',
        reason: 'missed',
        words:
          'Missed: Holdfast was not running when it was due, 4 h before. Not run: of 86400, run-once runs the latest.',
        rule: 'r1',
      };
}

function stamp(ms: number): string {
  return new Date(ms).toISOString();
}
