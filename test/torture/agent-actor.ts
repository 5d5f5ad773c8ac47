/**
 * Makes roots, one after the other, and does with each and its team what agent-program.ts says; as a careful client that asks
 * again, by the same ids, for what it did not get an answer to.
 */
import type { MailRowValue, TeamViewValue } from '../../src/contracts/agents.ts';
import { teamStream } from '../../src/contracts/ids.ts';
import { AGENT_DEPTH_LIMIT } from '../../src/contracts/limits.ts';
import { childConversationId } from '../../src/domain/mail.ts';
import { isSettled, type Recorder } from './actor.ts';
import { type AgentAction, agentScript, nextAgentAction } from './agent-program.ts';
import { type Address, answerOf, HttpClient, SocketClient, type Texts } from './client.ts';
import type { Act, ActRecord, AgentAct, AgentActRecord, CommandAnswer } from './evidence.ts';
import { pause } from './faults.ts';
import type { Random } from './random.ts';
import { expectationOf } from './script.ts';
import { isHeld, type Live, openMail, type Watcher } from './watcher.ts';

/** Agents of one team, its root apart. */
const MOST_AGENTS = 29;
/** Members of which something runs or waits: with more, its clients wait for some to end. A run is to heal soon. */
const MOST_BUSY = 6;
const LIFE_MS = { least: 50_000, most: 110_000 };
/** A root and its agents are conversations, and a run's audit reads every one of them. */
const AGENTS_A_MINUTE = 16;
const FIRST_AGENTS = 16;
const LOOK_EVERY_MS = 150;
const RELEASE_EVERY_MS = 400;
const LONG_TURN_MS = 30_000;
/** After the end, where mail waits for a turn that ends well: between two that are asked for. */
const KICK_EVERY_MS = 4_000;
const MOST_KICKS = 4;

/** The team that lives now. */
type Life = { rootId: string; untilMs: number; agents: string[]; messages: number };

type Answer = { status: number; body: Record<string, unknown> } | null;

export class AgentActor {
  readonly #name: string;
  readonly #random: Random;
  readonly #watcher: Watcher;
  readonly #address: Address;
  readonly #texts: Texts;
  readonly #recorder: Recorder;
  readonly #http: HttpClient;
  readonly #finished: AbortSignal;
  readonly #stopping = new AbortController();
  readonly #background = new Set<Promise<unknown>>();
  readonly #startedAtMs = Date.now();
  readonly #asked: AgentActRecord[] = [];
  #roots = 0;
  #made = 0;
  #ids = 0;

  /** `finished`: what has no answer by then gets none. */
  constructor(parts: {
    name: string;
    random: Random;
    watcher: Watcher;
    address: Address;
    texts: Texts;
    recorder: Recorder;
    finished: AbortSignal;
  }) {
    this.#name = parts.name;
    this.#random = parts.random;
    this.#watcher = parts.watcher;
    this.#address = parts.address;
    this.#texts = parts.texts;
    this.#recorder = parts.recorder;
    this.#http = new HttpClient(parts.address);
    this.#finished = parts.finished;
  }

  /** Until {@link stop}, and until every answer has come. */
  async run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const life = await this.#begin();
      if (life === null) continue;
      const reader = this.#reader(life, life.rootId);
      while (!signal.aborted && Date.now() < life.untilMs) {
        if (!reader.isOpen) await reader.connect();
        if (this.#busy(life) >= MOST_BUSY) await pause(LOOK_EVERY_MS, signal);
        else await this.#do(nextAgentAction(this.#random), life);
      }
      reader.close();
    }
    await Promise.all(this.#background);
  }

  stop(): void {
    this.#stopping.abort();
  }

  async #begin(): Promise<Life | null> {
    const { signal } = this.#stopping;
    // Roots of conversations that are left alone go on ending; not all at once with a new team.
    const before = `${this.#name}-${this.#roots}`;
    await this.#watcher.until(
      () => signal.aborted || this.#members(before).every((live) => isSettled(live)),
      10_000,
    );
    this.#roots += 1;
    const rootId = `${this.#name}-${this.#roots}`;
    this.#watcher.follow(rootId, null);
    this.#watcher.followTeam(rootId);
    while (!signal.aborted) {
      const answer = await this.#http.call({
        method: 'POST',
        path: '/v1/conversations',
        body: { conversationId: rootId, provider: 'scripted' },
      });
      if (answer?.status === 200)
        return {
          rootId,
          untilMs: Date.now() + this.#random.between(LIFE_MS.least, LIFE_MS.most),
          agents: [],
          messages: 0,
        };
      await pause(200, signal);
    }
    return null;
  }

  /** Members of that team that are there. */
  #members(rootId: string): Live[] {
    return this.#watcher
      .all()
      .filter(
        ({ team, lastSeq, conversationId }) =>
          lastSeq > 0 && (team?.rootId === rootId || conversationId === rootId),
      );
  }

  #busy({ rootId }: Life): number {
    return this.#members(rootId).filter(
      (live) => live.turn !== null || openMail(live).some(({ waits }) => !waits),
    ).length;
  }

  #nextId(letter: string): string {
    this.#ids += 1;
    return `${letter}${this.#ids}-${this.#name}`;
  }

  /** Null: there are enough. */
  #takeName(life: Life): string | null {
    const minutes = (Date.now() - this.#startedAtMs) / 60_000;
    const isFull =
      life.agents.length >= MOST_AGENTS || this.#made >= FIRST_AGENTS + minutes * AGENTS_A_MINUTE;
    if (isFull) return null;
    this.#made += 1;
    const name = `n${life.agents.length + 1}`;
    life.agents.push(name);
    return name;
  }

  /** Goes on meanwhile; the actor ends after it. */
  #keep(work: Promise<unknown>): void {
    const kept = work.finally(() => this.#background.delete(kept));
    this.#background.add(kept);
  }

  #script(life: Life): string {
    const mark = this.#nextId('s');
    const members = this.#members(life.rootId).map(({ link }) => link?.agentId ?? 'root');
    return agentScript(this.#random.fork(mark), {
      mark,
      members: members.length === 0 ? ['root'] : members,
      takeName: () => this.#takeName(life),
    });
  }

  async #do(action: AgentAction, life: Life): Promise<void> {
    const { signal } = this.#stopping;
    const { rootId } = life;
    const members = this.#members(rootId);
    const root = members.find(({ conversationId }) => conversationId === rootId);
    if (root === undefined) {
      await pause(LOOK_EVERY_MS, signal);
      return;
    }
    const member = this.#random.pick(members);
    const { conversationId } = member;
    switch (action.do) {
      case 'send': {
        const to = action.toRoot ? root : member;
        if (to.queue.length < 3) await this.#send(to.conversationId, this.#script(life));
        return;
      }
      case 'spawn':
        await this.#spawn(member, life, action);
        return;
      case 'mail': {
        const others = members.filter((other) => other !== member);
        if (others.length === 0) return;
        const to = this.#random.pick(others);
        const messageId = this.#nextId('m');
        const act: AgentAct = {
          do: 'mail',
          messageId,
          to: this.#random.chance(0.3) ? to.conversationId : (to.link?.agentId ?? 'root'),
          content: `Message ${messageId} for ${to.link?.agentId ?? 'the root'}.`,
          whenBusy: action.whenBusy,
          expiresInMs: action.expiresInMs,
        };
        await this.#copies(act, conversationId, rootId, action.copies);
        return;
      }
      case 'repeat':
        await this.#repeat(action.otherContent, rootId);
        return;
      case 'bad':
        await this.#bad(action.what, member, life);
        return;
      case 'deep':
        await this.#deep(life);
        return;
      case 'cascade': {
        const parents = members.filter(({ conversationId: id }) =>
          members.some(({ link }) => link?.parentId === id),
        );
        if (parents.length > 0)
          await this.#ask({ do: 'cascade' }, this.#random.pick(parents).conversationId, rootId);
        return;
      }
      case 'cancel':
        if (member.turn !== null) await this.#cancel(member, action.hold);
        return;
      case 'retry': {
        const ended = members.filter(
          ({ turn, lastEnd, queue }) =>
            turn === null && queue.length === 0 && lastEnd !== null && lastEnd.type !== 'chat.done',
        );
        if (ended.length === 0) return;
        const { lastEnd, conversationId: id } = this.#random.pick(ended);
        if (lastEnd !== null) await this.#retry(id, lastEnd.turnId);
        return;
      }
      case 'remove': {
        const waiting = members.flatMap((live) =>
          live.queue.map(({ requestId }) => ({ id: live.conversationId, requestId })),
        );
        if (waiting.length === 0) return;
        const { id, requestId } = this.#random.pick(waiting);
        await this.#act({ do: 'remove', requestId }, id, () =>
          this.#http.act({
            method: 'DELETE',
            path: `/v1/conversations/${id}/queue/${requestId}`,
          }),
        );
        return;
      }
      case 'hold': {
        const held = members.find((live) => isHeld(live));
        if (held !== undefined) await this.#hold(held, false);
        else if (member.queue.length > 0) await this.#hold(member, true);
        return;
      }
      case 'resend':
        await this.#resend(members, rootId);
        return;
      case 'read':
        await this.#read(rootId, conversationId);
        return;
      case 'join':
        this.#keep(this.#lookOn(this.#reader(life, conversationId), action.forMs));
        return;
      case 'wait':
        await pause(action.ms, signal);
    }
  }

  async #spawn(
    parent: Live,
    life: Life,
    { copies, idle }: { copies: number; idle: boolean },
  ): Promise<void> {
    const agentId = this.#takeName(life);
    if (agentId === null) return;
    const act: AgentAct = {
      do: 'spawn',
      agentId,
      name: this.#random.chance(0.5) ? agentId : `Agent "${agentId}"`,
      role: this.#random.chance(0.5) ? '' : 'tester',
      content: idle ? null : this.#script(life),
    };
    this.#watcher.await(childConversationId(life.rootId, agentId), life.rootId);
    await this.#copies(act, parent.conversationId, life.rootId, copies);
  }

  /** The same so many times more, at once. */
  async #copies(act: AgentAct, conversationId: string, rootId: string, n: number): Promise<void> {
    const ask = (): Promise<unknown> => this.#untilAnswered(act, conversationId, rootId);
    await Promise.all([ask(), ...Array.from({ length: n }, ask)]);
  }

  async #repeat(otherContent: boolean, rootId: string): Promise<void> {
    const earlier = this.#asked.filter(
      ({ act, refusal, rootId: of }) =>
        of === rootId && refusal === null && 'content' in act && act.content !== null,
    );
    if (earlier.length === 0) return;
    const { act, conversationId } = this.#random.pick(earlier);
    if (!('content' in act)) return;
    // Another script would be a task that the first may turn out to have been.
    const content = otherContent ? `${act.content}\n# another` : act.content;
    const again: AgentAct =
      act.do === 'mail' ? { ...act, content: content ?? '' } : { ...act, content };
    await this.#ask(again, conversationId, rootId);
  }

  async #bad(
    what: Extract<AgentAction, { do: 'bad' }>['what'],
    member: Live,
    { rootId }: Life,
  ): Promise<void> {
    const { conversationId } = member;
    const messageId = this.#nextId('x');
    const mail = (to: string): AgentAct => ({
      do: 'mail',
      messageId,
      to,
      content: `Message ${messageId} that is to be refused.`,
      whenBusy: 'queue',
      expiresInMs: null,
    });
    const spawn = (agentId: string): AgentAct => ({
      do: 'spawn',
      agentId,
      name: agentId,
      role: '',
      content: `#script\nwords 1\n# ${messageId}.`,
    });
    switch (what) {
      case 'unknown':
        await this.#ask(mail('nobody'), conversationId, rootId, 'not_found');
        return;
      case 'itself':
        await this.#ask(mail(conversationId), conversationId, rootId, 'invalid_request');
        return;
      case 'foreign': {
        const foreign = this.#watcher
          .all()
          .find(
            (live) =>
              live.lastSeq > 0 && live.team?.rootId !== rootId && live.conversationId !== rootId,
          );
        if (foreign !== undefined)
          await this.#ask(mail(foreign.conversationId), conversationId, rootId, 'not_found');
        return;
      }
      case 'no-parent':
        await this.#ask(spawn(`x-${messageId}`), `${rootId}-nobody`, rootId, 'not_found');
        return;
      case 'called-root':
        await this.#ask(spawn('root'), conversationId, rootId, 'invalid_request');
        return;
      case 'resend': {
        const [row] = [...member.mail.rows.values()].filter(({ state }) => state === 'applied');
        if (row !== undefined)
          await this.#ask(
            { do: 'resend', messageId: row.messageId, from: this.#senderOf(row.from) },
            conversationId,
            rootId,
            'already_resolved',
          );
      }
    }
  }

  #senderOf(from: string | null): string | null {
    return from === null ? null : (this.#watcher.live(from).link?.agentId ?? 'root');
  }

  /** Idle agents, each below the one before, to the limit; and one too many. */
  async #deep(life: Life): Promise<void> {
    const { rootId } = life;
    if (life.agents.length + AGENT_DEPTH_LIMIT > MOST_AGENTS) return;
    let parentId = rootId;
    for (let depth = 1; depth <= AGENT_DEPTH_LIMIT; depth += 1) {
      const agentId = this.#takeName(life);
      if (agentId === null) return;
      const act: AgentAct = { do: 'spawn', agentId, name: agentId, role: '', content: null };
      this.#watcher.await(childConversationId(rootId, agentId), rootId);
      const { answer, childId } = await this.#untilAnswered(act, parentId, rootId);
      if (answer.is !== 'done' || childId === null) return;
      parentId = childId;
    }
    const name = this.#nextId('deep');
    await this.#ask(
      { do: 'spawn', agentId: name, name, role: '', content: null },
      parentId,
      rootId,
      'budget_exceeded',
    );
  }

  async #resend(members: readonly Live[], rootId: string): Promise<void> {
    const rows = members.flatMap(({ conversationId, mail }) =>
      [...mail.rows.values()]
        .filter(({ state }) => state === 'failed' || state === 'expired')
        .map((row) => ({ conversationId, row })),
    );
    if (rows.length === 0) return;
    const { conversationId, row } = this.#random.pick(rows);
    await this.#ask(
      { do: 'resend', messageId: row.messageId, from: this.#senderOf(row.from) },
      conversationId,
      rootId,
    );
  }

  async #read(rootId: string, member: string): Promise<void> {
    const answer = await this.#http.call({
      method: 'GET',
      path: `/v1/conversations/${member}/agents`,
    });
    if (answer?.status === 200)
      this.#recorder.clients.push({
        client: this.#nextId('tree'),
        stream: teamStream(rootId),
        entries: [{ is: 'team', view: answer.body as unknown as TeamViewValue }],
      });
  }

  #reader({ rootId }: Life, member: string): SocketClient {
    return new SocketClient({
      client: this.#nextId('socket of team '),
      subject: { rootId, member },
      address: this.#address,
      texts: this.#texts,
      onRecord: (record) => this.#recorder.clients.push(record),
    });
  }

  async #lookOn(client: SocketClient, forMs: number): Promise<void> {
    await client.connect();
    await pause(forMs, this.#stopping.signal);
    client.close();
  }

  // --------------------------------------------------------------------- what is asked, and recorded

  async #send(conversationId: string, content: string): Promise<void> {
    const requestId = this.#nextId('r');
    await this.#command('send', conversationId, requestId, content, {
      path: `/v1/conversations/${conversationId}/messages`,
      body: { requestId, content, whenBusy: 'queue' },
    });
  }

  async #retry(conversationId: string, turnId: string): Promise<void> {
    const requestId = this.#nextId('r');
    await this.#command('retry', conversationId, requestId, turnId, {
      path: `/v1/conversations/${conversationId}/turns/${turnId}/retry`,
      body: { requestId },
    });
  }

  async #command(
    kind: 'send' | 'retry',
    conversationId: string,
    requestId: string,
    content: string,
    request: { path: string; body: object },
  ): Promise<void> {
    for (;;) {
      const sentAtMs = Date.now();
      const answer: CommandAnswer = await this.#http.command(request);
      this.#recorder.commands.push({
        conversationId,
        kind,
        requestId,
        content,
        ...(kind === 'send' ? { whenBusy: 'queue' as const } : {}),
        sentAtMs,
        answeredAtMs: Date.now(),
        answer,
      });
      const isFinal = answer.is !== 'unknown' && answer.is !== 'no-room';
      if (isFinal || this.#finished.aborted || this.#random.chance(0.2)) return;
      await pause(this.#random.between(100, 900), this.#finished);
    }
  }

  async #cancel({ conversationId, turn }: Live, hold: boolean): Promise<void> {
    this.#recorder.cancels.push({
      conversationId,
      tableId: null,
      sentAtMs: Date.now(),
      turnId: null,
    });
    const ask = (): Promise<ActRecord['answer']> =>
      this.#http.act({
        method: 'POST',
        path: `/v1/conversations/${conversationId}/cancel`,
        body: {
          ...(turn === null ? {} : { turnId: turn.turnId }),
          ...(hold ? { holdQueue: true } : {}),
        },
      });
    if (hold) await this.#act({ do: 'cancel-and-hold' }, conversationId, ask);
    else await ask();
  }

  async #hold({ conversationId }: Live, held: boolean): Promise<void> {
    await this.#act({ do: held ? 'hold' : 'release' }, conversationId, () =>
      this.#http.act({
        method: 'PATCH',
        path: `/v1/conversations/${conversationId}/queue`,
        body: { held },
      }),
    );
  }

  async #act(
    act: Act,
    conversationId: string,
    ask: () => Promise<ActRecord['answer']>,
  ): Promise<void> {
    const record: ActRecord = {
      act,
      conversationId,
      tableId: null,
      sentAtMs: Date.now(),
      answeredAtMs: Infinity,
      answer: { is: 'unknown', why: 'not answered yet' },
    };
    this.#recorder.acts.push(record);
    record.answer = await ask();
    record.answeredAtMs = Date.now();
  }

  /** Asks again until it is done or refused. */
  async #untilAnswered(
    act: AgentAct,
    conversationId: string,
    rootId: string,
  ): Promise<AgentActRecord> {
    for (;;) {
      const record = await this.#ask(act, conversationId, rootId);
      const { answer } = record;
      const isOpen =
        answer.is === 'unknown' || (answer.is === 'refused' && answer.code === 'storage_full');
      if (!isOpen || this.#finished.aborted) return record;
      await pause(this.#random.between(100, 900), this.#finished);
    }
  }

  async #ask(
    act: AgentAct,
    conversationId: string,
    rootId: string,
    refusal: string | null = null,
  ): Promise<AgentActRecord> {
    const record: AgentActRecord = {
      act,
      conversationId,
      rootId,
      refusal,
      sentAtMs: Date.now(),
      answeredAtMs: Infinity,
      answer: { is: 'unknown', why: 'not answered yet' },
      childId: null,
      row: null,
    };
    // At once: it may be done before its answer comes, and the answer may never come.
    this.#recorder.agentActs.push(record);
    this.#asked.push(record);
    const answer = await this.#http.call(requestOf(act, conversationId));
    record.answeredAtMs = Date.now();
    record.answer = answer?.status === 202 ? { is: 'accepted' } : answerOf(answer);
    if (record.answer.is !== 'done') return record;
    if (act.do === 'spawn') record.childId = stringOf(answer, 'conversationId');
    if (act.do === 'mail' || act.do === 'resend')
      record.row = (answer?.body ?? null) as unknown as MailRowValue | null;
    return record;
  }

  // ------------------------------------------------------------------------------- what is looked after

  /**
   * Answers approvals and cancels what hangs, until `finished`. Once it has been stopped, what is held is released, and a member whose
   * mail waits for a turn that ends well is given one.
   */
  async lookAfter(finished: AbortSignal): Promise<void> {
    const patience = this.#random.fork('patience');
    const due = new Map<string, number>();
    const kicks = new Map<string, number>();
    let nextReleaseMs = 0;
    const isDue = (key: string, sinceMs: number, most: number): boolean => {
      const atMs =
        due.get(key) ?? sinceMs + (this.#stopping.signal.aborted ? 0 : patience.between(0, most));
      due.set(key, atMs);
      if (Date.now() < atMs) return false;
      due.set(key, Date.now() + 3_000);
      return true;
    };
    while (!finished.aborted) {
      const mine = this.#watcher
        .all()
        .filter(({ team }) => team?.rootId.startsWith(`${this.#name}-`) === true);
      for (const live of mine) {
        const { conversationId, turn, approvals } = live;
        for (const [approvalId, sinceMs] of approvals)
          if (isDue(approvalId, sinceMs, 2_000)) this.#keep(this.#approve(live, approvalId));
        if (turn !== null && !live.ending) {
          const hangs =
            turn.content.startsWith('#script\n') && expectationOf(turn.content).end === 'never';
          const long = Date.now() - turn.sinceMs > LONG_TURN_MS;
          if ((hangs || long) && isDue(turn.key, turn.sinceMs, 4_000))
            this.#keep(this.#cancel(live, false));
        }
        if (!this.#stopping.signal.aborted) continue;
        if (isHeld(live) && Date.now() >= nextReleaseMs && isDue(`held ${conversationId}`, 0, 0)) {
          nextReleaseMs = Date.now() + RELEASE_EVERY_MS;
          this.#keep(this.#hold(live, false));
        }
        const kicked = kicks.get(conversationId) ?? 0;
        if (
          kicked < MOST_KICKS &&
          waitsForTurn(live) &&
          (due.get(`kick ${conversationId}`) ?? 0) <= Date.now()
        ) {
          kicks.set(conversationId, kicked + 1);
          due.set(`kick ${conversationId}`, Date.now() + KICK_EVERY_MS);
          const content = `#script\nwords 1\n# kick ${kicked + 1} of ${conversationId}.`;
          this.#keep(this.#send(conversationId, content));
        }
      }
      await pause(LOOK_EVERY_MS, finished);
    }
  }

  async #approve({ conversationId }: Live, approvalId: string): Promise<void> {
    await this.#http.call({
      method: 'POST',
      path: `/v1/conversations/${conversationId}/approvals/${approvalId}`,
      body: { decision: 'allow' },
    });
  }
}

/** It is idle, and has mail that starts nothing by itself. */
function waitsForTurn(live: Live): boolean {
  return (
    isSettled(live) && openMail(live).some(({ waits, state }) => waits && state === 'accepted')
  );
}

function requestOf(
  act: AgentAct,
  conversationId: string,
): { method: 'POST'; path: string; body: object } {
  const base = `/v1/conversations/${conversationId}`;
  switch (act.do) {
    case 'spawn': {
      const { agentId, name, role, content } = act;
      const more = { ...(role === '' ? {} : { role }), ...(content === null ? {} : { content }) };
      return { method: 'POST', path: `${base}/agents`, body: { agentId, name, ...more } };
    }
    case 'mail': {
      const { messageId, to, content, whenBusy, expiresInMs } = act;
      return {
        method: 'POST',
        path: `${base}/mailbox`,
        body: {
          messageId,
          to,
          content,
          whenBusy,
          ...(expiresInMs === null ? {} : { expiresInMs }),
        },
      };
    }
    case 'resend':
      return {
        method: 'POST',
        path: `${base}/mailbox/${act.messageId}/resend`,
        body: act.from === null ? {} : { from: act.from },
      };
    case 'cascade':
      return { method: 'POST', path: `${base}/cancel`, body: { cascade: true } };
  }
}

function stringOf(answer: Answer, name: string): string | null {
  const value = answer?.body[name];
  return typeof value === 'string' ? value : null;
}
