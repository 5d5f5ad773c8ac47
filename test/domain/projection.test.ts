import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { Event, NewEvent, OutcomeName, UsageValue } from '../../src/contracts/events.ts';
import type { ConversationViewValue, MessageViewValue } from '../../src/contracts/view.ts';
import { emptyView, foldEvents } from '../../src/domain/fold.ts';
import {
  type Change,
  isRun,
  type MailFate,
  project,
  projectTrigger,
  refusedBy,
  type TriggerChange,
} from '../../src/domain/projection.ts';
import { chapters } from './chapters.ts';
import { place, stored, terminalTypes } from './reports.ts';

type AttemptRow = {
  requestId: string | null;
  provider: string;
  model: string | null;
  outcome: OutcomeName | null;
  cause: string | null;
  cancelBy: string | null;
  usage: UsageValue;
};

const plus = (a: UsageValue, b: UsageValue): UsageValue => ({
  inputTokens: a.inputTokens + b.inputTokens,
  outputTokens: a.outputTokens + b.outputTokens,
  ...(a.costUsd === undefined && b.costUsd === undefined
    ? {}
    : { costUsd: (a.costUsd ?? 0) + (b.costUsd ?? 0) }),
});

/** Tables in memory, changed as an engine would by what `project` says. */
class Tables {
  conversation: Record<string, unknown> = {};
  queue: unknown[] = [];
  held = false;
  readonly steered = new Map<string, string>();
  usage: UsageValue = { inputTokens: 0, outputTokens: 0 };
  readonly messages = new Map<string, MessageViewValue>();
  readonly attempts = new Map<string, AttemptRow>();
  readonly approvals = new Map<string, string | null>();

  change(change: Change): void {
    switch (change.type) {
      case 'conversation.insert': {
        const { type: _, forkedFrom: _origin, agent: _link, ...row } = change;
        this.conversation = { ...row, archived: false, state: 'idle' };
        return;
      }
      case 'conversation.update':
        Object.assign(this.conversation, change.set);
        return;
      case 'queue.set':
        this.queue = change.queue;
        this.held = change.held ?? this.held;
        return;
      case 'messages.cut': {
        const ids = [...this.messages.keys()];
        const after = change.messageId === null ? 0 : ids.indexOf(change.messageId) + 1;
        for (const id of ids.slice(after)) {
          const row = this.messages.get(id);
          if (row !== undefined) this.messages.set(id, { ...row, cut: true });
        }
        return;
      }
      case 'mail.insert':
      case 'mail.expire':
      case 'mail.again':
      case 'mail.follow':
        // Of a mailbox a view shows nothing.
        return;
      case 'request.steered':
        this.steered.set(change.requestId, `${change.turnId}.${change.attempt}`);
        return;
      case 'message.insert':
        this.messages.set(change.message.messageId, change.message);
        return;
      case 'message.update': {
        const row = this.messages.get(change.messageId);
        if (row === undefined) throw new Error(`no message ${change.messageId}`);
        const { content, status } = change;
        this.messages.set(change.messageId, { ...row, content, status });
        return;
      }
      case 'tool.update': {
        const row = [...this.messages.values()].findLast(
          ({ tool, turnId, attempt }) =>
            tool?.toolCallId === change.toolCallId &&
            turnId === change.turnId &&
            attempt === change.attempt,
        );
        if (row?.tool === undefined) throw new Error(`no tool ${change.toolCallId}`);
        const tool = { ...row.tool, status: change.toolStatus };
        const { content } = change;
        this.messages.set(row.messageId, { ...row, content, status: 'complete', tool });
        return;
      }
      case 'attempt.insert': {
        const { requestId, provider, model } = change;
        this.attempts.set(`${change.turnId}.${change.attempt}`, {
          requestId,
          provider,
          model,
          outcome: null,
          cause: null,
          cancelBy: null,
          usage: { inputTokens: 0, outputTokens: 0 },
        });
        return;
      }
      case 'attempt.usage': {
        const row = this.#attempt(change);
        row.usage = plus(row.usage, change.usage);
        this.usage = plus(this.usage, change.usage);
        return;
      }
      case 'attempt.cancelling':
        this.#attempt(change).cancelBy = change.by;
        return;
      case 'attempt.end': {
        const { outcome, cause } = change;
        const row = this.#attempt(change);
        if (row.outcome !== null) throw new Error('a second end');
        Object.assign(row, { outcome, cause });
        return;
      }
      case 'approval.insert':
        this.#attempt(change);
        this.approvals.set(`${change.turnId}/${change.attempt}/${change.approvalId}`, null);
        return;
      case 'approval.resolve':
        for (const [key, decision] of this.approvals)
          if (key.endsWith(`/${change.approvalId}`) && decision === null)
            this.approvals.set(key, change.decision);
        return;
    }
  }

  #attempt({ turnId, attempt }: { turnId: string; attempt: number }): AttemptRow {
    const row = this.attempts.get(`${turnId}.${attempt}`);
    if (row === undefined) throw new Error(`no attempt ${turnId}.${attempt}`);
    return row;
  }

  /** The snapshot of a conversation in which no turn runs. */
  view(conversationId: string, lastSeq: number): ConversationViewValue {
    const { host: _, ...facts } = this.conversation;
    return {
      ...emptyView(conversationId),
      ...facts,
      queue: this.queue as ConversationViewValue['queue'],
      held: this.held,
      usage: this.usage,
      messages: [...this.messages.values()],
      lastSeq,
    };
  }
}

describe('projection: the rows of each event', () => {
  const at = '2026-01-01T00:00:01.000Z';
  const ids = { turnId: 't1', attempt: 2 };
  const waiting = { requestId: 'r2', turnId: 't2', content: 'next', position: 0, attempt: 1 };
  const copied = {
    messageId: 'm',
    role: 'assistant' as const,
    kind: 'text' as const,
    content: 'old',
    status: 'partial' as const,
    at: '2025-01-01T00:00:00.000Z',
  };
  const mark = { messageId: 'x', from: 'c0', kind: 'message' as const };
  const link = {
    agentId: 'kim',
    name: 'Kim',
    role: 'reads',
    rootId: 'c0',
    parentId: 'c0',
    depth: 1,
  };
  const mail = {
    ...mark,
    content: 'hi',
    whenBusy: 'steer' as const,
    waits: true as const,
    covers: [{ messageId: 'y', from: 'c2' }],
    boot: 'b1',
  };
  const follow = (requestId: string, fate: MailFate): Change => ({
    type: 'mail.follow',
    requestId,
    fate,
  });
  const copiedTool = { toolCallId: 'c', name: 'Bash', input: null, status: 'ok' as const };

  it.each<{ event: NewEvent; changes: Change[] }>([
    {
      event: {
        type: 'conversation.created',
        payload: { tableId: 'tb', title: 'T', provider: 'p', model: 'm', workspacePath: '/w' },
      },
      changes: [
        {
          type: 'conversation.insert',
          tableId: 'tb',
          title: 'T',
          provider: 'p',
          model: 'm',
          workspacePath: '/w',
          forkedFrom: null,
          agent: null,
        },
      ],
    },
    {
      event: {
        type: 'conversation.updated',
        payload: { title: 'x', host: 'h', commandId: 'c' },
      },
      changes: [{ type: 'conversation.update', set: { title: 'x', host: 'h' } }],
    },
    {
      event: { type: 'conversation.state', payload: { state: 'cancelled' } },
      changes: [{ type: 'conversation.update', set: { state: 'cancelled' } }],
    },
    {
      event: { type: 'queue.changed', payload: { queue: [] } },
      changes: [{ type: 'queue.set', queue: [], held: false }],
    },
    {
      event: { type: 'queue.changed', payload: { queue: [], held: true } },
      changes: [{ type: 'queue.set', queue: [], held: false }],
    },
    {
      event: { type: 'queue.changed', payload: { queue: [waiting], commandId: 'c' } },
      changes: [{ type: 'queue.set', queue: [waiting], held: null }],
    },
    {
      event: { type: 'queue.changed', payload: { queue: [waiting], held: true } },
      changes: [{ type: 'queue.set', queue: [waiting], held: true }],
    },
    {
      event: {
        type: 'conversation.created',
        payload: {
          tableId: null,
          title: '',
          provider: 'p',
          model: null,
          workspacePath: '/w',
          forkedFrom: { conversationId: 'c0', messageId: null },
        },
      },
      changes: [
        {
          type: 'conversation.insert',
          tableId: null,
          title: '',
          provider: 'p',
          model: null,
          workspacePath: '/w',
          forkedFrom: { conversationId: 'c0', messageId: null },
          agent: null,
        },
      ],
    },
    {
      event: {
        type: 'conversation.created',
        payload: {
          tableId: null,
          title: 'Kim',
          provider: 'p',
          model: null,
          workspacePath: '/w',
          agent: link,
        },
      },
      changes: [
        {
          type: 'conversation.insert',
          tableId: null,
          title: 'Kim',
          provider: 'p',
          model: null,
          workspacePath: '/w',
          forkedFrom: null,
          agent: link,
        },
      ],
    },
    {
      event: { type: 'mail.accepted', payload: mail },
      changes: [{ type: 'mail.insert', ...mail }],
    },
    {
      event: { type: 'mail.expired', payload: { messageId: 'x', from: null } },
      changes: [{ type: 'mail.expire', messageId: 'x', from: null }],
    },
    {
      event: { type: 'mail.again', payload: { messageId: 'x', from: 'c0', sending: 3 } },
      changes: [{ type: 'mail.again', messageId: 'x', from: 'c0', sending: 3 }],
    },
    {
      event: { type: 'chat.queued', turnId: 't9', requestId: 'r9', payload: { position: 1 } },
      changes: [follow('r9', { state: 'delivered', turnId: 't9' })],
    },
    { event: { type: 'chat.queued', turnId: 't9', payload: { position: 1 } }, changes: [] },
    {
      event: { type: 'chat.rejected', requestId: 'r9', payload: { code: 'queue_full' } },
      changes: [follow('r9', { state: 'failed', reason: 'queue_full' })],
    },
    {
      event: { type: 'chat.cancelled', turnId: 't9', requestId: 'r9', payload: { by: 'user' } },
      changes: [follow('r9', { state: 'failed', reason: 'removed' })],
    },
    {
      event: {
        type: 'message.created',
        payload: { messageId: 'm', role: 'user', content: 'hi', mail: [mark, mark] },
      },
      changes: [
        {
          type: 'message.insert',
          message: {
            messageId: 'm',
            role: 'user',
            kind: 'text',
            turnId: null,
            attempt: null,
            content: 'hi',
            status: 'complete',
            at,
            mail: [mark, mark],
          },
        },
      ],
    },
    {
      event: { type: 'message.copied', payload: { ...copied, mail: [mark] } },
      changes: [
        {
          type: 'message.insert',
          message: { ...copied, mail: [mark], turnId: null, attempt: null },
        },
      ],
    },
    {
      event: { type: 'history.cut', payload: { messageId: 'm', by: 'edit', commandId: 'c' } },
      changes: [{ type: 'messages.cut', messageId: 'm' }],
    },
    {
      event: { type: 'history.cut', payload: { messageId: null, by: 'rollback' } },
      changes: [{ type: 'messages.cut', messageId: null }],
    },
    {
      event: { type: 'chat.steered', requestId: 'r2', payload: { turnId: 't1', attempt: 2 } },
      changes: [
        { type: 'request.steered', requestId: 'r2', turnId: 't1', attempt: 2 },
        follow('r2', { state: 'applied', turnId: 't1' }),
      ],
    },
    { event: { type: 'chat.steered', payload: { turnId: 't1', attempt: 2 } }, changes: [] },
    {
      event: { type: 'message.copied', payload: copied },
      changes: [{ type: 'message.insert', message: { ...copied, turnId: null, attempt: null } }],
    },
    {
      event: {
        type: 'message.copied',
        payload: { ...copied, role: 'tool', kind: 'tool', tool: copiedTool },
      },
      changes: [
        {
          type: 'message.insert',
          message: {
            ...copied,
            role: 'tool',
            kind: 'tool',
            tool: copiedTool,
            turnId: null,
            attempt: null,
          },
        },
      ],
    },
    {
      event: {
        type: 'message.created',
        payload: { messageId: 'm', role: 'system', content: 'note' },
      },
      changes: [
        {
          type: 'message.insert',
          message: {
            messageId: 'm',
            role: 'system',
            kind: 'text',
            turnId: null,
            attempt: null,
            content: 'note',
            status: 'complete',
            at,
          },
        },
      ],
    },
    {
      event: {
        type: 'message.created',
        ...place,
        payload: { messageId: 'm', role: 'user', content: 'hi' },
      },
      changes: [
        {
          type: 'message.insert',
          message: {
            messageId: 'm',
            role: 'user',
            kind: 'text',
            ...ids,
            content: 'hi',
            status: 'complete',
            at,
          },
        },
      ],
    },
    {
      event: {
        type: 'chat.started',
        ...place,
        payload: { attempt: 2, provider: 'p', model: null },
      },
      changes: [
        follow('r1', { state: 'applied', turnId: 't1' }),
        { type: 'attempt.insert', ...ids, requestId: 'r1', provider: 'p', model: null },
      ],
    },
    {
      event: {
        type: 'chat.started',
        turnId: 't1',
        attempt: 1,
        payload: { attempt: 1, provider: 'p', model: 'm' },
      },
      changes: [
        {
          type: 'attempt.insert',
          turnId: 't1',
          attempt: 1,
          requestId: null,
          provider: 'p',
          model: 'm',
        },
      ],
    },
    {
      event: {
        type: 'assistant.segment.started',
        ...place,
        payload: { messageId: 'm', kind: 'reasoning' },
      },
      changes: [
        {
          type: 'message.insert',
          message: {
            messageId: 'm',
            role: 'assistant',
            kind: 'reasoning',
            ...ids,
            content: '',
            status: 'open',
            at,
          },
        },
      ],
    },
    {
      event: { type: 'chat.delta', ...place, payload: { messageId: 'm', text: 'x' } },
      changes: [],
    },
    {
      event: {
        type: 'assistant.segment.ended',
        ...place,
        payload: { messageId: 'm', content: 'x', status: 'partial' },
      },
      changes: [{ type: 'message.update', messageId: 'm', content: 'x', status: 'partial' }],
    },
    {
      event: {
        type: 'assistant.segment.discarded',
        ...place,
        payload: { messageId: 'm', reason: 'r' },
      },
      changes: [{ type: 'message.update', messageId: 'm', content: '', status: 'discarded' }],
    },
    {
      event: {
        type: 'tool.start',
        ...place,
        payload: { toolCallId: 'c', messageId: 'm', name: 'Bash', input: 1 },
      },
      changes: [
        {
          type: 'message.insert',
          message: {
            messageId: 'm',
            role: 'tool',
            kind: 'tool',
            ...ids,
            content: '',
            status: 'open',
            at,
            tool: { toolCallId: 'c', name: 'Bash', input: 1, status: 'running' },
          },
        },
      ],
    },
    {
      event: { type: 'tool.output', ...place, payload: { toolCallId: 'c', text: 'x' } },
      changes: [],
    },
    {
      event: {
        type: 'tool.end',
        ...place,
        payload: { toolCallId: 'c', status: 'denied', output: 'no' },
      },
      changes: [
        { type: 'tool.update', ...ids, toolCallId: 'c', content: 'no', toolStatus: 'denied' },
      ],
    },
    {
      event: {
        type: 'approval.requested',
        ...place,
        payload: { approvalId: 'p', title: '', input: null, options: [] },
      },
      changes: [{ type: 'approval.insert', approvalId: 'p', ...ids }],
    },
    {
      event: {
        type: 'approval.resolved',
        ...place,
        payload: { approvalId: 'p', decision: 'withdrawn', by: 'provider', at },
      },
      changes: [
        { type: 'approval.resolve', approvalId: 'p', decision: 'withdrawn', by: 'provider' },
      ],
    },
    {
      event: { type: 'usage', ...place, payload: { inputTokens: 1, outputTokens: 2 } },
      changes: [{ type: 'attempt.usage', ...ids, usage: { inputTokens: 1, outputTokens: 2 } }],
    },
    {
      event: { type: 'chat.cancelling', ...place, payload: { step: 'requested', by: 'operator' } },
      changes: [{ type: 'attempt.cancelling', ...ids, by: 'operator' }],
    },
    {
      event: { type: 'chat.cancelling', ...place, payload: { step: 'requested' } },
      changes: [{ type: 'attempt.cancelling', ...ids, by: 'user' }],
    },
    { event: { type: 'chat.cancelling', ...place, payload: { step: 'kill' } }, changes: [] },
    {
      event: { type: 'chat.done', ...place, payload: {} },
      changes: [
        {
          type: 'attempt.end',
          ...ids,
          outcome: 'completed',
          cause: null,
          message: null,
          boot: null,
        },
      ],
    },
    {
      event: { type: 'chat.error', ...place, payload: { code: 'c', message: 'm' } },
      changes: [
        { type: 'attempt.end', ...ids, outcome: 'failed', cause: 'c', message: 'm', boot: null },
      ],
    },
    {
      event: { type: 'chat.cancelled', ...place, payload: { by: 'user' } },
      changes: [
        {
          type: 'attempt.end',
          ...ids,
          outcome: 'cancelled',
          cause: 'user',
          message: null,
          boot: null,
        },
      ],
    },
    {
      event: { type: 'chat.interrupted', ...place, payload: { cause: 'lost', retryable: true } },
      changes: [
        {
          type: 'attempt.end',
          ...ids,
          outcome: 'interrupted',
          cause: 'lost',
          message: null,
          boot: null,
        },
      ],
    },
    {
      event: {
        type: 'chat.interrupted',
        ...place,
        payload: { cause: 'lost', retryable: true, message: 'in words', boot: 'b1' },
      },
      changes: [
        {
          type: 'attempt.end',
          ...ids,
          outcome: 'interrupted',
          cause: 'lost',
          message: 'in words',
          boot: 'b1',
        },
      ],
    },
    { event: { type: 'chat.cancelled', attempt: 1, payload: { by: 'user' } }, changes: [] },
    { event: { type: 'chat.rejected', payload: { code: 'c' } }, changes: [] },
    { event: { type: 'mail.unknown', payload: {} } as unknown as NewEvent, changes: [] },
    { event: { type: 'notice', ...place, payload: { code: 'c', text: 't' } }, changes: [] },
    { event: { type: 'agent.spawned', payload: {} } as unknown as NewEvent, changes: [] },
  ])('$event.type $event.payload', ({ event, changes }) => {
    expect(stored([event]).flatMap(project)).toStrictEqual(changes);
  });
});

/** Both views of a log, after each event that leaves no turn running. */
function idleMoments(
  log: readonly Event[],
): { rows: ConversationViewValue; folded: ConversationViewValue }[] {
  const tables = new Tables();
  let folded = emptyView('c1');
  return log.flatMap((event) => {
    for (const change of project(event)) tables.change(change);
    folded = foldEvents(folded, [event]);
    return folded.activeTurn === null ? [{ rows: tables.view('c1', event.seq), folded }] : [];
  });
}

describe('projection: against the fold', () => {
  it('L4: whenever no turn runs, the tables and the folded log are the same view', () => {
    fc.assert(
      fc.property(chapters, (log) => {
        for (const { rows, folded } of idleMoments(log)) expect(rows).toStrictEqual(folded);
      }),
      { numRuns: 60 },
    );
  });

  it('A1: every attempt’s row has the outcome of its one terminal event, and the conversation’s usage is their sum', () => {
    fc.assert(
      fc.property(chapters, (log) => {
        const tables = new Tables();
        for (const event of log) for (const change of project(event)) tables.change(change);
        // A queued message that was removed ends without an attempt.
        const ends = log.filter(
          ({ type, attempt }) => terminalTypes.includes(type) && attempt !== undefined,
        );
        const ended = [...tables.attempts.values()].filter(({ outcome }) => outcome !== null);
        expect(ended).toHaveLength(ends.length);
        const sum = [...tables.attempts.values()].reduce(
          (total, { usage }) => ({
            inputTokens: total.inputTokens + usage.inputTokens,
            outputTokens: total.outputTokens + usage.outputTokens,
          }),
          { inputTokens: 0, outputTokens: 0 },
        );
        expect(tables.usage).toMatchObject(sum);
      }),
      { numRuns: 60 },
    );
  });
});

describe('projection: a trigger’s events', () => {
  const [definition, fires] = [{ title: 'a definition' }, [{ dueAt: '1' }, { dueAt: '2' }]];
  const command = { triggerId: 'x', commandId: 'c' };
  const what = { rule: 'r2', definition, nextDueAt: '9' };

  it.each<{ type: string; payload: object; changes: object[] }>([
    {
      type: 'trigger.created',
      payload: { triggerId: 'x', ...what, decidedUntil: '0' },
      changes: [{ type: 'trigger.insert', ...what, decidedUntil: '0' }],
    },
    {
      type: 'trigger.updated',
      payload: { ...command, ...what, from: '0' },
      changes: [{ type: 'trigger.update', ...what }],
    },
    {
      type: 'trigger.removed',
      payload: { ...command, from: '0' },
      changes: [{ type: 'trigger.remove' }],
    },
    {
      type: 'trigger.decided',
      payload: { ...command, cause: 'due', from: '0', until: '5', nextDueAt: '9', fires },
      changes: [
        { type: 'ledger.insert', cause: 'due', fires },
        { type: 'trigger.advance', decidedUntil: '5', nextDueAt: '9' },
      ],
    },
    // Nothing is due any more.
    {
      type: 'trigger.decided',
      payload: { triggerId: 'x', cause: 'due', from: '0', until: '5', fires: [] },
      changes: [
        { type: 'ledger.insert', cause: 'due', fires: [] },
        { type: 'trigger.advance', decidedUntil: '5', nextDueAt: null },
      ],
    },
    // Of what was not due up to now, nothing is known by these, whatever else they say.
    ...['manual', 'backfill'].map((cause) => ({
      type: 'trigger.decided',
      payload: { ...command, cause, until: '5', nextDueAt: '9', fires },
      changes: [{ type: 'ledger.insert', cause, fires }],
    })),
    {
      type: 'trigger.decided',
      payload: { triggerId: 'x', cause: 'due', from: '0', fires },
      changes: [{ type: 'ledger.insert', cause: 'due', fires }],
    },
    { type: 'notice', payload: { code: 'c', text: 't' }, changes: [] },
    { type: 'trigger.unheard', payload: {}, changes: [] },
  ])('$type $payload', ({ type, payload, changes }) => {
    const event = { type, seq: 1, at: '2026', payload } as unknown as Event;
    expect(projectTrigger(event)).toStrictEqual(changes as unknown as TriggerChange[]);
    // A conversation's rows are none of theirs.
    expect(project(event)).toStrictEqual([]);
  });

  it('D2 runs are what is fired, late or caught up', () => {
    const outcomes = ['fired', 'late', 'caught-up', 'skipped', 'rejected'] as const;
    expect(outcomes.filter(isRun)).toStrictEqual(['fired', 'late', 'caught-up']);
  });

  it('D2 what is refused as busy is skipped, anything else is rejected with its code', () => {
    expect(refusedBy('busy')).toStrictEqual({
      outcome: 'skipped',
      reason: 'busy',
      words: 'Its conversation was busy.',
    });
    expect(refusedBy('queue_full')).toStrictEqual({
      outcome: 'rejected',
      reason: 'queue_full',
      words: 'Its conversation refused it: queue_full.',
    });
  });
});
