import type { Event } from '../../src/contracts/events.ts';
/**
 * The one WebSocket, kept: opened again whenever it is lost, sooner when the browser says that there is reason to hope.
 *
 * Invariants:
 *  1 At most one socket is open; what an earlier one still says is not heard.
 *  2 A socket that says nothing for longer than {@link SILENCE_MS} is dead, whatever the browser thinks of it.
 *  3 Without a token that may be right nothing is tried.
 */
import type { ClientFrame, ServerFrame } from '../../src/contracts/frames.ts';
import { WS_CLOSE, WS_PROTOCOL, WS_TOKEN_PREFIX } from '../../src/contracts/names.ts';
import type { LinkState } from './contract.ts';
import type { Parts, Socket, Stop } from './parts.ts';
import { Value } from './readable.ts';
import { frameOf, isEvent, isRecord } from './wire.ts';

export const RETRY_FIRST_MS = 200;
export const RETRY_LAST_MS = 5_000;
/** A delay is up to this share shorter: pages that lost the same gateway do not come back in one moment. */
const JITTER = 0.25;
/** So long after the last frame a ping is sent: the server's own cannot be seen in a browser. */
export const PING_AFTER_MS = 15_000;
/** Two pings of the server, and a little. */
export const SILENCE_MS = 35_000;
/** A socket that may have died in our sleep has so long to answer. */
export const WAKE_MS = 3_000;
/** Clocks that are so close are the same. */
const CLOCK_MS = 1_000;
/** From the first attempt to the gateway's `hello`. */
const OPENING_MS = 10_000;

export type LinkListener = {
  /** Frames can be sent: everything is to be subscribed. The gateway's hello comes before whatever it answers to that. */
  onOpen: () => void;
  /** The gateway has said hello. */
  onLive: () => void;
  /** Of a link that was open. */
  onLost: () => void;
  onFrame: (frame: Event | ServerFrame) => void;
};

export class Link {
  readonly state: Value<LinkState>;
  readonly #parts: Parts;
  readonly #listener: LinkListener;
  readonly #token: () => string | null;
  #socket: Socket | null = null;
  #stopTimer: Stop | null = null;
  #retryMs = RETRY_FIRST_MS;
  #lostAtMs: number | null = null;
  #restarting = false;
  #heardAtMs = 0;
  /** The socket is dead if nothing is heard until then. */
  #deadAtMs = 0;
  #clockOffsetMs = 0;
  #isOpen = false;
  #closed = false;

  constructor(
    parts: Parts,
    { listener, token }: { listener: LinkListener; token: () => string | null },
  ) {
    this.#parts = parts;
    this.#listener = listener;
    this.#token = token;
    this.state = new Value<LinkState>(
      token() === null ? { is: 'unauthorised', hadToken: false } : { is: 'connecting' },
    );
  }

  /** Whether frames can be sent. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  get isLive(): boolean {
    return this.state.get().is === 'live';
  }

  /** How far the server's clock is ahead of this one, in ms. */
  get clockOffsetMs(): number {
    return this.#clockOffsetMs;
  }

  /** Now, whatever was waited for; a socket that is there is only asked whether it lives. */
  connect(): void {
    if (this.#closed || this.#token() === null) return;
    if (this.#socket !== null) {
      if (this.isLive) this.#probe();
      return;
    }
    this.#open();
  }

  /** There is another token: what was tried with the old one counts no more. */
  tokenChanged(): void {
    if (this.#closed) return;
    this.#drop();
    this.#retryMs = RETRY_FIRST_MS;
    if (this.#token() === null) {
      this.state.set({ is: 'unauthorised', hadToken: false });
      return;
    }
    if (this.state.get().is === 'unauthorised') this.#lostAtMs = null;
    this.#open();
  }

  /** The gateway refused that token. */
  refused(token: string | null): void {
    if (this.#closed || token !== this.#token()) return;
    this.#drop();
    this.state.set({ is: 'unauthorised', hadToken: token !== null });
  }

  /** The browser thinks that there is no network. It may be wrong: the gateway may be on this machine. */
  offline(): void {
    if (this.isLive) this.#probe();
    else this.#tellWaiting();
  }

  send(frame: ClientFrame): void {
    this.#socket?.send(JSON.stringify(frame));
  }

  close(): void {
    this.#closed = true;
    this.#drop();
  }

  #open(): void {
    const token = this.#token();
    if (token === null) return;
    this.#stopTimer?.();
    this.#stopTimer = null;
    if (this.#lostAtMs !== null) this.#tellWaiting(null);
    else this.state.set({ is: 'connecting' });
    const url = `${this.#parts.origin.replace(/^http/, 'ws')}/v1/ws`;
    const protocols = [WS_PROTOCOL, `${WS_TOKEN_PREFIX}${token}`];
    this.#restarting = false;
    try {
      const socket: Socket = this.#parts.openSocket(
        { url, protocols },
        {
          onOpen: () => {
            if (this.#socket === socket) this.#hello();
          },
          onText: (text) => {
            if (this.#socket === socket) this.#receive(text);
          },
          onClose: ({ code }) => {
            if (this.#socket === socket) this.#lost(code);
          },
        },
      );
      this.#socket = socket;
    } catch {
      // A token that cannot be a subprotocol is none.
      this.state.set({ is: 'unauthorised', hadToken: true });
      return;
    }
    this.#heardAtMs = this.#parts.now();
    this.#deadAtMs = this.#heardAtMs + OPENING_MS;
    this.#watch();
  }

  #hello(): void {
    this.#heard();
    this.#deadAtMs = this.#heardAtMs + OPENING_MS;
    this.#isOpen = true;
    this.send({ type: 'hello', payload: { client: 'page' } });
    this.#listener.onOpen();
  }

  #heard(): void {
    this.#heardAtMs = this.#parts.now();
    this.#deadAtMs = this.#heardAtMs + SILENCE_MS;
  }

  #receive(text: string): void {
    this.#heard();
    const frame = frameOf(text);
    if (frame === null) return;
    if (isEvent(frame)) {
      this.#listener.onFrame(frame);
      return;
    }
    switch (frame.type) {
      case 'hello':
        this.#readClock(frame.payload);
        this.#lostAtMs = null;
        this.#retryMs = RETRY_FIRST_MS;
        this.state.set({ is: 'live' });
        this.#listener.onLive();
        return;
      case 'pong':
        this.#readClock(frame.payload);
        return;
      case 'goodbye':
        this.#restarting = true;
        return;
      default:
        this.#listener.onFrame(frame);
    }
  }

  /**
   * The way of the answer counts as nothing: it is short, and the times that are shown are of seconds. Nor is it corrected for less
   * than {@link CLOCK_MS}: what is shown would change with each answer.
   */
  #readClock(payload: unknown): void {
    const told = isRecord(payload) ? payload['serverTime'] : undefined;
    const serverMs = typeof told === 'string' ? Date.parse(told) : Number.NaN;
    const offsetMs = serverMs - this.#parts.now();
    if (Math.abs(offsetMs - this.#clockOffsetMs) > CLOCK_MS) this.#clockOffsetMs = offsetMs;
  }

  /** Looks after the socket as long as it is there. */
  #watch(): void {
    const now = this.#parts.now();
    if (now >= this.#deadAtMs) {
      this.#lost(null);
      return;
    }
    const pingAtMs = this.#heardAtMs + PING_AFTER_MS;
    const pings = this.isLive && now >= pingAtMs;
    if (pings) this.send({ type: 'ping' });
    // After a ping: half the time between, so that a lost one is not the end.
    const next = Math.min(
      pings || !this.isLive ? now + PING_AFTER_MS / 2 : pingAtMs,
      this.#deadAtMs,
    );
    this.#stopTimer?.();
    this.#stopTimer = this.#parts.after(Math.max(0, next - now), () => {
      // It slept, and the socket's other side may have given it up: the first word decides.
      if (this.#parts.now() > next + WAKE_MS) this.#probe();
      else this.#watch();
    });
  }

  /** Asks a socket that ought to be alive, and does not wait long. */
  #probe(): void {
    this.send({ type: 'ping' });
    this.#deadAtMs = Math.min(this.#deadAtMs, this.#parts.now() + WAKE_MS);
    if (this.#deadAtMs <= this.#parts.now()) this.#deadAtMs = this.#parts.now() + WAKE_MS;
    this.#heardAtMs = Math.max(this.#heardAtMs, this.#parts.now() - PING_AFTER_MS);
    this.#watch();
  }

  #drop(): void {
    const wasOpen = this.#isOpen;
    this.#isOpen = false;
    const socket = this.#socket;
    this.#socket = null;
    this.#stopTimer?.();
    this.#stopTimer = null;
    socket?.close(1000);
    if (wasOpen) this.#listener.onLost();
  }

  /** `code` null: it was given up. */
  #lost(code: number | null): void {
    this.#lostAtMs ??= this.#parts.now();
    this.#drop();
    if (code === WS_CLOSE.unauthorized) {
      this.state.set({ is: 'unauthorised', hadToken: true });
      return;
    }
    if (code === WS_CLOSE.restart) this.#restarting = true;
    const delayMs = this.#retryMs * (1 - JITTER * this.#parts.random());
    this.#retryMs = Math.min(RETRY_LAST_MS, this.#retryMs * 2);
    this.#stopTimer = this.#parts.after(delayMs, () => {
      this.#stopTimer = null;
      this.#open();
    });
    this.#tellWaiting(this.#parts.now() + delayMs);
  }

  #tellWaiting(nextTryAtMs?: number | null): void {
    const state = this.state.get();
    if (this.#lostAtMs === null || state.is === 'unauthorised') return;
    const known = state.is === 'reconnecting' ? state : null;
    const wasRestarting = this.#restarting || known?.why === 'restarting';
    this.state.set({
      is: 'reconnecting',
      why: this.#parts.isOffline() ? 'offline' : wasRestarting ? 'restarting' : 'lost',
      sinceMs: this.#lostAtMs,
      nextTryAtMs: nextTryAtMs === undefined ? (known?.nextTryAtMs ?? null) : nextTryAtMs,
    });
  }
}
