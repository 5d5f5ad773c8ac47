import { createRecordActivities, type RecordActivities } from '../../src/activities/records.ts';
/**
 * A conversation's workflow and turn host in this process, for tests of the gateway: the real decisions, the real record
 * activities and the real store; only Temporal and the provider are missing. Turns speak and end as the test says.
 */
import type {
  ConversationCommands,
  ConversationSignal,
  NewConversation,
} from '../../src/api/commands.ts';
import { HoldfastError } from '../../src/contracts/errors.ts';
import type { NewEvent, OutcomeName } from '../../src/contracts/events.ts';
import { appendKey, conversationStream, providerMessageId } from '../../src/contracts/ids.ts';
import {
  apply,
  type Command,
  type ConversationModel,
  decide,
  newConversation,
  parseSignal,
} from '../../src/domain/conversation.ts';
import type { Fence, Store } from '../../src/store/port.ts';
import { eventually } from '../support/eventually.ts';

/** What becomes of a command: carried out; durable and never taken up; refused; taken though the answer was lost; lost. */
export type Weather =
  | 'fine'
  | 'no-worker'
  | 'unreachable'
  | 'answer-lost'
  | 'fate-unknown'
  | 'broken';

type Running = { fence: Fence; segment: number | null };

export class WorkflowDouble implements ConversationCommands {
  weather: Weather = 'fine';
  /** Ends every turn at once with this answer; null leaves it running until the test ends it. */
  autoAnswer: string | null = null;
  /** Holds back what follows from a turn's end until {@link settle}. */
  holdsSettling = false;
  /** Accepted commands are carried out after this. */
  gate: Promise<void> = Promise.resolve();
  readonly signals: { conversationId: string; signal: ConversationSignal }[] = [];
  creates = 0;
  readonly #store: Store;
  readonly #records: RecordActivities;
  readonly #models = new Map<string, ConversationModel>();
  readonly #running = new Map<string, Running>();
  readonly #inboxes = new Map<string, Promise<void>>();
  readonly #unsettled: (() => Promise<void>)[] = [];
  #ids = 0;

  constructor(store: Store) {
    this.#store = store;
    this.#records = createRecordActivities({ store });
  }

  async create(command: { conversationId: string; create: NewConversation }): Promise<void> {
    this.creates += 1;
    await this.#through(command.conversationId, async () => {
      if (this.#models.has(command.conversationId)) return;
      await this.#open(command);
    });
  }

  async signal(command: { conversationId: string; signal: ConversationSignal }): Promise<void> {
    this.signals.push(command);
    const { conversationId, signal } = command;
    await this.#through(conversationId, async () => {
      if (!this.#models.has(conversationId)) await this.#open({ conversationId });
      if (signal.name === 'resolveApproval') {
        await this.#resolve(conversationId, signal.argument);
        return;
      }
      const parsed = parseSignal(signal.name, signal.argument);
      if (parsed === null) throw new Error(`not a signal: ${JSON.stringify(signal)}`);
      await this.#handle(conversationId, parsed);
    });
  }

  async check(): Promise<void> {
    if (this.weather === 'unreachable') throw new Error('unreachable');
  }

  /** Everything that was accepted has been carried out. */
  async quiet(): Promise<void> {
    await Promise.all(this.#inboxes.values());
  }

  turnOf(conversationId: string): { turnId: string; attempt: number } {
    const turn = this.#models.get(conversationId)?.turn;
    if (turn == null) throw new Error(`nothing runs in ${conversationId}`);
    return turn;
  }

  /** The running turn's provider says `texts`, one delta each, in one append. */
  async say(conversationId: string, ...texts: string[]): Promise<void> {
    await this.#inboxes.get(conversationId);
    await this.#say(conversationId, texts);
  }

  async #say(conversationId: string, texts: readonly string[]): Promise<void> {
    const { running, scope } = this.#runningTurn(conversationId);
    const events: NewEvent[] = [];
    const messageId = providerMessageId(scope.turnId, scope.attempt, running.segment ?? 1);
    if (running.segment === null) {
      running.segment = 1;
      events.push({
        ...scope,
        type: 'assistant.segment.started',
        payload: { messageId, kind: 'text' },
      });
    }
    for (const text of texts)
      events.push({ ...scope, type: 'chat.delta', payload: { messageId, text } });
    await this.#append(conversationId, running.fence, events);
  }

  async askApproval(conversationId: string, approvalId: string): Promise<void> {
    // The send may have been answered 202: on a busy machine the turn begins a moment later.
    await eventually(() => this.#running.has(conversationId));
    const { running, scope } = this.#runningTurn(conversationId);
    await this.#append(conversationId, running.fence, [
      {
        ...scope,
        type: 'approval.requested',
        payload: { approvalId, title: 'run a tool', input: {}, options: ['allow', 'deny'] },
      },
    ]);
  }

  /** Ends the running turn; the model is settled before this resolves, unless settling is held. */
  async end(conversationId: string, outcome: OutcomeName, answer = ''): Promise<void> {
    await this.#inboxes.get(conversationId);
    await this.#end(conversationId, outcome, answer);
  }

  async #end(conversationId: string, outcome: OutcomeName, answer: string): Promise<void> {
    const { running, scope } = this.#runningTurn(conversationId);
    const events: NewEvent[] = [];
    if (running.segment !== null)
      events.push({
        ...scope,
        type: 'assistant.segment.ended',
        payload: {
          messageId: providerMessageId(scope.turnId, scope.attempt, running.segment),
          content: answer,
          status: outcome === 'completed' ? 'complete' : 'partial',
        },
      });
    events.push({ ...scope, type: 'usage', payload: { inputTokens: 3, outputTokens: 5 } });
    events.push(terminal(outcome, scope));
    await this.#store.append({
      stream: conversationStream(conversationId),
      key: appendKey.end(scope.turnId, scope.attempt),
      events,
      fence: running.fence,
    });
    this.#running.delete(conversationId);
    const settle = (): Promise<void> =>
      this.#handle(conversationId, {
        type: 'turn.ended',
        turnId: scope.turnId,
        attempt: scope.attempt,
      });
    if (this.holdsSettling) this.#unsettled.push(settle);
    else await settle();
  }

  async settle(): Promise<void> {
    for (const settle of this.#unsettled.splice(0)) await settle();
  }

  async #through(conversationId: string, work: () => Promise<void>): Promise<void> {
    if (this.weather === 'unreachable')
      throw new HoldfastError('temporal_unavailable', undefined, { accepted: false });
    if (this.weather === 'fate-unknown')
      throw new HoldfastError('temporal_unavailable', 'not known', { accepted: 'unknown' });
    if (this.weather === 'broken') throw new Error('secret inner detail');
    const before = this.#inboxes.get(conversationId) ?? Promise.resolve();
    if (this.weather !== 'no-worker') {
      const done = Promise.all([before, this.gate]).then(work);
      this.#inboxes.set(conversationId, done);
      // Durable at once; carried out later, like the real one.
      if (this.weather === 'answer-lost') {
        await done;
        throw new HoldfastError('temporal_unavailable', 'not known', { accepted: 'unknown' });
      }
    }
  }

  async #open(input: { conversationId: string; create?: NewConversation }): Promise<void> {
    const { provider, model, turn, queue } = await this.#records.openConversation(input);
    this.#models.set(input.conversationId, {
      ...newConversation({ conversationId: input.conversationId, provider, model }),
      host: 'double',
      turn,
      queue,
      state: turn === null ? 'idle' : 'processing',
    });
  }

  async #handle(conversationId: string, command: Command): Promise<void> {
    const model = this.#models.get(conversationId);
    if (model === undefined) throw new Error(`no model of ${conversationId}`);
    const asked =
      command.type === 'retry'
        ? {
            ...command,
            turn: await this.#records.lookUpTurn({ conversationId, turnId: command.turnId }),
          }
        : command;
    this.#ids += 1;
    const now = new Date().toISOString();
    const decision = decide(model, asked, {
      now,
      turnId: `turn${this.#ids}`,
      messageId: `message${this.#ids}`,
    });
    if (decision === null) return;
    const content =
      asked.type === 'send' ? asked.content : 'turnId' in asked ? (asked.turnId ?? '') : '';
    const answer = await this.#records.recordDecision({
      conversationId,
      key: decision.key,
      events: decision.events,
      request: decision.request === null ? null : { ...decision.request, content },
      unlessEnded: null,
    });
    if (answer !== 'recorded') return;
    let next = model;
    for (const event of decision.events) next = apply(next, event, now);
    this.#models.set(conversationId, next);
    for (const effect of decision.effects)
      if (effect.type === 'run') await this.#run(conversationId, effect);
      else await this.#end(conversationId, 'cancelled', '');
  }

  async #run(
    conversationId: string,
    { turnId, attempt }: { turnId: string; attempt: number },
  ): Promise<void> {
    const { epoch } = await this.#store.claim({
      conversationId,
      turnId,
      attempt,
      host: 'double',
      place: { spool: `${turnId}.${attempt}`, from: 0 },
    });
    const fence = { turnId, attempt, epoch };
    this.#running.set(conversationId, { fence, segment: null });
    if (this.autoAnswer === null) return;
    await this.#say(conversationId, [this.autoAnswer]);
    await this.#end(conversationId, 'completed', this.autoAnswer);
  }

  async #resolve(
    conversationId: string,
    {
      approvalId,
      decision,
      by,
    }: { approvalId: string; decision: 'allow' | 'deny'; by?: string | undefined },
  ): Promise<void> {
    const { running, scope } = this.#runningTurn(conversationId);
    const known = await this.#store.approval(conversationId, approvalId);
    if (known?.decision !== null) return;
    const at = new Date().toISOString();
    await this.#append(conversationId, running.fence, [
      {
        ...scope,
        type: 'approval.resolved',
        payload: { approvalId, decision, by: by ?? 'operator', at },
      },
    ]);
  }

  async #append(conversationId: string, fence: Fence, events: NewEvent[]): Promise<void> {
    await this.#store.append({ stream: conversationStream(conversationId), events, fence });
  }

  #runningTurn(conversationId: string): {
    running: Running;
    scope: { turnId: string; attempt: number };
  } {
    const running = this.#running.get(conversationId);
    if (running === undefined) throw new Error(`nothing runs in ${conversationId}`);
    const { turnId, attempt } = running.fence;
    return { running, scope: { turnId, attempt } };
  }
}

function terminal(outcome: OutcomeName, scope: { turnId: string; attempt: number }): NewEvent {
  switch (outcome) {
    case 'completed':
      return { ...scope, type: 'chat.done', payload: {} };
    case 'failed':
      return { ...scope, type: 'chat.error', payload: { code: 'provider', message: 'failed' } };
    case 'cancelled':
      return { ...scope, type: 'chat.cancelled', payload: { by: 'user' } };
    case 'interrupted':
      return {
        ...scope,
        type: 'chat.interrupted',
        payload: { cause: 'provider-died', retryable: true },
      };
  }
}
