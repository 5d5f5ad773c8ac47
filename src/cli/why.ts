/** `holdfast why`: what a conversation waits for, in a sentence, and what puts it right. */
import { parseArgs } from 'node:util';

import type { WhyValue } from '../contracts/http.ts';
import { isRecord } from './api-client.ts';
import { type CommandContext, CommandError, EXIT, oneConversation, read } from './command.ts';
import { harmless } from './terminal-text.ts';

export const whyUsage = `holdfast why [--json] ID
  What a conversation waits for, since when, by what evidence, and the command that puts it right.

  --json   the answer of the API
`;

export async function why(context: CommandContext): Promise<number> {
  const { values, positionals } = parseArgs({
    args: context.args,
    allowPositionals: true,
    options: { json: { type: 'boolean', default: false } },
  });
  const conversationId = oneConversation(positionals);
  const path = `/v1/conversations/${encodeURIComponent(conversationId)}/why`;
  const { body } = await read(context.config, path);
  if (!isWhy(body)) throw new CommandError('The gateway did not answer with a reason.');
  const { out } = context;
  const text = values.json ? `${JSON.stringify(body, null, 2)}\n` : inWords(body);
  out.write(out.isTerminal || !values.json ? harmless(text) : text);
  return EXIT.ok;
}

/** The answer as lines. */
function inWords({ state, waitingFor, since, evidence, fix, temporalUi }: WhyValue): string {
  const width = Math.max(0, ...evidence.map(({ what }) => what.length));
  const facts = [
    ...evidence,
    ...(since === null ? [] : [{ what: 'since', value: since }]),
    ...(temporalUi === null ? [] : [{ what: 'Temporal UI', value: temporalUi }]),
  ];
  const lines = facts.map(({ what, value }) => `  ${what.padEnd(width)}  ${oneLine(value)}\n`);
  const help = fix === null ? '' : `\n  ${fix.command}\n  ${fix.why}\n`;
  return `${state}: ${oneLine(waitingFor)}\n${help}\n${lines.join('')}`;
}

function oneLine(text: string): string {
  return text.replaceAll(/\s*\n\s*/g, ' ');
}

function isWhy(value: unknown): value is WhyValue {
  return (
    isRecord(value) &&
    typeof value['state'] === 'string' &&
    typeof value['waitingFor'] === 'string' &&
    Array.isArray(value['evidence']) &&
    (value['fix'] === null || isRecord(value['fix']))
  );
}
