/** Random lives of a table, and what its lists must show of each conversation: by the fold of that one's own log. */
import * as fc from 'fast-check';

import { isHoldfastError } from '../../src/contracts/errors.ts';
import type { ConversationSummaryValue, NewEvent } from '../../src/contracts/events.ts';
import { conversationStream } from '../../src/contracts/ids.ts';
import { emptyView, foldEvents } from '../../src/domain/fold.ts';
import type { Store } from '../../src/store/port.ts';
import { activated, created, done, logOf, started, upTo } from './contract-events.ts';

const IDS = ['a', 'b', 'c', 'd'] as const;
export type Step = { id: string } &
  /** `start` moves the slot there first; `both`: what runs ends and the next begins in one append. */
  (
    | {
        type:
          | 'create'
          | 'activate'
          | 'start'
          | 'both'
          | 'end'
          | 'approve'
          | 'renameTable'
          | 'delta';
      }
    | { type: 'queue'; count: number; held: boolean | undefined }
    | { type: 'state'; state: 'idle' | 'processing' | 'cancelled' }
    | { type: 'names'; set: { title?: string; archived?: boolean; provider?: string } }
    | { type: 'segment'; text: string; end: 'open' | 'complete' | 'partial' | 'discarded' }
    | { type: 'cut'; which: number }
    | { type: 'fork'; which: number; to: string }
  );

const id = fc.constantFrom(...IDS);
/** Most of what happens, happens in one. */
const mostly = fc.constantFrom(...IDS, 'a', 'a', 'a', 'a');
export const anyStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ id, type: fc.constantFrom('create' as const, 'activate' as const) }),
  },
  {
    weight: 12,
    arbitrary: fc.record({
      id: mostly,
      type: fc.constantFrom(
        'start' as const,
        'start' as const,
        'end' as const,
        'approve' as const,
        'approve' as const,
        'delta' as const,
        'both' as const,
        'renameTable' as const,
      ),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      id: mostly,
      type: fc.constant('queue' as const),
      count: fc.nat(2),
      held: fc.constantFrom(undefined, true, false),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      id: mostly,
      type: fc.constant('state' as const),
      state: fc.constantFrom('idle' as const, 'processing' as const, 'cancelled' as const),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      id,
      type: fc.constant('names' as const),
      set: fc.constantFrom(
        { title: 'renamed' },
        { archived: true },
        { archived: false },
        { provider: 'claude' },
      ),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      id: mostly,
      type: fc.constant('segment' as const),
      text: fc.constantFrom('', ' \n', 'one', 'two\nlines\n', `${'x'.repeat(199)}😀`),
      end: fc.constantFrom(
        'open' as const,
        'complete' as const,
        'partial' as const,
        'discarded' as const,
      ),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ id: mostly, type: fc.constant('cut' as const), which: fc.nat() }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      id: mostly,
      type: fc.constant('fork' as const),
      which: fc.nat(),
      to: id,
    }),
  },
);

/** Moments at which a list learns of what has happened; everything else waits for the next. */
const MOMENTS: ReadonlySet<string> = new Set([
  'conversation.created',
  'conversation.state',
  'queue.changed',
  'message.created',
  'message.copied',
  'history.cut',
  'chat.started',
  'chat.done',
  'approval.requested',
  'approval.resolved',
]);

/** Takes steps at table tb, as far as they are possible, and knows each summary from the conversation's own log alone. */
export class TableLife {
  readonly #store: Store;
  readonly #stream: string;
  readonly #known = new Map<string, ConversationSummaryValue>();
  #fresh = 0;

  constructor(store: Store, stream: string) {
    this.#store = store;
    this.#stream = stream;
  }

  /** The conversation that may have changed; null: none. */
  async take(step: Step): Promise<string | null> {
    if (step.type === 'fork') return this.#fork(step);
    if (step.type === 'activate' || step.type === 'renameTable') {
      const title = `${(this.#fresh += 1)}`;
      const renamed: NewEvent = { type: 'table.updated', payload: { title } };
      await this.#store.append({
        stream: this.#stream,
        events: [step.type === 'activate' ? activated(step.id) : renamed],
      });
      return null;
    }
    const events = await this.#eventsOf(step);
    if (events.length === 0) return null;
    if (step.type === 'start')
      await this.#store.append({ stream: this.#stream, events: [activated(step.id)] });
    try {
      await this.#store.append({ stream: conversationStream(step.id), events });
    } catch (error) {
      if (!isHoldfastError(error) || error.code !== 'busy') throw error;
    }
    return step.id;
  }

  async #fork({ id: from, which, to }: Extract<Step, { type: 'fork' }>): Promise<string | null> {
    const origin = await this.#store.snapshot(from, 100);
    if (origin === null || (await this.#store.conversation(to)) !== null) return null;
    const row = origin.messages.at(which % (origin.messages.length + 1));
    const copyable = row === undefined || (row.cut !== true && isClosed(row.status));
    const made = await this.#store.fork({
      conversationId: to,
      create: {
        tableId: 'tb',
        title: 'fork',
        provider: 'scripted',
        model: null,
        workspacePath: '/w',
      },
      origin: { conversationId: from, messageId: row?.messageId ?? null },
    });
    if (made !== copyable) throw new Error(`a fork at ${JSON.stringify(row)} was made: ${made}`);
    return to;
  }

  /** To be asked once after each step. Null: there is no such conversation. */
  async summaryOf(conversationId: string): Promise<ConversationSummaryValue | null> {
    const log = await logOf(this.#store, conversationStream(conversationId));
    const [first] = log;
    if (first?.type !== 'conversation.created') return null;
    const view = foldEvents(emptyView(conversationId), log);
    const shown = view.messages.filter(
      ({ kind, role, status, cut }) =>
        kind === 'text' && role !== 'system' && isClosed(status) && cut !== true,
    );
    const lines = shown.map(({ content }) => content.trim()).filter((text) => text !== '');
    const lastLine = lines.at(-1)?.split('\n').at(-1) ?? '';
    const names = {
      conversationId,
      tableId: 'tb',
      title: view.title,
      archived: view.archived,
      provider: view.provider,
      model: view.model,
      createdAt: first.at,
      forkedFrom: first.payload.forkedFrom ?? null,
    };
    // All events of an append have one time.
    const momentAt = log.findLast(({ type }) => MOMENTS.has(type))?.at ?? '';
    const known = this.#known.get(conversationId);
    const now = {
      state: view.state,
      lastLine: lastLine.length > 200 ? lastLine.slice(0, 199) : lastLine,
      messageCount: shown.length,
      turnCount: new Set(log.flatMap((e) => (e.type === 'chat.started' ? [e.turnId] : []))).size,
      queued: view.queue.length,
      held: view.held,
      approvals: view.approvals.length,
      lastAt: momentAt,
    };
    const isMoment = known === undefined || momentAt === log.at(-1)?.at;
    const summary = isMoment ? { ...names, ...now } : { ...known, ...names };
    this.#known.set(conversationId, summary);
    return summary;
  }

  /** None when the step is not possible now. */
  async #eventsOf(step: Step): Promise<NewEvent[]> {
    const view = await this.#store.snapshot(step.id, 100);
    if (step.type === 'create') return view === null ? [created('tb', step.id)] : [];
    if (view === null) return [];
    this.#fresh += 1;
    const fresh = `${step.id}${this.#fresh}`;
    const turn = view.activeTurn;
    const running = turn === null ? null : { turnId: turn.turnId, attempt: turn.attempt };
    const start = (): NewEvent[] => [
      {
        type: 'message.created',
        turnId: `t${fresh}`,
        payload: { messageId: `m${fresh}`, role: 'user', content: `asks ${fresh}` },
      },
      started({ turnId: `t${fresh}`, attempt: 1 }),
    ];
    switch (step.type) {
      case 'start':
        return start();
      case 'end':
        return running === null ? [] : [done(running)];
      case 'both':
        return running === null
          ? [{ type: 'conversation.state', payload: { state: 'idle' } }, ...start()]
          : [done(running), ...start()];
      case 'delta':
        return running === null
          ? []
          : [{ type: 'chat.delta', ...running, payload: { messageId: 'none', text: 'x' } }];
      case 'approve': {
        const [open] = view.approvals;
        if (running === null) return [];
        return [
          open === undefined
            ? {
                type: 'approval.requested',
                ...running,
                payload: { approvalId: `p${fresh}`, title: '', input: 1, options: ['allow'] },
              }
            : {
                type: 'approval.resolved',
                ...running,
                payload: { approvalId: open.approvalId, decision: 'allow', by: 'me', at: '' },
              },
        ];
      }
      case 'activate':
      case 'renameTable':
      case 'fork':
        return [];
      case 'queue': {
        const { count, held } = step;
        const items = upTo(count).map((position) => ({
          requestId: `r${fresh}-${position}`,
          turnId: `tq${fresh}-${position}`,
          content: '',
          position,
          attempt: 1,
        }));
        const payload = { queue: items, ...(held === undefined ? {} : { held }) };
        return [{ type: 'queue.changed', payload }];
      }
      case 'state':
        return [{ type: 'conversation.state', payload: { state: step.state } }];
      case 'names':
        return [{ type: 'conversation.updated', payload: step.set }];
      case 'cut': {
        const row = view.messages[step.which % (view.messages.length + 1)];
        const messageId = row?.messageId ?? null;
        return [{ type: 'history.cut', payload: { messageId, by: 'rollback' } }];
      }
      case 'segment': {
        if (running === null) return [];
        const { text, end } = step;
        const messageId = `s${fresh}`;
        const begun: NewEvent = {
          type: 'assistant.segment.started',
          ...running,
          payload: { messageId, kind: 'text' },
        };
        const delta: NewEvent = { type: 'chat.delta', ...running, payload: { messageId, text } };
        if (end === 'open') return [begun, delta];
        const ended: NewEvent = {
          type: 'assistant.segment.ended',
          ...running,
          payload: { messageId, content: text, status: end === 'partial' ? 'partial' : 'complete' },
        };
        if (end !== 'discarded') return [begun, delta, ended];
        // Now and then one that was closed before.
        const closed = view.messages.findLast(
          ({ role, turnId }) => role === 'assistant' && turnId === running.turnId,
        );
        const payload = { messageId: closed?.messageId ?? messageId, reason: 'retry' };
        return [begun, delta, { type: 'assistant.segment.discarded', ...running, payload }];
      }
    }
  }
}

function isClosed(status: string): boolean {
  return status === 'complete' || status === 'partial';
}
