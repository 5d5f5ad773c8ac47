/** Conversations as people leave them: in a table, with markdown in the answers, written straight into the store. */
import { randomUUID } from 'node:crypto';

import type { NewEvent } from '../../src/contracts/events.ts';
import { conversationStream, tableStream } from '../../src/contracts/ids.ts';
import type { Fence, Store } from '../../src/store/port.ts';

/** Appends under way at once: they share commits. */
const AT_ONCE = 64;

export type Chat = { tableId: string; conversationId: string };

/** The table that all chats of a bench are in. */
export async function makeTable(store: Store, tableId: string): Promise<void> {
  await store.append({
    stream: tableStream(tableId),
    key: 'created',
    events: [
      {
        type: 'table.created',
        payload: { title: 'Bench', workspacePath: '/', provider: 'scripted', model: null },
      },
    ],
  });
}

/** A chat with that many messages, half of them answers of some 700 characters; the last one ends with `last`. */
export async function makeChat(
  store: Store,
  { tableId, conversationId, messages, last }: Chat & { messages: number; last: string },
): Promise<void> {
  const stream = conversationStream(conversationId);
  await store.append({
    stream,
    key: 'created',
    events: [
      {
        type: 'conversation.created',
        payload: {
          tableId,
          title: `${messages.toLocaleString('en')} messages`,
          provider: 'scripted',
          model: null,
          workspacePath: '/',
        },
      },
    ],
  });
  await activate(store, { tableId, conversationId });
  const turns = messages / 2;
  for (let done = 0; done < turns - 1; done += AT_ONCE)
    await Promise.all(
      Array.from({ length: Math.min(AT_ONCE, turns - 1 - done) }, (_, index) =>
        store.append({ stream, events: endedTurn(done + index, answer(done + index)) }),
      ),
    );
  await store.append({ stream, events: endedTurn(turns, `${answer(turns)}\n\n${last}`) });
}

/** Gives a chat the table's slot, without which no turn of it begins. */
export async function activate(store: Store, { tableId, conversationId }: Chat): Promise<void> {
  const table = await store.table(tableId);
  await store.append({
    stream: tableStream(tableId),
    events: [
      {
        type: 'conversation.activated',
        tableId,
        conversationId,
        payload: { previous: table?.activeConversationId ?? null, reason: 'user' },
      },
    ],
  });
}

function endedTurn(n: number, content: string): NewEvent[] {
  const scope = { turnId: randomUUID(), attempt: 1, requestId: randomUUID() };
  const { turnId, requestId } = scope;
  const messageId = `${turnId}-1-1`;
  return [
    {
      type: 'message.created',
      turnId,
      requestId,
      payload: {
        messageId: randomUUID(),
        role: 'user',
        content: `Question ${n}: what became of it, and why?`,
      },
    },
    { type: 'chat.started', ...scope, payload: { attempt: 1, provider: 'scripted', model: null } },
    { type: 'conversation.state', payload: { state: 'processing' } },
    { type: 'assistant.segment.started', ...scope, payload: { messageId, kind: 'text' } },
    {
      type: 'assistant.segment.ended',
      ...scope,
      payload: { messageId, content, status: 'complete' },
    },
    { type: 'usage', ...scope, payload: { inputTokens: 100, outputTokens: 180 } },
    { type: 'chat.done', ...scope, payload: {} },
    { type: 'conversation.state', payload: { state: 'idle' } },
  ];
}

const PROSE =
  'The first run kept what it had read, and so the second one found it again: nothing was fetched twice, and the **order** was that of the log. ';

/** An answer: prose, and by turns a list, a fence, a table, a heading. */
export function answer(n: number): string {
  return `${PROSE}It is *number ${n}* of its kind, see [the log](https://example.org/${n}).\n\n${SHAPES[n % SHAPES.length]}\n\n${PROSE}${PROSE}`;
}

const SHAPES = [
  '- reads `snapshot()` once\n- folds what comes after\n  - each event once\n  - in its order\n- keeps the rest',
  '```ts\nexport function fold(view: View, events: readonly Event[]): View {\n  // what an event did not touch is shared\n  return events.reduce(applyToView, view);\n}\n```',
  '| step | took |\n|---|---|\n| read | 3 ms |\n| fold | 1 ms |\n| draw | 9 ms |',
  '## What follows\n\n1. the first thing\n2. the second one\n\n> and a word that somebody said about it',
];

type Scope = { turnId: string; attempt: number; requestId: string };

/** A turn that runs: it was begun and claimed, and says what it is given. */
export class Speaker {
  readonly #store: Store;
  readonly #stream: string;
  readonly #scope: Scope;
  readonly #fence: Fence;
  #messageId = '';
  #isTool = false;
  #messages = 0;
  /** What the open message has said. */
  #said: string[] = [];

  private constructor(store: Store, stream: string, scope: Scope, fence: Fence) {
    this.#store = store;
    this.#stream = stream;
    this.#scope = scope;
    this.#fence = fence;
  }

  static async begin(store: Store, conversationId: string): Promise<Speaker> {
    const stream = conversationStream(conversationId);
    const scope = { turnId: randomUUID(), attempt: 1, requestId: randomUUID() };
    const { turnId, requestId } = scope;
    await store.append({
      stream,
      events: [
        {
          type: 'message.created',
          turnId,
          requestId,
          payload: { messageId: randomUUID(), role: 'user', content: 'Go on.' },
        },
        {
          type: 'chat.started',
          ...scope,
          payload: { attempt: 1, provider: 'scripted', model: null },
        },
        { type: 'conversation.state', payload: { state: 'processing' } },
      ],
    });
    const place = { spool: 'bench', from: 0 };
    const { epoch } = await store.claim({
      conversationId,
      turnId,
      attempt: 1,
      host: 'bench',
      place,
    });
    return new Speaker(store, stream, scope, { turnId, attempt: 1, epoch });
  }

  /** Opens a message, or the output of a tool, for what is said next. */
  async open(kind: 'text' | 'tool'): Promise<void> {
    await this.close();
    this.#messages += 1;
    this.#messageId = `${this.#scope.turnId}-1-${this.#messages}`;
    this.#said = [];
    const messageId = this.#messageId;
    await this.#append([
      kind === 'text'
        ? { type: 'assistant.segment.started', ...this.#scope, payload: { messageId, kind } }
        : {
            type: 'tool.start',
            ...this.#scope,
            payload: { messageId, toolCallId: messageId, name: 'build', input: { target: 'all' } },
          },
    ]);
    this.#isTool = kind === 'tool';
  }

  /** One delta for each text, in one append. Resolves when it is durable. */
  async say(texts: readonly string[]): Promise<void> {
    this.#said.push(...texts);
    const messageId = this.#messageId;
    await this.#append(
      texts.map((text) =>
        this.#isTool
          ? { type: 'tool.output', ...this.#scope, payload: { toolCallId: messageId, text } }
          : { type: 'chat.delta', ...this.#scope, payload: { messageId, text } },
      ),
    );
  }

  async close(): Promise<void> {
    if (this.#messageId === '') return;
    const messageId = this.#messageId;
    const content = this.#said.join('');
    this.#messageId = '';
    await this.#append([
      this.#isTool
        ? {
            type: 'tool.end',
            ...this.#scope,
            payload: { toolCallId: messageId, status: 'ok', output: content },
          }
        : {
            type: 'assistant.segment.ended',
            ...this.#scope,
            payload: { messageId, content, status: 'complete' },
          },
    ]);
  }

  /** The turn's end. */
  async end(): Promise<void> {
    await this.close();
    await this.#append([{ type: 'chat.done', ...this.#scope, payload: {} }]);
    await this.#store.append({
      stream: this.#stream,
      events: [{ type: 'conversation.state', payload: { state: 'idle' } }],
    });
  }

  async #append(events: NewEvent[]): Promise<void> {
    await this.#store.append({ stream: this.#stream, fence: this.#fence, events });
  }
}
