/** `holdfast send`: one message, and its answer. */
import { randomUUID } from 'node:crypto';
import { resolve } from 'node:path';
import { text as readText } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import type { Event } from '../contracts/events.ts';
import type { SendAnswerValue } from '../contracts/http.ts';
import { type ApiClient, isRecord } from './api-client.ts';
import { type CommandContext, connect, EXIT, UsageError } from './command.ts';
import { createEventPrinter, type EventPrinter } from './event-printer.ts';
import { followEvents, lastSeqOf } from './follow.ts';
import { harmless } from './terminal-text.ts';

export const sendUsage = `holdfast send [options] TEXT | -
  Sends a message, waits for the end of its turn and prints the answer. "-" reads the message from stdin.
  Without --conversation a new one is made; its id is printed on stderr.
  Ctrl-C stops waiting; the turn goes on.

  --conversation ID   the conversation to send to
  --new               make the conversation, with the id of --conversation if there is one
  --provider P        provider of a new conversation (holdfast doctor lists them)
  --model M           model of a new conversation
  --workspace DIR     working folder of a new conversation; default: the first workspace root
  --request-id ID     idempotency key: the same id with the same text is one send, however often it is tried
  --when-busy WHAT    queue (default), reject, interrupt or steer
  --json              print the answer as JSON (receipt, outcome, text, usage)

  Exit code: 0 completed, 1 failed or refused, 2 usage, 3 not running, 4 cancelled or interrupted.
`;

const WHEN_BUSY: readonly string[] = ['queue', 'reject', 'interrupt', 'steer'];
/** Between two looks at a send that is accepted and not decided: the workflow worker is away. */
const ACCEPTED_PAUSE_MS = 500;
/** How long the last events may take to arrive after the answer has. */
const LAST_EVENTS_MS = 2_000;

export async function send(context: CommandContext): Promise<number> {
  const { values, positionals } = parseArgs({
    args: context.args,
    allowPositionals: true,
    options: {
      conversation: { type: 'string' },
      new: { type: 'boolean', default: false },
      provider: { type: 'string' },
      model: { type: 'string' },
      workspace: { type: 'string' },
      'request-id': { type: 'string' },
      'when-busy': { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  });
  const creates = values.new || values.conversation === undefined;
  for (const name of ['provider', 'model', 'workspace'] as const)
    if (!creates && values[name] !== undefined)
      throw new UsageError(
        `--${name} is for a new conversation; ${values.conversation} has its own.`,
      );
  const whenBusy = values['when-busy'];
  if (whenBusy !== undefined && !WHEN_BUSY.includes(whenBusy))
    throw new UsageError(`--when-busy takes ${WHEN_BUSY.join(', ')}; not "${whenBusy}".`);
  const content = await messageFrom(positionals);
  const client = connect(context.config);

  let conversationId = values.conversation;
  if (creates) {
    conversationId = await createConversation(client, {
      ...(conversationId === undefined ? {} : { conversationId }),
      ...(values.provider === undefined ? {} : { provider: values.provider }),
      ...(values.model === undefined ? {} : { model: values.model }),
      ...(values.workspace === undefined ? {} : { workspacePath: resolve(values.workspace) }),
    });
    context.err.write(`conversation: ${conversationId}\n`);
  }
  if (conversationId === undefined) throw new UsageError('Name a conversation.');

  const requestId = values['request-id'] ?? randomUUID();
  return sendAndWait({
    context,
    client,
    conversationId,
    json: values.json,
    body: { requestId, content, ...(whenBusy === undefined ? {} : { whenBusy }) },
  });
}

async function messageFrom(positionals: readonly string[]): Promise<string> {
  const [first, ...others] = positionals;
  if (others.length > 0) throw new UsageError('More than one text; put it in quotes.');
  if (first === undefined) throw new UsageError('What is to be sent? Give a text, or - for stdin.');
  const content = first === '-' ? await readText(process.stdin) : first;
  if (content.trim() === '') throw new UsageError('The message is empty.');
  return content;
}

async function createConversation(
  client: ApiClient,
  body: Readonly<Record<string, string>>,
): Promise<string> {
  // Without an id of our own a repeated call would make a second conversation.
  const conversationId = body['conversationId'] ?? randomUUID();
  await client.callPatiently({
    method: 'POST',
    path: '/v1/conversations',
    body: { ...body, conversationId },
  });
  return conversationId;
}

async function sendAndWait({
  context,
  client,
  conversationId,
  json,
  body,
}: {
  context: CommandContext;
  client: ApiClient;
  conversationId: string;
  json: boolean;
  body: { requestId: string; content: string; whenBusy?: string };
}): Promise<number> {
  const { out, err } = context;
  const streams = out.isTerminal && !json;
  const printer = createEventPrinter({
    answer: (text) => {
      if (streams) out.write(harmless(text));
    },
    note: (line) => err.write(`${harmless(line)}\n`),
  });
  process.once('SIGINT', () => {
    printer.finish();
    err.write(
      `The turn goes on. Follow it: holdfast tail ${conversationId}   End it: holdfast cancel ${conversationId}\n`,
    );
    process.exit(EXIT.interrupted);
  });

  const following = new AbortController();
  const path = `/v1/conversations/${encodeURIComponent(conversationId)}`;
  const afterSeq = await lastSeqOf({ client, path });
  const watching = watchTurn({
    events: followEvents({ client, path, afterSeq, signal: following.signal }),
    requestId: body.requestId,
    printer,
  });
  try {
    const answer = await waitForAnswer({ client, conversationId, body, note: err.write });
    await Promise.race([watching, sleep(LAST_EVENTS_MS, undefined, { ref: false })]);
    return show({ answer, printer, streams, json, context });
  } finally {
    following.abort();
  }
}

/** Prints what belongs to the turn of `requestId`, until its end. Never rejects: the answer does not depend on it. */
async function watchTurn({
  events,
  requestId,
  printer,
}: {
  events: AsyncGenerator<Event | { type: 'reset' }>;
  requestId: string;
  printer: EventPrinter;
}): Promise<void> {
  let turn: { turnId: string; attempt: number } | null = null;
  try {
    for await (const event of events) {
      if (event.type === 'reset') continue;
      if (event.requestId === requestId && event.turnId !== undefined && turn === null)
        turn = { turnId: event.turnId, attempt: event.attempt ?? 1 };
      if (turn === null || event.turnId !== turn.turnId) continue;
      printer.print(event);
      if (['chat.done', 'chat.error', 'chat.cancelled', 'chat.interrupted'].includes(event.type))
        return;
    }
  } catch {
    // The stream is for looking on; the answer comes by another call and is printed whole if this one failed.
  }
}

/** Sends, and waits for the end. Repeating it is safe: the requestId is the same. */
async function waitForAnswer({
  client,
  conversationId,
  body,
  note,
}: {
  client: ApiClient;
  conversationId: string;
  body: { requestId: string; content: string };
  note: (text: string) => void;
}): Promise<SendAnswerValue> {
  let told = false;
  for (;;) {
    const answer = await client.callPatiently({
      method: 'POST',
      path: `/v1/conversations/${encodeURIComponent(conversationId)}/messages?wait=end`,
      body,
    });
    if (isSendAnswer(answer.body) && answer.body.outcome !== undefined) return answer.body;
    if (!told) note('Accepted; waiting for Holdfast to take it up.\n');
    told = true;
    await sleep(ACCEPTED_PAUSE_MS);
  }
}

function isSendAnswer(body: unknown): body is SendAnswerValue {
  return isRecord(body) && typeof body['status'] === 'string';
}

function show({
  answer,
  printer,
  streams,
  json,
  context: { out, err },
}: {
  answer: SendAnswerValue;
  printer: EventPrinter;
  streams: boolean;
  json: boolean;
  context: CommandContext;
}): number {
  const text = answer.text ?? '';
  if (json) out.write(`${JSON.stringify(answer)}\n`);
  else if (streams) {
    const missed = printer.printed() !== text;
    printer.finish();
    // Something was taken back, or the stream broke: what counts is the recorded answer.
    if (missed && text !== '') out.write(`${harmless(text)}${text.endsWith('\n') ? '' : '\n'}`);
  } else if (text !== '') out.write(text.endsWith('\n') ? text : `${text}\n`);

  const why = answer.cause === null || answer.cause === undefined ? '' : ` (${answer.cause})`;
  switch (answer.outcome) {
    case 'completed':
      return EXIT.ok;
    case 'cancelled':
      err.write(`The turn was cancelled${why}.\n`);
      return EXIT.cancelled;
    case 'interrupted':
      err.write(
        `The turn was interrupted${why}; what it said is kept. Again: holdfast retry ${answer.conversationId} ${answer.turnId}\n`,
      );
      return EXIT.cancelled;
    default:
      err.write(`The turn failed${why}.\n`);
      return EXIT.failed;
  }
}
