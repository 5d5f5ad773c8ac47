/**
 * What the gateway does for agents, for HTTP and for MCP: it judges what is asked, signals the Workflow of the child or of the
 * receiver, and answers from its log. It decides nothing.
 *
 * Invariants (numbers of design.md):
 *  A2 asked again with the same agentId or messageId it is the same agent or message; with other content it is refused.
 *  A3 nothing is signalled before everything that can be said against it has been looked at; nothing is answered as done that is
 *     not recorded.
 *  M1 a message is one for each (receiver, sender, messageId); ids under which Holdfast itself writes are nobody else's.
 *  X1 of another team nothing can be told from what does not exist.
 */
import { randomUUID } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';

import type {
  MailboxAnswerValue,
  MailboxQueryValue,
  MailRowValue,
  PostMailBodyValue,
  SpawnAgentBodyValue,
  TeamViewValue,
} from '../contracts/agents.ts';
import { HoldfastError, isHoldfastError } from '../contracts/errors.ts';
import type { EventPayloads } from '../contracts/events.ts';
import { conversationStream } from '../contracts/ids.ts';
import {
  AGENT_BREADTH_LIMIT,
  AGENT_DEPTH_LIMIT,
  AGENT_LIMIT,
  LIST_LIMIT,
  MAILBOX_LIMIT,
} from '../contracts/limits.ts';
import { ROOT_AGENT } from '../contracts/names.ts';
import { agentIdOf, childConversationId, isOwnMessageId } from '../domain/mail.ts';
import type { ConversationRow, Store, StoredEvent } from '../store/port.ts';
import { decodeEvent } from '../store/stored-event.ts';
import type { NewConversation, Spawning } from './commands.ts';
import { mustBePrompt, type ServiceParts } from './conversations.ts';
import { memberOf } from './json-members.ts';
import { invalidRequest } from './problem.ts';
import { mustBeFound } from './provider-directory.ts';
import { noConversation, notTakenUp } from './receipts.ts';
import { isUnknownFate } from './recorded-command.ts';
import { waitUntil, type Wait } from './wait-until.ts';
import { resolveWorkspace } from './workspace.ts';

export type AgentParts = ServiceParts & {
  receiptWaitMs: number;
  /** What a team may have spent when one more agent is made; null: anything. */
  agentBudgetUsd: number | null;
};

/** What became of a message: its row, or that it is durable and was not recorded in time. */
export type Sent =
  | { status: 'recorded'; row: MailRowValue }
  | { status: 'accepted'; messageId: string };

/** An agent as it is asked for; what was left out is filled in but for what the parent has. */
type Asked = {
  agentId: string;
  /** Nobody has said it: it was made from the name. */
  isFromName: boolean;
  conversationId: string;
  name: string;
  role: string;
  task: string | null;
};

/** A member of a team, and which team. */
type Member = { conversationId: string; rootId: string };

/** A refusal by the store is a lost race: the log of a child that is made shows it long before this. */
const REFUSAL_AFTER_MS = 300;
/** Rows that are read before others get their turn, and when a page of them ends: a message may have half a megabyte. */
const READ_AT_ONCE = 10;
const PAGE_CHARACTERS = 4 * 1024 * 1024;

export class Agents {
  readonly #parts: AgentParts;
  readonly #store: Store;

  constructor(parts: AgentParts) {
    this.#parts = parts;
    this.#store = parts.store;
  }

  /** The root of the team that this conversation is of; of one that stands alone it is itself. Throws: `not_found`. */
  async rootOf(conversationId: string): Promise<string> {
    const link = await this.#store.agent(conversationId);
    if (link !== null) return link.rootId;
    if ((await this.#store.conversation(conversationId)) === null) throw noConversation();
    return conversationId;
  }

  /** The team of any of its members. Throws: `not_found`. */
  async team(conversationId: string): Promise<TeamViewValue> {
    return this.#teamOf(await this.rootOf(conversationId));
  }

  /**
   * Makes an agent, a child of `parentId`, and answers when child, link and first prompt are durable. Asked again with the same
   * agentId (or the same name, where none is given) it is the same one.
   *
   * Throws: `not_found` for the parent; `invalid_request`, `payload_too_large`, `provider_not_found`, `workspace_not_allowed`;
   * `request_id_reused` for an agentId that stands for another agent; `budget_exceeded` with `limit`; `storage_full`,
   * `rate_limited`, `temporal_unavailable` (also, with `accepted: true` in its detail, when it is durable and no worker has recorded
   * it in time).
   */
  async spawn(
    parentId: string,
    body: SpawnAgentBodyValue,
    wait: Wait = this.#patience(),
  ): Promise<{ agentId: string; conversationId: string }> {
    const { feed, commands, gate } = this.#parts;
    const parent = await this.#store.conversation(parentId);
    if (parent === null) throw noConversation();
    const link = await this.#store.agent(parentId);
    const rootId = link?.rootId ?? parentId;
    const depth = (link?.depth ?? 0) + 1;
    const asked = askedAgent(rootId, body);
    const { agentId, conversationId, name, role, task } = asked;
    const look = (): Promise<true | null> => this.#madeAs({ parentId, rootId, asked, body });
    const answer = { agentId, conversationId };
    if ((await look()) !== null) return answer;
    gate.mustHaveRoom();
    await this.#mustBeWithinLimits({ rootId, parentId, depth });
    const create: NewConversation = {
      ...(await this.#surroundings(parent, body)),
      tableId: null,
      title: name,
      agent: { agentId, name, role, rootId, parentId, depth, task },
    };
    const refusal = new RefusalWatch();
    const made = await waitUntil({
      feed,
      stream: conversationStream(conversationId),
      before: () =>
        gate
          .carry(async () => {
            refusal.listen(await commands.spawn({ conversationId, create }));
          })
          .catch(async (error: unknown) => {
            // The answer was lost: when the child is there, the signal was not.
            if (!isUnknownFate(error) || (await look()) === null) throw error;
          }),
      wakes: () => true,
      check: look,
      waitMs: wait.waitMs,
      abort: AbortSignal.any([wait.abort, refusal.signal]),
    })
      .catch(async (error: unknown) => {
        // Of two that asked for the same child, one may have been refused and the other not.
        if (!refusal.signal.aborted || (await look()) === null) throw error;
        return true;
      })
      .finally(() => refusal.close());
    if (made === null)
      throw notTakenUp('The agent is accepted and will be made', answer, 'agentId');
    return answer;
  }

  /**
   * Sends a message from `senderId` to a member of its team.
   *
   * Throws: `not_found` for the sender, and for a receiver that is nobody of its team; `invalid_request` (also for a message to
   * itself, and for a messageId of Holdfast's own), `payload_too_large`; `request_id_reused` for a messageId with other
   * content; `storage_full`, `rate_limited`, `temporal_unavailable`.
   */
  async send(
    senderId: string,
    body: PostMailBodyValue,
    wait: Wait = this.#patience(),
  ): Promise<Sent> {
    const { feed, commands, gate } = this.#parts;
    const { to, whenBusy, expiresInMs, messageId = randomUUID() } = body;
    const rootId = await this.rootOf(senderId);
    const content = body.content.toWellFormed();
    mustBePrompt(content);
    if (isOwnMessageId(messageId))
      throw invalidRequest([
        {
          path: '/messageId',
          message: 'is one under which Holdfast itself writes; take another, or none',
        },
      ]);
    const receiver = await this.#member(rootId, to);
    if (receiver === null) throw noMember(to);
    if (receiver === senderId)
      throw invalidRequest(
        [{ path: '/to', message: 'must be another agent' }],
        `"${to}" is the sender itself, and nobody is sent mail by itself.`,
      );
    const row = { conversationId: receiver, from: senderId, messageId };
    const look = async (): Promise<MailRowValue | null> => {
      const known = await this.#store.mailRow(row);
      if (known !== null && known.content !== content)
        throw new HoldfastError(
          'request_id_reused',
          'This messageId was used with other content for this receiver; take a new one.',
          { messageId },
        );
      return known;
    };
    const known = await look();
    if (known !== null) return { status: 'recorded', row: known };
    gate.mustHaveRoom();
    if ((await this.#store.untakenMail(receiver, MAILBOX_LIMIT)) >= MAILBOX_LIMIT)
      throw new HoldfastError(
        'queue_full',
        `"${to}" has ${MAILBOX_LIMIT} messages waiting that it has not taken; write again when it has.`,
      );
    const message = {
      messageId,
      from: senderId,
      content,
      ...(whenBusy === undefined ? {} : { whenBusy }),
      ...(expiresInMs === undefined
        ? {}
        : { expiresAt: new Date(Date.now() + expiresInMs).toISOString() }),
    };
    const recorded = await waitUntil({
      feed,
      stream: conversationStream(receiver),
      before: () =>
        gate
          .carry(() =>
            commands.signal({
              conversationId: receiver,
              signal: { name: 'mail', argument: { message } },
            }),
          )
          .catch(async (error: unknown) => {
            // The answer was lost: when the row is there, the signal was not.
            if (!isUnknownFate(error) || (await look()) === null) throw error;
          }),
      wakes: (event) => event.type === 'mail.accepted' && event.json.includes(messageId),
      check: look,
      ...wait,
    });
    return recorded === null
      ? { status: 'accepted', messageId }
      : { status: 'recorded', row: recorded };
  }

  /**
   * What the conversation was sent, or has sent, oldest first; a page of long messages ends sooner than its limit.
   *
   * Throws: `not_found`, `invalid_request` for a cursor that no list gave.
   */
  async mailbox(
    conversationId: string,
    { box = 'in', state, cursor: from, limit = LIST_LIMIT }: MailboxQueryValue = {},
  ): Promise<MailboxAnswerValue> {
    if ((await this.#store.conversation(conversationId)) === null) throw noConversation();
    const items: MailRowValue[] = [];
    let cursor: string | null = from ?? null;
    let characters = 0;
    do {
      const page = await this.#store.mail({
        conversationId,
        box,
        state: state ?? null,
        cursor,
        limit: Math.min(READ_AT_ONCE, limit - items.length),
      });
      items.push(...page.items);
      characters += page.items.reduce((sum, row) => sum + row.content.length, 0);
      cursor = page.nextCursor;
      // Reading is synchronous underneath: others get their turn.
      await nextTurn();
    } while (cursor !== null && items.length < limit && characters < PAGE_CHARACTERS);
    return { items, nextCursor: cursor };
  }

  /**
   * Has a failed or expired row of the conversation's mailbox sent again: the row after that. `from`: its sender, where two have used
   * that messageId.
   *
   * Throws: `not_found`; `invalid_request` when it is not said which of two is meant; `already_resolved` for a row in another
   * state; `storage_full`, `rate_limited`, `temporal_unavailable`.
   */
  async resend(
    request: { conversationId: string; messageId: string; from?: string | undefined },
    wait: Wait = this.#patience(),
  ): Promise<Sent> {
    const { feed, commands, gate } = this.#parts;
    const { conversationId, messageId } = request;
    const rootId = await this.rootOf(conversationId);
    const row = await this.#rowToResend({ ...request, rootId });
    if (!isResendable(row)) throw notResendable(row);
    gate.mustHaveRoom();
    const from = row.fromConversationId;
    let isDone = false;
    const look = async (): Promise<MailRowValue | null> => {
      const now = await this.#store.mailRow({ conversationId, from, messageId });
      // Sent again it may have failed or expired again, by the time that this is read.
      return now !== null && (isDone || !isResendable(now)) ? now : null;
    };
    const again = await waitUntil({
      feed,
      stream: conversationStream(conversationId),
      before: () =>
        gate
          .carry(() =>
            commands.signal({
              conversationId,
              signal: { name: 'mail', argument: { again: { messageId, from } } },
            }),
          )
          .catch(async (error: unknown) => {
            if (!isUnknownFate(error) || (await look()) === null) throw error;
          }),
      wakes: (event) => {
        isDone ||= isResendOf(event, { messageId, from });
        return isDone;
      },
      check: look,
      ...wait,
    });
    return again === null ? { status: 'accepted', messageId } : { status: 'recorded', row: again };
  }

  /** How long a caller is waited for who has not said it. */
  #patience(): Wait {
    return { waitMs: this.#parts.receiptWaitMs, abort: new AbortController().signal };
  }

  async #teamOf(rootId: string): Promise<TeamViewValue> {
    const view = await this.#store.team(rootId);
    if (view === null) throw noConversation();
    return view;
  }

  /** The conversationId of a member, by agentId before conversationId; null: there is no such member. */
  async #member(rootId: string, address: string): Promise<string | null> {
    if (address === ROOT_AGENT) return rootId;
    const named = await this.#store.memberByAgentId(rootId, address);
    if (named !== null) return named;
    if (address === rootId) return rootId;
    return (await this.#store.agent(address))?.rootId === rootId ? address : null;
  }

  /** Provider, model and workspace of a child. */
  async #surroundings(
    parent: ConversationRow,
    body: SpawnAgentBodyValue,
  ): Promise<Pick<NewConversation, 'provider' | 'model' | 'workspacePath'>> {
    const { provider = parent.provider } = body;
    await mustBeFound(this.#parts.providers, provider);
    // The name of a model means nothing to another provider.
    const inherited = provider === parent.provider ? parent.model : null;
    return {
      provider,
      model: body.model === undefined ? inherited : body.model,
      workspacePath:
        body.workspacePath === undefined
          ? parent.workspacePath
          : await resolveWorkspace({
              requested: body.workspacePath,
              roots: this.#parts.workspaceRoots,
            }),
    };
  }

  /** Throws: `budget_exceeded`. The store counts again, with the child. */
  async #mustBeWithinLimits({
    rootId,
    parentId,
    depth,
  }: {
    rootId: string;
    parentId: string;
    depth: number;
  }): Promise<void> {
    if (depth > AGENT_DEPTH_LIMIT) throw overLimit('depth');
    const { agents } = await this.#teamOf(rootId);
    const siblings = agents.filter((agent) => agent.parentId === parentId);
    if (siblings.length >= AGENT_BREADTH_LIMIT) throw overLimit('breadth');
    // The root is none of them.
    if (agents.length - 1 >= AGENT_LIMIT) throw overLimit('agents');
    const { agentBudgetUsd } = this.#parts;
    if (agentBudgetUsd === null) return;
    const spentUsd = agents.reduce((sum, { usage }) => sum + (usage.costUsd ?? 0), 0);
    if (spentUsd >= agentBudgetUsd) throw overBudget({ spentUsd, agentBudgetUsd });
  }

  /** Null: there is no such agent yet. Throws: `request_id_reused` when there is, and it was asked for otherwise. */
  async #madeAs({
    parentId,
    rootId,
    asked,
    body,
  }: {
    parentId: string;
    rootId: string;
    asked: Asked;
    body: SpawnAgentBodyValue;
  }): Promise<true | null> {
    const { conversationId, agentId, name, role, task } = asked;
    const link = await this.#store.agent(conversationId);
    if (link === null) {
      if ((await this.#store.conversation(conversationId)) !== null) throw agentIdTaken(asked);
      return null;
    }
    const isSame =
      link.rootId === rootId &&
      link.agentId === agentId &&
      link.parentId === parentId &&
      link.name === name &&
      link.role === role &&
      link.task === task &&
      (await this.#isMadeWith(conversationId, body));
    if (!isSame) throw agentIdTaken(asked);
    return true;
  }

  /** Whether what was said of provider, model and workspace is what it was made with; they may be others by now. */
  async #isMadeWith(conversationId: string, body: SpawnAgentBodyValue): Promise<boolean> {
    const { provider, model, workspacePath } = body;
    if (provider === undefined && model === undefined && workspacePath === undefined) return true;
    const created = await this.#creation(conversationId);
    if (created === null) return false;
    return (
      (provider === undefined || provider === created.provider) &&
      (model === undefined || model === created.model) &&
      (workspacePath === undefined ||
        workspacePath === created.workspacePath ||
        (await this.#realPath(workspacePath)) === created.workspacePath)
    );
  }

  async #creation(conversationId: string): Promise<EventPayloads['conversation.created'] | null> {
    const { items } = await this.#store.events(conversationStream(conversationId), 0, 1);
    const [first] = items;
    const event = first === undefined ? null : decodeEvent(first.json);
    return event?.type === 'conversation.created' ? event.payload : null;
  }

  /** Null: it is none that an agent may work in, now. */
  async #realPath(requested: string): Promise<string | null> {
    try {
      return await resolveWorkspace({ requested, roots: this.#parts.workspaceRoots });
    } catch (error) {
      if (isHoldfastError(error)) return null;
      throw error;
    }
  }

  /** The one row that is meant. */
  async #rowToResend({
    conversationId,
    messageId,
    from,
    rootId,
  }: Member & { messageId: string; from?: string | undefined }): Promise<MailRowValue> {
    const rowOf = (sender: string | null): Promise<MailRowValue | null> =>
      this.#store.mailRow({ conversationId, from: sender, messageId });
    if (from !== undefined) {
      const sender = await this.#member(rootId, from);
      const row = sender === null ? null : await rowOf(sender);
      if (row === null) throw noMail(messageId);
      return row;
    }
    const senders = (await this.#teamOf(rootId)).agents.map((agent) => agent.conversationId);
    const rows = await Promise.all([null, ...senders].map(rowOf));
    const [row, ...others] = rows.filter((found) => found !== null);
    if (row === undefined) throw noMail(messageId);
    if (others.length > 0) {
      const names = [row, ...others].flatMap(({ from: sender }) => sender ?? []).join(', ');
      throw invalidRequest(
        [{ path: '/from', message: `must be one of ${names}` }],
        `More than one sender has used this messageId: say "from", one of ${names}.`,
      );
    }
    return row;
  }
}

/** Hears why a child does not come: the store has refused it, though nothing spoke against it before. */
class RefusalWatch {
  readonly #refused = new AbortController();
  readonly #closed = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  /** Aborts with the refusal. */
  get signal(): AbortSignal {
    return this.#refused.signal;
  }

  listen(spawning: Spawning): void {
    this.#timer = setTimeout(() => {
      void spawning.refused(this.#closed.signal).then((error) => {
        if (error !== null) this.#refused.abort(inOurWords(error));
      });
    }, REFUSAL_AFTER_MS);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#closed.abort();
  }
}

/** The store names the limit; what to do is said here. */
function inOurWords(error: HoldfastError): HoldfastError {
  const { limit } = error.detail;
  const known = limit === 'depth' || limit === 'breadth' || limit === 'agents';
  return error.code === 'budget_exceeded' && known ? overLimit(limit) : error;
}

/** What is asked for, in full. Throws: `invalid_request`, `payload_too_large`. */
function askedAgent(rootId: string, body: SpawnAgentBodyValue): Asked {
  const given = body.name?.toWellFormed();
  if (given?.trim() === '') throw invalidRequest([{ path: '/name', message: 'must not be blank' }]);
  const made = given === undefined ? null : agentIdOf(given);
  const agentId = body.agentId ?? made ?? freshAgentId();
  // In any case of its letters, so that nobody can pass for the root in a message.
  if (agentId.toLowerCase() === ROOT_AGENT)
    throw invalidRequest(
      [{ path: body.agentId === undefined ? '/name' : '/agentId', message: 'is taken' }],
      `The agentId "${ROOT_AGENT}" is that of the team's root; choose another agentId.`,
    );
  const task = body.content?.toWellFormed() ?? null;
  if (task !== null) mustBePrompt(task);
  return {
    agentId,
    isFromName: body.agentId === undefined && made !== null,
    conversationId: childConversationId(rootId, agentId),
    name: given ?? agentId,
    role: body.role?.toWellFormed() ?? '',
    task,
  };
}

function freshAgentId(): string {
  return `agent-${randomUUID().replaceAll('-', '').slice(0, 16)}`;
}

const LIMITS = {
  depth: {
    max: AGENT_DEPTH_LIMIT,
    words: `Agents are at most ${AGENT_DEPTH_LIMIT} deep below their root. Do this here, or have an agent nearer to the root make it.`,
  },
  breadth: {
    max: AGENT_BREADTH_LIMIT,
    words: `This agent has ${AGENT_BREADTH_LIMIT} children, which is the limit. Give the work to one of them.`,
  },
  agents: {
    max: AGENT_LIMIT,
    words: `This team has ${AGENT_LIMIT} agents, which is the limit. Give the work to one of them.`,
  },
} as const;

function overLimit(limit: keyof typeof LIMITS): HoldfastError {
  const { max, words } = LIMITS[limit];
  return new HoldfastError('budget_exceeded', `${words} No agent was made.`, {
    limit,
    max,
    accepted: false,
  });
}

function overBudget({
  spentUsd,
  agentBudgetUsd,
}: {
  spentUsd: number;
  agentBudgetUsd: number;
}): HoldfastError {
  return new HoldfastError(
    'budget_exceeded',
    `This team has spent $${spentUsd.toFixed(2)}, and its budget is $${agentBudgetUsd.toFixed(2)} (HOLDFAST_AGENT_BUDGET_USD). Go on with the agents that there are. No agent was made.`,
    { limit: 'cost', max: agentBudgetUsd, spentUsd, accepted: false },
  );
}

function agentIdTaken({ agentId, isFromName }: Asked): HoldfastError {
  const words = isFromName
    ? `An agent with the agentId "${agentId}", which was made from the name, is there already and was asked for otherwise; choose an agentId.`
    : `The agentId "${agentId}" is that of another agent, or of this one asked for otherwise; choose another agentId.`;
  return new HoldfastError('request_id_reused', words, { agentId });
}

/** The same of an agent of another team (X1). */
function noMember(address: string): HoldfastError {
  return new HoldfastError(
    'not_found',
    `There is no agent "${address}" in this team; the list of the team has their agentIds.`,
    { to: address },
  );
}

function noMail(messageId: string): HoldfastError {
  return new HoldfastError('not_found', 'There is no such message in this mailbox.', { messageId });
}

function isResendable({ state }: MailRowValue): boolean {
  return state === 'failed' || state === 'expired';
}

function notResendable({ messageId, state }: MailRowValue): HoldfastError {
  return new HoldfastError(
    'already_resolved',
    `Only a message that has failed or expired is sent again; this one is ${state}.`,
    { messageId, state },
  );
}

function isResendOf(
  { type, json }: StoredEvent,
  { messageId, from }: { messageId: string; from: string | null },
): boolean {
  if (type !== 'mail.again') return false;
  const payload = memberOf(JSON.parse(json), 'payload');
  return memberOf(payload, 'messageId') === messageId && memberOf(payload, 'from') === from;
}
