/**
 * Follows the log of every conversation, table, trigger and team in the store itself, whatever dies: the record that clients are
 * measured against, and the eyes of the fault injector. Conversations that triggers make it learns of by their rows, agents by
 * their team's stream.
 */
import type {
  AgentLinkValue,
  Event,
  QueueItemValue,
  TriggerDefinitionValue,
} from '../../src/contracts/events.ts';
import {
  attemptKey,
  conversationStream,
  tableStream,
  teamStream,
  triggerStream,
} from '../../src/contracts/ids.ts';
import { openStore } from '../../src/store/open.ts';
import type { Store } from '../../src/store/port.ts';
import type { Texts } from './client.ts';
import { judgedNextDue } from './due-judge.ts';
import type { AgentPhase, ConversationPhase, LogEntry, TriggerPhase } from './evidence.ts';
import { MailboxReader, type Row } from './team-log.ts';

export type LiveTurn = {
  turnId: string;
  attempt: number;
  key: string;
  content: string;
  sinceMs: number;
};

/** A table as its stream so far shows it. */
export type LiveTable = { tableId: string; lastSeq: number; activeConversationId: string | null };

/** A trigger as its stream so far shows it. */
export type LiveTrigger = {
  triggerId: string;
  lastSeq: number;
  /** Null: it is not made yet. */
  definition: TriggerDefinitionValue | null;
  removed: boolean;
  /** After what is decided; null: never, or not as long as it is paused. */
  nextDueMs: number | null;
  /** What was decided to run, and its conversation has said nothing of: requestId → conversation. */
  sending: Map<string, string>;
  rows: number;
};

/** A team as its members' logs so far show it. */
export type LiveTeam = {
  rootId: string;
  lastSeq: number;
  /** ConversationIds, the root's too, in the order in which they were told of. */
  members: Set<string>;
  /** When a boot has interrupted something last, and when the root was told so: logs are read one after the other. */
  interruptedAt: string;
  toldAt: string;
};

/** A conversation as its log so far shows it. */
export type Live = {
  conversationId: string;
  /** Null: it stands alone. */
  table: LiveTable | null;
  lastSeq: number;
  lastEventMs: number;
  state: string;
  turn: LiveTurn | null;
  sawOutput: boolean;
  openTools: Set<string>;
  /** approvalId → when it was seen. */
  approvals: Map<string, number>;
  cancelling: boolean;
  /** The turn has its end, and the workflow has not settled it. */
  ending: boolean;
  queue: QueueItemValue[];
  title: string;
  archived: boolean;
  /** Rows that are not cut, in order. Whole: it can be cut after, or forked at. */
  rows: { messageId: string; isPrompt: boolean; isWhole: boolean }[];
  /** Prompts, by turn. */
  contents: Map<string, string>;
  /** The newest ended turn and how it ended. */
  lastEnd: { turnId: string; type: string } | null;
  /** What it is in its team; null: it was made by nobody. */
  link: AgentLinkValue | null;
  mail: MailboxReader;
  team: LiveTeam | null;
  /** An agent that a client has asked for. */
  isAwaited: boolean;
};

const PAGE = 500;
/** Between two looks at the clock for what has become due. */
const DUE_EVERY_MS = 10;
const RECEIPTS = ['chat.started', 'chat.queued', 'chat.rejected'];
const ENDS = ['chat.done', 'chat.error', 'chat.cancelled', 'chat.interrupted'];

export class Watcher {
  readonly #store: Store;
  readonly #texts: Texts;
  /** By stream. */
  readonly #logs = new Map<string, LogEntry[]>();
  readonly #live = new Map<string, Live>();
  readonly #tables = new Map<string, LiveTable>();
  readonly #triggers = new Map<string, LiveTrigger>();
  readonly #teams = new Map<string, LiveTeam>();
  /** Requests that have a receipt. */
  readonly #answered = new Set<string>();
  readonly #triggerListeners = new Set<() => void>();
  readonly #listeners = new Set<(live: Live) => void>();
  readonly #stopWatching: () => void;
  readonly #poll: NodeJS.Timeout;
  /** Streams that may have grown, and what their events are seen by. */
  readonly #grown = new Set<string>();
  readonly #seers = new Map<string, (event: Event) => void>();
  #reading: Promise<void> | null = null;

  private constructor(store: Store, texts: Texts) {
    this.#store = store;
    this.#texts = texts;
    this.#stopWatching = store.watch((heads) => {
      for (const stream of this.#logs.keys()) if (heads.has(stream)) this.#grown.add(stream);
      this.#wake();
    });
    // Should a wake be lost.
    this.#poll = setInterval(() => void this.catchUp(), 2_000);
  }

  static async open(parts: { database: string; texts: Texts }): Promise<Watcher> {
    const store = await openStore({ url: `sqlite:${parts.database}`, readOnly: true });
    return new Watcher(store, parts.texts);
  }

  get store(): Store {
    return this.#store;
  }

  follow(conversationId: string, tableId: string | null): void {
    if (this.#live.has(conversationId)) return;
    const table = tableId === null ? null : (this.#tables.get(tableId) ?? null);
    const live = newLive(conversationId, table);
    this.#live.set(conversationId, live);
    this.#followStream(conversationStream(conversationId), (event) => {
      see(live, event);
      seeInTeam(live, event);
      if (RECEIPTS.includes(event.type)) this.#answer(event.requestId ?? '');
      for (const listener of this.#listeners) listener(live);
    });
  }

  #answer(requestId: string): void {
    this.#answered.add(requestId);
    for (const { sending } of this.#triggers.values()) sending.delete(requestId);
  }

  followTrigger(triggerId: string): void {
    if (this.#triggers.has(triggerId)) return;
    const trigger: LiveTrigger = {
      triggerId,
      lastSeq: 0,
      definition: null,
      removed: false,
      nextDueMs: null,
      sending: new Map(),
      rows: 0,
    };
    this.#triggers.set(triggerId, trigger);
    this.#followStream(triggerStream(triggerId), (event) => {
      this.#seeTrigger(trigger, event);
      for (const listener of this.#triggerListeners) listener();
    });
  }

  #seeTrigger(trigger: LiveTrigger, event: Event): void {
    trigger.lastSeq = event.seq;
    const dueAfter = (untilMs: number): number | null =>
      trigger.definition === null || trigger.definition.paused
        ? null
        : judgedNextDue(trigger.definition, untilMs);
    switch (event.type) {
      case 'trigger.created':
        trigger.definition = event.payload.definition;
        trigger.nextDueMs = dueAfter(Date.parse(event.payload.decidedUntil));
        return;
      case 'trigger.updated':
        trigger.definition = event.payload.definition;
        trigger.nextDueMs = dueAfter(Date.parse(event.payload.from));
        return;
      case 'trigger.removed':
        trigger.removed = true;
        trigger.nextDueMs = null;
        return;
      case 'trigger.decided': {
        const { until, fires } = event.payload;
        if (until !== undefined) trigger.nextDueMs = dueAfter(Date.parse(until));
        trigger.rows += fires.length;
        for (const { requestId, conversationId } of fires) {
          if (requestId === undefined || conversationId === undefined) continue;
          this.follow(conversationId, trigger.definition?.tableId ?? null);
          if (!this.#answered.has(requestId)) trigger.sending.set(requestId, conversationId);
        }
        return;
      }
      default:
    }
  }

  /** The team of this conversation, of which it is the root: from the moment of its first child. */
  followTeam(rootId: string): void {
    if (this.#teams.has(rootId)) return;
    const team: LiveTeam = {
      rootId,
      lastSeq: 0,
      members: new Set([rootId]),
      interruptedAt: '',
      toldAt: '',
    };
    this.#teams.set(rootId, team);
    this.live(rootId).team = team;
    this.#followStream(teamStream(rootId), (event) => {
      team.lastSeq = event.seq;
      if (event.type === 'agent.changed') this.#join(team, event.payload.agent.conversationId);
    });
  }

  /** Somebody has asked for this agent. */
  await(conversationId: string, rootId: string): void {
    this.followTeam(rootId);
    const team = this.#teams.get(rootId);
    if (team !== undefined) this.#join(team, conversationId);
    this.live(conversationId).isAwaited = true;
  }

  #join(team: LiveTeam, conversationId: string): void {
    this.follow(conversationId, null);
    this.live(conversationId).team = team;
    team.members.add(conversationId);
  }

  followTable(tableId: string): void {
    if (this.#tables.has(tableId)) return;
    const table: LiveTable = { tableId, lastSeq: 0, activeConversationId: null };
    this.#tables.set(tableId, table);
    this.#followStream(tableStream(tableId), (event) => {
      table.lastSeq = event.seq;
      if (event.type !== 'conversation.activated') return;
      const left = table.activeConversationId;
      table.activeConversationId = event.conversationId ?? null;
      // Another state of the one that was left, and of the one that is active now.
      for (const live of this.#live.values())
        if (live.conversationId === left || live.conversationId === table.activeConversationId)
          for (const listener of this.#listeners) listener(live);
    });
  }

  #followStream(stream: string, seer: (event: Event) => void): void {
    this.#logs.set(stream, []);
    this.#seers.set(stream, seer);
    this.#grown.add(stream);
    this.#wake();
  }

  all(): Live[] {
    return [...this.#live.values()];
  }

  tables(): LiveTable[] {
    return [...this.#tables.values()];
  }

  teams(): LiveTeam[] {
    return [...this.#teams.values()];
  }

  triggers(): LiveTrigger[] {
    return [...this.#triggers.values()];
  }

  trigger(triggerId: string): LiveTrigger | null {
    return this.#triggers.get(triggerId) ?? null;
  }

  live(conversationId: string): Live {
    return this.#live.get(conversationId) ?? newLive(conversationId, null);
  }

  /** Of a conversation or a table, by its stream. */
  log(stream: string): readonly LogEntry[] {
    return this.#logs.get(stream) ?? [];
  }

  /** Calls `listener` after each event. Returns how to stop. */
  onEvent(listener: (live: Live) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Resolves with a conversation for which `matches`; null when there was none within `withinMs`. */
  async until(matches: (live: Live) => boolean, withinMs: number): Promise<Live | null> {
    const now = this.all().find(matches);
    if (now !== undefined) return now;
    const { promise, resolve } = Promise.withResolvers<Live | null>();
    const late = setTimeout(() => resolve(null), withinMs);
    const stop = this.onEvent((live) => {
      if (matches(live)) resolve(live);
    });
    const found = await promise;
    clearTimeout(late);
    stop();
    return found;
  }

  /** Resolves with a trigger for which `matches`, as soon as it does; null when there was none within `withinMs`. */
  async untilTrigger(
    matches: (trigger: LiveTrigger) => boolean,
    withinMs: number,
  ): Promise<LiveTrigger | null> {
    const { promise, resolve } = Promise.withResolvers<LiveTrigger | null>();
    const look = (): void => {
      const found = this.triggers().find(matches);
      if (found !== undefined) resolve(found);
    };
    const late = setTimeout(() => resolve(null), withinMs);
    // Being due is no event.
    const looking = setInterval(look, DUE_EVERY_MS);
    this.#triggerListeners.add(look);
    look();
    const found = await promise;
    clearTimeout(late);
    clearInterval(looking);
    this.#triggerListeners.delete(look);
    return found;
  }

  /** Reads what is there now. */
  async catchUp(): Promise<void> {
    for (const stream of this.#logs.keys()) this.#grown.add(stream);
    this.#wake();
    await this.#reading;
  }

  async close(): Promise<void> {
    this.#stopWatching();
    clearInterval(this.#poll);
    this.#grown.clear();
    await this.#reading;
    await this.#store.close();
  }

  #wake(): void {
    this.#reading ??= this.#read()
      // Made up for by the next look at all of them.
      .catch(() => undefined)
      .finally(() => {
        this.#reading = null;
        if (this.#grown.size > 0) this.#wake();
      });
  }

  async #read(): Promise<void> {
    for (const stream of this.#grown) {
      this.#grown.delete(stream);
      const log = this.#logs.get(stream) ?? [];
      for (;;) {
        const after = log.at(-1)?.seq ?? 0;
        const { items } = await this.#store.events(stream, after, PAGE);
        for (const { seq, json } of items) {
          log.push({ seq, json: this.#texts.keep(stream, seq, json) });
          this.#seers.get(stream)?.(JSON.parse(json) as Event);
        }
        if (items.length < PAGE) break;
      }
    }
  }
}

/** Every state that this trigger is in now. */
export function phasesOfTrigger({ nextDueMs, sending }: LiveTrigger): TriggerPhase[] {
  return [
    ...(nextDueMs !== null && nextDueMs <= Date.now() ? ['trigger-due' as const] : []),
    ...(sending.size > 0 ? ['trigger-sending' as const] : []),
  ];
}

/** Whether something of its queue is kept from starting. */
export function isHeld({ queue }: Live): boolean {
  return queue.some(({ held }) => held === true);
}

/** Rows of its mailbox that are not over. */
export function openMail({ mail }: Live): Row[] {
  return [...mail.rows.values()].filter(
    ({ state }) => state === 'accepted' || state === 'delivered',
  );
}

/** Every state that this conversation is in now. */
export function phasesOf(live: Live): (ConversationPhase | AgentPhase)[] {
  return [...ownPhasesOf(live), ...agentPhasesOf(live)];
}

function agentPhasesOf(live: Live): AgentPhase[] {
  const { team, lastSeq } = live;
  if (team === null) return [];
  if (lastSeq === 0) return live.isAwaited ? ['spawning'] : [];
  const phases: AgentPhase[] = [];
  const open = openMail(live);
  if (open.some(({ kind }) => kind === 'task')) phases.push('spawning');
  const untaken = open.filter(({ state, waits }) => state === 'accepted' && !waits);
  if (untaken.some(({ kind }) => kind === 'message')) phases.push('mail-accepted');
  if (untaken.some(({ kind }) => kind === 'result' || kind === 'error')) phases.push('child-ended');
  if (team.interruptedAt > team.toldAt) phases.push('recovery-owed');
  return phases;
}

function ownPhasesOf(live: Live): ConversationPhase[] {
  const { table, turn, queue } = live;
  if (live.ending) return ['ending'];
  const waits: ConversationPhase[] = isHeld(live) ? ['held'] : [];
  if (turn === null && queue.some(({ held }) => held !== true)) waits.push('waiting-for-slot');
  if (turn === null) return live.lastSeq === 0 ? [] : ['idle', ...waits];
  const phases: ConversationPhase[] = [...waits];
  if (queue.length > 0) phases.push('queued-behind');
  if (queue.some(({ steer }) => steer === true)) phases.push('steering');
  if (table !== null && table.activeConversationId !== live.conversationId)
    phases.push('giving-way');
  if (live.cancelling) phases.push('cancelling');
  else if (live.approvals.size > 0) phases.push('waiting-for-approval');
  else if (live.openTools.size > 0) phases.push('tool-running');
  else phases.push(live.sawOutput ? 'streaming' : 'starting');
  return phases;
}

function seeInTeam({ team, conversationId }: Live, event: Event): void {
  if (team === null || team.lastSeq === 0) return;
  if (event.type === 'chat.interrupted' && event.payload.boot !== undefined) {
    if (event.at > team.interruptedAt) team.interruptedAt = event.at;
  } else if (
    event.type === 'mail.accepted' &&
    event.payload.kind === 'recovery' &&
    conversationId === team.rootId
  )
    team.toldAt = event.at;
}

function newLive(conversationId: string, table: LiveTable | null): Live {
  return {
    conversationId,
    table,
    lastSeq: 0,
    lastEventMs: Date.now(),
    state: 'idle',
    turn: null,
    sawOutput: false,
    openTools: new Set(),
    approvals: new Map(),
    cancelling: false,
    ending: false,
    queue: [],
    title: '',
    archived: false,
    rows: [],
    contents: new Map(),
    lastEnd: null,
    link: null,
    mail: new MailboxReader(),
    team: null,
    isAwaited: false,
  };
}

function see(live: Live, event: Event): void {
  live.lastSeq = event.seq;
  live.lastEventMs = Date.now();
  live.mail.see(event, 0);
  switch (event.type) {
    case 'conversation.created':
      live.link = event.payload.agent ?? null;
      live.title = event.payload.title;
      return;
    case 'conversation.updated':
      live.title = event.payload.title ?? live.title;
      live.archived = event.payload.archived ?? live.archived;
      return;
    case 'message.created':
      live.rows.push({ messageId: event.payload.messageId, isPrompt: true, isWhole: true });
      // One that a running turn has taken in is none of its prompts.
      if (event.turnId !== undefined && event.attempt === undefined)
        live.contents.set(event.turnId, event.payload.content);
      return;
    case 'message.copied': {
      const { messageId, role } = event.payload;
      live.rows.push({ messageId, isPrompt: role === 'user', isWhole: true });
      return;
    }
    case 'assistant.segment.ended':
    case 'assistant.segment.discarded': {
      const { messageId } = event.payload;
      const row = live.rows.find((each) => each.messageId === messageId);
      if (row !== undefined) row.isWhole = event.type === 'assistant.segment.ended';
      return;
    }
    case 'history.cut': {
      const { messageId } = event.payload;
      const last = live.rows.findIndex((row) => row.messageId === messageId);
      if (messageId === null || last !== -1) live.rows = live.rows.slice(0, last + 1);
      return;
    }
    case 'chat.started': {
      const turnId = event.turnId ?? '';
      const { attempt } = event.payload;
      live.turn = {
        turnId,
        attempt,
        key: attemptKey(turnId, attempt),
        content: live.contents.get(turnId) ?? '',
        sinceMs: Date.now(),
      };
      live.sawOutput = false;
      live.cancelling = false;
      live.ending = false;
      live.openTools.clear();
      live.approvals.clear();
      return;
    }
    case 'queue.changed':
      live.queue = event.payload.queue;
      return;
    case 'conversation.state':
      live.state = event.payload.state;
      if (live.state === 'idle') {
        live.turn = null;
        live.ending = false;
      }
      return;
    case 'chat.cancelling':
      live.cancelling = true;
      return;
    case 'tool.start':
      live.openTools.add(event.payload.toolCallId);
      live.rows.push({ messageId: event.payload.messageId, isPrompt: false, isWhole: false });
      live.sawOutput = true;
      return;
    case 'tool.end':
      live.openTools.delete(event.payload.toolCallId);
      return;
    case 'approval.requested':
      live.approvals.set(event.payload.approvalId, Date.now());
      return;
    case 'approval.resolved':
      live.approvals.delete(event.payload.approvalId);
      return;
    case 'assistant.segment.started':
      live.rows.push({ messageId: event.payload.messageId, isPrompt: false, isWhole: false });
      live.sawOutput = true;
      return;
    default:
      // A message that was removed from the queue ends without an attempt.
      if (!ENDS.includes(event.type) || event.attempt === undefined) return;
      live.ending = true;
      live.lastEnd = { turnId: event.turnId ?? '', type: event.type };
  }
}
