/** What the rows of each table mean outside this engine. */
import type {
  ConversationStateName,
  ConversationSummaryValue,
  MailKindName,
  MailStateName,
  OutcomeName,
  TriggerCauseName,
  TriggerOutcomeName,
} from '../../contracts/events.ts';
import type { LedgerCountsValue, LedgerRowValue } from '../../contracts/triggers.ts';
import type { AttemptViewValue, MessageViewValue, TableFactsValue } from '../../contracts/view.ts';
import type { AttemptRow, ConversationRow, RequestRow, TriggerRow, Undelivered } from '../port.ts';
import {
  integer,
  integerOrNull,
  isAnything,
  isDefinition,
  isForkOrigin,
  isMailMarks,
  isUsage,
  json,
  jsonOrNull,
  oneOf,
  oneOfOrNull,
  text,
  textOrNull,
  type Row,
} from './rows.ts';

/** The ends of an attempt, as its column may hold them. */
export const OUTCOMES: readonly OutcomeName[] = ['completed', 'failed', 'cancelled', 'interrupted'];
export const STATES: readonly ConversationStateName[] = ['idle', 'processing', 'cancelled'];
const ROLES: readonly MessageViewValue['role'][] = ['user', 'assistant', 'tool', 'system'];
const KINDS: readonly MessageViewValue['kind'][] = ['text', 'reasoning', 'tool'];
const STATUSES: readonly MessageViewValue['status'][] = [
  'open',
  'complete',
  'partial',
  'discarded',
];
const TOOL_STATUSES = ['running', 'ok', 'error', 'denied'] as const;
const REQUEST_KINDS: readonly RequestRow['kind'][] = ['send', 'retry'];
export const REQUEST_STATUSES: readonly RequestRow['status'][] = ['started', 'queued', 'rejected'];
export const TRIGGER_OUTCOMES: readonly TriggerOutcomeName[] = [
  'fired',
  'late',
  'caught-up',
  'skipped',
  'rejected',
];
export const MAIL_STATES: readonly MailStateName[] = [
  'accepted',
  'delivered',
  'applied',
  'failed',
  'expired',
];
export const MAIL_KINDS: readonly MailKindName[] = [
  'task',
  'message',
  'result',
  'error',
  'recovery',
];
const TRIGGER_CAUSES: readonly TriggerCauseName[] = ['due', 'manual', 'backfill'];
export const WHEN_BUSY: readonly Undelivered['whenBusy'][] = ['queue', 'reject', 'interrupt'];

export function toConversation(row: Row): ConversationRow {
  return {
    conversationId: text(row, 'conversation_id'),
    tableId: textOrNull(row, 'table_id'),
    title: text(row, 'title'),
    provider: text(row, 'provider'),
    model: textOrNull(row, 'model'),
    workspacePath: text(row, 'workspace_path'),
    host: textOrNull(row, 'host'),
    providerSessionId: textOrNull(row, 'provider_session_id'),
    sessionGeneration: integer(row, 'session_generation'),
  };
}

export function toConversationFacts(row: Row): {
  conversationId: string;
  tableId: string | null;
  title: string;
  archived: boolean;
  provider: string;
  model: string | null;
  workspacePath: string;
  state: ConversationStateName;
} {
  return {
    conversationId: text(row, 'conversation_id'),
    tableId: textOrNull(row, 'table_id'),
    title: text(row, 'title'),
    archived: integer(row, 'archived') === 1,
    provider: text(row, 'provider'),
    model: textOrNull(row, 'model'),
    workspacePath: text(row, 'workspace_path'),
    state: oneOf(row, 'state', STATES),
  };
}

export function toMessage(row: Row): MessageViewValue {
  const toolCallId = textOrNull(row, 'tool_call_id');
  return {
    messageId: text(row, 'message_id'),
    role: oneOf(row, 'role', ROLES),
    kind: oneOf(row, 'kind', KINDS),
    turnId: textOrNull(row, 'turn_id'),
    attempt: integerOrNull(row, 'attempt'),
    content: text(row, 'content'),
    status: oneOf(row, 'status', STATUSES),
    at: text(row, 'at'),
    ...(toolCallId === null
      ? {}
      : {
          tool: {
            toolCallId,
            name: text(row, 'tool_name'),
            input: row['tool_input'] === null ? undefined : json(row, 'tool_input', isAnything),
            status: oneOf(row, 'tool_status', TOOL_STATUSES),
          },
        }),
    ...(row['mail'] === null ? {} : { mail: json(row, 'mail', isMailMarks) }),
    ...(integer(row, 'cut') === 1 ? { cut: true as const } : {}),
  };
}

export function toAttemptView(row: Row): AttemptViewValue {
  return {
    attempt: integer(row, 'attempt'),
    requestId: textOrNull(row, 'request_id'),
    provider: text(row, 'provider'),
    model: textOrNull(row, 'model'),
    outcome: oneOfOrNull(row, 'outcome', OUTCOMES),
    cause: textOrNull(row, 'cause'),
    startedAt: text(row, 'started_at'),
    endedAt: textOrNull(row, 'ended_at'),
    usage: jsonOrNull(row, 'usage', isUsage),
  };
}

export function toAttempt(row: Row): AttemptRow {
  const spool = textOrNull(row, 'spool');
  const host = textOrNull(row, 'host');
  const from = integerOrNull(row, 'spool_from');
  return {
    conversationId: text(row, 'conversation_id'),
    turnId: text(row, 'turn_id'),
    attempt: integer(row, 'attempt'),
    requestId: textOrNull(row, 'request_id'),
    provider: text(row, 'provider'),
    model: textOrNull(row, 'model'),
    startedAt: text(row, 'started_at'),
    outcome: oneOfOrNull(row, 'outcome', OUTCOMES),
    cause: textOrNull(row, 'cause'),
    usage: jsonOrNull(row, 'usage', isUsage),
    cancelBy: textOrNull(row, 'cancel_by'),
    epoch: integer(row, 'epoch'),
    place: spool === null || host === null || from === null ? null : { host, spool, from },
    spoolOffset: integer(row, 'spool_offset'),
  };
}

export function toRequest(row: Row): RequestRow {
  const position = integerOrNull(row, 'position');
  const code = textOrNull(row, 'code');
  const steeredTurn = textOrNull(row, 'steered_turn');
  return {
    conversationId: text(row, 'conversation_id'),
    requestId: text(row, 'request_id'),
    kind: oneOf(row, 'kind', REQUEST_KINDS),
    status: oneOf(row, 'status', REQUEST_STATUSES),
    turnId: textOrNull(row, 'turn_id'),
    attempt: integer(row, 'attempt'),
    ...(position === null ? {} : { position }),
    ...(code === null ? {} : { code }),
    contentHash: text(row, 'content_hash'),
    at: text(row, 'at'),
    steeredInto:
      steeredTurn === null
        ? null
        : { turnId: steeredTurn, attempt: integer(row, 'steered_attempt') },
  };
}

/** The columns of {@link toSummary}: not the queue, which may be megabytes. */
export const LISTED = `conversation_id, table_id, title, archived, provider, model, created_at, forked_from, state,
  last_line, message_count, turn_count, queued, held, approvals, last_at, root_id`;

/** What a list shows; the columns are of the last time it was told (listing.ts). */
export function toSummary(row: Row): ConversationSummaryValue {
  return {
    conversationId: text(row, 'conversation_id'),
    tableId: textOrNull(row, 'table_id'),
    title: text(row, 'title'),
    archived: integer(row, 'archived') === 1,
    provider: text(row, 'provider'),
    model: textOrNull(row, 'model'),
    createdAt: text(row, 'created_at'),
    forkedFrom: jsonOrNull(row, 'forked_from', isForkOrigin),
    state: oneOf(row, 'state', STATES),
    lastLine: text(row, 'last_line'),
    messageCount: integer(row, 'message_count'),
    turnCount: integer(row, 'turn_count'),
    queued: integer(row, 'queued'),
    held: integer(row, 'held') === 1,
    approvals: integer(row, 'approvals'),
    lastAt: text(row, 'last_at'),
  };
}

export function toTableFacts(row: Row): TableFactsValue {
  return {
    tableId: text(row, 'table_id'),
    title: text(row, 'title'),
    workspacePath: text(row, 'workspace_path'),
    provider: text(row, 'provider'),
    model: textOrNull(row, 'model'),
    activeConversationId: textOrNull(row, 'active_conversation_id'),
    createdAt: text(row, 'created_at'),
  };
}

/** Of a row with the `definition` of its present rule. */
export function toTrigger(row: Row): TriggerRow {
  return {
    triggerId: text(row, 'trigger_id'),
    definition: json(row, 'definition', isDefinition),
    rule: text(row, 'rule'),
    createdAt: text(row, 'created_at'),
    updatedAt: text(row, 'updated_at'),
    decidedUntil: text(row, 'decided_until'),
    nextDueAt: textOrNull(row, 'next_due_at'),
    removedAt: textOrNull(row, 'removed_at'),
  };
}

/** Of a row of `triggers`. */
export function toLedgerCounts(row: Row): LedgerCountsValue {
  return {
    fired: integer(row, 'fired'),
    late: integer(row, 'late'),
    'caught-up': integer(row, 'caught_up'),
    skipped: integer(row, 'skipped'),
    rejected: integer(row, 'rejected'),
  };
}

export function toLedgerRow(triggerId: string, row: Row): LedgerRowValue {
  const reason = textOrNull(row, 'reason');
  const requestId = textOrNull(row, 'request_id');
  const conversationId = textOrNull(row, 'conversation_id');
  const turnId = textOrNull(row, 'turn_id');
  return {
    triggerId,
    dueAt: text(row, 'due_at'),
    decidedAt: text(row, 'decided_at'),
    outcome: oneOf(row, 'outcome', TRIGGER_OUTCOMES),
    ...(reason === null ? {} : { reason }),
    words: text(row, 'words'),
    rule: text(row, 'rule'),
    cause: oneOf(row, 'cause', TRIGGER_CAUSES),
    ...(requestId === null ? {} : { requestId }),
    ...(conversationId === null ? {} : { conversationId }),
    ...(turnId === null ? {} : { turnId }),
  };
}
