/**
 * The table, as pure decisions: which of its conversations is active, that is, holds the slot.
 *
 * Decided on what the store says at that moment, not on a model: who waits and what runs is other Workflows' business, and
 * goes on changing. So a decision may be made on what is no longer true, and must do no harm then:
 *  S1 it never starts anything: it moves the slot, and tells conversations to look. The store refuses a second turn.
 *  W1 whoever is refused because of it tells the table again; nothing waits for a word that was said only once.
 *  T2 deciding the same command twice (its worker died in between) gives the same slot, and effects that say no more than
 *     the first did.
 *  T3 only a person's act takes the slot from a conversation that runs or has something waiting.
 */
import type { NewEvent } from '../contracts/events.ts';
import { isId } from '../contracts/ids.ts';
import { TITLE_LIMIT_CHARS } from '../contracts/limits.ts';
import { characters } from './title.ts';

/** See `TableState` of store/port.ts, whose shape this is. */
export type TableFacts = {
  activeConversationId: string | null;
  running: { conversationId: string; cancelRequested: boolean } | null;
  waiting: readonly { conversationId: string; since: string }[];
};

export type TableCommand =
  | {
      type: 'newConversation';
      conversationId: string;
      title: string;
      provider: string;
      model: string | null;
    }
  | {
      type: 'activate';
      commandId: string;
      conversationId: string;
      whenBusy: 'queue' | 'reject' | 'interrupt';
    }
  | { type: 'update'; commandId: string; title: string }
  /** A conversation has something waiting. */
  | { type: 'want'; conversationId: string; interrupt: boolean }
  /** There may be something to decide. `yields`: that conversation gives way to one that has waited longer. */
  | { type: 'look'; yields: string | null };

export type TableEffect =
  /** What runs there is cancelled; with `holdQueue` what waits there stays. */
  | { type: 'cancel'; conversationId: string; by: string; holdQueue: boolean }
  /** That conversation reads the store, and starts what it may. */
  | { type: 'look'; conversationId: string };

export type TableDecision = { events: NewEvent[]; effects: TableEffect[] };

type Reason = Extract<NewEvent, { type: 'conversation.activated' }>['payload']['reason'];

const NOTHING: TableDecision = { events: [], effects: [] };

/** What `command` leads to. The caller has seen to it that the conversation it names belongs to the table. */
export function decideTable(facts: TableFacts, command: TableCommand): TableDecision {
  switch (command.type) {
    case 'newConversation': {
      const { conversationId } = command;
      return {
        events: activate(facts, conversationId, 'created'),
        effects: [...takeOver(facts, conversationId, 'new-chat'), { type: 'look', conversationId }],
      };
    }
    case 'activate':
      return decideActivate(facts, command);
    case 'update': {
      const { commandId, title } = command;
      return { events: [{ type: 'table.updated', payload: { title, commandId } }], effects: [] };
    }
    case 'want':
      return decideWant(facts, command);
    case 'look':
      return facts.running === null
        ? giveTo(facts, longestWaiting(facts, command.yields))
        : NOTHING;
  }
}

function decideActivate(
  facts: TableFacts,
  { conversationId, whenBusy, commandId }: Extract<TableCommand, { type: 'activate' }>,
): TableDecision {
  const { running } = facts;
  const othersRun = running !== null && running.conversationId !== conversationId;
  if (othersRun && whenBusy === 'reject') return NOTHING;
  return {
    events: activate(facts, conversationId, 'user', commandId),
    effects: [
      ...(whenBusy === 'interrupt' ? takeOver(facts, conversationId, 'interrupt') : []),
      { type: 'look', conversationId },
    ],
  };
}

function decideWant(
  facts: TableFacts,
  { conversationId, interrupt }: Extract<TableCommand, { type: 'want' }>,
): TableDecision {
  const { running, waiting } = facts;
  // It was true when it was said. Since then it has started, been held, or been emptied.
  if (!waiting.some((each) => each.conversationId === conversationId))
    return running === null ? giveTo(facts, longestWaiting(facts, null)) : NOTHING;
  if (interrupt) {
    const events = activate(facts, conversationId, 'send');
    if (running === null) return { events, effects: [{ type: 'look', conversationId }] };
    // It is told to look when what runs has ended.
    const { cancelRequested, conversationId: other } = running;
    const cancel = {
      type: 'cancel',
      conversationId: other,
      by: 'interrupt',
      holdQueue: false,
    } as const;
    return { events, effects: cancelRequested ? [] : [cancel] };
  }
  return running === null ? giveTo(facts, longestWaiting(facts, null), 'send') : NOTHING;
}

/** Moves the slot to a conversation that waits; nothing when none does. */
function giveTo(
  facts: TableFacts,
  conversationId: string | null,
  reason: Reason = 'queue',
): TableDecision {
  if (conversationId === null) return NOTHING;
  return {
    events: activate(facts, conversationId, reason),
    effects: [{ type: 'look', conversationId }],
  };
}

/**
 * Whose turn it is: the active conversation, if it waits and does not give way (somebody has chosen it); else the one that
 * has waited longest.
 */
function longestWaiting(
  { activeConversationId, waiting }: TableFacts,
  yields: string | null,
): string | null {
  const ids = waiting.map(({ conversationId }) => conversationId);
  if (
    activeConversationId !== null &&
    activeConversationId !== yields &&
    ids.includes(activeConversationId)
  )
    return activeConversationId;
  return ids[0] ?? null;
}

/**
 * A person goes elsewhere: what runs is cancelled, and neither its queue nor what waits where the person was takes the slot
 * back from the new place.
 */
function takeOver(facts: TableFacts, conversationId: string, by: string): TableEffect[] {
  const { activeConversationId, running, waiting } = facts;
  const left = new Set<string>();
  if (running !== null) left.add(running.conversationId);
  if (
    activeConversationId !== null &&
    waiting.some((each) => each.conversationId === activeConversationId)
  )
    left.add(activeConversationId);
  left.delete(conversationId);
  return [...left].map((each) => ({
    type: 'cancel',
    conversationId: each,
    by,
    holdQueue: true,
  }));
}

function activate(
  { activeConversationId }: TableFacts,
  conversationId: string,
  reason: Reason,
  commandId?: string,
): NewEvent[] {
  if (activeConversationId === conversationId) return [];
  const payload = {
    previous: activeConversationId,
    reason,
    ...(commandId === undefined ? {} : { commandId }),
  };
  return [{ type: 'conversation.activated', conversationId, payload }];
}

/** A signal's argument as a command; null when it has not the documented shape: an operator may have typed it. */
export function parseTableSignal(
  name: 'newConversation' | 'activate' | 'updateTable' | 'wantSlot' | 'look',
  value: unknown,
): TableCommand | null {
  const fields = value ?? {};
  if (typeof fields !== 'object' || Array.isArray(fields)) return null;
  const given: Record<string, unknown> = { ...fields };
  const { conversationId, commandId, whenBusy, title, provider, model } = given;
  switch (name) {
    case 'newConversation':
      if (!isId(conversationId) || typeof provider !== 'string' || provider === '') return null;
      return {
        type: 'newConversation',
        conversationId,
        title: typeof title === 'string' ? characters(title, TITLE_LIMIT_CHARS) : '',
        provider,
        model: typeof model === 'string' ? model : null,
      };
    case 'activate':
      if (!isId(conversationId) || !isId(commandId)) return null;
      return {
        type: 'activate',
        commandId,
        conversationId,
        whenBusy: whenBusy === 'reject' || whenBusy === 'interrupt' ? whenBusy : 'queue',
      };
    case 'updateTable':
      if (!isId(commandId) || typeof title !== 'string') return null;
      return { type: 'update', commandId, title: characters(title, TITLE_LIMIT_CHARS) };
    case 'wantSlot':
      if (!isId(conversationId)) return null;
      return { type: 'want', conversationId, interrupt: given['interrupt'] === true };
    case 'look':
      return { type: 'look', yields: isId(given['yields']) ? given['yields'] : null };
  }
}

/** The table in a sentence, for the Temporal Web UI. */
export function describeTable(activeConversationId: string | null): string {
  return activeConversationId === null
    ? 'No conversation is active.'
    : `Conversation ${activeConversationId} is active.`;
}
