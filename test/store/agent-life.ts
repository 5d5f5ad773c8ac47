/** Random lives of teams and their mail, and what a mailbox must hold by its log, read by rules that share no code with any engine. */
import * as fc from 'fast-check';

import type { MailRowValue } from '../../src/contracts/agents.ts';
import { isHoldfastError } from '../../src/contracts/errors.ts';
import type {
  AgentLinkValue,
  Event,
  MailStateName,
  NewEvent,
  OutcomeName,
} from '../../src/contracts/events.ts';
import { conversationStream } from '../../src/contracts/ids.ts';
import { mailRequestId } from '../../src/store/mail-request-id.ts';
import type { Store } from '../../src/store/port.ts';
import {
  accepted,
  begun,
  childCreated,
  ended,
  queuedUp,
  receiptOf,
  rejected,
  removedFromQueue,
  rootCreated,
  said,
  say,
  steered,
  type Turn,
} from './agent-events.ts';

export const ROOTS = ['r', 'q', 'alone'] as const;
const AGENTS = ['a', 'b', 'c', 'd'] as const;
const TEAMS = ['r', 'q'] as const;
/** Every conversation that a life may have. */
export const IDS: readonly string[] = [
  ...ROOTS,
  ...TEAMS.flatMap((root) => AGENTS.map((agent) => `${root}-${agent}`)),
];
export const HOSTS = ['h1', 'h2'] as const;

/** `id`: of a conversation, by its place in those that there are. */
export type Step =
  | {
      type: 'spawn';
      id: number;
      agent: number;
      twist: 'depth' | 'root' | 'parent' | null;
      task: boolean;
      keyed: boolean;
    }
  | {
      type: 'mail';
      id: number;
      from: number | null;
      message: number;
      kind: 'message' | 'result' | 'recovery';
      waits: boolean;
      boot: number | null;
      covers: boolean;
      expires: boolean;
    }
  | {
      type: 'take';
      id: number;
      which: number;
      how: 'queued' | 'started' | 'rejected' | 'removed' | 'steered';
    }
  | { type: 'turned'; id: number; which: number; sending: number | null }
  | { type: 'begin' | 'retry' | 'rename' | 'say'; id: number }
  | { type: 'end'; id: number; outcome: OutcomeName; by: string; boot: number | null }
  | { type: 'host'; id: number; host: number }
  | { type: 'broken'; id: number }
  | { type: 'reopen' };

const id = fc.nat();
const maybe = fc.nat(2).map((n) => n === 0);
const boot = fc.option(fc.nat(2), { freq: 2 });
function one(weight: number, type: Step['type'], fields: Record<string, fc.Arbitrary<unknown>>) {
  return {
    weight,
    arbitrary: fc
      .record(fields, { noNullPrototype: true })
      .map((rest) => ({ type, ...rest }) as unknown as Step),
  };
}
export const anyStep: fc.Arbitrary<Step> = fc.oneof(
  one(5, 'spawn', {
    id,
    agent: fc.nat(AGENTS.length - 1),
    twist: fc.constantFrom(null, null, null, null, 'depth', 'root', 'parent'),
    task: fc.nat(3).map((n) => n > 0),
    keyed: fc.boolean(),
  }),
  one(6, 'mail', {
    id,
    from: fc.option(id, { freq: 4 }),
    message: fc.nat(3),
    kind: fc.constantFrom('message', 'message', 'result', 'recovery'),
    waits: maybe,
    boot,
    covers: fc.boolean(),
    expires: maybe,
  }),
  one(12, 'take', {
    id,
    which: fc.nat(),
    how: fc.constantFrom('queued', 'started', 'started', 'rejected', 'removed', 'steered'),
  }),
  one(4, 'turned', { id, which: fc.nat(), sending: fc.constantFrom(null, 2, 3) }),
  one(1, 'begin', { id }),
  one(2, 'retry', { id }),
  one(2, 'say', { id }),
  one(1, 'rename', { id }),
  one(8, 'end', {
    id,
    outcome: fc.constantFrom('completed', 'failed', 'cancelled', 'interrupted', 'interrupted'),
    by: fc.constantFrom('user', 'cascade'),
    boot,
  }),
  one(1, 'host', { id, host: fc.nat(1) }),
  one(1, 'broken', { id }),
  one(1, 'reopen', {}),
);

export async function openLife(store: Store): Promise<void> {
  for (const root of ROOTS)
    await store.append({
      stream: conversationStream(root),
      key: 'created',
      events: [rootCreated(`title of ${root}`)],
    });
}

/** Does it; `ok`, `nothing` where there is nothing to do it to, or the code of its refusal (`failed` without one). */
export async function live(store: Store, step: Step, fresh: string): Promise<string> {
  try {
    return await act(store, step, fresh);
  } catch (error) {
    return isHoldfastError(error) ? error.code : 'failed';
  }
}

async function act(store: Store, step: Step, fresh: string): Promise<string> {
  if (step.type === 'reopen') return 'ok';
  const there = await existing(store);
  const pick = (n: number): string => there[n % there.length] ?? 'r';
  const to = pick(step.id);
  const conversation = await store.workflowState(to);
  const running: Turn | null = conversation?.turn ?? null;
  switch (step.type) {
    case 'spawn': {
      const agentId = AGENTS[step.agent] ?? 'a';
      const above = await store.agent(to);
      const root = above?.rootId ?? to;
      // One of them never has a team.
      if (root === 'alone') return 'nothing';
      const link: AgentLinkValue = {
        agentId,
        name: `agent ${agentId}`,
        role: 'half \ud83d',
        rootId: step.twist === 'root' ? 'elsewhere' : root,
        parentId: step.twist === 'parent' ? 'nobody' : to,
        depth: (above?.depth ?? 0) + (step.twist === 'depth' ? 2 : 1),
      };
      const answer = await store.append({
        stream: conversationStream(`${root}-${agentId}`),
        ...(step.keyed ? { key: 'created' } : {}),
        events: childCreated(link, step.task ? `task \udc1a of ${fresh}` : null),
      });
      return answer.status === 'repeated' ? 'repeated' : 'ok';
    }
    case 'mail': {
      const { message, kind, waits, boot: n, covers, expires } = step;
      const rows = covers ? await allMail(store, to, 3) : [];
      const covered = rows.flatMap(({ messageId, fromConversationId: from }) =>
        from === null ? [] : [{ messageId, from }],
      );
      const mail = accepted({
        messageId: `m${message}`,
        // What covers is Holdfast's own, or covers nothing.
        from: step.from === null || (covers && kind === 'recovery') ? null : pick(step.from),
        kind,
        content: `${fresh} \ud83d`,
        ...(waits ? { waits: true } : {}),
        ...(n === null ? {} : { boot: `b${n}` }),
        ...(covers ? { covers: covered.slice(0, 2) } : {}),
        ...(expires ? { expiresAt: '2027-01-01T00:00:00.000Z' } : {}),
        ...(kind === 'result' ? { outcome: 'completed' } : {}),
      });
      await say(store, to, mail);
      return kind;
    }
    case 'take': {
      const rows = await allMail(store, to, 9);
      const row = rows[step.which % Math.max(1, rows.length)];
      if (row === undefined) return 'nothing';
      const requestId = row.requestId ?? (await currentRequest(store, to, row));
      const turnId = `t-${requestId.slice(5, 25)}`;
      const events: Record<typeof step.how, NewEvent[]> = {
        queued: [queuedUp(requestId, turnId)],
        started: [begun(requestId, { turnId, attempt: 1 })],
        rejected: [rejected(requestId)],
        removed: [removedFromQueue(requestId, turnId)],
        steered: running === null ? [] : [steered(requestId, running)],
      };
      if (events[step.how].length === 0) return 'nothing';
      // Sometimes with the receipt, as it is given once.
      const known = await store.request(to, requestId);
      const asks = known === null && step.which % 2 === 0 && step.how !== 'removed';
      const answer = step.how === 'rejected' ? { code: 'queue_full' } : { turnId };
      await store.append({
        stream: conversationStream(to),
        events: events[step.how],
        ...(asks && step.how !== 'steered'
          ? { request: receiptOf(requestId, { ...answer, queued: step.how === 'queued' }) }
          : {}),
      });
      return step.how;
    }
    case 'turned': {
      const rows = await allMail(store, to, 9);
      const row = rows[step.which % Math.max(1, rows.length)];
      if (row === undefined) return 'nothing';
      const name = { messageId: row.messageId, from: row.fromConversationId };
      await say(
        store,
        to,
        step.sending === null
          ? { type: 'mail.expired', payload: name }
          : { type: 'mail.again', payload: { ...name, sending: step.sending } },
      );
      return step.sending === null ? 'expired' : 'again';
    }
    case 'begin':
      await say(store, to, begun(`r-${fresh}`, { turnId: `t-${fresh}`, attempt: 1 }));
      return 'ok';
    case 'retry': {
      const [newest] = (await store.turns(to, null, 1)).items;
      if (newest === undefined) return 'nothing';
      const { turnId, attempts } = newest;
      await say(store, to, begun(`r-${fresh}`, { turnId, attempt: attempts.length + 1 }));
      return 'ok';
    }
    case 'say':
      if (running === null) return 'nothing';
      await say(store, to, ...said(running, `s-${fresh}`, `said in ${fresh} \ud83d`));
      return 'ok';
    case 'rename':
      await say(store, to, { type: 'conversation.updated', payload: { title: fresh } });
      return 'ok';
    case 'end': {
      if (running === null) return 'nothing';
      const { outcome, by, boot: n } = step;
      await say(
        store,
        to,
        ended(running, outcome, { by, ...(n === null ? {} : { boot: `b${n}` }) }),
      );
      return outcome;
    }
    case 'host':
      await say(store, to, {
        type: 'conversation.updated',
        payload: { host: HOSTS[step.host] ?? 'h1' },
      });
      return 'ok';
    case 'broken':
      // Its second half is refused when the first is written.
      if (running === null) return 'nothing';
      await say(store, to, ended(running, 'completed'), ended(running, 'failed'));
      return 'ok';
  }
}

async function currentRequest(store: Store, to: string, row: MailRowValue): Promise<string> {
  const { items } = await store.events(conversationStream(to), 0, 1e6);
  const log = items.map(({ json }) => JSON.parse(json) as Event);
  const found = mailboxOf(log).find(
    (each) => each.messageId === row.messageId && each.from === row.fromConversationId,
  );
  return found?.requestId ?? '';
}

export async function existing(store: Store): Promise<string[]> {
  const found = await Promise.all(IDS.map((each) => store.conversation(each)));
  return found.flatMap((each) => (each === null ? [] : [each.conversationId]));
}

/** All of a mailbox, so many rows at a time. */
export async function allMail(
  store: Store,
  conversationId: string,
  limit: number,
  more: Partial<Parameters<Store['mail']>[0]> = {},
): Promise<MailRowValue[]> {
  const rows: MailRowValue[] = [];
  for (let cursor: string | null = null; ;) {
    const request = { conversationId, box: 'in' as const, state: null, limit, ...more, cursor };
    const page = await store.mail(request);
    rows.push(...page.items);
    if (page.nextCursor === null) return rows;
    if (page.nextCursor === cursor) throw new Error('a page leads to itself');
    cursor = page.nextCursor;
  }
}

/** A row as a log tells it. */
export type Told = {
  messageId: string;
  from: string | null;
  kind: MailRowValue['kind'];
  content: string;
  outcome: OutcomeName | null;
  state: MailStateName;
  reason: string | null;
  requestId: string;
  sending: number;
  waits: boolean;
  boot: string | null;
  cover: Told | null;
  turnId: string | null;
  acceptedAt: string;
  deliveredAt: string | null;
  appliedAt: string | null;
  expiresAt: string | null;
};

/** The rows of a mailbox by its conversation's log. */
export function mailboxOf(log: readonly Event[]): Told[] {
  const rows: Told[] = [];
  const find = (messageId: string, from: string | null): Told | undefined =>
    rows.find((row) => row.messageId === messageId && row.from === from);
  /** With what it covers. */
  const set = (row: Told, facts: Partial<Told>): void => {
    for (const each of rows) if (each === row || each.cover === row) Object.assign(each, facts);
  };
  const follow = (requestId: string | undefined, facts: Partial<Told>): void => {
    const row = rows.find((each) => each.requestId === requestId);
    if (row === undefined || !['accepted', 'delivered'].includes(row.state)) return;
    if (row.state === 'delivered' && facts.state === 'delivered') return;
    row.cover = null;
    set(row, facts);
  };
  for (const event of log) {
    const { type, at, requestId, turnId, attempt } = event;
    if (type === 'mail.accepted') {
      const { messageId, from, kind, content, outcome, waits, covers, boot: name } = event.payload;
      if (find(messageId, from) !== undefined) continue;
      const row: Told = {
        messageId,
        from,
        kind,
        content,
        outcome: outcome ?? null,
        state: 'accepted',
        reason: null,
        requestId: mailRequestId({ from, messageId, sending: 1 }),
        sending: 1,
        waits: waits === true,
        boot: name ?? null,
        cover: null,
        turnId: null,
        acceptedAt: at,
        deliveredAt: null,
        appliedAt: null,
        expiresAt: event.payload.expiresAt ?? null,
      };
      for (const covered of from === null ? (covers ?? []) : []) {
        const other = find(covered.messageId, covered.from);
        if (other?.state === 'accepted') other.cover ??= row;
      }
      rows.push(row);
    } else if (type === 'mail.expired') {
      const row = find(event.payload.messageId, event.payload.from);
      if (row?.state === 'accepted' && row.cover === null)
        set(row, { state: 'expired', reason: 'expired' });
    } else if (type === 'mail.again') {
      const { messageId, from, sending } = event.payload;
      const row = find(messageId, from);
      if (row === undefined || !['failed', 'expired'].includes(row.state)) continue;
      if (sending <= row.sending) continue;
      const { expiresAt, acceptedAt } = row;
      const lifeMs = Date.parse(expiresAt ?? acceptedAt) - Date.parse(acceptedAt);
      set(row, {
        state: 'accepted',
        reason: null,
        turnId: null,
        deliveredAt: null,
        acceptedAt: at,
      });
      Object.assign(row, {
        cover: null,
        waits: false,
        sending,
        requestId: mailRequestId({ from, messageId, sending }),
        expiresAt: expiresAt === null ? null : new Date(Date.parse(at) + lifeMs).toISOString(),
      });
    } else if (type === 'chat.queued') {
      follow(requestId, { state: 'delivered', turnId: turnId ?? null, deliveredAt: at });
    } else if (type === 'chat.started' || type === 'chat.steered') {
      const row = rows.find((each) => each.requestId === requestId);
      const into = type === 'chat.steered' ? event.payload.turnId : (turnId ?? null);
      follow(requestId, {
        state: 'applied',
        turnId: into,
        deliveredAt: row?.deliveredAt ?? at,
        appliedAt: at,
      });
    } else if (type === 'chat.rejected') {
      follow(requestId, { state: 'failed', reason: event.payload.code });
    } else if (type === 'chat.cancelled' && attempt === undefined) {
      follow(requestId, { state: 'failed', reason: 'removed' });
    }
  }
  return rows;
}
