/**
 * What the tests of agents do over and over: make a team, write mail, kill or stop a process in the middle, and look at what must
 * hold of a team when everything has come to rest.
 */
import { randomUUID } from 'node:crypto';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { expect } from 'vitest';

import type {
  MailRowValue,
  PostMailBodyValue,
  SpawnAgentBodyValue,
  TeamViewValue,
} from '../../../src/contracts/agents.ts';
import type { AgentViewValue, Event, MailMarkValue } from '../../../src/contracts/events.ts';
import { attemptKey } from '../../../src/contracts/ids.ts';
import type { ConversationViewValue, ReceiptValue } from '../../../src/contracts/view.ts';
import { emptyView, foldEvents } from '../../../src/domain/fold.ts';
import { endMailId } from '../../../src/domain/mail.ts';
import {
  identify,
  isSameProcess,
  markedProcesses,
  signalProcess,
} from '../../../src/providers/process/process-table.ts';
import type { Role } from '../../../src/supervisor/state.ts';
import { textOf } from '../../support/chat-clients.ts';
import { eventually } from '../../support/eventually.ts';
import type { Call, Holdfast } from '../../support/holdfast.ts';
import { newConversation, readLog } from './conversations.ts';
import { expectWholeLog, RECOVERED_WITHIN_MS, viewOf, viewOnce } from './faults.ts';

/** What can be killed: a process of Holdfast, or every provider of the team. */
export type Victim = Role | 'provider';
export const VICTIMS: readonly Victim[] = [
  'turn-host',
  'worker',
  'gateway',
  'temporal',
  'supervisor',
  'provider',
];

type Row = MailRowValue;

/** One team of a started Holdfast, its root first. */
export class TeamUnderTest {
  readonly holdfast: Holdfast;
  readonly rootId: string;

  private constructor(holdfast: Holdfast, rootId: string) {
    this.holdfast = holdfast;
    this.rootId = rootId;
  }

  static async create(holdfast: Holdfast): Promise<TeamUnderTest> {
    return new TeamUnderTest(holdfast, await newConversation(holdfast));
  }

  /** What a client does whose answers may be lost: the same again, until it is answered with 200. */
  async insist<T>(call: Call): Promise<T> {
    return eventually(async () => {
      const { status, body } = await this.holdfast.call(call);
      if (status !== 200) throw new Error(`${call.path}: ${status} ${JSON.stringify(body)}`);
      return body as NonNullable<T>;
    }, RECOVERED_WITHIN_MS);
  }

  /** A child of the root, unless it says otherwise; answers its conversation. `content`: its first prompt. */
  async spawn(
    agentId: string,
    content?: string,
    { parentId = this.rootId, ...more }: { parentId?: string } & SpawnAgentBodyValue = {},
  ): Promise<string> {
    const { conversationId } = await this.insist<{ conversationId: string }>({
      path: `/v1/conversations/${parentId}/agents`,
      body: { agentId, ...(content === undefined ? {} : { content }), ...more },
    });
    return conversationId;
  }

  /** Sends, and answers with the receipt. */
  async send(conversationId: string, content: string): Promise<ReceiptValue> {
    return this.insist({
      path: `/v1/conversations/${conversationId}/messages`,
      body: { requestId: randomUUID(), content },
    });
  }

  /** One member writes to another. Insists on the row. */
  async tell(
    from: string,
    to: string,
    content: string,
    more: Partial<PostMailBodyValue> = {},
  ): Promise<Row> {
    const body: PostMailBodyValue = { messageId: randomUUID(), to, content, ...more };
    return this.insist({ path: `/v1/conversations/${from}/mailbox`, body });
  }

  async resend(conversationId: string, messageId: string, from?: string): Promise<Row> {
    return this.insist({
      path: `/v1/conversations/${conversationId}/mailbox/${messageId}/resend`,
      body: from === undefined ? {} : { from },
    });
  }

  /** A mailbox, oldest first, page by page. */
  async mailbox(conversationId: string = this.rootId, query = ''): Promise<Row[]> {
    const rows: Row[] = [];
    for (let cursor: string | null = ''; cursor !== null;) {
      const from: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`;
      const page: { items: Row[]; nextCursor: string | null } = await this.holdfast.ask({
        path: `/v1/conversations/${conversationId}/mailbox?limit=50${query}${from}`,
      });
      rows.push(...page.items);
      cursor = page.nextCursor;
    }
    return rows;
  }

  /** A mailbox, once it is as wanted. A gateway that is away answers nothing meanwhile. */
  async mailOnce(
    conversationId: string,
    is: (rows: Row[]) => boolean,
    withinMs = RECOVERED_WITHIN_MS,
  ): Promise<Row[]> {
    let last: Row[] = [];
    try {
      return await eventually(async () => {
        last = await this.mailbox(conversationId);
        return is(last) && last;
      }, withinMs);
    } catch (error) {
      throw new Error(`the mailbox of ${conversationId} is ${JSON.stringify(last, null, 1)}`, {
        cause: error,
      });
    }
  }

  async tree(): Promise<TeamViewValue> {
    return this.insist({ path: `/v1/conversations/${this.rootId}/agents` });
  }

  async member(agentId: string): Promise<AgentViewValue> {
    const found = (await this.tree()).agents.find((agent) => agent.agentId === agentId);
    if (found === undefined) throw new Error(`there is no agent ${agentId}`);
    return found;
  }

  async log(conversationId: string = this.rootId): Promise<Event[]> {
    return readLog(this.holdfast, conversationId);
  }

  async view(conversationId: string = this.rootId): Promise<ConversationViewValue> {
    return viewOf({ holdfast: this.holdfast, conversationId });
  }

  async viewOnce(
    conversationId: string,
    is: (view: ConversationViewValue) => boolean,
  ): Promise<ConversationViewValue> {
    return viewOnce({
      holdfast: this.holdfast,
      conversationId,
      is,
      withinMs: RECOVERED_WITHIN_MS,
    });
  }

  /** What it was told and asked, in order. */
  async prompts(conversationId: string = this.rootId): Promise<string[]> {
    const { messages } = await this.view(conversationId);
    return messages.flatMap(({ role, content }) => (role === 'user' ? [content] : []));
  }

  /** Waits until its newest turn says this. */
  async says(conversationId: string, text: string): Promise<void> {
    await this.viewOnce(conversationId, (view) => textOf(view).includes(text));
  }

  /** Allows the one tool that it waits with. */
  async allow(conversationId: string): Promise<void> {
    const { approvals } = await this.viewOnce(conversationId, (view) => view.approvals.length > 0);
    await this.insist({
      path: `/v1/conversations/${conversationId}/approvals/${approvals[0]?.approvalId ?? ''}`,
      body: { decision: 'allow' },
    });
  }

  /** Allows whatever is asked, as long as `goesOn`: what was asked by a provider that was killed need not be answered. */
  async allowWhile(conversationId: string, goesOn: () => Promise<boolean>): Promise<void> {
    await eventually(async () => {
      const { approvals } = await this.view(conversationId);
      for (const { approvalId } of approvals)
        await this.holdfast.call({
          path: `/v1/conversations/${conversationId}/approvals/${approvalId}`,
          body: { decision: 'allow' },
        });
      return !(await goesOn());
    }, RECOVERED_WITHIN_MS);
  }

  /** The event of the log, once it is there. */
  async event<Type extends Event['type']>(
    conversationId: string,
    type: Type,
    is: (event: Extract<Event, { type: Type }>) => boolean = () => true,
  ): Promise<Extract<Event, { type: Type }>> {
    return eventually(
      async () =>
        (await this.log(conversationId)).find(
          (event): event is Extract<Event, { type: Type }> =>
            event.type === type && is(event as Extract<Event, { type: Type }>),
        ),
      RECOVERED_WITHIN_MS,
    );
  }

  /** Every conversation of the team. */
  async members(): Promise<string[]> {
    return (await this.tree()).agents.map(({ conversationId }) => conversationId);
  }

  /** The provider processes of the team, warm ones too. */
  async providers(): Promise<{ pid: number; startTime: string; mark: string }[]> {
    const turns = new Set<string>();
    for (const conversationId of await this.members())
      for (const event of await this.log(conversationId))
        if (event.type === 'chat.started')
          turns.add(attemptKey(event.turnId ?? '', event.attempt ?? 0));
    return markedProcesses().filter(({ mark }) => turns.has(mark));
  }

  /** KILL to it; resolves when another process has its role. Of providers: when all of them are gone. */
  async kill(victim: Victim): Promise<void> {
    const { holdfast } = this;
    if (victim === 'provider') {
      const victims = await this.providers();
      for (const each of victims) signalProcess(each, 'SIGKILL');
      await eventually(() =>
        victims.every((each) => identify(each.pid)?.startTime !== each.startTime),
      );
      return;
    }
    const found = await holdfast.process(victim);
    if (victim === 'supervisor') {
      await holdfast.killSupervisor();
      await holdfast.start();
    } else process.kill(found.pid, 'SIGKILL');
    await holdfast.process(victim, found);
  }

  /** It does nothing until it goes on, and nobody replaces it; it may be killed meanwhile. Answers with what makes it go on. */
  async stop(role: Role): Promise<() => void> {
    const stopped = await this.holdfast.process(role);
    process.kill(stopped.pid, 'SIGSTOP');
    return () => {
      if (isSameProcess(stopped)) process.kill(stopped.pid, 'SIGCONT');
    };
  }

  /** While `meanwhile` runs, the process of this role does nothing. */
  async whileStopped<T>(role: Role, meanwhile: () => Promise<T>): Promise<T> {
    const goOn = await this.stop(role);
    try {
      return await meanwhile();
    } finally {
      goOn();
    }
  }

  /** The turn host and every provider of the team die at once, as in a power cut; the turn host is started again. */
  async crash(): Promise<void> {
    const host = await this.holdfast.process('turn-host');
    const victims = await this.providers();
    await this.whileStopped('supervisor', async () => {
      process.kill(host.pid, 'SIGKILL');
      await eventually(() => !isSameProcess(host));
      for (const each of victims) signalProcess(each, 'SIGKILL');
      await eventually(() => victims.every((each) => !isSameProcess(each)));
    });
    await this.holdfast.process('turn-host', host);
  }

  /** Every process of Holdfast dies at once, providers apart, and Temporal forgets everything; then `meanwhile`, then a start. */
  async loseTemporal(meanwhile: () => void = () => undefined): Promise<void> {
    const { holdfast } = this;
    const roles = ['gateway', 'worker', 'turn-host', 'temporal'] as const;
    const others = await Promise.all(roles.map((role) => holdfast.process(role)));
    await holdfast.killSupervisor();
    for (const each of others) signalProcess(each, 'SIGKILL');
    await eventually(() => others.every((each) => !isSameProcess(each)));
    const files = readdirSync(holdfast.home).filter((file) => file.startsWith('temporal.db'));
    if (files.length === 0) throw new Error('Temporal has no database');
    for (const file of files) rmSync(join(holdfast.home, file));
    meanwhile();
    await holdfast.start();
  }

  /**
   * Nothing runs, nothing waits and nothing is on its way, all at one moment: the end of one member begins a turn of another.
   * What comes to one that was cancelled waits for its next good end.
   */
  async atRest(): Promise<void> {
    let last: AgentViewValue[] = [];
    const comes = ({ outcome, mail }: AgentViewValue): number =>
      outcome === 'cancelled' ? 0 : mail.accepted + mail.delivered;
    try {
      await eventually(async () => {
        last = (await this.tree()).agents;
        return last.every(
          (member) => member.state === 'idle' && member.queued === 0 && comes(member) === 0,
        );
      }, RECOVERED_WITHIN_MS);
    } catch (error) {
      throw new Error(`the team is ${JSON.stringify(last, null, 1)}`, { cause: error });
    }
  }
}

type Given = MailMarkValue & { turnId: string; content: string };

/** The mail that a conversation's turns were given, in order, as its log tells it. */
export function givenIn(log: readonly Event[], rows: readonly Row[]): Given[] {
  const byRequest = new Map(rows.map((row) => [row.requestId, row]));
  const given: Given[] = [];
  for (const event of log) {
    if (event.type !== 'message.created' || event.payload.role !== 'user') continue;
    const { mail, content } = event.payload;
    const turnId = event.turnId ?? '';
    // What a running turn takes in names its request alone.
    const row = mail === undefined ? byRequest.get(event.requestId ?? '') : undefined;
    const marks =
      row === undefined
        ? (mail ?? [])
        : [{ messageId: row.messageId, from: row.fromConversationId, kind: row.kind }];
    given.push(...marks.map((mark) => ({ ...mark, turnId, content })));
  }
  return given;
}

const keyOf = (row: { messageId: string; from: string | null }): string =>
  `${row.from ?? 'holdfast'} ${row.messageId}`;

const rowKey = ({ messageId, fromConversationId }: Row): string =>
  keyOf({ messageId, from: fromConversationId });

/**
 * L1, A1, F1 and M1 of a team at rest: of every member's log; what its mailbox says is what its log says; each row that was
 * applied was given to one turn, in order for each sender, unless it was told in another; each end of a child's task is one row of
 * its parent's mailbox; the transcript is the log's; the tree is its stream's.
 */
export async function expectWholeTeam(team: TeamUnderTest): Promise<void> {
  await team.atRest();
  const { agents, rootId, lastSeq } = await team.tree();
  const ends = new Map<string, string[]>(agents.map(({ conversationId }) => [conversationId, []]));
  const boxes = new Map<string, Row[]>();
  for (const { conversationId, parentId } of agents) {
    const log = await team.log(conversationId);
    const view = await team.view(conversationId);
    const rows = await team.mailbox(conversationId);
    boxes.set(conversationId, rows);
    expectWholeLog({ log, text: textOf(view) });
    const folded = foldEvents(emptyView(conversationId), log);
    expect(view.messages).toEqual(folded.messages);
    expectMail(log, rows);
    if (parentId === null) continue;
    const task = rows.find(({ kind }) => kind === 'task');
    ends
      .get(parentId)
      ?.push(
        ...endsOfTurn(log, task?.turnId).map((id) =>
          keyOf({ messageId: id, from: conversationId }),
        ),
      );
  }
  for (const [conversationId, expected] of ends) {
    const told = boxes
      .get(conversationId)
      ?.filter(({ kind }) => kind === 'result' || kind === 'error');
    expect(told?.map(rowKey).toSorted()).toEqual(expected.toSorted());
  }
  await expectTreeOfStream(team, { agents, rootId, lastSeq });
}

/** MessageIds of the rows that the ends of this turn's attempts are told with. */
function endsOfTurn(log: readonly Event[], turnId: string | undefined): string[] {
  const types = new Set(['chat.done', 'chat.error', 'chat.cancelled', 'chat.interrupted']);
  return log
    .filter((event) => types.has(event.type) && event.turnId === turnId && turnId !== undefined)
    .map(({ attempt = 0 }) => endMailId({ turnId: turnId ?? '', attempt }));
}

/** M1 of one conversation. */
function expectMail(log: readonly Event[], rows: readonly Row[]): void {
  const accepted = log.flatMap((event) =>
    event.type === 'mail.accepted' ? [keyOf(event.payload)] : [],
  );
  expect(rows.map(rowKey)).toEqual(accepted);
  expect(new Set(accepted).size).toBe(accepted.length);
  const given = givenIn(log, rows);
  const applied = rows.filter((row) => row.state === 'applied' && row.coveredBy === undefined);
  expect(given.map(keyOf).toSorted()).toEqual(applied.map(rowKey).toSorted());
  for (const row of applied) {
    const found = given.find((each) => keyOf(each) === rowKey(row));
    expect(found?.turnId).toBe(row.turnId);
    expect(found?.content.split(row.content).length).toBeGreaterThanOrEqual(2);
  }
  const again = new Set(
    log.flatMap((event) => (event.type === 'mail.again' ? [keyOf(event.payload)] : [])),
  );
  for (const sender of new Set(given.map(({ from }) => from))) {
    const order = (keys: string[]): string[] => keys.filter((key) => !again.has(key));
    const of = (each: { from: string | null }): boolean => each.from === sender;
    expect(order(given.filter(of).map(keyOf))).toEqual(
      order(applied.filter((row) => row.fromConversationId === sender).map(rowKey)),
    );
  }
}

/** T2: the tree is the last of each member in the team's stream. */
async function expectTreeOfStream(team: TeamUnderTest, tree: TeamViewValue): Promise<void> {
  const stream: Event[] = [];
  for (;;) {
    const after = stream.at(-1)?.seq ?? 0;
    const { items } = await team.holdfast.ask<{ items: Event[]; lastSeq: number }>({
      path: `/v1/conversations/${team.rootId}/agents/events?after=${after}&limit=200`,
    });
    if (items.length === 0) break;
    stream.push(...items);
  }
  expect(stream.map(({ seq }) => seq)).toEqual(stream.map((_event, index) => index + 1));
  expect(stream.length).toBeGreaterThanOrEqual(tree.lastSeq);
  const last = new Map<string, AgentViewValue>();
  for (const event of stream.slice(0, tree.lastSeq))
    if (event.type === 'agent.changed')
      last.set(event.payload.agent.conversationId, event.payload.agent);
  expect(last).toEqual(new Map(tree.agents.map((agent) => [agent.conversationId, agent])));
}
