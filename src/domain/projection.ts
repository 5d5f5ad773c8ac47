/**
 * Which rows an event changes: the projections that the store keeps beside the log, in the same transaction.
 *
 * Rules (docs/model.md): user, tool and system rows at once; an assistant row when its segment starts,
 * its content once, when it ends; no write for a delta. What is open (overlays, live tool output, phase,
 * approvals of the running turn) is not projected: a snapshot folds the running turn's events (`fold.ts`).
 */
import type {
  AgentLinkValue,
  ConversationStateName,
  ConversationSummaryValue,
  DecidedFireValue,
  Event,
  EventPayloads,
  OutcomeName,
  QueueItemValue,
  TriggerCauseName,
  TriggerDefinitionValue,
  TriggerOutcomeName,
  UsageValue,
} from '../contracts/events.ts';
import { LAST_LINE_CHARS } from '../contracts/limits.ts';
import type { MessageViewValue } from '../contracts/view.ts';

export type Change =
  | {
      type: 'conversation.insert';
      tableId: string | null;
      title: string;
      provider: string;
      model: string | null;
      workspacePath: string;
      forkedFrom: ConversationSummaryValue['forkedFrom'];
      /** What it was made as by another; null: nobody made it. */
      agent: AgentLinkValue | null;
    }
  /** Another provider than before has no session here: the recorded one is forgotten. */
  | {
      type: 'conversation.update';
      set: {
        title?: string;
        archived?: boolean;
        provider?: string;
        model?: string | null;
        host?: string;
        state?: ConversationStateName;
      };
    }
  /** `held` null: as it was. */
  | { type: 'queue.set'; queue: QueueItemValue[]; held: boolean | null }
  | { type: 'message.insert'; message: MessageViewValue }
  /** The rows after that message, null: all, are no longer part of what the provider knows: its session is forgotten. */
  | { type: 'messages.cut'; messageId: string | null }
  | { type: 'request.steered'; requestId: string; turnId: string; attempt: number }
  | {
      type: 'message.update';
      messageId: string;
      content: string;
      status: MessageViewValue['status'];
    }
  | {
      /** The newest tool row of this attempt with this toolCallId. */
      type: 'tool.update';
      turnId: string;
      attempt: number;
      toolCallId: string;
      content: string;
      toolStatus: 'ok' | 'error' | 'denied';
    }
  | {
      type: 'attempt.insert';
      turnId: string;
      attempt: number;
      requestId: string | null;
      provider: string;
      model: string | null;
    }
  /** Adds to the attempt's usage and to the conversation's. */
  | { type: 'attempt.usage'; turnId: string; attempt: number; usage: UsageValue }
  | { type: 'attempt.cancelling'; turnId: string; attempt: number; by: string }
  | {
      type: 'attempt.end';
      turnId: string;
      attempt: number;
      outcome: OutcomeName;
      cause: string | null;
      /** In words, where the end has some. */
      message: string | null;
      /** The turn host's boot that found it dead. */
      boot: string | null;
    }
  /** A row of the mailbox; the second one of (from, messageId) is none. */
  | ({ type: 'mail.insert' } & EventPayloads['mail.accepted'])
  /** Nothing, unless the row still waits to be taken. */
  | { type: 'mail.expire'; messageId: string; from: string | null }
  /** Nothing, unless the row has failed or expired, and was sent less often. */
  | { type: 'mail.again'; messageId: string; from: string | null; sending: number }
  /** What has become of a request: where it is mail that has not been applied, its row follows. */
  | { type: 'mail.follow'; requestId: string; fate: MailFate }
  | { type: 'approval.insert'; approvalId: string; turnId: string; attempt: number }
  | {
      type: 'approval.resolve';
      approvalId: string;
      decision: 'allow' | 'deny' | 'withdrawn';
      by: string;
    };

/** What becomes of mail: it is in the queue; a turn has begun with it or taken it in; it was refused or removed. */
export type MailFate =
  | { state: 'delivered'; turnId: string | null }
  | { state: 'applied'; turnId: string | null }
  | { state: 'failed'; reason: string };

/** What a table's own events change; what its conversations do is told in its stream and changes nothing there. */
export type TableChange =
  | {
      type: 'table.insert';
      title: string;
      workspacePath: string;
      provider: string;
      model: string | null;
    }
  | { type: 'table.update'; title: string }
  | { type: 'table.activate'; conversationId: string };

/** What a trigger's own events change. */
export type TriggerChange =
  | {
      type: 'trigger.insert';
      rule: string;
      definition: TriggerDefinitionValue;
      decidedUntil: string;
      nextDueAt: string | null;
    }
  /** A definition under the name of an earlier rule takes its place. */
  | {
      type: 'trigger.update';
      rule: string;
      definition: TriggerDefinitionValue;
      nextDueAt: string | null;
    }
  | { type: 'trigger.remove' }
  | { type: 'trigger.advance'; decidedUntil: string; nextDueAt: string | null }
  | { type: 'ledger.insert'; cause: TriggerCauseName; fires: readonly DecidedFireValue[] };

/** The changes of one stored event of a conversation, in order. An event of an unknown type changes nothing. */
export function project(event: Event): Change[] {
  const turnId = event.turnId ?? '';
  const attempt = event.attempt ?? 1;
  switch (event.type) {
    case 'conversation.created':
      return [
        {
          type: 'conversation.insert',
          ...event.payload,
          forkedFrom: event.payload.forkedFrom ?? null,
          agent: event.payload.agent ?? null,
        },
      ];
    case 'conversation.updated': {
      const { commandId: _, ...set } = event.payload;
      return [{ type: 'conversation.update', set }];
    }
    case 'conversation.state':
      return [{ type: 'conversation.update', set: { state: event.payload.state } }];
    case 'queue.changed': {
      const { queue, held } = event.payload;
      return [{ type: 'queue.set', queue, held: heldAfter(queue, held) }];
    }
    case 'message.copied':
      return [{ type: 'message.insert', message: copiedRow(event.payload) }];
    case 'history.cut':
      return [{ type: 'messages.cut', messageId: event.payload.messageId }];
    case 'chat.steered':
      return event.requestId === undefined
        ? []
        : [
            { type: 'request.steered', requestId: event.requestId, ...event.payload },
            ...followed(event, { state: 'applied', turnId: event.payload.turnId }),
          ];
    case 'chat.queued':
      return followed(event, { state: 'delivered', turnId: event.turnId ?? null });
    case 'chat.rejected':
      return followed(event, { state: 'failed', reason: event.payload.code });
    case 'message.created':
      return [
        {
          type: 'message.insert',
          message: {
            messageId: event.payload.messageId,
            role: event.payload.role,
            kind: 'text',
            turnId: event.turnId ?? null,
            attempt: event.attempt ?? null,
            content: event.payload.content,
            status: 'complete',
            at: event.at,
            ...(event.payload.mail === undefined ? {} : { mail: event.payload.mail }),
          },
        },
      ];
    case 'chat.started':
      return [
        ...followed(event, { state: 'applied', turnId: event.turnId ?? null }),
        {
          type: 'attempt.insert',
          turnId,
          attempt,
          requestId: event.requestId ?? null,
          provider: event.payload.provider,
          model: event.payload.model,
        },
      ];
    case 'assistant.segment.started':
      return [
        {
          type: 'message.insert',
          message: {
            messageId: event.payload.messageId,
            role: 'assistant',
            kind: event.payload.kind,
            turnId,
            attempt,
            content: '',
            status: 'open',
            at: event.at,
          },
        },
      ];
    case 'assistant.segment.ended': {
      const { messageId, content, status } = event.payload;
      return [{ type: 'message.update', messageId, content, status }];
    }
    case 'assistant.segment.discarded': {
      const { messageId } = event.payload;
      return [{ type: 'message.update', messageId, content: '', status: 'discarded' }];
    }
    case 'tool.start': {
      const { messageId, toolCallId, name, input } = event.payload;
      return [
        {
          type: 'message.insert',
          message: {
            messageId,
            role: 'tool',
            kind: 'tool',
            turnId,
            attempt,
            content: '',
            status: 'open',
            at: event.at,
            tool: { toolCallId, name, input, status: 'running' },
          },
        },
      ];
    }
    case 'tool.end': {
      const { toolCallId, status, output } = event.payload;
      return [
        { type: 'tool.update', turnId, attempt, toolCallId, content: output, toolStatus: status },
      ];
    }
    case 'approval.requested':
      return [{ type: 'approval.insert', approvalId: event.payload.approvalId, turnId, attempt }];
    case 'approval.resolved': {
      const { approvalId, decision, by } = event.payload;
      return [{ type: 'approval.resolve', approvalId, decision, by }];
    }
    case 'usage':
      return [{ type: 'attempt.usage', turnId, attempt, usage: event.payload }];
    case 'chat.cancelling':
      return event.payload.step === 'requested'
        ? [{ type: 'attempt.cancelling', turnId, attempt, by: event.payload.by ?? 'user' }]
        : [];
    case 'chat.done':
      return ended(event, { outcome: 'completed' });
    case 'chat.error': {
      const { code, message } = event.payload;
      return ended(event, { outcome: 'failed', cause: code, message });
    }
    case 'chat.cancelled':
      return ended(event, { outcome: 'cancelled', cause: event.payload.by });
    case 'chat.interrupted': {
      const { cause, message, boot } = event.payload;
      return ended(event, {
        outcome: 'interrupted',
        cause,
        ...(message === undefined ? {} : { message }),
        ...(boot === undefined ? {} : { boot }),
      });
    }
    case 'mail.accepted':
      return [{ type: 'mail.insert', ...event.payload }];
    case 'mail.expired':
      return [{ type: 'mail.expire', ...event.payload }];
    case 'mail.again':
      return [{ type: 'mail.again', ...event.payload }];
    default:
      return [];
  }
}

function ended(
  event: Event,
  end: { outcome: OutcomeName; cause?: string; message?: string; boot?: string },
): Change[] {
  const { turnId, attempt } = event;
  const { outcome, cause = null, message = null, boot = null } = end;
  // A queued send that was removed ends with `chat.cancelled` and no attempt: there is no row to close.
  return turnId === undefined || attempt === undefined
    ? followed(event, { state: 'failed', reason: 'removed' })
    : [{ type: 'attempt.end', turnId, attempt, outcome, cause, message, boot }];
}

function followed({ requestId }: Event, fate: MailFate): Change[] {
  return requestId === undefined ? [] : [{ type: 'mail.follow', requestId, fate }];
}

/** The row of `message.copied`: with its own time, and of no turn here. */
export function copiedRow(payload: EventPayloads['message.copied']): MessageViewValue {
  const { messageId, role, kind, content, status, at, tool, mail } = payload;
  const row = { messageId, role, kind, turnId: null, attempt: null, content, status, at };
  return {
    ...row,
    ...(tool === undefined ? {} : { tool }),
    ...(mail === undefined ? {} : { mail }),
  };
}

/** Whether a queue is held after `queue.changed`; null: as before. An empty queue holds nothing. */
export function heldAfter(
  queue: readonly QueueItemValue[],
  held: boolean | undefined,
): boolean | null {
  return queue.length === 0 ? false : (held ?? null);
}

/** The changes of one stored event of a table's stream. */
export function projectTable(event: Event): TableChange[] {
  switch (event.type) {
    case 'table.created': {
      const { title, workspacePath, provider, model } = event.payload;
      return [{ type: 'table.insert', title, workspacePath, provider, model }];
    }
    case 'table.updated': {
      const { title } = event.payload;
      return title === undefined ? [] : [{ type: 'table.update', title }];
    }
    case 'conversation.activated':
      return event.conversationId === undefined
        ? []
        : [{ type: 'table.activate', conversationId: event.conversationId }];
    default:
      return [];
  }
}

/** The changes of one stored event of a trigger's stream, in order. */
export function projectTrigger(event: Event): TriggerChange[] {
  switch (event.type) {
    case 'trigger.created': {
      const { rule, definition, decidedUntil, nextDueAt } = event.payload;
      return [{ type: 'trigger.insert', rule, definition, decidedUntil, nextDueAt }];
    }
    case 'trigger.updated': {
      const { rule, definition, nextDueAt } = event.payload;
      return [{ type: 'trigger.update', rule, definition, nextDueAt }];
    }
    case 'trigger.removed':
      return [{ type: 'trigger.remove' }];
    case 'trigger.decided': {
      const { cause, until, nextDueAt = null, fires } = event.payload;
      const rows: TriggerChange = { type: 'ledger.insert', cause, fires };
      // What is run by hand or afterwards says nothing of what has been due meanwhile.
      return cause === 'due' && until !== undefined
        ? [rows, { type: 'trigger.advance', decidedUntil: until, nextDueAt }]
        : [rows];
    }
    default:
      return [];
  }
}

/** Whether a message is sent for a row of this outcome. */
export function isRun(outcome: TriggerOutcomeName): boolean {
  return outcome === 'fired' || outcome === 'late' || outcome === 'caught-up';
}

/** What becomes of a row whose message its conversation has refused; `words` are added to the row's. */
export function refusedBy(code: string): {
  outcome: TriggerOutcomeName;
  reason: string;
  words: string;
} {
  return code === 'busy'
    ? { outcome: 'skipped', reason: code, words: 'Its conversation was busy.' }
    : { outcome: 'rejected', reason: code, words: `Its conversation refused it: ${code}.` };
}

/** What a list shows of a text: its last line with anything in it, cut to {@link LAST_LINE_CHARS}. */
export function lastLineOf(text: string): string {
  let end = text.length;
  while (end > 0) {
    const start = text.lastIndexOf('\n', end - 1) + 1;
    const line = text.slice(start, end).trim();
    if (line !== '') return cutTo(line, LAST_LINE_CHARS);
    end = start - 1;
  }
  return '';
}

/** Not through the middle of a character. */
function cutTo(line: string, limit: number): string {
  if (line.length <= limit) return line;
  const last = line.charCodeAt(limit - 1);
  return line.slice(0, last >= 0xd800 && last <= 0xdbff ? limit - 1 : limit);
}
