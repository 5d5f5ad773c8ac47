/** What a store must show of teams and their mail: by the logs of their conversations alone (agent-life.ts). */
import { expect } from 'vitest';

import type { MailRowValue } from '../../src/contracts/agents.ts';
import type {
  AgentLinkValue,
  AgentViewValue,
  Event,
  MailStateName,
} from '../../src/contracts/events.ts';
import { conversationStream, teamStream } from '../../src/contracts/ids.ts';
import { emptyView, foldEvents } from '../../src/domain/fold.ts';
import type { Store } from '../../src/store/port.ts';
import { allMail, existing, HOSTS, mailboxOf, ROOTS, type Told } from './agent-life.ts';
import { logOf } from './contract-events.ts';

const STATES: readonly MailStateName[] = ['accepted', 'delivered', 'applied', 'failed', 'expired'];

type EndEvent = Extract<
  Event,
  { type: 'chat.done' | 'chat.error' | 'chat.cancelled' | 'chat.interrupted' }
>;

function attemptEnds(log: readonly Event[]): EndEvent[] {
  return log.filter(
    (event): event is EndEvent =>
      ['chat.done', 'chat.error', 'chat.cancelled', 'chat.interrupted'].includes(event.type) &&
      event.attempt !== undefined,
  );
}

/** What a child's parent is to be told, by the child's log: of each attempt of its task that has ended. */
function tasksEnds(log: readonly Event[], parentId: string) {
  // As things stood when it ended: a turn may take the task in when an earlier attempt of it is over.
  const isOfTask = (end: EndEvent): boolean => {
    const task = mailboxOf(log.filter(({ seq }) => seq <= end.seq)).find(
      ({ kind, from }) => kind === 'task' && from === parentId,
    );
    return task !== undefined && end.turnId === task.turnId;
  };
  return attemptEnds(log)
    .filter(isOfTask)
    .map((end) => ({
      end: {
        messageId: `end-${end.turnId}-${end.attempt}`,
        outcome: OUTCOME_OF[end.type],
        waits: end.type === 'chat.cancelled' && end.payload.by === 'cascade',
        boot: end.type === 'chat.interrupted' ? (end.payload.boot ?? null) : null,
      },
      said: log
        .flatMap((event) =>
          event.type === 'assistant.segment.ended' &&
          // Another writer may say more of an attempt whose end it has not seen.
          event.seq < end.seq &&
          event.turnId === end.turnId &&
          event.attempt === end.attempt
            ? [event.payload.content]
            : [],
        )
        .join(''),
    }));
}

const OUTCOME_OF = {
  'chat.done': 'completed',
  'chat.error': 'failed',
  'chat.cancelled': 'cancelled',
  'chat.interrupted': 'interrupted',
} as const;

type World = { logs: Map<string, Event[]>; links: Map<string, AgentLinkValue> };

async function worldOf(store: Store): Promise<World> {
  const logs = new Map<string, Event[]>();
  const links = new Map<string, AgentLinkValue>();
  for (const each of await existing(store)) {
    const log = await logOf(store, conversationStream(each));
    logs.set(each, log);
    const [first] = log;
    if (first?.type === 'conversation.created' && first.payload.agent !== undefined)
      links.set(each, first.payload.agent);
  }
  return { logs, links };
}

/** Everything that a store shows of agents and mail, against the logs. `exact`: its clock never says the same time twice. */
export async function expectLogs(store: Store, exact: boolean): Promise<void> {
  const world = await worldOf(store);
  const owed = owedBy(world);
  if (exact) await expectOwed(store, owed);
  const owedRoots = exact
    ? new Set(owed.map(({ rootId }) => rootId))
    : new Set(
        (await Promise.all(HOSTS.map((host) => store.owedRecoveries(host))))
          .flat()
          .map(({ rootId }) => rootId),
      );
  for (const [conversationId, log] of world.logs) {
    const told = mailboxOf(log);
    await expectMailbox(store, world, conversationId, told);
    await expectTakeable(store, world, conversationId, told, owedRoots.has(conversationId));
    expectEnds(world, conversationId);
    await expectAgent(store, world, conversationId);
  }
  const untaken = [...world.logs].flatMap(([conversationId, log]) =>
    mailboxOf(log).some(
      (row) => isTakeable(row, owedRoots.has(conversationId)) && !row.waits && row.acceptedAt < '9',
    )
      ? [conversationId]
      : [],
  );
  const request = { acceptedBefore: '9', after: '', limit: 99 };
  expect(await store.withUntakenMail(request)).toStrictEqual(untaken.toSorted());
  for (const root of ROOTS) await expectTeam(store, world, root);
}

function isTakeable(row: Told, isOwed: boolean): boolean {
  return row.state === 'accepted' && row.cover === null && !(isOwed && row.boot !== null);
}

async function expectMailbox(
  store: Store,
  world: World,
  conversationId: string,
  told: readonly Told[],
): Promise<void> {
  const expected = told.map((row) => shown(world, conversationId, row));
  expect(await allMail(store, conversationId, 3)).toStrictEqual(expected);
  for (const state of STATES)
    expect(await allMail(store, conversationId, 2, { state })).toStrictEqual(
      expected.filter((row) => row.state === state),
    );
  const newest = expected.at(-1);
  if (newest !== undefined) {
    const { messageId, fromConversationId: from } = newest;
    expect(await store.mailRow({ conversationId, from, messageId })).toStrictEqual(newest);
  }
  const sent = [...world.logs].flatMap(([receiver, log]) =>
    mailboxOf(log).flatMap((row) =>
      row.from === conversationId ? [`${receiver} ${row.messageId}`] : [],
    ),
  );
  const out = await allMail(store, conversationId, 2, { box: 'out' });
  const name = (row: MailRowValue): string => `${row.toConversationId} ${row.messageId}`;
  expect(out.map(name).toSorted()).toStrictEqual(sent.toSorted());
}

function shown(world: World, conversationId: string, row: Told): MailRowValue {
  const { from, turnId, outcome, reason, deliveredAt, appliedAt, expiresAt } = row;
  return {
    messageId: row.messageId,
    from: from === null ? null : addressOf(world, from),
    to: addressOf(world, conversationId),
    fromConversationId: from,
    toConversationId: conversationId,
    kind: row.kind,
    content: row.content,
    ...(outcome === null ? {} : { outcome }),
    state: row.state,
    ...(reason === null ? {} : { reason }),
    ...(row.cover === null ? { requestId: row.requestId } : { coveredBy: row.cover.messageId }),
    ...(turnId === null ? {} : { turnId }),
    acceptedAt: row.acceptedAt,
    ...(deliveredAt === null ? {} : { deliveredAt }),
    ...(appliedAt === null ? {} : { appliedAt }),
    ...(expiresAt === null ? {} : { expiresAt }),
  };
}

function isTeam({ links }: World, root: string): boolean {
  return [...links.values()].some(({ rootId }) => rootId === root);
}

function addressOf(world: World, conversationId: string): string {
  const link = world.links.get(conversationId);
  return link?.agentId ?? (isTeam(world, conversationId) ? 'root' : conversationId);
}

async function expectTakeable(
  store: Store,
  world: World,
  conversationId: string,
  told: readonly Told[],
  isOwed: boolean,
): Promise<void> {
  for (const waiting of [true, false]) {
    const rows = told.filter((row) => isTakeable(row, isOwed) && (waiting || !row.waits));
    const all = { conversationId, limit: 99, limitBytes: 1e6, waiting };
    const { items, more } = await store.takeableMail(all);
    expect(more).toBe(false);
    expect(items.map(({ requestId }) => requestId)).toStrictEqual(
      rows.map(({ requestId }) => requestId),
    );
    const few = await store.takeableMail({ ...all, limit: 1 });
    expect(few).toStrictEqual({ items: items.slice(0, 1), more: items.length > 1 });
    expect(await store.takeableMail({ ...all, limit: 0 })).toStrictEqual({
      items: [],
      more: items.length > 0,
    });
    for (const [index, item] of items.entries()) {
      const row = rows[index];
      const from = row?.from ?? null;
      const link = from === null ? undefined : world.links.get(from);
      const root = from !== null && isTeam(world, from) ? { agentId: 'root', name: 'root' } : null;
      expect(item).toStrictEqual({
        messageId: row?.messageId,
        from,
        sender:
          from === null
            ? null
            : link === undefined
              ? (root ?? { agentId: from, name: '' })
              : { agentId: link.agentId, name: link.name },
        kind: row?.kind,
        content: row?.content,
        outcome: row?.outcome,
        whenBusy: 'queue',
        requestId: row?.requestId,
        expiresAt: row?.expiresAt,
      });
    }
  }
}

/** M1 each end of a child's task is one row of its parent's, and there are no others of that kind. */
function expectEnds({ logs, links }: World, conversationId: string): void {
  const link = links.get(conversationId);
  const log = logs.get(conversationId) ?? [];
  if (link === undefined) return;
  const told = (logs.get(link.parentId) ?? []).flatMap((event) =>
    event.type === 'mail.accepted' &&
    event.payload.from === conversationId &&
    event.payload.messageId.startsWith('end-')
      ? [event.payload]
      : [],
  );
  const expected = tasksEnds(log, link.parentId);
  expect(
    told.map(({ messageId, outcome, waits = false, boot = null }) => ({
      messageId,
      outcome,
      waits,
      boot,
    })),
  ).toStrictEqual(expected.map(({ end }) => end));
  for (const [index, { kind, outcome, content }] of told.entries()) {
    expect(kind).toBe(outcome === 'completed' ? 'result' : 'error');
    const text = expected[index]?.said ?? '';
    expect(content).toContain(text === '' ? 'said nothing' : text);
  }
}

async function expectAgent(store: Store, { logs, links }: World, id_: string): Promise<void> {
  const link = links.get(id_);
  const log = logs.get(id_) ?? [];
  const task = log.find((event) => event.type === 'mail.accepted' && event.payload.kind === 'task');
  expect(await store.agent(id_)).toStrictEqual(
    link === undefined
      ? null
      : {
          conversationId: id_,
          ...link,
          task: task?.type === 'mail.accepted' ? task.payload.content : null,
        },
  );
  if (link !== undefined) expect(await store.memberByAgentId(link.rootId, link.agentId)).toBe(id_);
  const below = [...links].filter(([, each]) => each.parentId === id_);
  const age = (each: string): string => logs.get(each)?.[0]?.at ?? '';
  const ids = await store.children(id_);
  expect(ids.toSorted()).toStrictEqual(below.map(([each]) => each).toSorted());
  expect(ids.map(age)).toStrictEqual(ids.map(age).toSorted());
}

/** T2. */
async function expectTeam(store: Store, world: World, root: string): Promise<void> {
  const members = [...world.links].filter(([, { rootId }]) => rootId === root);
  const view = await store.team(root);
  const stream = await logOf(store, teamStream(root));
  expect(view?.lastSeq).toBe(stream.length);
  const last = new Map<string, AgentViewValue>();
  for (const [index, event] of stream.entries()) {
    expect(event).toMatchObject({ type: 'agent.changed', rootId: root, seq: index + 1 });
    expect(event.conversationId).toBeUndefined();
    if (event.type === 'agent.changed')
      last.set(event.payload.agent.conversationId, event.payload.agent);
  }
  const ids = (view?.agents ?? []).map(({ conversationId }) => conversationId);
  expect(ids.toSorted()).toStrictEqual([root, ...members.map(([each]) => each)].toSorted());
  if (members.length > 0) expect(view?.agents).toStrictEqual([...last.values()]);
  else expect(stream).toStrictEqual([]);
  for (const member of view?.agents ?? []) {
    if (member.parentId !== null)
      expect(ids.indexOf(member.parentId)).toBeLessThan(ids.indexOf(member.conversationId));
    expect(member).toStrictEqual(await expectedView(store, world, root, member));
  }
}

/** What is told of a member; its usage and its session are of the last time it was told something. */
async function expectedView(
  store: Store,
  { logs, links }: World,
  root: string,
  { conversationId, usage, providerSessionId }: AgentViewValue,
): Promise<AgentViewValue> {
  const log = logs.get(conversationId) ?? [];
  const link = links.get(conversationId);
  const view = foldEvents(emptyView(conversationId), log);
  const mail = { accepted: 0, delivered: 0, applied: 0, failed: 0, expired: 0 };
  for (const { state } of mailboxOf(log)) mail[state] += 1;
  const newestEnd = attemptEnds(log).at(-1);
  const summary = await store.summary(conversationId);
  return {
    agentId: link?.agentId ?? 'root',
    conversationId,
    parentId: link?.parentId ?? null,
    name: link?.name ?? view.title,
    role: link?.role ?? '',
    depth: conversationId === root ? 0 : (link?.depth ?? -1),
    provider: view.provider,
    model: view.model,
    workspacePath: view.workspacePath,
    providerSessionId,
    state: view.state,
    outcome: newestEnd === undefined ? null : OUTCOME_OF[newestEnd.type],
    lastLine: summary?.lastLine ?? '',
    turnCount: new Set(log.flatMap(({ type, turnId }) => (type === 'chat.started' ? [turnId] : [])))
      .size,
    queued: view.queue.length,
    approvals: view.approvals.length,
    usage,
    mail,
    createdAt: log[0]?.at ?? '',
    lastAt: summary?.lastAt ?? '',
  };
}

type Owed = {
  rootId: string;
  conversationId: string;
  turnId: string;
  attempt: number;
  boot: string;
  host: string;
  at: string;
};

/** M2 by the logs, in the order of their times. */
function owedBy({ logs, links }: World): Owed[] {
  const all = [...logs]
    .flatMap(([conversationId, log]) => log.map((event) => ({ conversationId, event })))
    .toSorted((first, other) =>
      first.event.at < other.event.at ? -1 : first.event.at > other.event.at ? 1 : 0,
    );
  const hosts = new Map<string, string>();
  const roots = new Map<string, string>();
  const told = new Set<string>();
  let owed: Owed[] = [];
  for (const { conversationId, event } of all) {
    const link = links.get(conversationId);
    if (event.type === 'conversation.created' && link !== undefined) {
      roots.set(link.rootId, link.rootId);
      roots.set(conversationId, link.rootId);
    } else if (event.type === 'conversation.updated' && event.payload.host !== undefined) {
      hosts.set(conversationId, event.payload.host);
    } else if (event.type === 'mail.accepted' && event.payload.kind === 'recovery') {
      const { boot: name } = event.payload;
      const named = owed.flatMap(({ rootId, boot: other, host }) =>
        rootId === conversationId && other === name ? [host] : [],
      );
      owed = owed.filter(
        ({ rootId, host }) =>
          rootId !== conversationId || (named.length > 0 && !named.includes(host)),
      );
      // The second one of a message is no row.
      const { messageId } = event.payload;
      const isFirst =
        event ===
        (logs.get(conversationId) ?? []).find(
          (each) =>
            each.type === 'mail.accepted' &&
            each.payload.messageId === messageId &&
            each.payload.from === null,
        );
      if (isFirst) told.add(`${conversationId} ${name}`);
    } else if (event.type === 'chat.interrupted' && event.payload.boot !== undefined) {
      const rootId = roots.get(conversationId);
      const { boot: name } = event.payload;
      const { turnId, attempt } = event;
      if (rootId === undefined || turnId === undefined || attempt === undefined) continue;
      if (told.has(`${rootId} ${name}`)) continue;
      const host = hosts.get(conversationId) ?? '';
      owed.push({ rootId, conversationId, turnId, attempt, boot: name, host, at: event.at });
    }
  }
  return owed;
}

async function expectOwed(store: Store, owed: readonly Owed[]): Promise<void> {
  for (const asked of HOSTS) {
    const found = await store.owedRecoveries(asked);
    const flat = found.flatMap(({ rootId, interrupted }) =>
      interrupted.map(({ cause, ...each }) => {
        expect(cause).toBe('lost');
        return { rootId, ...each };
      }),
    );
    // Of hosts that nobody knows, each is told.
    const expected = owed.flatMap(({ host, ...each }) =>
      host === asked || host === '' ? [each] : [],
    );
    const inTime = (rows: typeof expected) => rows.toSorted((a, b) => (a.at < b.at ? -1 : 1));
    expect(inTime(flat)).toStrictEqual(inTime(expected));
  }
}
