/**
 * Which rows an event changes: the projections that the store keeps beside the log, in the same transaction.
 *
 * Rules (design.md section 7): user, tool and system rows at once; an assistant row when its segment starts,
 * its content once, when it ends; no write for a delta. What is open (overlays, live tool output, phase,
 * approvals of the running turn) is not projected: a snapshot folds the running turn's events (`fold.ts`).
 */
import type {
  ConversationStateName,
  Event,
  OutcomeName,
  QueueItemValue,
  UsageValue,
} from '../contracts/events.ts';
import type { MessageViewValue } from '../contracts/view.ts';

export type Change =
  | {
      type: 'conversation.insert';
      tableId: string | null;
      title: string;
      provider: string;
      model: string | null;
      workspacePath: string;
    }
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
  | { type: 'queue.set'; queue: QueueItemValue[] }
  | { type: 'message.insert'; message: MessageViewValue }
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
    }
  | { type: 'approval.insert'; approvalId: string; turnId: string; attempt: number }
  | {
      type: 'approval.resolve';
      approvalId: string;
      decision: 'allow' | 'deny' | 'withdrawn';
      by: string;
    };

/** The changes of one stored event, in order. An event of an unknown type changes nothing. */
export function project(event: Event): Change[] {
  const turnId = event.turnId ?? '';
  const attempt = event.attempt ?? 1;
  switch (event.type) {
    case 'conversation.created':
      return [{ type: 'conversation.insert', ...event.payload }];
    case 'conversation.updated':
      return [{ type: 'conversation.update', set: event.payload }];
    case 'conversation.state':
      return [{ type: 'conversation.update', set: { state: event.payload.state } }];
    case 'queue.changed':
      return [{ type: 'queue.set', queue: event.payload.queue }];
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
          },
        },
      ];
    case 'chat.started':
      return [
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
      return ended(event, 'completed', null);
    case 'chat.error':
      return ended(event, 'failed', event.payload.code);
    case 'chat.cancelled':
      return ended(event, 'cancelled', event.payload.by);
    case 'chat.interrupted':
      return ended(event, 'interrupted', event.payload.cause);
    default:
      return [];
  }
}

function ended(event: Event, outcome: OutcomeName, cause: string | null): Change[] {
  // A queued send that was removed ends with `chat.cancelled` and no attempt: there is no row to close.
  if (event.turnId === undefined || event.attempt === undefined) return [];
  return [{ type: 'attempt.end', turnId: event.turnId, attempt: event.attempt, outcome, cause }];
}
