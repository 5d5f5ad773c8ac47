/** `holdfast tail`: what a conversation said, and says. */
import { parseArgs } from 'node:util';

import type { Event } from '../contracts/events.ts';
import type { ConversationViewValue, MessageViewValue } from '../contracts/view.ts';
import { isRecord } from './api-client.ts';
import {
  type CommandContext,
  CommandError,
  connect,
  EXIT,
  oneConversation,
  UsageError,
} from './command.ts';
import { createEventPrinter, describeEnd } from './event-printer.ts';
import { followEvents } from './follow.ts';
import { harmless } from './terminal-text.ts';

export const tailUsage = `holdfast tail [options] ID
  Prints a conversation and follows it until Ctrl-C.

  --from N      begin with event N of its log instead of the transcript
  --json        one JSON object a line: the snapshot (without --from), then every event as it is stored
  --no-follow   print what there is and end
`;

/** How many messages of the past are shown. */
const SHOWN_MESSAGES = 20;

export async function tail(context: CommandContext): Promise<number> {
  const { values, positionals } = parseArgs({
    args: context.args,
    allowPositionals: true,
    options: {
      from: { type: 'string' },
      json: { type: 'boolean', default: false },
      'no-follow': { type: 'boolean', default: false },
    },
  });
  const conversationId = oneConversation(positionals);
  const from = values.from === undefined ? null : Number(values.from);
  if (from !== null && !(Number.isSafeInteger(from) && from >= 0))
    throw new UsageError(`--from takes the number of an event, not "${values.from}".`);

  const { out } = context;
  const client = connect(context.config);
  const path = `/v1/conversations/${encodeURIComponent(conversationId)}`;
  const { body } = await client.callPatiently({ method: 'GET', path });
  if (!isView(body)) throw new CommandError('The gateway did not answer with a conversation.');
  const view = body;

  const shown = (text: string): string => (out.isTerminal ? harmless(text) : text);
  const printer = createEventPrinter({
    answer: (text) => out.write(shown(text)),
    note: (line) => out.write(`${shown(line)}\n`),
    openText: from === null ? openText(view) : [],
  });
  const print = (event: Event): void => {
    if (values.json) {
      out.write(`${JSON.stringify(event)}\n`);
      return;
    }
    if (event.type === 'message.created') out.write(shown(`> ${event.payload.content}\n`));
    printer.print(event);
    const end = describeEnd(event);
    if (end === null) return;
    printer.finish();
    out.write(`${shown(`— ${end}`)}\n`);
  };

  if (from === null) {
    if (values.json) out.write(`${JSON.stringify({ type: 'snapshot', payload: view })}\n`);
    else out.write(shown(transcript(view)));
  }
  if (from === null && values['no-follow']) return EXIT.ok;

  const following = new AbortController();
  process.once('SIGINT', () => following.abort());
  const afterSeq = from === null ? view.lastSeq : Math.max(0, from - 1);
  if (from !== null && values['no-follow'] && afterSeq >= view.lastSeq) return EXIT.ok;
  const { signal } = following;
  for await (const event of followEvents({ client, path, afterSeq, signal })) {
    if (event.type === 'reset') {
      printer.finish();
      context.err.write(
        '[older deltas are no longer kept; the transcript is whole: holdfast tail without --from]\n',
      );
      if (values['no-follow']) break;
      continue;
    }
    print(event);
    if (values['no-follow'] && event.seq >= view.lastSeq) break;
  }
  following.abort();
  printer.finish();
  return EXIT.ok;
}

function isView(body: unknown): body is ConversationViewValue {
  return isRecord(body) && Array.isArray(body['messages']) && typeof body['lastSeq'] === 'number';
}

/** The text segments whose beginning is in the transcript and whose end is not. */
function openText(view: ConversationViewValue): string[] {
  return view.messages
    .filter((message) => message.kind === 'text' && message.status === 'open')
    .map((message) => message.messageId);
}

function transcript(view: ConversationViewValue): string {
  const lines = view.messages.slice(-SHOWN_MESSAGES).map((message) => messageLine(view, message));
  const older =
    view.hasOlder || view.messages.length > SHOWN_MESSAGES
      ? '[older messages are not shown]\n'
      : '';
  return `${older}${lines.join('')}`;
}

function messageLine(view: ConversationViewValue, message: MessageViewValue): string {
  const content = view.overlays[message.messageId] ?? message.content;
  switch (message.role) {
    case 'user':
      return `> ${content}\n`;
    case 'tool':
      return `[tool ${message.tool?.name ?? ''}]\n`;
    case 'system':
      return `[${content}]\n`;
    case 'assistant':
      if (message.kind === 'reasoning' || message.status === 'discarded' || content === '')
        return '';
      // An open one goes on in the events that follow.
      return message.status === 'open' ? content : `${content}\n`;
  }
}
