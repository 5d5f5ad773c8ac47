/** Recording clients: what a careful user's program would do, and a record of everything it was told. */
import type { TeamViewValue } from '../../src/contracts/agents.ts';
import { conversationStream, tableStream, teamStream } from '../../src/contracts/ids.ts';
import type { ConversationViewValue, TableViewValue } from '../../src/contracts/view.ts';
import type {
  ActRecord,
  ClientEntry,
  ClientRecord,
  CommandAnswer,
  ToldReceipt,
} from './evidence.ts';

/** Where the API is now: a supervisor that was killed comes back on other ports. */
export type Address = () => { api: string; token: string } | null;

/** Every reader sees the same events: equal texts are kept once. */
export class Texts {
  readonly #first = new Map<string, string>();

  keep(stream: string, seq: number, json: string): string {
    const key = `${stream} ${seq}`;
    const first = this.#first.get(key);
    if (first === undefined) {
      this.#first.set(key, json);
      return json;
    }
    return first === json ? first : json;
  }
}

type Frame = {
  type: string;
  conversationId?: string;
  tableId?: string;
  rootId?: string;
  requestId?: string;
  turnId?: string;
  seq?: number;
  payload?: Record<string, unknown>;
};

const ANSWER_WITHIN_MS = 12_000;
const OPEN_WITHIN_MS = 5_000;

const unknown = (why: string): CommandAnswer => ({ is: 'unknown', why });

/** What a client's socket is for. `active`: the table's active conversation comes along. A team is asked of `member`. */
export type Subject =
  | { conversationId: string }
  | { tableId: string; active: boolean }
  | { rootId: string; member: string };

/** What one socket is given of one stream. */
type Following = { record: ClientRecord & { entries: ClientEntry[] }; lastSeq: number | null };

/** Reads a conversation, or a table, by WebSocket, and sends on it. */
export class SocketClient {
  readonly #client: string;
  readonly #subject: Subject;
  readonly #address: Address;
  readonly #texts: Texts;
  readonly #onRecord: (record: ClientRecord) => void;
  /** By stream: its own first, and those that come along. */
  readonly #following = new Map<string, Following>();
  readonly #own: Following;
  readonly #waiting = new Map<string, (answer: CommandAnswer) => void>();
  #socket: WebSocket | null = null;
  #closed = false;

  /** `onRecord` is given each record once, when it begins. `after`: it has seen everything up to there elsewhere. */
  constructor(parts: {
    client: string;
    subject: Subject;
    address: Address;
    texts: Texts;
    onRecord: (record: ClientRecord) => void;
    after?: number;
  }) {
    this.#client = parts.client;
    this.#subject = parts.subject;
    this.#address = parts.address;
    this.#texts = parts.texts;
    this.#onRecord = parts.onRecord;
    this.#own = this.#follow(streamOf(parts.subject));
    this.#own.lastSeq = parts.after ?? null;
  }

  get isOpen(): boolean {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Connects and subscribes after what it has seen; `forgetful`: as if it had seen nothing. False: nobody listens. */
  async connect({ forgetful = false }: { forgetful?: boolean } = {}): Promise<boolean> {
    const address = this.#address();
    if (address === null || this.#closed) return false;
    this.drop();
    if (forgetful) this.#own.lastSeq = null;
    const socket = new WebSocket(`${address.api.replace('http', 'ws')}/v1/ws`, [
      'holdfast.v1',
      `holdfast.token.${address.token}`,
    ]);
    this.#socket = socket;
    const { promise: opened, resolve } = Promise.withResolvers<boolean>();
    const late = setTimeout(() => resolve(false), OPEN_WITHIN_MS);
    socket.addEventListener('open', () => resolve(true));
    socket.addEventListener('error', () => resolve(false));
    socket.addEventListener('message', ({ data }) => {
      const text = String(data);
      if (this.#socket === socket) this.#receive(JSON.parse(text) as Frame, text);
    });
    socket.addEventListener('close', ({ code }) => {
      resolve(false);
      if (this.#socket === socket) this.#lost(code);
    });
    const open = await opened;
    clearTimeout(late);
    if (!open || this.#socket !== socket) {
      // One that opens late is not subscribed, and so is nothing to send on.
      if (this.#socket === socket) this.#socket = null;
      socket.close();
      return false;
    }
    const { record, lastSeq } = this.#own;
    record.entries.push({ is: 'subscribed', lastSeq });
    const subject = this.#subject;
    this.#send(
      'tableId' in subject
        ? {
            type: 'table.subscribe',
            tableId: subject.tableId,
            payload: { lastSeq, active: subject.active },
          }
        : 'rootId' in subject
          ? { type: 'agents.subscribe', conversationId: subject.member, payload: { lastSeq } }
          : { type: 'chat.subscribe', ...subject, payload: { lastSeq } },
    );
    return true;
  }

  /** Loses the connection, as a device that leaves its network does. */
  drop(): void {
    const socket = this.#socket;
    if (socket === null) return;
    this.#lost(0);
    socket.close();
  }

  close(): void {
    this.#closed = true;
    this.drop();
  }

  /** Sends a frame that asks for something, and waits for what is said of its requestId. */
  async ask(frame: Frame & { requestId: string }): Promise<CommandAnswer> {
    if (!this.isOpen) return unknown('not connected');
    const { promise, resolve } = Promise.withResolvers<CommandAnswer>();
    const late = setTimeout(() => resolve(unknown('no answer in time')), ANSWER_WITHIN_MS);
    // Of two that ask under one requestId at once each is told; which answer is whose cannot be known.
    const slot = frame.requestId;
    const other = this.#waiting.get(slot);
    this.#waiting.set(slot, (answer) => {
      other?.(unknown('two asked at once'));
      resolve(other === undefined ? answer : unknown('two asked at once'));
    });
    this.#send(frame);
    const answer = await promise;
    clearTimeout(late);
    return answer;
  }

  #send(frame: object): void {
    this.#socket?.send(JSON.stringify(frame));
  }

  #lost(code: number): void {
    if (this.#socket?.readyState !== WebSocket.CONNECTING)
      for (const { record } of this.#following.values())
        record.entries.push({ is: 'closed', code });
    this.#socket = null;
    for (const tell of this.#waiting.values()) tell(unknown(`the socket closed with ${code}`));
    this.#waiting.clear();
  }

  #follow(stream: string): Following {
    const known = this.#following.get(stream);
    if (known !== undefined) return known;
    const following: Following = {
      record: { client: this.#client, stream, entries: [] },
      lastSeq: null,
    };
    this.#following.set(stream, following);
    this.#onRecord(following.record);
    return following;
  }

  #receive(frame: Frame, text: string): void {
    const { seq, tableId, rootId, conversationId } = frame;
    // An event of a table's stream may name a conversation, too.
    const stream =
      tableId !== undefined
        ? tableStream(tableId)
        : rootId !== undefined
          ? teamStream(rootId)
          : conversationId === undefined
            ? null
            : conversationStream(conversationId);
    if (seq !== undefined && stream !== null) {
      const following = this.#follow(stream);
      following.record.entries.push({
        is: 'event',
        seq,
        json: this.#texts.keep(stream, seq, text),
      });
      following.lastSeq = seq;
      return;
    }
    switch (frame.type) {
      case 'snapshot': {
        if (stream === null) return;
        const following = this.#follow(stream);
        const { entries } = following.record;
        const payload: unknown = frame.payload;
        if (rootId !== undefined) entries.push({ is: 'team', view: payload as TeamViewValue });
        else if (tableId === undefined)
          entries.push({ is: 'snapshot', view: payload as ConversationViewValue });
        else entries.push({ is: 'table', view: payload as TableViewValue });
        following.lastSeq = (payload as { lastSeq: number }).lastSeq;
        return;
      }
      case 'reset':
        if (stream !== null) this.#follow(stream).record.entries.push({ is: 'reset' });
        return;
      case 'caught-up': {
        const caughtUpWith = Number(frame.payload?.['seq']);
        if (stream !== null)
          this.#follow(stream).record.entries.push({ is: 'caught-up', seq: caughtUpWith });
        return;
      }
      case 'chat.accepted':
      case 'ok': {
        const receipt = frame.payload?.['receipt'] as ToldReceipt | undefined;
        const isAccepted = frame.type === 'chat.accepted' || frame.payload?.['accepted'] === true;
        this.#tell(
          frame,
          receipt !== undefined
            ? { is: 'receipt', receipt: receiptOf(receipt) }
            : { is: isAccepted ? 'accepted' : 'done' },
        );
        return;
      }
      case 'error':
        this.#tell(frame, refusal(String(frame.payload?.['code']), frame.payload));
        return;
      default:
    }
  }

  #tell(frame: Frame, answer: CommandAnswer): void {
    const tell = this.#waiting.get(frame.requestId ?? '');
    this.#waiting.delete(frame.requestId ?? '');
    tell?.(answer);
  }
}

/** Codes after which the same request may still be, or become, accepted: nothing may be concluded from them. */
const UNDECIDED = new Set(['temporal_unavailable', 'shutting_down', 'internal', 'rate_limited']);

function refusal(code: string, body: Record<string, unknown> | undefined): CommandAnswer {
  if (UNDECIDED.has(code)) return unknown(code);
  if (code === 'storage_full') return { is: 'no-room' };
  const receipt = body?.['receipt'] as ToldReceipt | undefined;
  return receipt === undefined
    ? { is: 'refused', code }
    : { is: 'receipt', receipt: receiptOf(receipt) };
}

function streamOf(subject: Subject): string {
  if ('tableId' in subject) return tableStream(subject.tableId);
  return 'rootId' in subject
    ? teamStream(subject.rootId)
    : conversationStream(subject.conversationId);
}

/** What a socket was told of something that has no receipt. */
export function actAnswer(answer: CommandAnswer): ActRecord['answer'] {
  switch (answer.is) {
    case 'done':
    case 'receipt':
      return { is: 'done' };
    case 'accepted':
      return { is: 'unknown', why: 'accepted' };
    case 'no-room':
      return { is: 'refused', code: 'storage_full' };
    case 'refused':
    case 'unknown':
      return answer;
  }
}

function receiptOf({ status, turnId, position, code }: ToldReceipt): ToldReceipt {
  return {
    status,
    turnId,
    ...(position === undefined ? {} : { position }),
    ...(code === undefined ? {} : { code }),
  };
}

/** What an answer says of something without a receipt. */
export function answerOf(
  answer: { status: number; body: Record<string, unknown> } | null,
): ActRecord['answer'] {
  if (answer === null) return { is: 'unknown', why: 'no answer' };
  const { status, body } = answer;
  if (status === 200) return { is: 'done' };
  if (status === 202) return { is: 'unknown', why: 'accepted' };
  const code = String(body['code']);
  return UNDECIDED.has(code) ? { is: 'unknown', why: code } : { is: 'refused', code };
}

/** Calls the HTTP API. */
export class HttpClient {
  readonly #address: Address;

  constructor(address: Address) {
    this.#address = address;
  }

  /** Null: nobody answered. */
  async call(request: {
    method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
    path: string;
    body?: object;
    timeoutMs?: number;
  }): Promise<{ status: number; body: Record<string, unknown> } | null> {
    const address = this.#address();
    if (address === null) return null;
    const { method, path, body, timeoutMs = ANSWER_WITHIN_MS } = request;
    try {
      const answer = await fetch(`${address.api}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${address.token}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(timeoutMs),
      });
      return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
    } catch {
      return null;
    }
  }

  /** A send or a retry; what its answer says. */
  async command(request: {
    path: string;
    body: object;
    timeoutMs?: number;
  }): Promise<CommandAnswer> {
    const answer = await this.call({ method: 'POST', ...request });
    if (answer === null) return unknown('no answer');
    const { status, body } = answer;
    if (status === 202) return { is: 'accepted' };
    if (status === 200) {
      const told = body as unknown as ToldReceipt & { outcome?: string; text?: string };
      const { outcome, text } = told;
      return {
        is: 'receipt',
        receipt: receiptOf(told),
        ...(outcome === undefined ? {} : { outcome }),
        ...(text === undefined ? {} : { text }),
      };
    }
    return refusal(String(body['code']), body);
  }

  /** Something without a requestId. */
  async act(request: {
    method: 'POST' | 'PATCH' | 'DELETE';
    path: string;
    body?: object;
  }): Promise<ActRecord['answer']> {
    return answerOf(await this.call(request));
  }

  /** Reads the log as Server-Sent Events for a while. */
  async stream(request: {
    client: string;
    conversationId: string;
    afterSeq: number | null;
    forMs: number;
    texts: Texts;
  }): Promise<ClientRecord> {
    const entries: ClientEntry[] = [];
    const { client, conversationId, afterSeq, forMs, texts } = request;
    const address = this.#address();
    const stream = conversationStream(conversationId);
    const record = { client, stream, entries };
    if (address === null) return record;
    try {
      const answer = await fetch(`${address.api}/v1/conversations/${conversationId}/events`, {
        headers: {
          authorization: `Bearer ${address.token}`,
          accept: 'text/event-stream',
          ...(afterSeq === null ? {} : { 'last-event-id': String(afterSeq) }),
        },
        signal: AbortSignal.timeout(forMs),
      });
      if (!answer.ok || answer.body === null) return record;
      entries.push({ is: 'subscribed', lastSeq: afterSeq ?? 0 });
      let rest = '';
      for await (const chunk of answer.body.pipeThrough(new TextDecoderStream())) {
        const blocks = (rest + chunk).split('\n\n');
        rest = blocks.pop() ?? '';
        for (const block of blocks) {
          // By hand: to a regular expression U+2028 ends a line, to this protocol it does not.
          const fields = block.split('\n');
          const valueOf = (name: string): string | undefined =>
            fields.find((field) => field.startsWith(`${name}: `))?.slice(name.length + 2);
          const json = valueOf('data');
          const seq = Number(valueOf('id'));
          if (json === undefined || !Number.isInteger(seq)) continue;
          entries.push({ is: 'event', seq, json: texts.keep(stream, seq, json) });
        }
      }
    } catch {
      // Its time is up, or the gateway has gone: either is an end of the stream.
    }
    entries.push({ is: 'closed', code: 0 });
    return record;
  }
}
