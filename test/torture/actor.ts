import { HttpClient, SocketClient, type Address, type Texts } from './client.ts';
/** Carries out one conversation's program against the real thing, and records what was asked and answered. */
import type { CancelRecord, ClientRecord, CommandAnswer, CommandRecord } from './evidence.ts';
import { pause } from './faults.ts';
import { type Action, programOf, type Way } from './program.ts';
import type { Random } from './random.ts';
import { expectationOf, isLeftAlone } from './script.ts';
import type { Live, Watcher } from './watcher.ts';

/** More sends in the queue would take longer than the run may heal. */
const MOST_WAITING = 2;
/** A conversation is left for a new one after so many sends: its transcript stays within one snapshot. */
const SENDS_OF_A_CONVERSATION = 25;
/** Nothing in a program takes so long by itself. */
const LONG_TURN_MS = 30_000;
/** A turn that is left alone is given up only when its turn host was killed again and again, each time before the limit. */
const LEFT_ALONE_MS = 90_000;
/** How often the program lets a turn that is left alone be: else few of them would reach their limit. */
const PATIENT = 0.85;
const LOOK_EVERY_MS = 150;

export type Recorder = {
  commands: CommandRecord[];
  cancels: CancelRecord[];
  clients: ClientRecord[];
};

export class Actor {
  readonly #name: string;
  readonly #random: Random;
  readonly #watcher: Watcher;
  readonly #address: Address;
  readonly #texts: Texts;
  readonly #recorder: Recorder;
  readonly #http: HttpClient;
  readonly #stopping = new AbortController();
  readonly #background = new Set<Promise<unknown>>();
  #endedAtMs: number | null = null;
  #conversations = 0;
  #requests = 0;
  #clients = 0;
  /** Requests of the present conversation. */
  #asked: { requestId: string; content: string }[] = [];
  #main: SocketClient | null = null;
  conversationId: string | null = null;

  constructor(parts: {
    name: string;
    random: Random;
    watcher: Watcher;
    address: Address;
    texts: Texts;
    recorder: Recorder;
  }) {
    this.#name = parts.name;
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
    const program = programOf(this.#random.fork('program'));
    while (!signal.aborted) {
      if (this.conversationId === null || this.#asked.length >= SENDS_OF_A_CONVERSATION)
        await this.#newConversation();
      const { conversationId } = this;
      if (conversationId !== null) await this.#do(program.next().value, conversationId);
    }
    await Promise.all(this.#background);
    this.#main?.close();
  }

  stop(): void {
    this.#endedAtMs ??= Date.now();
    this.#stopping.abort();
  }

  async #newConversation(): Promise<void> {
    const previous = this.conversationId;
    if (previous !== null)
      await this.#watcher.until(
        (live) => live.conversationId === previous && live.turn === null,
        20_000,
      );
    this.#main?.close();
    this.#conversations += 1;
    this.#asked = [];
    const conversationId = `${this.#name}-${this.#conversations}`;
    this.#watcher.follow(conversationId);
    while (!this.#stopping.signal.aborted) {
      // Creating it twice gives the first: so it is simply asked for until it is there.
      const answer = await this.#http.call({
        method: 'POST',
        path: '/v1/conversations',
        body: { conversationId, provider: 'scripted' },
      });
      if (answer?.status === 200) {
        this.conversationId = conversationId;
        this.#main = this.#newSocket(conversationId);
        return;
      }
      await pause(200, this.#stopping.signal);
    }
  }

  #newSocket(conversationId: string): SocketClient {
    this.#clients += 1;
    const client = new SocketClient({
      client: `socket ${this.#clients} of ${conversationId}`,
      conversationId,
      address: this.#address,
      texts: this.#texts,
    });
    this.#recorder.clients.push(client.record);
    return client;
  }

  /** Goes on meanwhile; the actor ends after it. */
  #keep(work: Promise<unknown>): void {
    const kept = work.finally(() => this.#background.delete(kept));
    this.#background.add(kept);
  }

  async #do(action: Action, conversationId: string): Promise<void> {
    const { signal } = this.#stopping;
    const live = this.#watcher.live(conversationId);
    const patient = live.turn !== null && isLeftAlone(live.turn) && this.#random.chance(PATIENT);
    if (this.#main !== null && !this.#main.isOpen) await this.#main.connect();
    switch (action.do) {
      case 'send':
        if (live.queue.length >= MOST_WAITING) {
          await this.#untilIdle(conversationId, 4_000);
          return;
        }
        await this.#send(
          patient && action.whenBusy === 'interrupt' ? { ...action, whenBusy: 'queue' } : action,
          conversationId,
        );
        return;
      case 'repeat': {
        if (this.#asked.length === 0) return;
        const { requestId, content } = this.#random.pick(this.#asked);
        const other = `${content}\n# another`;
        await this.#ask({
          conversationId,
          requestId,
          content: action.otherContent ? other : content,
          way: action.way,
        });
        return;
      }
      case 'cancel':
        if (patient) return;
        if (live.turn === null) await pause(100, signal);
        await this.#cancel(
          conversationId,
          action.named ? (live.turn?.turnId ?? null) : null,
          action.way,
        );
        if (action.twice) await this.#cancel(conversationId, null, 'http');
        return;
      case 'retry': {
        const end = live.lastEnd;
        if (end === null || end.type === 'chat.done' || live.queue.length >= MOST_WAITING) return;
        const content = live.contents.get(end.turnId) ?? '';
        // A retry of what ends badly by itself is worth it only now and then.
        if (expectationOf(content).end !== 'completed' && this.#random.chance(0.6)) return;
        await this.#retry(conversationId, end.turnId, action.way);
        return;
      }
      case 'reconnect':
        this.#main?.drop();
        await pause(action.pauseMs, signal);
        await this.#main?.connect({ forgetful: action.forgetful });
        return;
      case 'join':
        this.#keep(this.#join(conversationId, action.forMs));
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
    }
  }

  async #untilIdle(conversationId: string, atMostMs: number): Promise<void> {
    await this.#watcher.until(
      (live) =>
        this.#stopping.signal.aborted ||
        (live.conversationId === conversationId && live.turn === null),
      atMostMs,
    );
  }

  async #send(action: Extract<Action, { do: 'send' }>, conversationId: string): Promise<void> {
    this.#requests += 1;
    const requestId = `r${this.#requests}-${this.#name}`;
    const { content, whenBusy, way, copies, waitForEnd } = action;
    this.#asked.push({ requestId, content });
    const asked = [
      this.#ask({ conversationId, requestId, content, way, whenBusy, waitForEnd }),
      ...Array.from({ length: copies }, () =>
        this.#ask({ conversationId, requestId, content, way: 'http', whenBusy }),
      ),
    ];
    if (waitForEnd) {
      for (const each of asked) this.#keep(each);
      return;
    }
    const [answer] = await Promise.all(asked);
    // What a careful client does: the same once more, until it knows.
    if ((answer?.is === 'unknown' || answer?.is === 'no-room') && this.#random.chance(0.7)) {
      await pause(this.#random.between(100, 1_500), this.#stopping.signal);
      await this.#ask({ conversationId, requestId, content, way: 'http', whenBusy });
    }
  }

  async #ask(request: {
    conversationId: string;
    requestId: string;
    content: string;
    way: Way;
    whenBusy?: string;
    waitForEnd?: boolean;
  }): Promise<CommandAnswer> {
    const {
      conversationId,
      requestId,
      content,
      way,
      whenBusy = 'queue',
      waitForEnd = false,
    } = request;
    const socket = way === 'socket' && this.#main?.isOpen === true ? this.#main : null;
    const sentAtMs = Date.now();
    if (whenBusy === 'interrupt')
      this.#recorder.cancels.push({ conversationId, sentAtMs, turnId: null });
    const answer =
      socket === null
        ? await this.#http.command({
            path: `/v1/conversations/${conversationId}/messages${waitForEnd ? '?wait=end' : ''}`,
            body: { requestId, content, whenBusy },
            ...(waitForEnd ? { timeoutMs: this.#random.pick([1_000, 60_000]) } : {}),
          })
        : await socket.ask({
            type: 'chat.send',
            conversationId,
            requestId,
            payload: { content, whenBusy },
          });
    this.#note({ conversationId, kind: 'send', requestId, content, sentAtMs, answer });
    return answer;
  }

  #note(record: Omit<CommandRecord, 'answeredAtMs'>): void {
    this.#recorder.commands.push({ ...record, answeredAtMs: Date.now() });
  }

  async #retry(conversationId: string, turnId: string, way: Way): Promise<void> {
    this.#requests += 1;
    const requestId = `r${this.#requests}-${this.#name}`;
    const socket = way === 'socket' && this.#main?.isOpen === true ? this.#main : null;
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

  async #cancel(conversationId: string, turnId: string | null, way: Way): Promise<void> {
    this.#recorder.cancels.push({ conversationId, sentAtMs: Date.now(), turnId });
    const socket = way === 'socket' && this.#main?.isOpen === true ? this.#main : null;
    if (socket === null) {
      await this.#http.call({
        method: 'POST',
        path: `/v1/conversations/${conversationId}/cancel`,
        body: turnId === null ? {} : { turnId },
      });
      return;
    }
    this.#requests += 1;
    await socket.ask({
      type: 'chat.cancel',
      conversationId,
      requestId: `c${this.#requests}-${this.#name}`,
      ...(turnId === null ? {} : { turnId }),
    });
  }

  async #join(conversationId: string, forMs: number): Promise<void> {
    const client = this.#newSocket(conversationId);
    await client.connect();
    await pause(forMs, this.#stopping.signal);
    client.close();
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
      conversationId,
      entries: [{ is: 'snapshot', view: answer.body as never }],
    });
  }

  /**
   * Answers approvals, and cancels what hangs and is not left alone, until `finished`: what was sent last may begin after
   * the program's end.
   */
  async lookAfter(finished: AbortSignal): Promise<void> {
    const patience = this.#random.fork('patience');
    const asked = new Map<string, number>();
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
        const { turn } = live;
        if (turn === null || live.ending) continue;
        const hangs = turn.content !== '' && expectationOf(turn.content).end === 'never';
        // What begins after the program's end is not left alone: the run is to heal soon.
        const alone =
          hangs &&
          isLeftAlone(turn) &&
          !(this.#endedAtMs !== null && turn.sinceMs > this.#endedAtMs);
        const long = Date.now() - turn.sinceMs > (alone ? LEFT_ALONE_MS : LONG_TURN_MS);
        if (((hangs && !alone) || long) && isDue(turn.key, turn.sinceMs, 300, 3_500))
          this.#keep(this.#cancel(live.conversationId, turn.turnId, 'http'));
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
