/**
 * Makes triggers, one after the other, does with each what trigger-program.ts says, and removes it; as a careful client that asks
 * again, by the same ids, for what it did not get an answer to.
 */
import type { LedgerRowValue } from '../../src/contracts/triggers.ts';
import type { Recorder } from './actor.ts';
import { type Address, answerOf, HttpClient, SocketClient, type Texts } from './client.ts';
import type { ActRecord, TriggerAct, TriggerActRecord } from './evidence.ts';
import { pause } from './faults.ts';
import type { Random } from './random.ts';
import { type Goal, GOALS, nextAction, planOf, type TriggerAction } from './trigger-program.ts';
import { isHeld, type Live, type Watcher } from './watcher.ts';

/** A trigger of which more waits is paused until that has gone: a run is to heal soon. */
const MOST_WAITING = 5;
/** So many conversations a minute are made by one actor's triggers, beside a few at once: a run's audit reads every one. */
const NEW_CONVERSATIONS = 2;
const NEW_CONVERSATIONS_A_MINUTE = 1.1;
const LIFE_MS = { least: 30_000, most: 150_000 };
const LOOK_EVERY_MS = 150;
const RELEASE_EVERY_MS = 400;

/** The trigger that lives now. */
type Life = {
  triggerId: string;
  goal: Goal;
  /** Where it sends: a table, or a conversation. */
  tableId: string | null;
  conversationId: string | null;
  createdMs: number;
  untilMs: number;
  edits: number;
};

type Answer = { status: number; body: Record<string, unknown> } | null;

export class TriggerActor {
  readonly #name: string;
  readonly #turn: number;
  readonly #tables: readonly string[];
  readonly #random: Random;
  readonly #watcher: Watcher;
  readonly #address: Address;
  readonly #texts: Texts;
  readonly #recorder: Recorder;
  readonly #http: HttpClient;
  readonly #finished: AbortSignal;
  readonly #stopping = new AbortController();
  readonly #startedAtMs = Date.now();
  #lives = 0;
  #requests = 0;
  #hasTable = false;

  /** `tables`: those of others, into which it may send. `finished`: what has no answer by then gets none. */
  constructor(parts: {
    name: string;
    /** Which of all it is: they begin with different policies and goals. */
    turn: number;
    tables: readonly string[];
    random: Random;
    watcher: Watcher;
    address: Address;
    texts: Texts;
    recorder: Recorder;
    finished: AbortSignal;
  }) {
    this.#name = parts.name;
    this.#turn = parts.turn;
    this.#tables = parts.tables;
    this.#random = parts.random;
    this.#watcher = parts.watcher;
    this.#address = parts.address;
    this.#texts = parts.texts;
    this.#recorder = parts.recorder;
    this.#http = new HttpClient(parts.address);
    this.#finished = parts.finished;
  }

  /** Until {@link stop}; then its trigger is removed or, now and then, left paused. */
  async run(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      const life = await this.#begin();
      if (life === null) await pause(500, this.#stopping.signal);
      else await this.#live(life);
    }
  }

  stop(): void {
    this.#stopping.abort();
  }

  /** Releases what is held in the conversations that are its own, once it has been stopped, until `finished`. */
  async lookAfter(finished: AbortSignal): Promise<void> {
    let nextReleaseMs = 0;
    while (!finished.aborted) {
      const held = this.#watcher
        .all()
        .filter((live) => this.#isOwn(live) && isHeld(live) && this.#stopping.signal.aborted);
      const [live] = held;
      if (live !== undefined && Date.now() >= nextReleaseMs) {
        nextReleaseMs = Date.now() + RELEASE_EVERY_MS;
        await this.#release(live);
      }
      await pause(LOOK_EVERY_MS, finished);
    }
  }

  get #ownTable(): string {
    return `${this.#name}-t`;
  }

  #isOwn({ conversationId, table }: Live): boolean {
    return conversationId.startsWith(`${this.#name}-`) || table?.tableId === this.#ownTable;
  }

  async #release({ conversationId, table }: Live): Promise<void> {
    const record: ActRecord = {
      act: { do: 'release' },
      conversationId,
      tableId: table?.tableId ?? null,
      sentAtMs: Date.now(),
      answeredAtMs: Infinity,
      answer: { is: 'unknown', why: 'not answered yet' },
    };
    this.#recorder.acts.push(record);
    record.answer = await this.#http.act({
      method: 'PATCH',
      path: `/v1/conversations/${conversationId}/queue`,
      body: { held: false },
    });
    record.answeredAtMs = Date.now();
  }

  /** Null: there is nowhere to send to now, or it was refused. */
  async #begin(): Promise<Life | null> {
    const turn = this.#turn + this.#lives;
    this.#lives += 1;
    const goal = this.#goalOf(turn);
    const triggerId = `${this.#name}-${this.#lives}`;
    const place = await this.#makePlace(goal, triggerId);
    if (place === null) return null;
    const nowMs = Date.now();
    const asked = {
      ...planOf(this.#random, { mark: triggerId, turn, nowMs }),
      ...place,
      newConversation: goal === 'new',
    };
    this.#watcher.followTrigger(triggerId);
    const made = await this.#untilAnswered({ do: 'create', asked }, triggerId, () =>
      this.#http.call({ method: 'POST', path: '/v1/triggers', body: { triggerId, ...asked } }),
    );
    if (made.is !== 'done') return null;
    return {
      triggerId,
      goal,
      ...place,
      createdMs: nowMs,
      untilMs: Date.now() + this.#random.between(LIFE_MS.least, LIFE_MS.most),
      edits: 0,
    };
  }

  #goalOf(turn: number): Goal {
    const goal = GOALS[turn % GOALS.length] ?? 'own';
    if (goal === 'new' && this.#newRoom() < 2) return 'own';
    return goal === 'active' && this.#tables.length === 0 ? 'own' : goal;
  }

  /** How many conversations may still be made. */
  #newRoom(): number {
    const minutes = (Date.now() - this.#startedAtMs) / 60_000;
    const made = this.#watcher.all().filter(({ table }) => table?.tableId === this.#ownTable);
    return NEW_CONVERSATIONS + minutes * NEW_CONVERSATIONS_A_MINUTE - made.length;
  }

  async #makePlace(
    goal: Goal,
    triggerId: string,
  ): Promise<{ tableId: string | null; conversationId: string | null } | null> {
    switch (goal) {
      case 'own': {
        const conversationId = `${triggerId}-c`;
        this.#watcher.follow(conversationId, null);
        const made = await this.#make('/v1/conversations', { conversationId });
        return made ? { tableId: null, conversationId } : null;
      }
      case 'active': {
        const tableId = this.#random.pick(this.#tables);
        const table = this.#watcher.tables().find((each) => each.tableId === tableId);
        return (table?.activeConversationId ?? null) === null
          ? null
          : { tableId, conversationId: null };
      }
      case 'new': {
        const tableId = this.#ownTable;
        this.#watcher.followTable(tableId);
        this.#hasTable ||= await this.#make('/v1/tables', { tableId });
        return this.#hasTable ? { tableId, conversationId: null } : null;
      }
    }
  }

  /** Asks for something that is made once, until it is there. */
  async #make(path: string, body: object): Promise<boolean> {
    while (!this.#stopping.signal.aborted) {
      const answer = await this.#http.call({
        method: 'POST',
        path,
        body: { ...body, provider: 'scripted' },
      });
      if (answer?.status === 200) return true;
      await pause(200, this.#stopping.signal);
    }
    return false;
  }

  async #live(life: Life): Promise<void> {
    const { signal } = this.#stopping;
    const reader = this.#readerOf(life);
    while (!signal.aborted && Date.now() < life.untilMs) {
      if (!reader.isOpen) await reader.connect();
      if (life.goal === 'new' && this.#newRoom() < 1) await this.#stopMaking(life);
      else if (this.#waiting(life) > MOST_WAITING) await this.#pauseUntilDrained(life);
      else {
        life.edits += 1;
        const mark = `${life.triggerId} edit ${life.edits}`;
        await this.#do(nextAction(this.#random, { mark, nowMs: Date.now() }), life);
      }
    }
    await this.#end(life);
    reader.close();
  }

  /** Another device, which sees what a trigger does. */
  #readerOf({ triggerId, conversationId, tableId }: Life): SocketClient {
    return new SocketClient({
      client: `socket of ${triggerId}`,
      subject:
        conversationId === null ? { tableId: tableId ?? '', active: true } : { conversationId },
      address: this.#address,
      texts: this.#texts,
      onRecord: (record) => this.#recorder.clients.push(record),
    });
  }

  /** Messages that wait where it sends to, and are not held. */
  #waiting({ conversationId, tableId }: Life): number {
    return this.#watcher
      .all()
      .filter((live) =>
        tableId === null ? live.conversationId === conversationId : live.table?.tableId === tableId,
      )
      .reduce((sum, { queue }) => sum + queue.filter(({ held }) => held !== true).length, 0);
  }

  async #pauseUntilDrained(life: Life): Promise<void> {
    await this.#change(life, { paused: true });
    const { signal } = this.#stopping;
    while (this.#waiting(life) > 1 && !signal.aborted && Date.now() < life.untilMs)
      await pause(LOOK_EVERY_MS, signal);
    if (!signal.aborted) await this.#change(life, { paused: false });
  }

  /** There are conversations enough: from now on it sends to the one that is active, or rests for a while first. */
  async #stopMaking(life: Life): Promise<void> {
    life.goal = 'active';
    const paused = this.#random.chance(0.4);
    await this.#change(life, { newConversation: false, ...(paused ? { paused } : {}) });
  }

  async #do(action: TriggerAction, life: Life): Promise<void> {
    const { signal } = this.#stopping;
    const { triggerId } = life;
    switch (action.do) {
      case 'change':
        await this.#change(life, action.change);
        return;
      case 'pause':
        await this.#change(life, { paused: true });
        await pause(action.forMs, signal);
        if (!signal.aborted) await this.#change(life, { paused: false });
        return;
      case 'fire': {
        this.#requests += 1;
        const requestId = `f${this.#requests}-${this.#name}`;
        const fire = (): Promise<ActRecord['answer']> =>
          this.#untilAnswered({ do: 'fire', requestId }, triggerId, () =>
            this.#http.call({
              method: 'POST',
              path: `/v1/triggers/${triggerId}/fire`,
              body: { requestId },
            }),
          );
        await Promise.all(action.twice ? [fire(), fire()] : [fire()]);
        return;
      }
      case 'backfill': {
        // Each makes a conversation of its own.
        if (life.goal === 'new') return;
        this.#requests += 1;
        const requestId = `b${this.#requests}-${this.#name}`;
        const startMs =
          (action.beforeCreation ? life.createdMs : Date.now()) - action.agoMs - action.forMs;
        const range = { from: stamp(startMs), to: stamp(startMs + action.forMs) };
        await this.#untilAnswered({ do: 'backfill', requestId, ...range }, triggerId, () =>
          this.#http.call({
            method: 'POST',
            path: `/v1/triggers/${triggerId}/backfill`,
            body: { requestId, ...range },
          }),
        );
        return;
      }
      case 'read':
        await this.#read(triggerId, action);
        return;
      case 'wait':
        await this.#wait(life, action.ms);
    }
  }

  /** Not longer than until something is to be done about it. */
  async #wait(life: Life, ms: number): Promise<void> {
    const untilMs = Date.now() + ms;
    const isFull = (): boolean =>
      this.#waiting(life) > MOST_WAITING || (life.goal === 'new' && this.#newRoom() < 1);
    while (Date.now() < untilMs && !this.#stopping.signal.aborted && !isFull())
      await pause(LOOK_EVERY_MS, this.#stopping.signal);
  }

  async #change(
    { triggerId }: Life,
    change: Extract<TriggerAct, { do: 'change' }>['change'],
  ): Promise<void> {
    await this.#untilAnswered({ do: 'change', change }, triggerId, () =>
      this.#http.call({ method: 'PATCH', path: `/v1/triggers/${triggerId}`, body: change }),
    );
  }

  async #read(triggerId: string, action: Extract<TriggerAction, { do: 'read' }>): Promise<void> {
    const { limit, pages, outcome } = action;
    const sentAtMs = Date.now();
    const items: LedgerRowValue[] = [];
    let cursor: string | null = '';
    for (let page = 0; page < pages && cursor !== null; page += 1) {
      const query = new URLSearchParams({
        limit: String(limit),
        ...(outcome === null ? {} : { outcome }),
        ...(cursor === '' ? {} : { cursor }),
      });
      const answer: Answer = await this.#http.call({
        method: 'GET',
        path: `/v1/triggers/${triggerId}/ledger?${query.toString()}`,
      });
      if (answer?.status !== 200) break;
      items.push(...(answer.body['items'] as LedgerRowValue[]));
      cursor = answer.body['nextCursor'] as string | null;
    }
    this.#recorder.readings.push({ triggerId, sentAtMs, outcome, items, whole: cursor === null });
  }

  /** One in four is left paused when the run ends: then too what is due gets its row. */
  async #end(life: Life): Promise<void> {
    const { triggerId } = life;
    if (this.#stopping.signal.aborted && this.#random.chance(0.25)) {
      await this.#change(life, { paused: true });
      return;
    }
    await this.#untilAnswered({ do: 'remove' }, triggerId, () =>
      this.#http.call({ method: 'DELETE', path: `/v1/triggers/${triggerId}` }),
    );
  }

  /** Asks again until it is done or refused; also after the program's end: what may have been accepted is to be known. */
  async #untilAnswered(
    act: TriggerAct,
    triggerId: string,
    ask: () => Promise<Answer>,
  ): Promise<ActRecord['answer']> {
    for (;;) {
      const record: TriggerActRecord = {
        act,
        triggerId,
        sentAtMs: Date.now(),
        answeredAtMs: Infinity,
        answer: { is: 'unknown', why: 'not answered yet' },
        row: null,
        count: null,
      };
      // At once: it may be done before its answer comes, and the answer may never come.
      this.#recorder.triggerActs.push(record);
      const answer = await ask();
      record.answeredAtMs = Date.now();
      record.answer = answerOf(answer);
      if (record.answer.is === 'done') {
        if (act.do === 'fire') record.row = (answer?.body ?? null) as LedgerRowValue | null;
        if (act.do === 'backfill') record.count = Number(answer?.body['count']);
        return record.answer;
      }
      const isFinal = record.answer.is === 'refused' && record.answer.code !== 'storage_full';
      if (isFinal || this.#finished.aborted) return record.answer;
      await pause(this.#random.between(100, 900), this.#finished);
    }
  }
}

function stamp(ms: number): string {
  return new Date(ms).toISOString();
}
