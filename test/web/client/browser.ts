/** A browser for the client, with a gateway behind it: in one thread, with its own clock, and nothing that happens unless it is let. */
import type { Event } from '../../../src/contracts/events.ts';
import type { ConversationViewValue } from '../../../src/contracts/view.ts';
import { emptyView, foldEvents } from '../../../src/domain/fold.ts';
import type {
  Answer,
  KeptStrings,
  Locks,
  PageEvent,
  Parts,
  SocketEvents,
  Stop,
} from '../../../web/client/parts.ts';

export type Frame = {
  type: string;
  conversationId?: string;
  tableId?: string;
  rootId?: string;
  requestId?: string;
  payload?: Record<string, unknown>;
};

/** Lets everything that waits for nothing but promises happen. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
}

/** A clock that goes on only when it is told to. */
export class Clock {
  now = Date.UTC(2026, 0, 1);
  readonly #timers = new Set<{ atMs: number; work: () => void }>();

  readonly after = (delayMs: number, work: () => void): Stop => {
    const timer = { atMs: this.now + delayMs, work };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  };

  get waiting(): number {
    return this.#timers.size;
  }

  /** Goes on, doing at each moment what is due then. */
  async advance(ms: number): Promise<void> {
    await settled();
    const until = this.now + ms;
    for (;;) {
      const [next] = [...this.#timers]
        .filter(({ atMs }) => atMs <= until)
        .toSorted((one, other) => one.atMs - other.atMs);
      if (next === undefined) break;
      this.now = Math.max(this.now, next.atMs);
      this.#timers.delete(next);
      next.work();
      await settled();
    }
    this.now = until;
    await settled();
  }

  /** Sleeps: no timer runs until it is over, and then all that were due do. */
  async sleep(ms: number): Promise<void> {
    this.now += ms;
    await this.advance(0);
  }
}

/** One end of a WebSocket, the gateway's. */
export class FakeSocket {
  readonly url: string;
  readonly protocols: readonly string[];
  readonly sent: Frame[] = [];
  /** Nothing arrives any more, in either direction, and nobody is told. */
  isDead = false;
  isClosed = false;
  onFrame: (frame: Frame) => void = () => undefined;
  readonly #events: SocketEvents;

  constructor(request: { url: string; protocols: string[] }, events: SocketEvents) {
    this.url = request.url;
    this.protocols = request.protocols;
    this.#events = events;
  }

  readonly clientEnd = {
    send: (text: string): void => {
      if (this.isDead || this.isClosed) return;
      const frame = JSON.parse(text) as Frame;
      this.sent.push(frame);
      // It is not there before the client has gone on.
      void Promise.resolve().then(() => {
        if (!this.isDead && !this.isClosed) this.onFrame(frame);
      });
    },
    close: (code = 1000): void => this.close(code),
  };

  open(): void {
    if (!this.isClosed) this.#events.onOpen();
  }

  give(frame: object): void {
    if (!this.isDead && !this.isClosed) this.#events.onText(JSON.stringify(frame));
  }

  close(code: number): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.#events.onClose({ code, reason: '' });
  }
}

/** What all pages of one browser share. */
export class Browser {
  readonly kept = new Map<string, string>();
  isFull = false;
  readonly #queues = new Map<string, { work: () => Promise<void>; page: Page }[]>();
  readonly pages: Page[] = [];

  storage(page: Page): KeptStrings {
    const { kept } = this;
    const tell = (key: string, value: string | null): void => {
      for (const other of this.pages)
        if (other !== page && !other.isGone) other.tell({ is: 'kept', key, value });
    };
    return {
      get length() {
        return kept.size;
      },
      key: (index) => [...kept.keys()][index] ?? null,
      getItem: (key) => kept.get(key) ?? null,
      setItem: (key, value) => {
        if (this.isFull) throw new Error('QuotaExceededError');
        if (page.isGone) return;
        kept.set(key, value);
        tell(key, value);
      },
      removeItem: (key) => {
        if (page.isGone) return;
        if (kept.delete(key)) tell(key, null);
      },
    };
  }

  locks(page: Page): Locks {
    return {
      request: (name, work) =>
        new Promise<void>((resolve, reject) => {
          const queue = this.#queues.get(name) ?? [];
          this.#queues.set(name, queue);
          queue.push({ page, work: () => work().then(resolve, reject) });
          if (queue.length === 1) this.#run(name);
        }),
    };
  }

  /** A page that is gone holds nothing and waits for nothing. */
  left(page: Page): void {
    for (const [name, queue] of this.#queues) {
      const holder = queue[0];
      const rest = queue.filter((each) => each.page !== page);
      this.#queues.set(name, rest);
      if (holder?.page === page && rest.length > 0) this.#run(name);
    }
  }

  #run(name: string): void {
    const holder = this.#queues.get(name)?.[0];
    if (holder === undefined) return;
    const next = (): void => {
      const queue = this.#queues.get(name) ?? [];
      if (queue[0] !== holder) return;
      queue.shift();
      this.#run(name);
    };
    void Promise.resolve().then(() => {
      if (!holder.page.isGone) holder.work().then(next, next);
    });
  }
}

/** One page: what it is given as {@link Parts}, and how it is driven. */
export class Page {
  readonly clock: Clock;
  readonly browser: Browser;
  readonly parts: Parts;
  readonly sockets: FakeSocket[] = [];
  fragment = '';
  isHidden = false;
  isOffline = false;
  isGone = false;
  #listener: (event: PageEvent) => void = () => undefined;
  #frames = new Set<() => void>();
  static #ids = 0;

  constructor({
    clock,
    browser,
    gateway,
    fragment = 'token=right',
  }: {
    clock: Clock;
    browser: Browser;
    gateway: Gateway;
    fragment?: string;
  }) {
    this.clock = clock;
    this.browser = browser;
    this.fragment = fragment;
    browser.pages.push(this);
    this.parts = {
      origin: 'http://127.0.0.1:1',
      openSocket: (request, events) => {
        const socket = new FakeSocket(request, events);
        this.sockets.push(socket);
        gateway.connected(socket);
        return socket.clientEnd;
      },
      fetch: async (request) => {
        if (this.isGone) return new Promise(() => undefined);
        return gateway.fetch(request, this);
      },
      kept: browser.storage(this),
      locks: browser.locks(this),
      now: () => clock.now,
      after: (delayMs, work) =>
        clock.after(delayMs, () => {
          if (!this.isGone) work();
        }),
      beforeFrame: (work) => {
        this.#frames.add(work);
        return () => this.#frames.delete(work);
      },
      isHidden: () => this.isHidden,
      isOffline: () => this.isOffline,
      onPageEvent: (listener) => {
        this.#listener = listener;
        return () => {
          this.#listener = () => undefined;
        };
      },
      address: {
        fragment: () => this.fragment,
        replaceFragment: (fragmentNow) => {
          this.fragment = fragmentNow;
        },
      },
      freshId: () => {
        Page.#ids += 1;
        return `id${Page.#ids}`;
      },
      random: () => 0,
    };
  }

  get socket(): FakeSocket {
    const socket = this.sockets.at(-1);
    if (socket === undefined) throw new Error('no socket was opened');
    return socket;
  }

  tell(event: PageEvent): void {
    if (!this.isGone) this.#listener(event);
  }

  get framesAsked(): number {
    return this.#frames.size;
  }

  /** The browser draws. */
  frame(): void {
    const frames = [...this.#frames];
    this.#frames.clear();
    if (!this.isGone) for (const work of frames) work();
  }

  /** Without a word: nothing of it runs any more. */
  die(): void {
    this.isGone = true;
    for (const socket of this.sockets) socket.isDead = true;
    this.browser.left(this);
  }
}

type Asked = Parameters<Parts['fetch']>[0];

/**
 * A gateway with the logs of some conversations. `answers` decides over what is asked by HTTP; what it leaves is answered with 404,
 * and lists are empty.
 */
export class Gateway {
  readonly token = 'right';
  readonly logs = new Map<string, Event[]>();
  readonly asked: Asked[] = [];
  isUp = true;
  /** A socket that connects is answered at once. */
  serverTime = (): string => new Date(Date.UTC(2026, 0, 1)).toISOString();
  answers: (request: Asked, page: Page) => Answer | Promise<Answer> | undefined = () => undefined;
  readonly sockets: FakeSocket[] = [];
  /** Streams that each socket has subscribed. */
  readonly #seats = new Map<FakeSocket, Set<string>>();

  connected(socket: FakeSocket): void {
    this.sockets.push(socket);
    void Promise.resolve().then(() => {
      if (!this.isUp) {
        socket.close(1006);
        return;
      }
      socket.open();
      if (!this.#isRight(socket)) socket.close(4001);
    });
    this.#seats.set(socket, new Set());
    socket.onFrame = (frame) => this.#receive(socket, frame);
  }

  #isRight({ protocols }: FakeSocket): boolean {
    return protocols.includes(`holdfast.token.${this.token}`);
  }

  #receive(socket: FakeSocket, frame: Frame): void {
    if (frame.type === 'hello')
      socket.give({
        type: 'hello',
        payload: { protocol: 'holdfast.v1', serverTime: this.serverTime(), limits: {} },
      });
    if (frame.type === 'ping')
      socket.give({ type: 'pong', payload: { serverTime: this.serverTime() } });
    const { conversationId, requestId } = frame;
    if (conversationId === undefined) return;
    const request = { conversationId, ...(requestId === undefined ? {} : { requestId }) };
    if (frame.type === 'chat.unsubscribe') this.#seats.get(socket)?.delete(conversationId);
    if (frame.type !== 'chat.subscribe') return;
    const log = this.logs.get(conversationId);
    if (log === undefined) {
      const payload = { code: 'not_found', message: 'There is no such conversation.' };
      socket.give({ type: 'error', ...request, payload });
      return;
    }
    const lastSeq = frame.payload?.['lastSeq'];
    const from = typeof lastSeq === 'number' ? lastSeq : null;
    this.#seats.get(socket)?.add(conversationId);
    if (from === null) {
      socket.give({ type: 'snapshot', ...request, payload: this.view(conversationId) });
    } else {
      for (const event of log) if (event.seq > from) socket.give({ ...event, conversationId });
    }
    socket.give({ type: 'caught-up', ...request, payload: { seq: log.length } });
  }

  view(conversationId: string): ConversationViewValue {
    return foldEvents(emptyView(conversationId), this.logs.get(conversationId) ?? []);
  }

  /** Stored, and delivered to whoever has subscribed. */
  append(conversationId: string, events: readonly Event[]): void {
    const log = this.logs.get(conversationId) ?? [];
    this.logs.set(conversationId, log);
    for (const event of events) {
      log.push(event);
      for (const [socket, seats] of this.#seats)
        if (seats.has(conversationId)) socket.give({ ...event, conversationId });
    }
  }

  async fetch(request: Asked, page: Page): Promise<Answer> {
    this.asked.push(request);
    await Promise.resolve();
    if (!this.isUp) throw new Error('ECONNREFUSED');
    const refused = { code: 'unauthorized', title: 'No.', status: 401 };
    if (request.token !== this.token) return { status: 401, retryAfterMs: null, body: refused };
    const answer = await this.answers(request, page);
    if (answer !== undefined) return answer;
    if (request.method === 'GET')
      return { status: 200, retryAfterMs: null, body: { items: [], nextCursor: null } };
    const body = { code: 'not_found', title: 'Nothing is there.', status: 404 };
    return { status: 404, retryAfterMs: null, body };
  }
}
