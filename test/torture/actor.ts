import { conversationStream, tableStream } from '../../src/contracts/ids.ts';
/**
 * Carries out one program against the real thing, of a conversation that stands alone (and its forks) or of a table of them,
 * and records what was asked and answered.
 */
import type { WhenBusyName } from '../../src/contracts/signals.ts';
import type { TableWithActiveValue } from '../../src/contracts/view.ts';
import { actAnswer, type Address, HttpClient, SocketClient, type Texts } from './client.ts';
import type {
  Act,
  ActRecord,
  AgentActRecord,
  CancelRecord,
  ClientRecord,
  CommandAnswer,
  CommandRecord,
  LedgerReading,
  TriggerActRecord,
} from './evidence.ts';
import { pause } from './faults.ts';
import { type Action, programOf, type TableAction, type Way } from './program.ts';
import type { Random } from './random.ts';
import { expectationOf, isLeftAlone } from './script.ts';
import { isHeld, type Live, type Watcher } from './watcher.ts';

/** More sends in a queue, and in the queues of a table, would take longer than the run may heal. */
const MOST_WAITING = 3;
const MOST_WAITING_IN_TABLE = 5;
/** A conversation is left for a new one after so many sends: its transcript stays within one snapshot. */
const SENDS_OF_A_CONVERSATION = 25;
/** Conversations that are used of one actor at a time; the others are there to be read. */
const MOST_ROOMS = 4;
/** Conversations of one actor: a run's audit reads every one of them. */
const MOST_CONVERSATIONS_A_MINUTE = 3;
/** Nothing in a program takes so long by itself. */
const LONG_TURN_MS = 30_000;
/** A turn that is left alone is given up only when its turn host was killed again and again, each time before the limit. */
const LEFT_ALONE_MS = 90_000;
/** How often the program lets a turn that is left alone be: else few of them would reach their limit. */
const PATIENT = 0.85;
const LOOK_EVERY_MS = 150;
const ASK_AGAIN_MS = 200;

export type Recorder = {
  commands: CommandRecord[];
  acts: ActRecord[];
  cancels: CancelRecord[];
  clients: ClientRecord[];
  triggerActs: TriggerActRecord[];
  readings: LedgerReading[];
  agentActs: AgentActRecord[];
};

/** A conversation that is used. */
type Room = {
  conversationId: string;
  asked: { requestId: string; content: string; whenBusy: WhenBusyName; replaces: string | null }[];
  main: SocketClient;
};

/** Between two releases of held queues, by one program, at the end. */
const RELEASE_EVERY_MS = 400;

export class Actor {
  readonly #name: string;
  readonly #tableId: string | null;
  readonly #random: Random;
  readonly #watcher: Watcher;
  readonly #address: Address;
  readonly #texts: Texts;
  readonly #recorder: Recorder;
  readonly #http: HttpClient;
  readonly #stopping = new AbortController();
  readonly #background = new Set<Promise<unknown>>();
  readonly #startedAtMs = Date.now();
  #endedAtMs: number | null = null;
  #conversations = 0;
  #requests = 0;
  #clients = 0;
  #rooms: Room[] = [];
  /** The one that is acted in. */
  #room: Room | null = null;
  #tableSocket: SocketClient | null = null;

  /** `place`: whether it is of conversations that stand alone, or of a table's. */
  constructor(parts: {
    name: string;
    place: 'alone' | 'table';
    random: Random;
    watcher: Watcher;
    address: Address;
    texts: Texts;
    recorder: Recorder;
  }) {
    this.#name = parts.name;
    this.#tableId = parts.place === 'table' ? parts.name : null;
    this.#random = parts.random;
    this.#watcher = parts.watcher;
    this.#address = parts.address;
    this.#texts = parts.texts;
    this.#recorder = parts.recorder;
    this.#http = new HttpClient(parts.address);
  }

  /** Runs the program until {@link stop}, and waits until every answer has come. */
  async run(): Promise<void> {
    const { signal } = this.#stopping;
    if (this.#tableId !== null) await this.#makeTable(this.#tableId);
    const place = this.#tableId === null ? 'alone' : 'table';
    const program = programOf(this.#random.fork('program'), place);
    while (!signal.aborted) {
      if (this.#room === null || this.#room.asked.length >= SENDS_OF_A_CONVERSATION)
        await this.#newRoom();
      if (this.#room !== null) await this.#do(program.next().value, this.#room);
    }
    await Promise.all(this.#background);
    for (const { main } of this.#rooms) main.close();
    this.#tableSocket?.close();
  }

  stop(): void {
    this.#endedAtMs ??= Date.now();
    this.#stopping.abort();
  }

  /** Asks for something that is made once, until it is there. */
  async #make(path: string, body: object): Promise<boolean> {
    while (!this.#stopping.signal.aborted) {
      const answer = await this.#http.call({ method: 'POST', path, body });
      if (answer?.status === 200) return true;
      await pause(ASK_AGAIN_MS, this.#stopping.signal);
    }
    return false;
  }

  async #makeTable(tableId: string): Promise<void> {
    this.#watcher.followTable(tableId);
    if (!(await this.#make('/v1/tables', { tableId, provider: 'scripted' }))) return;
    this.#tableSocket = this.#newTableSocket(tableId, { active: false });
    await this.#tableSocket.connect();
  }

  async #newRoom(): Promise<void> {
    if (this.#tableId !== null) {
      await this.#newChat(this.#tableId);
      return;
    }
    const previous = this.#room?.conversationId ?? null;
    if (previous !== null) await this.#untilIdle(previous, 20_000);
    const conversationId = this.#nextConversationId();
    this.#watcher.follow(conversationId, null);
    if (await this.#make('/v1/conversations', { conversationId, provider: 'scripted' }))
      this.#enter(conversationId);
  }

  #nextConversationId(): string {
    this.#conversations += 1;
    return `${this.#name}-${this.#conversations}`;
  }

  /** Goes on in this conversation. The one that was left longest ago is left for good where there are too many. */
  #enter(conversationId: string): void {
    const room = this.#rooms.find((each) => each.conversationId === conversationId) ?? {
      conversationId,
      asked: [],
      main: this.#newSocket(conversationId),
    };
    this.#rooms = [...this.#rooms.filter((each) => each !== room), room];
    this.#room = room;
    while (this.#rooms.length > MOST_ROOMS) this.#rooms.shift()?.main.close();
  }

  /** Whether there are few enough conversations for one more. */
  get #hasRoom(): boolean {
    const minutes = (Date.now() - this.#startedAtMs) / 60_000;
    return this.#conversations < MOST_ROOMS + minutes * MOST_CONVERSATIONS_A_MINUTE;
  }

  #newSocket(conversationId: string, after?: number): SocketClient {
    this.#clients += 1;
    return new SocketClient({
      client: `socket ${this.#clients} of ${conversationId}`,
      subject: { conversationId },
      address: this.#address,
      texts: this.#texts,
      onRecord: (record) => this.#recorder.clients.push(record),
      ...(after === undefined ? {} : { after }),
    });
  }

  #newTableSocket(
    tableId: string,
    { active, after }: { active: boolean; after?: number },
  ): SocketClient {
    this.#clients += 1;
    return new SocketClient({
      client: `socket ${this.#clients} of table ${tableId}`,
      subject: { tableId, active },
      address: this.#address,
      texts: this.#texts,
      onRecord: (record) => this.#recorder.clients.push(record),
      ...(after === undefined ? {} : { after }),
    });
  }

  /** Goes on meanwhile; the actor ends after it. */
  #keep(work: Promise<unknown>): void {
    const kept = work.finally(() => this.#background.delete(kept));
    this.#background.add(kept);
  }

  async #do(action: Action, room: Room): Promise<void> {
    const { signal } = this.#stopping;
    const { conversationId, main } = room;
    const live = this.#watcher.live(conversationId);
    const patient = this.#isLeftAlone(live) && this.#random.chance(PATIENT);
    if (!main.isOpen) await main.connect();
    switch (action.do) {
      case 'send':
        if (this.#isCrowded(live)) {
          await this.#untilIdle(conversationId, 4_000);
          return;
        }
        await this.#send(
          patient && action.whenBusy === 'interrupt' ? { ...action, whenBusy: 'queue' } : action,
          room,
        );
        return;
      case 'repeat': {
        if (room.asked.length === 0) return;
        const { content, replaces, ...request } = this.#random.pick(room.asked);
        await this.#ask({
          ...request,
          conversationId,
          content: action.otherContent ? `${content}\n# another` : content,
          way: action.way,
          ...(replaces === null ? {} : { replaces }),
        });
        return;
      }
      case 'cancel':
        if (patient) return;
        if (live.turn === null) await pause(100, signal);
        await this.#cancel({
          conversationId,
          turnId: action.named ? (live.turn?.turnId ?? null) : null,
          hold: action.hold,
          way: action.way,
        });
        if (action.twice)
          await this.#cancel({ conversationId, turnId: null, hold: false, way: 'http' });
        return;
      case 'retry': {
        const end = live.lastEnd;
        if (end === null || end.type === 'chat.done' || this.#isCrowded(live)) return;
        const content = live.contents.get(end.turnId) ?? '';
        if (content === '') return;
        // A retry of what ends badly by itself is worth it only now and then.
        if (expectationOf(content).end !== 'completed' && this.#random.chance(0.6)) return;
        await this.#retry(conversationId, end.turnId, action.way);
        return;
      }
      case 'requeue':
        await this.#requeue(action, room, live, patient);
        return;
      case 'hold':
        await this.#hold(conversationId, !isHeld(live), action.way);
        return;
      case 'rename':
        await this.#patch(conversationId, { title: `named ${this.#requests}` });
        return;
      case 'archive':
        await this.#patch(conversationId, { archived: !live.archived });
        return;
      case 'fork':
        await this.#fork(live, action.whole);
        return;
      case 'rollback':
        await this.#rollback(live, action.everything);
        return;
      case 'reconnect':
        main.drop();
        await pause(action.pauseMs, signal);
        await main.connect({ forgetful: action.forgetful });
        return;
      case 'join':
        this.#keep(this.#lookOn(this.#newSocket(conversationId), action.forMs));
        return;
      case 'stream': {
        this.#clients += 1;
        const reading = this.#http.stream({
          client: `stream ${this.#clients} of ${conversationId}`,
          conversationId,
          afterSeq: action.fromStart ? null : live.lastSeq,
          forMs: action.forMs,
          texts: this.#texts,
        });
        this.#keep(reading.then((record) => this.#recorder.clients.push(record)));
        return;
      }
      case 'snapshot':
        await this.#snapshot(conversationId);
        return;
      case 'pause':
        await pause(action.ms, signal);
        return;
      case 'until-idle':
        await this.#untilIdle(conversationId, action.atMostMs);
        return;
      default:
        if (this.#tableId !== null) await this.#doInTable(action, this.#tableId, patient);
    }
  }

  async #doInTable(action: TableAction, tableId: string, patient: boolean): Promise<void> {
    switch (action.do) {
      case 'new-chat':
        if (!patient && this.#hasRoom) await this.#newChat(tableId);
        return;
      case 'switch':
        if (this.#rooms.length > 0) this.#enter(this.#random.pick(this.#rooms).conversationId);
        return;
      case 'activate': {
        if (this.#rooms.length === 0) return;
        const { conversationId } = this.#random.pick(this.#rooms);
        const whenBusy = patient && action.whenBusy === 'interrupt' ? 'queue' : action.whenBusy;
        if (whenBusy === 'interrupt') this.#noteCancel(conversationId, tableId);
        await this.#act({ do: 'activate', whenBusy }, conversationId, () =>
          this.#http.act({
            method: 'POST',
            path: `/v1/tables/${tableId}/active`,
            body: { conversationId, whenBusy },
          }),
        );
        if (this.#random.chance(0.5)) this.#enter(conversationId);
        return;
      }
      case 'open-table':
        if (action.oneCall) this.#keep(this.#openByOneCall(tableId, action.forMs));
        else
          this.#keep(this.#lookOn(this.#newTableSocket(tableId, { active: true }), action.forMs));
        return;
      case 'reconnect-table':
        this.#tableSocket?.drop();
        await pause(action.pauseMs, this.#stopping.signal);
        await this.#tableSocket?.connect({ forgetful: action.forgetful });
    }
  }

  /** Whether a turn runs, here or elsewhere in the table, that is for the silence clock to end. */
  #isLeftAlone(live: Live): boolean {
    const { table } = live;
    const all =
      table === null ? [live] : this.#watcher.all().filter((each) => each.table === table);
    return all.some(({ turn }) => turn !== null && isLeftAlone(turn));
  }

  #isCrowded({ queue, table }: Live): boolean {
    if (queue.length >= MOST_WAITING) return true;
    if (table === null) return false;
    const all = this.#watcher.all().filter((each) => each.table === table);
    return all.reduce((sum, each) => sum + each.queue.length, 0) >= MOST_WAITING_IN_TABLE;
  }

  async #untilIdle(conversationId: string, atMostMs: number): Promise<void> {
    await this.#watcher.until(
      (live) =>
        this.#stopping.signal.aborted ||
        (live.conversationId === conversationId && live.turn === null),
      atMostMs,
    );
  }

  async #send(action: Extract<Action, { do: 'send' }>, room: Room): Promise<void> {
    this.#requests += 1;
    const { conversationId } = room;
    const requestId = `r${this.#requests}-${this.#name}`;
    const { content, whenBusy, way, copies, waitForEnd } = action;
    const prompts = this.#watcher.live(conversationId).rows.filter(({ isPrompt }) => isPrompt);
    const replaces =
      action.replaces && prompts.length > 0 ? this.#random.pick(prompts).messageId : null;
    room.asked.push({ requestId, content, whenBusy, replaces });
    const request = {
      conversationId,
      requestId,
      content,
      whenBusy,
      ...(replaces === null ? {} : { replaces }),
    };
    const asked = [
      this.#ask({ ...request, way, waitForEnd }),
      ...Array.from({ length: copies }, () => this.#ask({ ...request, way: 'http' })),
    ];
    if (waitForEnd) {
      for (const each of asked) this.#keep(each);
      return;
    }
    const [answer] = await Promise.all(asked);
    // What a careful client does: the same once more, until it knows.
    if ((answer?.is === 'unknown' || answer?.is === 'no-room') && this.#random.chance(0.7)) {
      await pause(this.#random.between(100, 1_500), this.#stopping.signal);
      await this.#ask({ ...request, way: 'http' });
    }
  }

  async #ask(request: {
    conversationId: string;
    requestId: string;
    content: string;
    way: Way;
    whenBusy: WhenBusyName;
    replaces?: string;
    waitForEnd?: boolean;
  }): Promise<CommandAnswer> {
    const { conversationId, requestId, content, way, whenBusy, waitForEnd = false } = request;
    const { replaces } = request;
    const more = replaces === undefined ? {} : { replaces };
    const socket = way === 'socket' ? this.#socketOf(conversationId) : null;
    const sentAtMs = Date.now();
    if (whenBusy === 'interrupt') this.#noteCancel(conversationId, this.#tableId);
    const answer =
      socket === null
        ? await this.#http.command({
            path: `/v1/conversations/${conversationId}/messages${waitForEnd ? '?wait=end' : ''}`,
            body: { requestId, content, whenBusy, ...more },
            ...(waitForEnd ? { timeoutMs: this.#random.pick([1_000, 60_000]) } : {}),
          })
        : await socket.ask({
            type: 'chat.send',
            conversationId,
            requestId,
            payload: { content, whenBusy, ...more },
          });
    this.#note({
      conversationId,
      kind: 'send',
      requestId,
      content,
      whenBusy,
      ...more,
      sentAtMs,
      answer,
    });
    return answer;
  }

  #socketOf(conversationId: string): SocketClient | null {
    const main = this.#rooms.find((each) => each.conversationId === conversationId)?.main;
    return main?.isOpen === true ? main : null;
  }

  #note(record: Omit<CommandRecord, 'answeredAtMs'>): void {
    this.#recorder.commands.push({ ...record, answeredAtMs: Date.now() });
  }

  /** From now on a turn may be cancelled because of this. */
  #noteCancel(
    conversationId: string,
    tableId: string | null,
    turnId: string | null = null,
  ): CancelRecord {
    const record: CancelRecord = { conversationId, tableId, sentAtMs: Date.now(), turnId };
    this.#recorder.cancels.push(record);
    return record;
  }

  async #act(
    act: Act,
    conversationId: string,
    ask: () => Promise<ActRecord['answer']>,
  ): Promise<ActRecord['answer']> {
    const sentAtMs = Date.now();
    const record: ActRecord = {
      act,
      conversationId,
      tableId: this.#tableId,
      sentAtMs,
      answeredAtMs: Infinity,
      answer: { is: 'unknown', why: 'not answered yet' },
    };
    // At once: it may be done before its answer comes, and the answer may never come.
    this.#recorder.acts.push(record);
    record.answer = await ask();
    record.answeredAtMs = Date.now();
    return record.answer;
  }

  async #retry(conversationId: string, turnId: string, way: Way): Promise<void> {
    this.#requests += 1;
    const requestId = `r${this.#requests}-${this.#name}`;
    const socket = way === 'socket' ? this.#socketOf(conversationId) : null;
    const sentAtMs = Date.now();
    const answer =
      socket === null
        ? await this.#http.command({
            path: `/v1/conversations/${conversationId}/turns/${turnId}/retry`,
            body: { requestId },
          })
        : await socket.ask({ type: 'chat.retry', conversationId, requestId, turnId });
    this.#note({ conversationId, kind: 'retry', requestId, content: turnId, sentAtMs, answer });
  }

  async #cancel(request: {
    conversationId: string;
    turnId: string | null;
    hold: boolean;
    way: Way;
  }): Promise<void> {
    const { conversationId, turnId, hold, way } = request;
    const record = this.#noteCancel(conversationId, null, turnId);
    const socket = way === 'socket' ? this.#socketOf(conversationId) : null;
    const holding = hold ? { holdQueue: true } : {};
    const ask = async (): Promise<ActRecord['answer']> => {
      if (socket === null)
        return this.#http.act({
          method: 'POST',
          path: `/v1/conversations/${conversationId}/cancel`,
          body: { ...(turnId === null ? {} : { turnId }), ...holding },
        });
      this.#requests += 1;
      return actAnswer(
        await socket.ask({
          type: 'chat.cancel',
          conversationId,
          requestId: `c${this.#requests}-${this.#name}`,
          ...(turnId === null ? {} : { turnId }),
          payload: holding,
        }),
      );
    };
    const answer = hold
      ? await this.#act({ do: 'cancel-and-hold' }, conversationId, ask)
      : await ask();
    if (answer.is === 'done' && turnId !== null) record.doneAtMs = Date.now();
  }

  async #requeue(
    action: Extract<Action, { do: 'requeue' }>,
    room: Room,
    live: Live,
    patient: boolean,
  ): Promise<void> {
    const { conversationId } = room;
    const known = (action.stale ? room.asked : live.queue).map((each) => each.requestId);
    if (known.length === 0) return;
    const requestId = this.#random.pick(known);
    const { way, content, position } = action;
    const change = patient && action.change === 'promote' ? 'move' : action.change;
    if (change === 'promote') this.#noteCancel(conversationId, this.#tableId);
    const act: Act =
      change === 'edit'
        ? { do: change, requestId, content }
        : change === 'move'
          ? { do: change, requestId, position }
          : { do: change, requestId };
    const body = change === 'edit' ? { content } : change === 'move' ? { position } : { now: true };
    const socket = way === 'socket' ? this.#socketOf(conversationId) : null;
    await this.#act(act, conversationId, async () => {
      if (socket !== null)
        return actAnswer(
          await socket.ask(
            change === 'remove'
              ? { type: 'queue.remove', conversationId, requestId }
              : { type: 'queue.update', conversationId, requestId, payload: body },
          ),
        );
      const path = `/v1/conversations/${conversationId}/queue/${requestId}`;
      return change === 'remove'
        ? this.#http.act({ method: 'DELETE', path })
        : this.#http.act({ method: 'PATCH', path, body });
    });
  }

  async #hold(conversationId: string, held: boolean, way: Way): Promise<void> {
    const socket = way === 'socket' ? this.#socketOf(conversationId) : null;
    await this.#act({ do: held ? 'hold' : 'release' }, conversationId, async () => {
      if (socket === null)
        return this.#http.act({
          method: 'PATCH',
          path: `/v1/conversations/${conversationId}/queue`,
          body: { held },
        });
      this.#requests += 1;
      const requestId = `h${this.#requests}-${this.#name}`;
      return actAnswer(
        await socket.ask({ type: 'queue.hold', conversationId, requestId, payload: { held } }),
      );
    });
  }

  async #patch(
    conversationId: string,
    change: { title: string } | { archived: boolean },
  ): Promise<void> {
    const act: Act = 'title' in change ? { do: 'rename', ...change } : { do: 'archive', ...change };
    await this.#act(act, conversationId, () =>
      this.#http.act({
        method: 'PATCH',
        path: `/v1/conversations/${conversationId}`,
        body: change,
      }),
    );
  }

  async #fork({ conversationId, rows }: Live, whole: boolean): Promise<void> {
    const places = rows.filter(({ isWhole }) => isWhole);
    if (!this.#hasRoom || places.length === 0) return;
    const messageId = whole ? null : this.#random.pick(places).messageId;
    const forkId = this.#nextConversationId();
    this.#watcher.follow(forkId, this.#tableId);
    const answer = await this.#act({ do: 'fork', forkId, messageId }, conversationId, () =>
      this.#http.act({
        method: 'POST',
        path: `/v1/conversations/${conversationId}/fork`,
        body: { conversationId: forkId, ...(messageId === null ? {} : { messageId }) },
      }),
    );
    if (answer.is === 'done' && this.#random.chance(0.7)) this.#enter(forkId);
  }

  async #rollback({ conversationId, rows, turn }: Live, everything: boolean): Promise<void> {
    const places = rows.filter(({ isWhole }) => isWhole);
    // While a turn runs it is refused: worth it now and then.
    if (places.length === 0 || (turn !== null && this.#random.chance(0.8))) return;
    const messageId = everything ? null : this.#random.pick(places).messageId;
    await this.#act({ do: 'rollback', messageId }, conversationId, () =>
      this.#http.act({
        method: 'POST',
        path: `/v1/conversations/${conversationId}/rollback`,
        body: { messageId },
      }),
    );
  }

  async #newChat(tableId: string): Promise<void> {
    const conversationId = this.#nextConversationId();
    this.#watcher.follow(conversationId, tableId);
    const path = `/v1/tables/${tableId}/conversations`;
    const answer = await this.#act({ do: 'new-chat' }, conversationId, async () => {
      // Again and again, until it is there: each time it may cancel what runs, should the ones before have come to nothing.
      for (;;) {
        this.#noteCancel(conversationId, tableId);
        const told = await this.#http.act({ method: 'POST', path, body: { conversationId } });
        if (told.is === 'done' || this.#stopping.signal.aborted) return told;
        await pause(ASK_AGAIN_MS, this.#stopping.signal);
      }
    });
    if (answer.is === 'done') this.#enter(conversationId);
  }

  /** Another device, for a while. */
  async #lookOn(client: SocketClient, forMs: number): Promise<void> {
    await client.connect();
    await pause(forMs, this.#stopping.signal);
    client.close();
  }

  /** The one call, then both streams from where its two snapshots end. */
  async #openByOneCall(tableId: string, forMs: number): Promise<void> {
    const answer = await this.#http.call({ method: 'GET', path: `/v1/tables/${tableId}/view` });
    if (answer?.status !== 200) return;
    const { table, active } = answer.body as unknown as TableWithActiveValue;
    this.#clients += 1;
    const client = `one call ${this.#clients} of table ${tableId}`;
    this.#recorder.clients.push({
      client,
      stream: tableStream(tableId),
      entries: [{ is: 'table', view: table }],
    });
    const devices = [this.#newTableSocket(tableId, { active: false, after: table.lastSeq })];
    if (active !== null) {
      const { conversationId, lastSeq } = active;
      this.#recorder.clients.push({
        client,
        stream: conversationStream(conversationId),
        entries: [{ is: 'snapshot', view: active }],
      });
      devices.push(this.#newSocket(conversationId, lastSeq));
    }
    await Promise.all(devices.map((device) => this.#lookOn(device, forMs)));
  }

  async #snapshot(conversationId: string): Promise<void> {
    const answer = await this.#http.call({
      method: 'GET',
      path: `/v1/conversations/${conversationId}`,
    });
    if (answer?.status !== 200) return;
    this.#clients += 1;
    this.#recorder.clients.push({
      client: `snapshot ${this.#clients} of ${conversationId}`,
      stream: conversationStream(conversationId),
      entries: [{ is: 'snapshot', view: answer.body as never }],
    });
  }

  /**
   * Answers approvals, and cancels what hangs and is not left alone, until `finished`: what was sent last may begin after
   * the program's end. From then on, what is held is released: everything that was accepted is to come to its end.
   */
  async lookAfter(finished: AbortSignal): Promise<void> {
    const patience = this.#random.fork('patience');
    const asked = new Map<string, number>();
    let nextReleaseMs = 0;
    const isDue = (key: string, sinceMs: number, least: number, most: number): boolean => {
      const at =
        asked.get(key) ??
        sinceMs + (this.#stopping.signal.aborted ? 0 : patience.between(least, most));
      asked.set(key, at);
      if (Date.now() < at) return false;
      // Again after a while, should nothing have come of it.
      asked.set(key, Date.now() + 3_000);
      return true;
    };
    while (!finished.aborted) {
      const mine = this.#watcher
        .all()
        .filter((live) => live.conversationId.startsWith(`${this.#name}-`));
      for (const live of mine) {
        for (const [approvalId, sinceMs] of live.approvals)
          if (isDue(approvalId, sinceMs, 0, 3_000))
            this.#keep(this.#approve(live, approvalId, patience));
        const { turn, conversationId } = live;
        // One after the other: hundreds of queues released at one moment would be a load, and no fault.
        if (
          isHeld(live) &&
          this.#stopping.signal.aborted &&
          Date.now() >= nextReleaseMs &&
          isDue(`held ${conversationId}`, 0, 0, 0)
        ) {
          nextReleaseMs = Date.now() + RELEASE_EVERY_MS;
          this.#keep(this.#hold(conversationId, false, 'http'));
        }
        if (turn === null || live.ending) continue;
        const hangs = turn.content !== '' && expectationOf(turn.content).end === 'never';
        // What begins after the program's end is not left alone: the run is to heal soon.
        const alone =
          hangs &&
          isLeftAlone(turn) &&
          !(this.#endedAtMs !== null && turn.sinceMs > this.#endedAtMs);
        const long = Date.now() - turn.sinceMs > (alone ? LEFT_ALONE_MS : LONG_TURN_MS);
        if (((hangs && !alone) || long) && isDue(turn.key, turn.sinceMs, 300, 3_500))
          this.#keep(
            this.#cancel({ conversationId, turnId: turn.turnId, hold: false, way: 'http' }),
          );
      }
      await pause(LOOK_EVERY_MS, finished);
    }
  }

  async #approve(live: Live, approvalId: string, random: Random): Promise<void> {
    const answer = async (): Promise<void> => {
      await this.#http.call({
        method: 'POST',
        path: `/v1/conversations/${live.conversationId}/approvals/${approvalId}`,
        body: { decision: random.chance(0.7) ? 'allow' : 'deny' },
      });
    };
    await Promise.all(random.chance(0.2) ? [answer(), answer()] : [answer()]);
  }
}

/** Nothing runs and nothing waits. */
export function isSettled(live: Live): boolean {
  return live.turn === null && live.queue.length === 0 && live.state === 'idle';
}
