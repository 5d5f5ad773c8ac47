/**
 * Whether what is said of a trigger may be written (D1 of port.ts). Neutral of the engine.
 *
 * Asked before anything is written, of all events of an append in their order: the second is decided upon what the first left.
 */
import { HoldfastError } from '../contracts/errors.ts';
import type { DecidedFireValue, EventPayloads, NewEvent } from '../contracts/events.ts';
import { isRun } from '../domain/projection.ts';

/** A trigger as its next event finds it; null: it was never created. */
export type Standing = { decidedUntil: string; removed: boolean } | null;

/**
 * Throws: `not_found` for a trigger that was not created, `fenced` for one that is removed or was decided further meanwhile.
 * And a TypeError, which is a defect of the caller, for events of another trigger and for decisions that break D1 by themselves.
 */
export function checkTriggerEvents({
  triggerId,
  standing,
  events,
}: {
  triggerId: string;
  standing: Standing;
  events: readonly NewEvent[];
}): void {
  let now = standing;
  for (const event of events) {
    if (!isOfTrigger(event)) continue;
    if (event.payload.triggerId !== triggerId)
      throw new TypeError(`an event of trigger ${event.payload.triggerId} in another's stream`);
    if (event.type === 'trigger.created') {
      now ??= { decidedUntil: event.payload.decidedUntil, removed: false };
      continue;
    }
    if (now === null)
      throw new HoldfastError('not_found', 'This trigger has not been created.', { triggerId });
    if (now.removed) throw fenced('This trigger is removed.', { triggerId });
    const from = basisOf(event);
    if (from !== null && from !== now.decidedUntil)
      throw fenced('Somebody else has decided of this trigger meanwhile.', {
        triggerId,
        from,
        decidedUntil: now.decidedUntil,
      });
    if (event.type === 'trigger.decided') now = decided(now, event.payload);
    else if (event.type === 'trigger.removed') now = { ...now, removed: true };
  }
}

type TriggerEvent = Extract<
  NewEvent,
  { type: 'trigger.created' | 'trigger.updated' | 'trigger.removed' | 'trigger.decided' }
>;

function isOfTrigger(event: NewEvent): event is TriggerEvent {
  return (
    event.type === 'trigger.created' ||
    event.type === 'trigger.updated' ||
    event.type === 'trigger.removed' ||
    event.type === 'trigger.decided'
  );
}

/** Up to where it takes things to have been decided; null: that does not matter to it. */
function basisOf(event: Exclude<TriggerEvent, { type: 'trigger.created' }>): string | null {
  if (event.type !== 'trigger.decided') return event.payload.from;
  if (event.payload.cause !== 'due') return null;
  if (event.payload.from === undefined)
    throw new TypeError('a decision of due times says since when');
  return event.payload.from;
}

function decided(
  standing: NonNullable<Standing>,
  { cause, until, fires }: EventPayloads['trigger.decided'],
): NonNullable<Standing> {
  for (const fire of fires) checkFire(fire);
  const { decidedUntil } = standing;
  if (cause === 'backfill') {
    // It would be in the way of the decision that is still to come.
    const early = fires.find(({ dueAt }) => dueAt > decidedUntil);
    if (early !== undefined) throw new TypeError(`${early.dueAt} has not been decided yet`);
  }
  if (cause !== 'due') return standing;
  // Going back would make times due a second time.
  if (until === undefined || until < decidedUntil)
    throw new TypeError('a decision of due times says up to when, and does not go back');
  const outside = fires.find(({ dueAt }) => dueAt <= decidedUntil || dueAt > until);
  if (outside !== undefined)
    throw new TypeError(`${outside.dueAt} does not lie after ${decidedUntil} and up to ${until}`);
  return { ...standing, decidedUntil: until };
}

function checkFire({
  dueAt,
  outcome,
  requestId,
  conversationId,
  whenBusy,
}: DecidedFireValue): void {
  const sendable =
    requestId !== undefined && conversationId !== undefined && whenBusy !== undefined;
  if (isRun(outcome) && !sendable)
    throw new TypeError(`what runs at ${dueAt} has no request, conversation or whenBusy`);
}

function fenced(message: string, detail: Readonly<Record<string, unknown>>): HoldfastError {
  return new HoldfastError('fenced', message, detail);
}
