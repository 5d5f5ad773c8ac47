/**
 * The fold from events to the snapshot: what a client, the store and the page all make of a log.
 *
 * Invariants:
 *  1 Folding a log in any number of pieces gives the same view: snapshot ⊕ events after its `lastSeq` = the whole
 *    log folded (L4). An event at or below `lastSeq` changes nothing.
 *  2 The view given is never changed; what an event did not touch is shared with the new view.
 *  3 The rows, once no turn is open, are those that `projection.ts` keeps in the store.
 *  4 An unknown event type moves `lastSeq` and nothing else; so does an end of what is not the running attempt.
 *  5 A view may be a page (`hasOlder`): it becomes the same page of the whole fold, whatever it does not show.
 */
import type { Event, PhaseName } from '../contracts/events.ts';
import type {
  ActiveTurnValue,
  ApprovalViewValue,
  ConversationViewValue,
  MessageViewValue,
} from '../contracts/view.ts';
import { copiedRow, heldAfter } from './projection.ts';
import { addUsage } from './segments.ts';

/** The view of a conversation of which no event is known. */
export function emptyView(conversationId: string): ConversationViewValue {
  return {
    conversationId,
    tableId: null,
    title: '',
    archived: false,
    provider: '',
    model: null,
    workspacePath: '',
    state: 'idle',
    messages: [],
    activeTurn: null,
    overlays: {},
    queue: [],
    held: false,
    approvals: [],
    usage: { inputTokens: 0, outputTokens: 0 },
    hasOlder: false,
    lastSeq: 0,
  };
}

/** The view after one event. For many at once {@link foldEvents} is faster: it copies each part once. */
export function applyToView(view: ConversationViewValue, event: Event): ConversationViewValue {
  return foldEvents(view, [event]);
}

/** The view after `events`, which are in order of `seq`; `view` itself when all of them are known to it. */
export function foldEvents(
  view: ConversationViewValue,
  events: Iterable<Event>,
): ConversationViewValue {
  let draft: Draft | null = null;
  for (const event of events) {
    if (event.seq <= (draft?.view ?? view).lastSeq) continue;
    draft ??= newDraft(view);
    fold(draft, event);
    draft.view.lastSeq = event.seq;
  }
  return draft === null ? view : draft.view;
}

/**
 * A view being made. Its large parts are the original's until they are owned, that is copied once and then changed
 * in place; small parts and single rows are replaced instead.
 */
type Draft = {
  view: ConversationViewValue;
  ownsMessages: boolean;
  ownsOverlays: boolean;
  ownsTurn: boolean;
};

function newDraft(view: ConversationViewValue): Draft {
  return { view: { ...view }, ownsMessages: false, ownsOverlays: false, ownsTurn: false };
}

function fold(draft: Draft, event: Event): void {
  const { view } = draft;
  switch (event.type) {
    case 'conversation.created': {
      const { tableId, title, provider, model, workspacePath } = event.payload;
      Object.assign(view, { tableId, title, provider, model, workspacePath });
      break;
    }
    case 'conversation.updated': {
      const { title, archived, provider, model } = event.payload;
      if (title !== undefined) view.title = title;
      if (archived !== undefined) view.archived = archived;
      if (provider !== undefined) view.provider = provider;
      if (model !== undefined) view.model = model;
      break;
    }
    case 'conversation.state':
      view.state = event.payload.state;
      break;
    case 'queue.changed': {
      const { queue, held } = event.payload;
      view.queue = queue;
      view.held = heldAfter(queue, held) ?? view.held;
      break;
    }
    case 'message.created': {
      const { messageId, role, content, mail } = event.payload;
      const marks = mail === undefined ? {} : { mail };
      addRow(draft, event, {
        messageId,
        role,
        kind: 'text',
        content,
        status: 'complete',
        ...marks,
      });
      break;
    }
    case 'message.copied':
      messagesOf(draft).push(copiedRow(event.payload));
      break;
    case 'history.cut':
      cutAfter(draft, event.payload.messageId);
      break;
    case 'chat.started':
      startTurn(draft, event);
      break;
    case 'assistant.segment.started': {
      const { messageId, kind } = event.payload;
      addRow(draft, event, { messageId, role: 'assistant', kind, content: '', status: 'open' });
      overlaysOf(draft)[messageId] = '';
      break;
    }
    case 'chat.delta': {
      const { messageId, text } = event.payload;
      const soFar = overlayOf(view, messageId);
      if (soFar !== undefined) overlaysOf(draft)[messageId] = soFar + text;
      break;
    }
    case 'assistant.segment.ended': {
      const { messageId, content, status } = event.payload;
      closeRow(draft, messageId, content, status);
      break;
    }
    case 'assistant.segment.discarded':
      closeRow(draft, event.payload.messageId, '', 'discarded');
      break;
    case 'tool.start': {
      const { messageId, toolCallId, name, input } = event.payload;
      const tool = { toolCallId, name, input, status: 'running' as const };
      addRow(draft, event, {
        messageId,
        role: 'tool',
        kind: 'tool',
        content: '',
        status: 'open',
        tool,
      });
      break;
    }
    case 'tool.output': {
      const { toolCallId, text } = event.payload;
      const index = findTool(view, event, toolCallId);
      const row = view.messages[index];
      if (row?.status === 'open')
        messagesOf(draft)[index] = { ...row, content: row.content + text };
      break;
    }
    case 'tool.end': {
      const { toolCallId, status, output } = event.payload;
      const index = findTool(view, event, toolCallId);
      const row = view.messages[index];
      if (row?.tool !== undefined)
        messagesOf(draft)[index] = {
          ...row,
          content: output,
          status: 'complete',
          tool: { ...row.tool, status },
        };
      break;
    }
    case 'approval.requested': {
      const { turnId, at } = event;
      if (turnId === undefined) break;
      const others = approvalsBut(view, event.payload.approvalId);
      view.approvals = [...others, { ...event.payload, turnId, at }];
      break;
    }
    case 'approval.resolved':
      view.approvals = approvalsBut(view, event.payload.approvalId);
      break;
    case 'usage':
      view.usage = addUsage(view.usage, event.payload);
      break;
    case 'chat.done':
    case 'chat.error':
    case 'chat.cancelled':
    case 'chat.interrupted':
      endTurn(draft, event);
      break;
    default:
      break;
  }
  noteActivity(draft, event);
}

function startTurn(draft: Draft, event: Extract<Event, { type: 'chat.started' }>): void {
  const { turnId, requestId = null, at } = event;
  if (turnId === undefined) return;
  draft.view.activeTurn = {
    turnId,
    requestId,
    attempt: event.payload.attempt,
    phase: 'waiting-for-model',
    startedAt: at,
    lastActivityAt: at,
  };
  draft.ownsTurn = true;
}

/** The end of the running attempt. One without an attempt is a queued send's that was removed: nothing ran. */
function endTurn(draft: Draft, event: Event): void {
  const { view } = draft;
  const turn = view.activeTurn;
  if (turn === null || event.turnId !== turn.turnId || event.attempt !== turn.attempt) return;
  view.activeTurn = null;
  view.approvals = view.approvals.filter(({ turnId }) => turnId !== turn.turnId);
  // The recorder closes everything before it ends; a log written by something older might not have.
  for (const index of openRows(view, turn)) {
    const row = view.messages[index];
    if (row === undefined) continue;
    if (row.tool === undefined) {
      closeRow(draft, row.messageId, overlayOf(view, row.messageId) ?? '', 'partial');
    } else {
      const tool = { ...row.tool, status: 'error' as const };
      messagesOf(draft)[index] = { ...row, status: 'partial', tool };
    }
  }
}

/** Moves `lastActivityAt` and the phase, for an event of the running attempt. */
function noteActivity(draft: Draft, event: Event): void {
  const { view } = draft;
  const turn = view.activeTurn;
  if (turn === null || event.turnId !== turn.turnId) return;
  if (event.attempt !== undefined && event.attempt !== turn.attempt) return;
  // `chat.quiet` tells that nothing happens.
  if (event.type === 'chat.quiet') return;
  const phase = phaseAfter(view, turn, event);
  if (draft.ownsTurn) {
    turn.lastActivityAt = event.at;
    turn.phase = phase;
  } else {
    view.activeTurn = { ...turn, lastActivityAt: event.at, phase };
    draft.ownsTurn = true;
  }
}

/** The phase by what is open, as in `phaseOf` of segments.ts; only these events change what is open. */
function phaseAfter(view: ConversationViewValue, turn: ActiveTurnValue, event: Event): PhaseName {
  switch (event.type) {
    case 'chat.cancelling':
      // The sweep comes after every end, wanted or not; it is no cancel by itself.
      return event.payload.step === 'sweep' ? turn.phase : 'cancelling';
    case 'assistant.segment.started':
    case 'assistant.segment.ended':
    case 'assistant.segment.discarded':
    case 'tool.start':
    case 'tool.end':
    case 'approval.requested':
    case 'approval.resolved': {
      if (turn.phase === 'cancelling') return 'cancelling';
      if (view.approvals.length > 0) return 'waiting-for-approval';
      const open = openRows(view, turn).map((index) => view.messages[index]?.role);
      if (open.includes('tool')) return 'tool-running';
      return open.includes('assistant') ? 'streaming' : 'waiting-for-model';
    }
    default:
      return turn.phase;
  }
}

/** Indexes of the rows of `turn`'s attempt that are open, newest first. */
function openRows(view: ConversationViewValue, turn: ActiveTurnValue): number[] {
  const open: number[] = [];
  for (let index = view.messages.length - 1; index >= 0; index -= 1) {
    const row = view.messages[index];
    if (row === undefined || row.attempt === null) continue;
    // Rows of an earlier attempt: all of this one's have been seen.
    if (row.turnId !== turn.turnId || row.attempt !== turn.attempt) break;
    if (row.status === 'open') open.push(index);
  }
  return open;
}

/** The newest row of that call in the event's attempt, or -1. */
function findTool(view: ConversationViewValue, event: Event, toolCallId: string): number {
  return view.messages.findLastIndex(
    (row) =>
      row.tool?.toolCallId === toolCallId &&
      row.turnId === event.turnId &&
      row.attempt === event.attempt,
  );
}

function addRow(
  draft: Draft,
  event: Event,
  row: Omit<MessageViewValue, 'turnId' | 'attempt' | 'at'>,
): void {
  const { messageId, role, kind, content, status, tool, mail } = row;
  const { turnId = null, attempt = null, at } = event;
  const base = { messageId, role, kind, turnId, attempt, content, status, at };
  messagesOf(draft).push({
    ...base,
    ...(tool === undefined ? {} : { tool }),
    ...(mail === undefined ? {} : { mail }),
  });
}

/** Marks the rows after that message; null: all rows. What a page does not show is older than the page. */
function cutAfter(draft: Draft, messageId: string | null): void {
  const { view } = draft;
  const index =
    messageId === null ? -1 : view.messages.findLastIndex((row) => row.messageId === messageId);
  if (messageId !== null && index === -1 && !view.hasOlder) return;
  for (let cut = index + 1; cut < view.messages.length; cut += 1) {
    const row = view.messages[cut];
    if (row !== undefined && row.cut === undefined) messagesOf(draft)[cut] = { ...row, cut: true };
  }
}

/** Gives a segment's row its content and status, once, and drops its overlay. */
function closeRow(
  draft: Draft,
  messageId: string,
  content: string,
  status: MessageViewValue['status'],
): void {
  const { view } = draft;
  const index = view.messages.findLastIndex((row) => row.messageId === messageId);
  const row = view.messages[index];
  if (row !== undefined) messagesOf(draft)[index] = { ...row, content, status };
  if (overlayOf(view, messageId) !== undefined) delete overlaysOf(draft)[messageId];
}

function approvalsBut(view: ConversationViewValue, approvalId: string): ApprovalViewValue[] {
  return view.approvals.filter((approval) => approval.approvalId !== approvalId);
}

function messagesOf(draft: Draft): MessageViewValue[] {
  if (!draft.ownsMessages) draft.view.messages = [...draft.view.messages];
  draft.ownsMessages = true;
  return draft.view.messages;
}

function overlaysOf(draft: Draft): Record<string, string> {
  if (!draft.ownsOverlays) draft.view.overlays = { ...draft.view.overlays };
  draft.ownsOverlays = true;
  return draft.view.overlays;
}

/** `constructor` is a well-formed id: an inherited property is not an overlay. */
function overlayOf(view: ConversationViewValue, messageId: string): string | undefined {
  return Object.hasOwn(view.overlays, messageId) ? view.overlays[messageId] : undefined;
}
