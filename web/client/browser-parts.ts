/** The parts of the browser that this runs in; what it has not is left out. */
import type { Answer, KeptStrings, Locks, PageEvent, Parts, Stop } from './parts.ts';

type Target = {
  addEventListener(type: string, listener: (event: unknown) => void): void;
  removeEventListener(type: string, listener: (event: unknown) => void): void;
};
/** What of a browser's globals is used; each may be missing. Written down here, as not every reader of this file has a DOM. */
type BrowserGlobals = Partial<Target> & {
  document?: Target & { visibilityState?: string };
  location?: { origin: string; hash: string; pathname: string; search: string };
  history?: { state: unknown; replaceState(state: unknown, unused: string, url: string): void };
  localStorage?: KeptStrings;
  navigator?: {
    onLine?: boolean;
    locks?: { request(name: string, work: () => Promise<void>): Promise<unknown> };
  };
  requestAnimationFrame?: (work: () => void) => number;
  cancelAnimationFrame?: (handle: number) => void;
};

/** Frames where there are none. */
const FRAME_MS = 16;

/** The parts, as this JavaScript runtime has them; `given` in their place. */
export function browserParts(given: Partial<Parts> = {}): Parts {
  const browser: BrowserGlobals = globalThis;
  return {
    origin: given.origin ?? browser.location?.origin ?? 'http://127.0.0.1:4610',
    openSocket: openWebSocket,
    fetch: fetchJson,
    kept: keptStrings(browser),
    locks: locksOf(browser),
    now: () => Date.now(),
    after: (delayMs, work) => {
      const timer = setTimeout(work, delayMs);
      return () => clearTimeout(timer);
    },
    beforeFrame: (work) => {
      const { requestAnimationFrame, cancelAnimationFrame } = browser;
      if (requestAnimationFrame === undefined || cancelAnimationFrame === undefined) {
        const timer = setTimeout(work, FRAME_MS);
        return () => clearTimeout(timer);
      }
      // Called as a method of the window, not of a variable.
      const handle = requestAnimationFrame.call(globalThis, work);
      return () => cancelAnimationFrame.call(globalThis, handle);
    },
    isHidden: () => browser.document?.visibilityState === 'hidden',
    isOffline: () => browser.navigator?.onLine === false,
    onPageEvent: (listener) => listenToPage(browser, listener),
    address: {
      fragment: () => (browser.location?.hash ?? '').replace(/^#/, ''),
      replaceFragment: (fragment) => {
        const { location, history } = browser;
        if (location === undefined || history === undefined) return;
        const address = `${location.pathname}${location.search}`;
        history.replaceState(
          history.state,
          '',
          fragment === '' ? address : `${address}#${fragment}`,
        );
      },
    },
    freshId,
    random: () => Math.random(),
    ...given,
  };
}

const openWebSocket: Parts['openSocket'] = ({ url, protocols }, events) => {
  const socket = new WebSocket(url, protocols);
  let closed = false;
  const close = (code: number, reason: string): void => {
    if (closed) return;
    closed = true;
    events.onClose({ code, reason });
  };
  socket.addEventListener('open', () => {
    if (!closed) events.onOpen();
  });
  socket.addEventListener('message', ({ data }) => {
    if (!closed && typeof data === 'string') events.onText(data);
  });
  socket.addEventListener('close', ({ code, reason }) => close(code, reason));
  return {
    send: (text) => {
      // What is sent into a socket that closes is lost like everything else that was on its way.
      if (socket.readyState === WebSocket.OPEN) socket.send(text);
    },
    close: (code, reason) => {
      socket.close(code, reason);
      // A browser waits for the other side's close, which a dead network never brings.
      close(code ?? 1000, reason ?? '');
    },
  };
};

const fetchJson: Parts['fetch'] = async ({ method, url, token, body, timeoutMs, signal }) => {
  const timeout = AbortSignal.timeout(timeoutMs);
  const response = await fetch(url, {
    method,
    headers: {
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
    cache: 'no-store',
    credentials: 'omit',
    redirect: 'error',
  });
  const text = await response.text();
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN);
  return {
    status: response.status,
    retryAfterMs: Number.isFinite(seconds) ? seconds * 1_000 : null,
    body: parsed(text),
  } satisfies Answer;
};

function parsed(text: string): unknown {
  if (text === '') return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return value;
  } catch {
    // A page of a proxy, say; the status is all that counts then.
    return undefined;
  }
}

function keptStrings(browser: BrowserGlobals): KeptStrings | null {
  try {
    return browser.localStorage ?? null;
  } catch {
    // A browser that forbids it throws at the mere mention.
    return null;
  }
}

/** Only where the page is in a secure context, which 127.0.0.1 is. */
function locksOf({ navigator }: BrowserGlobals): Locks | null {
  const locks = navigator?.locks;
  if (locks === undefined) return null;
  return {
    request: async (name, work) => {
      await locks.request(name, work);
    },
  };
}

function listenToPage(browser: BrowserGlobals, listener: (event: PageEvent) => void): Stop {
  const stops: Stop[] = [];
  const on = (
    target: Partial<Target> | undefined,
    type: string,
    told: (event: unknown) => PageEvent | null,
  ): void => {
    if (target?.addEventListener === undefined || target.removeEventListener === undefined) return;
    const handler = (event: unknown): void => {
      const pageEvent = told(event);
      if (pageEvent !== null) listener(pageEvent);
    };
    target.addEventListener(type, handler);
    stops.push(() => target.removeEventListener?.(type, handler));
  };
  const window: Partial<Target> = browser;
  on(window, 'online', () => ({ is: 'online' }));
  on(window, 'offline', () => ({ is: 'offline' }));
  on(window, 'pageshow', () => ({ is: 'wake' }));
  on(window, 'pagehide', () => ({ is: 'leaving' }));
  // Always listened to, as what was typed a moment ago is tried to be kept then; it asks only when that is in vain.
  on(window, 'beforeunload', (event) =>
    event instanceof Event ? { is: 'asked', stay: () => event.preventDefault() } : null,
  );
  on(window, 'hashchange', (event) => ({ is: 'address', before: fragmentBefore(event) }));
  on(window, 'storage', (event) => keptEvent(event, browser));
  on(browser.document, 'resume', () => ({ is: 'wake' }));
  on(browser.document, 'visibilitychange', () =>
    browser.document?.visibilityState === 'hidden' ? { is: 'hidden' } : { is: 'wake' },
  );
  return () => {
    for (const stop of stops) stop();
  };
}

function fragmentBefore(event: unknown): string {
  if (typeof event !== 'object' || event === null || !('oldURL' in event)) return '';
  const { oldURL } = event;
  return typeof oldURL === 'string' && oldURL.includes('#')
    ? oldURL.slice(oldURL.indexOf('#') + 1)
    : '';
}

function keptEvent(event: unknown, browser: BrowserGlobals): PageEvent | null {
  if (typeof event !== 'object' || event === null || !('key' in event)) return null;
  const storage = 'storageArea' in event ? event.storageArea : null;
  if (storage !== keptStrings(browser)) return null;
  const value = 'newValue' in event ? event.newValue : null;
  return {
    is: 'kept',
    key: typeof event.key === 'string' ? event.key : null,
    value: typeof value === 'string' ? value : null,
  };
}

/** `crypto.randomUUID` is there only in a secure context. */
function freshId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
