/**
 * What the client takes of a browser. Each part may be given by whoever makes the client, so that it runs, and is tested, without one.
 */

/** Stops whatever was begun. */
export type Stop = () => void;

/** A WebSocket, as much as the client uses of it. */
export type Socket = {
  send(text: string): void;
  close(code?: number, reason?: string): void;
};
export type SocketEvents = {
  onOpen: () => void;
  onText: (text: string) => void;
  /** Once, whatever has ended it; nothing comes after it. */
  onClose: (close: { code: number; reason: string }) => void;
};

/** What the client uses of `localStorage`. Everything may throw: it is full, or forbidden. */
export type KeptStrings = {
  readonly length: number;
  key(index: number): string | null;
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
};

/** Web Locks: `work` runs while this page, and no other, has the name. */
export type Locks = {
  request(name: string, work: () => Promise<void>): Promise<void>;
};

export type Answer = {
  status: number;
  /** Of `Retry-After`; null: it did not say. */
  retryAfterMs: number | null;
  /** The body as JSON; undefined: there is none. */
  body: unknown;
};

/** What a page is told by its browser. */
export type PageEvent =
  /** The network is back, the page is looked at, shown again or resumed: what was waited for may be there. */
  | { is: 'wake' }
  | { is: 'offline' }
  | { is: 'online' }
  /** Nobody looks: frames stand still. */
  | { is: 'hidden' }
  /** Somebody is about to leave the page, which may ask them to `stay`. */
  | { is: 'asked'; stay: () => void }
  /** The page may be gone after this. */
  | { is: 'leaving' }
  /** The address has another fragment; `before`: what it was. */
  | { is: 'address'; before: string }
  /** Another page of this origin has changed what is kept. `key` null: everything is gone. */
  | { is: 'kept'; key: string | null; value: string | null };

export type Parts = {
  /** Of the gateway, without a slash at its end. */
  origin: string;
  openSocket: (request: { url: string; protocols: string[] }, events: SocketEvents) => Socket;
  /** Rejects where no answer came, or not in time. */
  fetch: (request: {
    method: string;
    url: string;
    token: string | null;
    body?: unknown;
    timeoutMs: number;
    signal?: AbortSignal;
  }) => Promise<Answer>;
  /** Null: nothing can be kept. */
  kept: KeptStrings | null;
  /** Null: no other page can be asked. */
  locks: Locks | null;
  /** The time, in ms since 1970. */
  now: () => number;
  after: (delayMs: number, work: () => void) => Stop;
  /** Before the browser draws next. */
  beforeFrame: (work: () => void) => Stop;
  isHidden: () => boolean;
  isOffline: () => boolean;
  onPageEvent: (listener: (event: PageEvent) => void) => Stop;
  /** The fragment of the address, without its `#`; it is changed without a step in the history. */
  address: { fragment: () => string; replaceFragment: (fragment: string) => void };
  freshId: () => string;
  /** From 0 to 1. */
  random: () => number;
};
