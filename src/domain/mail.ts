/**
 * Mail between agents: ids that follow from what it is, and how it reads.
 *
 * Invariants:
 *  The same facts give the same text: a row's prompt is made when it is taken and again when it is given (docs/agents.md).
 */
import type { MailKindName, OutcomeName } from '../contracts/events.ts';
import { MAIL_END_BYTES } from '../contracts/limits.ts';
import { hash128 } from './turn-ids.ts';

/** Begins the first line of every prompt that is mail, and of nothing that a person sends by accident. */
const HEADING = '[Holdfast mail] ';
const HEADING_LINES = /^\[Holdfast mail\] /gmu;

/**
 * Of the child with this agentId, in this team: asked for twice, it is one. Whoever uses it sees to it that what is there is
 * that child: two that are asked for may be given the same id by somebody who tries.
 */
export function childConversationId(rootId: string, agentId: string): string {
  return `agent-${hash128(`${rootId}\n${agentId}`)}`;
}

/** An agentId for this name; null: nothing of the name can be in one. */
export function agentIdOf(name: string): string | null {
  const id = name
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .replace(/[^A-Za-z0-9]+/gu, '-')
    .replace(/^-+|-+$/gu, '')
    .slice(0, 48)
    .toLowerCase();
  return id === '' ? null : id;
}

/** What the receiver's provider is given: who says it in the first line, then what. A task is given as it is. */
export function promptOfMail(mail: {
  kind: MailKindName;
  sender: { agentId: string; name: string } | null;
  content: string;
  outcome: OutcomeName | null;
}): string {
  const { kind, sender, outcome } = mail;
  // A line of it that reads as such a heading would pass for another's mail.
  const content = kind === 'task' ? mail.content : mail.content.replace(HEADING_LINES, '> $&');
  const who = sender === null ? '' : nameOf(sender);
  switch (kind) {
    case 'task':
      return content;
    case 'message':
      return `${HEADING}Message from agent ${who}:\n${content}`;
    case 'result':
      return `${HEADING}Agent ${who} has finished its task and says:\n${content}`;
    case 'error':
      return `${HEADING}The task of agent ${who} ended ${outcome ?? 'failed'}:\n${content}`;
    case 'recovery':
      return `${HEADING}After an interruption:\n${content}`;
  }
}

/** A prompt without the line that {@link promptOfMail} has put before it. */
export function withoutHeading(prompt: string): string {
  if (!prompt.startsWith(HEADING)) return prompt;
  const end = prompt.indexOf('\n');
  return end === -1 ? '' : prompt.slice(end + 1);
}

/** MessageId of the row for the end of an attempt of a child's task; the child is its sender. */
export function endMailId({ turnId, attempt }: { turnId: string; attempt: number }): string {
  return `end-${turnId}-${attempt}`;
}

/** Whether Holdfast itself writes under such a messageId: a sender that took it could pass for that row, or be taken for it. */
export function isOwnMessageId(messageId: string): boolean {
  return messageId === 'task' || /^(end-.+-[0-9]+|recovery-.+)$/.test(messageId);
}

/** The row that tells a parent how its child's task ended; one for each attempt. `text`: what the child had said. */
export function mailOfEnd(end: {
  turnId: string;
  attempt: number;
  outcome: OutcomeName;
  /** Code, cause or who cancelled; null for a task that was completed. */
  cause: string | null;
  message: string | null;
  text: string;
}): { messageId: string; kind: 'result' | 'error'; outcome: OutcomeName; content: string } {
  const { turnId, attempt, outcome, cause, message } = end;
  const text = endOfText(end.text);
  const how = [cause === null ? '' : `(${cause})`, message ?? ''].filter((part) => part !== '');
  const content =
    outcome === 'completed'
      ? text.trim() === ''
        ? '(It said nothing.)'
        : text
      : [...how, text.trim() === '' ? 'It had said nothing.' : `It had said:\n${text}`].join('\n');
  return {
    messageId: endMailId({ turnId, attempt }),
    kind: outcome === 'completed' ? 'result' : 'error',
    outcome,
    content,
  };
}

function nameOf({ agentId, name }: { agentId: string; name: string }): string {
  const plain = name.replace(/[\s\p{C}]+/gu, ' ').trim();
  return plain === '' || plain === agentId ? agentId : `${plain} (${agentId})`;
}

/** The end of a text, in whole characters, with a word of what was left out. Costs what it keeps, and a count of the rest. */
function endOfText(text: string): string {
  let bytes = 0;
  let from = text.length;
  while (from > 0) {
    const before = from - (isPair(text, from - 2) ? 2 : 1);
    bytes += utf8Bytes(text, before);
    if (bytes > MAIL_END_BYTES) break;
    from = before;
  }
  if (from === 0) return text;
  let leftOut = 0;
  for (let at = 0; at < from; at += isPair(text, at) ? 2 : 1) leftOut += 1;
  return `(The beginning is left out: ${leftOut} characters.)\n${text.slice(from)}`;
}

/** Whether the two code units from there on are one character. */
function isPair(text: string, at: number): boolean {
  return (text.codePointAt(at) ?? 0) > 0xffff;
}

/** Of the character at that place; half a pair is written as one of three bytes. */
function utf8Bytes(text: string, at: number): number {
  const code = text.codePointAt(at) ?? 0;
  return code > 0xffff ? 4 : code > 0x7ff ? 3 : code > 0x7f ? 2 : 1;
}
