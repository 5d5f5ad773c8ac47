import type { MailRowValue, TeamViewValue } from '../../../src/contracts/agents.ts';
/** A client without an engine: what it shows is given, and what it is asked for is written down. */
import type { ConversationSummaryValue } from '../../../src/contracts/events.ts';
import type { LedgerRowValue, TriggerViewValue } from '../../../src/contracts/triggers.ts';
import type {
  ConversationViewValue,
  TableFactsValue,
  TableViewValue,
} from '../../../src/contracts/view.ts';
import type {
  ConversationHandle,
  ConversationState,
  HoldfastClient,
  LinkState,
  Opened,
  Outcome,
  Paged,
  Readable,
  TableHandle,
  WhyValue,
} from '../../../web/client/contract.ts';

/** A readable that a test changes. */
export type Changeable<T> = Readable<T> & { set(value: T): void };

export function changeable<T>(first: T): Changeable<T> {
  const listeners = new Set<() => void>();
  let value = first;
  return {
    get: () => value,
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    set(next) {
      value = next;
      for (const listener of listeners) listener();
    },
  };
}

const opened = <T>(readable: Readable<T>): Opened<T> => ({ ...readable, release: () => {} });
const done = <T>(value: T): Promise<Outcome<T>> => Promise.resolve({ ok: true, value });

/** Of 2026-11-22, the day that the fixtures take for today. */
export const NOW_MS = Date.parse('2026-11-22T10:00:00.000Z');
export const minutesAgo = (minutes: number, nowMs = NOW_MS): string =>
  new Date(nowMs - minutes * 60_000).toISOString();

export function summary(part: Partial<ConversationSummaryValue> = {}): ConversationSummaryValue {
  return {
    conversationId: 'c1',
    tableId: 't1',
    title: 'A conversation',
    archived: false,
    provider: 'scripted',
    model: null,
    createdAt: minutesAgo(60),
    forkedFrom: null,
    state: 'idle',
    lastLine: '',
    messageCount: 2,
    turnCount: 1,
    queued: 0,
    held: false,
    approvals: 0,
    lastAt: minutesAgo(10),
    ...part,
  };
}

export function table(part: Partial<TableViewValue> = {}): TableViewValue {
  return {
    tableId: 't1',
    title: 'My table',
    workspacePath: '/srv/project',
    provider: 'scripted',
    model: null,
    activeConversationId: 'c1',
    createdAt: minutesAgo(600),
    conversations: [],
    hasOlder: false,
    lastSeq: 1,
    ...part,
  };
}

export function conversation(part: Partial<ConversationViewValue> = {}): ConversationViewValue {
  return {
    conversationId: 'c1',
    tableId: 't1',
    title: 'A conversation',
    archived: false,
    provider: 'scripted',
    model: null,
    workspacePath: '/srv/project',
    state: 'idle',
    messages: [],
    activeTurn: null,
    overlays: {},
    queue: [],
    held: false,
    approvals: [],
    usage: { inputTokens: 0, outputTokens: 0 },
    hasOlder: false,
    lastSeq: 1,
    ...part,
  };
}

export function ledgerRow(part: Partial<LedgerRowValue> = {}): LedgerRowValue {
  return {
    triggerId: 'g1',
    dueAt: minutesAgo(60),
    decidedAt: minutesAgo(60),
    outcome: 'fired',
    words: 'In time, 0.2 s after it was due.',
    rule: 'r1',
    cause: 'due',
    requestId: 'q1',
    conversationId: 'c1',
    turnId: 'n1',
    ...part,
  };
}

export function trigger(part: Partial<TriggerViewValue> = {}): TriggerViewValue {
  return {
    triggerId: 'g1',
    title: '',
    tableId: null,
    conversationId: 'c1',
    content: 'Run the tests and say what is red.',
    schedule: { everyMs: 3_600_000, timezone: 'UTC' },
    jitterMs: 0,
    startAt: null,
    endAt: null,
    missed: { policy: 'run-once' },
    whenBusy: 'queue',
    newConversation: false,
    paused: false,
    rule: 'r1',
    createdAt: minutesAgo(600),
    updatedAt: minutesAgo(600),
    nextDueAt: minutesAgo(-30),
    counts: { fired: 3, late: 0, 'caught-up': 1, skipped: 0, rejected: 0 },
    last: ledgerRow(),
    trouble: null,
    ...part,
  };
}

export type FixtureAgent = TeamViewValue['agents'][number];

export function agent(part: Partial<FixtureAgent> = {}): FixtureAgent {
  return {
    agentId: 'root',
    conversationId: 'c1',
    parentId: null,
    name: 'A conversation',
    role: '',
    depth: 0,
    provider: 'scripted',
    model: null,
    workspacePath: '/srv/project',
    providerSessionId: null,
    state: 'idle',
    outcome: 'completed',
    lastLine: '',
    turnCount: 1,
    queued: 0,
    approvals: 0,
    usage: { inputTokens: 1200, outputTokens: 340, costUsd: 0.0123 },
    mail: { accepted: 0, delivered: 0, applied: 0, failed: 0, expired: 0 },
    createdAt: minutesAgo(60),
    lastAt: minutesAgo(10),
    ...part,
  };
}

export function mailRow(part: Partial<MailRowValue> = {}): MailRowValue {
  return {
    messageId: 'm1',
    from: 'root',
    to: 'reviewer',
    fromConversationId: 'c1',
    toConversationId: 'c2',
    kind: 'task',
    content: 'Read the diff of the last commit and say what is wrong with it.',
    state: 'applied',
    acceptedAt: minutesAgo(30),
    deliveredAt: minutesAgo(30),
    appliedAt: minutesAgo(29),
    ...part,
  };
}

export type World = {
  link?: LinkState;
  tables?: readonly TableFactsValue[];
  view?: TableViewValue;
  conversations?: readonly ConversationViewValue[];
  /** Pages of `list`, in order; a search gets what it finds in the titles of the first. */
  pages?: readonly (readonly (ConversationSummaryValue & {
    match?: { messageId: string | null; snippet: string };
  })[])[];
  triggers?: readonly TriggerViewValue[];
  ledger?: readonly LedgerRowValue[];
  team?: TeamViewValue;
  mail?: readonly MailRowValue[];
  why?: WhyValue;
  /** What each command answers instead of success. */
  refuse?: Outcome<never>;
};

export type FixtureClient = HoldfastClient & {
  /** Names of commands with their arguments, in order. */
  readonly asked: unknown[][];
  readonly link: Changeable<LinkState>;
  readonly tables: Changeable<Paged<TableFactsValue>>;
  readonly tableView: Changeable<TableViewValue>;
};

/** A client of that world. Handles are made anew with each opening, as the real ones may be. */
export function fixtureClient(world: World = {}): FixtureClient {
  const asked: unknown[][] = [];
  const ask = <T>(name: string, args: unknown[], value: T): Promise<Outcome<T>> => {
    asked.push([name, ...args]);
    return world.refuse === undefined ? done(value) : Promise.resolve(world.refuse);
  };
  const link = changeable<LinkState>(world.link ?? { is: 'live' });
  const view = changeable(world.view ?? table());
  const tables = changeable(paged(world.tables ?? (world.view === undefined ? [] : [world.view])));
  const drafts = new Map<string, Changeable<string>>();
  const viewOf = (conversationId: string) =>
    world.conversations?.find((each) => each.conversationId === conversationId) ??
    conversation({
      conversationId,
      title:
        view.get().conversations.find((each) => each.conversationId === conversationId)?.title ??
        '',
    });

  const openTable = (tableId: string): TableHandle => ({
    tableId,
    get: keep(
      () => view.get(),
      (now) => ({ is: 'ready' as const, problem: null, view: now, isStale: false }),
    ),
    subscribe: (listener) => view.subscribe(listener),
    release: () => {},
    newChat: (request) => ask('newChat', [tableId, request], conversation(request as object)),
    activate: (request) => ask('activate', [tableId, request], {}),
    rename: (title) => ask('rename', [tableId, title], {}),
    list(request) {
      asked.push(['list', tableId, request]);
      const pages = world.pages ?? [];
      const index = request.cursor === undefined ? 0 : Number(request.cursor);
      const items = [...(pages[index] ?? [])].filter(
        (chat) =>
          request.q === undefined || chat.title.toLowerCase().includes(request.q.toLowerCase()),
      );
      const hasNext = index + 1 < pages.length && request.q === undefined;
      return done({ items, nextCursor: hasNext ? String(index + 1) : null });
    },
  });
  const openConversation = (conversationId: string): ConversationHandle => {
    const state: ConversationState = {
      is: 'ready',
      problem: null,
      view: viewOf(conversationId),
      rows: [],
      work: null,
      older: 'none',
      isStale: false,
    };
    const draft = drafts.get(conversationId) ?? changeable('');
    drafts.set(conversationId, draft);
    return {
      ...opened({ get: () => state, subscribe: () => () => {} }),
      conversationId,
      send(message) {
        asked.push(['send', conversationId, message]);
        return 'q1';
      },
      sendAgain: () => {},
      takeBack: () => '',
      cancel: (request) => ask('cancel', [conversationId, request], {}),
      retry: (turnId) => ask('retry', [conversationId, turnId], {}),
      retryAfterEnd: (turnId) => ask('retryAfterEnd', [conversationId, turnId], {}),
      answer: (request) => ask('answer', [conversationId, request], {}),
      updateQueued: (requestId) => ask('updateQueued', [conversationId, requestId], {}),
      removeQueued: (requestId) => ask('removeQueued', [conversationId, requestId], {}),
      holdQueue: (held) => ask('holdQueue', [conversationId, held], {}),
      fork: (request) => ask('fork', [conversationId, request], conversation()),
      rollback: (messageId) => ask('rollback', [conversationId, messageId], {}),
      patch: (change) => ask('patch', [conversationId, change], {}),
      loadOlder: () => {},
      showAttempt: () => {},
      rowsOfAttempt: () => [],
      showCut: () => {},
      why: () =>
        ask(
          'why',
          [conversationId],
          world.why ?? {
            state: 'idle',
            waitingFor: 'Nothing. It waits for a message.',
            since: null,
            evidence: [],
            fix: null,
            temporalUi: null,
          },
        ),
      draft,
      setDraft: (text) => draft.set(text),
      edits: constant([]),
      setEdit: () => {},
      endEdit: () => {},
    };
  };
  return {
    asked,
    link,
    tables,
    loadMoreTables: () => asked.push(['loadMoreTables']),
    tableView: view,
    setToken: (token) => asked.push(['setToken', token]),
    reconnect: () => asked.push(['reconnect']),
    createTable: (request) => ask('createTable', [request], table(request as object)),
    openTable,
    openConversation,
    openTeam: (conversationId) => ({
      ...opened(
        constant({
          is: 'ready' as const,
          problem: null,
          team: world.team ?? { rootId: 'c1', agents: [agent()], lastSeq: 1 },
        }),
      ),
      spawn: (parentId, request) => ask('spawn', [conversationId, parentId, request], {}),
      mailbox: (of, request) =>
        ask('mailbox', [of, request], { items: [...(world.mail ?? [])], nextCursor: null }),
      write: (from, request) => ask('write', [from, request], mailRow()),
      resend: (of, row) => ask('resend', [of, row.messageId], {}),
    }),
    openTriggers: () => ({
      ...opened(constant(paged(world.triggers ?? []))),
      create: (request) => ask('create', [request], trigger()),
      patch: (triggerId, change) => ask('patchTrigger', [triggerId, change], trigger()),
      remove: (triggerId) => ask('remove', [triggerId], {}),
      fire: (triggerId) => ask('fire', [triggerId], {}),
      openLedger: (_triggerId, filter) => ({
        ...opened(
          constant({
            ...paged(
              (world.ledger ?? []).filter(
                ({ outcome }) => filter?.outcome === undefined || filter.outcome === outcome,
              ),
            ),
            counts: world.triggers?.[0]?.counts ?? null,
          }),
        ),
        loadMore: () => asked.push(['loadMore']),
      }),
    }),
    providers: () =>
      ask(
        'providers',
        [],
        ['scripted', 'claude'].map((providerId) => ({
          providerId,
          found: true,
          version: '1',
          capabilities: {
            warmSessions: true,
            approvals: true,
            protocolCancel: true,
            resume: true,
            steer: true,
          },
          problem: null,
        })),
      ),
    close: () => asked.push(['close']),
  };
}

const constant = <T>(value: T): Readable<T> => ({ get: () => value, subscribe: () => () => {} });

function paged<T>(items: readonly T[]): Paged<T> {
  return { items, is: 'ready', problem: null, hasMore: false };
}

/** The same object for the same input, as a readable must. */
function keep<From, To>(read: () => From, make: (from: From) => To): () => To {
  let from = read();
  let made = make(from);
  return () => {
    const now = read();
    if (now !== from) {
      from = now;
      made = make(now);
    }
    return made;
  };
}
